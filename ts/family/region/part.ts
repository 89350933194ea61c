/** The loss of each position beside a loss of planes: its weights, its call and what its mean divides by. */

import type { Axis } from '../../call/axis.js'
import { type RegionArrays, type RegionPart, regionKind } from '../../call/region.js'
import { checkClassWeight, totalWeight } from '../positions.js'
import { weightsOf } from '../softmax/index.js'
import type { PartSettings, RegionSettings } from './settings.js'
import type { CheckedTarget } from './target.js'

/** Refuses parameters of the part that are not one per class. */
export function assertPart(loss: string, part: PartSettings | undefined, classes: number): void {
  if (part === undefined) return
  const { aux, alpha } = part
  const { definition } = part
  if (typeof aux !== 'number' && definition.family === 'pointwise') {
    checkClassWeight(loss, definition.aux!.name, aux, classes)
  }
  if (alpha !== undefined && typeof alpha !== 'number') checkClassWeight(loss, 'alpha', alpha, classes)
}

/** The call of the kernels. With `foreground` the background weighs nothing in a part of each score, where the region has none. */
export function callOf(
  loss: string,
  x: Float32Array,
  { values, marks }: CheckedTarget,
  axis: Axis,
  { activation, squared, part, weight, sampleWeight, includeBackground }: RegionSettings,
  foreground: boolean,
): RegionArrays {
  let regionPart: RegionPart | undefined
  if (part !== undefined) {
    let weights = weightsOf({ weight, alpha: part.alpha }, axis.classes)
    if (foreground && !includeBackground && part.definition.family === 'pointwise') {
      weights = Float32Array.from({ length: axis.classes }, (_, c) => (c === 0 ? 0 : (weights?.[c] ?? 1)))
    }
    const { definition, p0, p1, aux, labelSmoothing } = part
    regionPart = { definition, p0, p1, aux, weight: weights, sampleWeight, labelSmoothing }
  }
  const definition = regionPart?.definition
  return { kind: regionKind, loss, definition, x, target: values, marks, axis, activation, squared, part: regionPart }
}

/** What the mean of the part divides by. */
export function partCount(
  loss: string,
  { values, marks, labelWeight }: CheckedTarget,
  { samples, classes, positions }: Axis,
  { part, weight, sampleWeight, meanBy, includeBackground }: RegionSettings,
  foreground: boolean,
): number {
  const positionWeight = meanBy === 'weight' ? sampleWeight : undefined
  const count = samples * positions
  if (part!.definition.family === 'softmax' && values === undefined) {
    return positionWeight === undefined
      ? labelWeight!
      : totalWeight(loss, marks, count, classes, weight, positionWeight, positions)
  }
  const ofPositions = totalWeight(loss, marks, count, 0, undefined, positionWeight, positions)
  if (part!.definition.family === 'softmax') return ofPositions
  const first = foreground && !includeBackground ? 1 : 0
  if (meanBy === 'count' || weight === undefined) return ofPositions * (classes - first)
  return ofPositions * weight.subarray(first).reduce((sum, weight) => sum + weight, 0)
}
