/** Losses of whole planes. */

import { activations } from '../../call/region.js'
import { word } from '../../check.js'
import type { Floats } from '../arrays.js'
import { commonOptions, type Loss, makeLoss } from '../loss.js'
import type { RegionDefinition, RegionOptions, RegionTarget } from './definition.js'
import { runOf } from './run.js'
import { planeOptions, regionSettings } from './settings.js'

/** Makes the public loss. */
export function region<Options extends RegionOptions>(
  definition: RegionDefinition,
): Loss<Floats, RegionTarget, Options> {
  const params = Object.keys(definition.params)
  const options = new Set([...commonOptions, 'targetGrad', 'activation', ...planeOptions, ...params])
  if (definition.squared) options.add('squaredPred')
  return makeLoss({
    definition,
    options,
    resolve(given) {
      const { activation = 'none' } = given
      const chosen = word(definition.name, 'activation', activation, activations)
      return regionSettings(definition.name, definition, given, chosen, 1, undefined)
    },
    run: runOf(definition.name, definition, activations),
  })
}
