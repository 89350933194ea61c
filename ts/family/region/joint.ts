/** Losses that have one value for all classes: the weighted sums of the classes are the sums of one plane. */

import { PLANE } from '../../call/region.js'
import type { RegionDefinition } from './definition.js'
import type { RegionSettings } from './settings.js'
import { isEmpty, type Joint, ownSums } from './sums.js'

/** Adds up the sums of the classes, of a loss that has one value for all of them; `areLabels` says that the target is classes. */
export function joinClasses(
  definition: RegionDefinition,
  settings: RegionSettings,
  sums: Float64Array,
  rows: number,
  classes: number,
  areLabels: boolean,
): Joint | undefined {
  if (definition.joint === undefined) return undefined
  const { includeBackground, weight, numbers } = settings
  const first = includeBackground ? 0 : 1
  const joint = { weights: new Float64Array(rows * classes), sums: new Float64Array(rows * PLANE) }
  for (let row = 0; row < rows; row++) {
    const targets: number[] = []
    for (let c = first; c < classes; c++) {
      const { y } = ownSums(settings, sums, PLANE * (row * classes + c))
      // Of labels it is a number of positions, of which a sum in single precision may have lost the last digits: classes of as many
      // positions must weigh the same.
      targets.push(areLabels ? Math.round(y) : y)
    }
    const weights = definition.joint(targets, numbers)
    for (let c = first; c < classes; c++) {
      const plane = row * classes + c
      if (isEmpty(settings, sums, PLANE * plane)) continue
      const w = weights[c - first] * (weight?.[c] ?? 1)
      joint.weights[plane] = w
      for (let k = 0; k < PLANE; k++) joint.sums[PLANE * row + k] += w * sums[PLANE * plane + k]
    }
  }
  return joint
}
