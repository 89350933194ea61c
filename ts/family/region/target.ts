/** Where the planes of a call lie, and its target as the kernels take it. */

import { type Axis, firstScore } from '../../call/axis.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from '../../call/marks.js'
import { attached, fitsShape, kindOf, lengthOf, sameShape, type Tensor, wrongValue } from '../../check.js'
import { BLOCK } from '../../sum.js'
import {
  areLabels,
  axisOf,
  checkBits,
  labelShape,
  labelsOf,
  marksOf,
  outside,
  positionAxes,
  totalWeight,
  wrongLabelCount,
  wrongScoreCount,
} from '../positions.js'
import type { Activation } from './definition.js'
import type { RegionSettings } from './settings.js'

/** Where the planes are: without a shape all is one. */
export function regionAxis(
  loss: string,
  length: number,
  shape: readonly number[] | undefined,
  classAxis: 1 | -1 | null,
): Axis {
  if (shape === undefined) return { samples: 1, classes: 1, positions: length, last: false }
  if (classAxis !== null) {
    const axis = axisOf(loss, shape, classAxis)
    // One class is a plane either way.
    return { ...axis, last: axis.last && axis.classes > 1 }
  }
  if (shape.length === 0) throw new RangeError(`${loss}: shape must be [N, …], got []`)
  const positions = shape.slice(1).reduce((size, length) => size * length, 1)
  return { samples: shape[0], classes: 1, positions, last: false }
}

/** A target as the kernels take it. */
export interface CheckedTarget {
  readonly array: NumberArray
  /** The same, where it has a value per score. */
  readonly values: NumberArray | undefined
  /** Which positions count. */
  readonly marks: Marks
  /** Total weight of the class indices that count. */
  readonly labelWeight: number | undefined
}

/** Checks a target: a value per score, or a class index per position. */
export function targetOf(
  loss: string,
  target: Tensor<unknown>,
  length: number,
  axis: Axis,
  shape: readonly number[] | undefined,
  { mask, ignored, classAxis, weight }: RegionSettings,
): CheckedTarget {
  const { data, shape: targetShape } = target
  fitsShape(loss, 'target', target)
  const positions = axis.samples * axis.positions
  const axes = () => positionAxes(shape, axis, classAxis)
  if (kindOf(data) === 'Float32Array' || (areLabels(data) && lengthOf(data) === length)) {
    const values = attached(loss, 'target', data as NumberArray)
    if (lengthOf(values) !== length) throw wrongScoreCount(loss, values, length)
    if (targetShape !== undefined && shape !== undefined) sameShape(loss, 'shape of target', targetShape, shape)
    if (ignored !== undefined && axis.classes > 1) {
      throw new RangeError(`${loss}: ignoreIndex needs class indices or one channel as target; use mask`)
    }
    const marks = marksOf(loss, ignored && values, ignored ?? [], mask, shape, axes)
    checkBits(loss, values, (low, high) => indexOutside(values, low, high, marks, axis))
    return { array: values, values, marks, labelWeight: undefined }
  }
  const labels = labelsOf(loss, data, 'target', 'a Float32Array or Uint8Array of the shape of the input')
  if (labels.length !== positions) {
    if (shape === undefined) throw wrongScoreCount(loss, labels, length)
    const expected = `be an array of ${length}, one per score, or of ${positions}, one per position`
    throw wrongLabelCount(loss, labels, positions, shape, expected)
  }
  if (classAxis !== null) labelShape(loss, targetShape, shape, classAxis)
  const marks = marksOf(loss, labels, ignored ?? [-100], mask, shape, axes)
  const labelWeight = totalWeight(loss, marks, positions, axis.classes, weight)
  return { array: labels, values: undefined, marks, labelWeight }
}

/** Of one block: which positions count. */
const blockClasses = new Int32Array(BLOCK)

/** Index of a value that is not in [low, high], of a position that counts, or −1. */
function indexOutside(
  values: NumberArray,
  low: number,
  high: number,
  marks: Marks,
  { samples, classes, positions, last }: Axis,
): number {
  if (marks === everything || classes === 1) return outside(values, low, high, marks)
  for (let first = 0; first < samples * positions; first += BLOCK) {
    const count = Math.min(samples * positions - first, BLOCK)
    classesOf(marks, first, count, blockClasses)
    for (let position = first; position < first + count; position++) {
      if (blockClasses[position - first] === NOTHING) continue
      const score = firstScore(position, last ? 1 : positions, classes)
      for (let c = 0, i = score; c < classes; c++, i += last ? 1 : positions) {
        if (!(values[i] >= low && values[i] <= high)) return i
      }
    }
  }
  return -1
}

export const forLogits = "for logits give activation: 'sigmoid' or 'softmax'"

/** Refuses probabilities and targets outside [0, 1]. */
export function assertRanges(
  loss: string,
  x: Float32Array,
  { values, marks }: CheckedTarget,
  axis: Axis,
  activation: Activation,
): void {
  const assertInside = (parameter: string, array: NumberArray, way: string) => {
    const i = indexOutside(array, 0, 1, marks, axis)
    if (i >= 0) throw wrongValue(loss, `${parameter}[${i}]`, 'in [0, 1]', array[i], way)
  }
  if (activation === 'none') assertInside('input', x, forLogits)
  if (values !== undefined) assertInside('target', values, `the order is ${loss}(input, target)`)
}
