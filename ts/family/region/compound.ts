/** Losses of planes with a loss of each position beside them that shares their activation. */

import { single, word } from '../../check.js'
import type { Floats } from '../arrays.js'
import { type Family, type Loss, makeLoss, meanByOf } from '../loss.js'
import type { Activation, CompoundDefinition, CompoundOptions, Parts, RegionTarget } from './definition.js'
import { runOf } from './run.js'
import { normalizersOf, partSettings, planeOptions, type RegionSettings, regionSettings } from './settings.js'

/** Makes the public loss. */
export function compound<Options extends CompoundOptions, Name extends string>(
  definition: CompoundDefinition,
): Loss<Floats, RegionTarget, Options, 'mean', Parts<Name>> {
  const { name: loss, region, part, parts, partOptions } = definition
  const choices = Object.keys(parts) as Activation[]
  const [diceWeight, partWeight] = ['diceWeight', `${part}Weight`]
  const options = new Set([
    ...[
      'reduction',
      'gradOutput',
      'grad',
      'accumulate',
      'emptyMean',
      'normalizer',
      'validate',
      'squaredPred',
      diceWeight,
      partWeight,
    ],
    ...planeOptions,
    ...Object.keys(partOptions),
  ])
  if (choices.length > 1) options.add('activation')
  const family: Family<RegionSettings> = {
    definition,
    options,
    resolve(given) {
      if (given.reduction === 'none') {
        throw new RangeError(
          `${loss}: reduction must be 'mean' or 'sum', since the parts have values of different shapes`,
        )
      }
      const { activation = choices[0] } = given
      const chosen = word(loss, 'activation', activation, choices)
      const weightOf = (name: string) => {
        return single(loss, name, given[name] ?? 1, 'a finite number', () => true)
      }
      const settings = partSettings(loss, part, parts[chosen]!, weightOf(partWeight), { ...partOptions, ...given })
      const { normalizer, ...rest } = given
      const names = [part, 'dice']
      const normalizers = normalizersOf(loss, normalizer, names, given.reduction)
      // What has no normalizer still has its weights.
      const all = names.every((name) => normalizers[name] !== undefined)
      meanByOf(loss, given.meanBy ?? 'count', 'mean', all ? 1 : undefined)
      return regionSettings(loss, region, rest, chosen, weightOf(diceWeight), settings, normalizers)
    },
    run: runOf(loss, region, choices, definition.foreground),
  }
  return makeLoss(family)
}
