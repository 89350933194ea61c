/** Positions and their classes: where they lie, their labels, masks and weights. */

import { active } from '../backend/load.js'
import { firstOutside, keptWeight } from '../backend/ts/scan.js'
import type { Axis } from '../call/axis.js'
import { MOST_IGNORED } from '../call/call.js'
import { everything, type LabelArray, type Marks, type NumberArray } from '../call/marks.js'
import { outsideKind, weightKind } from '../call/scan.js'
import {
  attached,
  describe,
  fitsShape,
  float32Of,
  isShape,
  kindOf,
  lengthOf,
  number,
  smallArray,
  Tensor,
  tensorOf,
  wrongType,
  wrongValue,
} from '../check.js'

export type { LabelArray, NumberArray }

/** The option `classAxis`. */
export function classAxisOf(loss: string, value: unknown = 1, expected = '1 or -1'): 1 | -1 {
  if (typeof value === 'number' && value > 1) {
    throw wrongValue(loss, 'classAxis', expected, value, 'for the last axis give -1')
  }
  return number(loss, 'classAxis', value, expected, (axis) => axis === 1 || axis === -1) as 1 | -1
}

/** The axes of a shape [N, C, d1, …], or [N, d1, …, C] where the class axis is −1. */
export function axisOf(loss: string, shape: readonly number[], classAxis: 1 | -1): Axis {
  if (shape.length < 2) {
    const expected = classAxis === 1 ? '[N, C, …]' : '[N, …, C]'
    throw new RangeError(`${loss}: shape must be ${expected}, got [${shape}]`)
  }
  const axis = classAxis === 1 ? 1 : shape.length - 1
  let positions = 1
  for (let i = 1; i < shape.length; i++) if (i !== axis) positions *= shape[i]
  const classes = shape[axis]
  if (classes === 0 && shape[0] * positions > 0) {
    throw new RangeError(`${loss}: shape must have at least one class, got [${shape}]`)
  }
  return { samples: shape[0], classes, positions, last: classAxis === -1 || positions === 1 }
}

/**
 * Refuses labels, or another value per position, whose tensor has another shape than the input without its classes: [N, …], or
 * [N, 1, …] as MONAI has it.
 */
export function labelShape(
  loss: string,
  got: readonly number[] | undefined,
  shape: readonly number[] | undefined,
  classAxis: 1 | -1,
  parameter = 'target',
): void {
  if (got === undefined || shape === undefined) return
  const axis = classAxis === 1 ? 1 : shape.length - 1
  const expected = shape.filter((_, i) => i !== axis)
  const one = shape.map((length, i) => (i === axis ? 1 : length))
  if (isShape(got, expected) || isShape(got, one)) return
  throw new RangeError(
    `${loss}: shape of ${parameter} must be [${expected}], that of the input, [${shape}], without its classes, got [${got}]`,
  )
}

/** All integers. */
const integerKinds: ReadonlySet<string | undefined> = new Set([
  'Int32Array',
  'Uint8Array',
  'Uint8ClampedArray',
  'Uint16Array',
  'Uint32Array',
  'Int8Array',
  'Int16Array',
  'BigInt64Array',
  'BigUint64Array',
])

/** Whether it is an array of class indices. */
export function areLabels(value: unknown): value is LabelArray {
  return integerKinds.has(kindOf(value))
}

/** The error for a target that is neither class indices nor, where the loss takes them, a value per score. */
export function notLabels(loss: string, parameter: string, value: unknown, values?: string | undefined): TypeError {
  const labels = 'class indices in an Int32Array or another array of integers'
  const isArray = Array.isArray(value) || kindOf(value) !== undefined
  const rest = values === undefined ? '' : ', values with Float32Array.from'
  return wrongType(
    loss,
    parameter,
    values === undefined ? labels : `${values}, or ${labels}`,
    value,
    isArray ? `convert labels with Int32Array.from(labels)${rest}` : '',
  )
}

/** A value for each of `length` scores, where the other target is labels if the loss takes them. */
export function distributionOf(loss: string, length: number, values: Float32Array, takesLabels: boolean): Float32Array {
  const count = lengthOf(values)
  const way = 'class indices come in an Int32Array (Int32Array.from(labels)), distributions in the shape of the input'
  if (takesLabels && count > 0 && count < length && length % count === 0) {
    throw wrongValue(loss, 'target', `a Float32Array of ${length} elements`, values, way)
  }
  return float32Of(loss, 'target', length, values)
}

/** The error for a target of another length than the input, which may be labels without a shape. */
export function wrongScoreCount(loss: string, target: ArrayBufferView, length: number): RangeError {
  const count = lengthOf(target)
  const isFloat = kindOf(target) === 'Float32Array'
  const way = isFloat
    ? 'class indices come in an Int32Array (Int32Array.from(labels)) and need shape: [N, C, …]'
    : 'class indices need shape: [N, C, …]'
  const mayBeLabels = count > 0 && count < length && length % count === 0
  return wrongValue(loss, 'target', `an array of ${length} elements`, target, mayBeLabels || !isFloat ? way : '')
}

/** The error for as many labels as do not fit the positions. */
export function wrongLabelCount(
  loss: string,
  labels: ArrayBufferView,
  positions: number,
  shape: readonly number[],
  expected = `have ${positions} elements, one per position`,
): RangeError {
  const count = lengthOf(labels)
  const scores = shape.reduce((size, length) => size * length, 1)
  let way = ''
  if (count === scores) way = '; one-hot targets come in a Float32Array'
  else if (count * shape[shape.length - 1] === scores) way = '; for classes last give classAxis: -1'
  return new RangeError(`${loss}: target must ${expected} of the input [${shape}], got ${describe(labels)}${way}`)
}

/** The error for a label that is no class. */
export function wrongLabel(
  loss: string,
  at: string,
  label: number | bigint,
  classes: number,
  ignoreIndex: readonly number[],
  way = '',
): RangeError {
  // What datasets write where there is no class.
  const none = Number(label) === -1 || Number(label) === 255
  const indices = ignoreIndex.join(' or ')
  const ignored = none ? `${indices}; to leave out ${label} give ignoreIndex: ${label}` : indices
  return wrongValue(loss, at, `a class index in [0, ${classes}) or ignoreIndex (${ignored})`, label, way)
}

/** Labels that can be read. */
export function labelsOf(loss: string, value: unknown, parameter = 'target', values?: string | undefined): LabelArray {
  if (!areLabels(value)) throw notLabels(loss, parameter, value, values)
  return attached(loss, parameter, value)
}

/** The lengths of the axes of positions: those of the input without its classes. */
export function positionAxes(shape: readonly number[] | undefined, axis: Axis, classAxis: 1 | -1 | null): number[] {
  if (shape === undefined) return [axis.samples, axis.positions]
  if (classAxis === null) return [...shape]
  const classes = classAxis === 1 ? 1 : shape.length - 1
  return shape.filter((_, i) => i !== classes)
}

/** Refuses an array that has one value neither for each position nor for the first axes; how many neighbours share a value. */
export function sharing(
  loss: string,
  name: string,
  array: ArrayBufferView,
  axes: readonly number[],
  shape?: readonly number[],
): number {
  const length = lengthOf(array)
  const all = axes.reduce((size, length) => size * length, 1)
  if (length === all) return 1
  let leading = 1
  for (const axis of axes) {
    leading *= axis
    if (leading === length) return all / length
  }
  const perSample = axes.length > 1 && axes[0] !== all ? `, or of ${axes[0]}, one per sample` : ''
  throw wrongValue(
    loss,
    name,
    `an array of ${all}, one per position${perSample}`,
    array,
    shapesOf(name, length, axes, shape),
  )
}

/** The shapes that an array of positions may have, where that of the input is known. */
function shapesOf(name: string, length: number, axes: readonly number[], shape: readonly number[] | undefined): string {
  if (shape === undefined) return ''
  const scores = shape.reduce((size, length) => size * length, 1)
  const hasClasses = shape.length > axes.length && length === scores
  const why = hasClasses ? `, since a ${name} has no class axis` : ''
  return `for the input [${shape}] its shape is ${leadingShapes(axes)}${why}`
}

/** That of all axes, and of the first ones alone. */
function leadingShapes(axes: readonly number[]): string {
  const shapes = axes.map((_, i) => `[${axes.slice(0, axes.length - i)}]`)
  const last = shapes.pop()
  return shapes.length === 0 ? `${last}` : `${shapes.join(', ')} or ${last}`
}

/** The option `mask`, whose length is not yet known. */
export function maskOf(loss: string, value: unknown): Tensor<NumberArray> | undefined {
  if (value === undefined) return undefined
  if (Array.isArray(value) && value.every((one) => typeof one === 'boolean')) {
    return new Tensor(Uint8Array.from(value, Number), undefined)
  }
  const tensor = tensorOf(loss, 'mask', value)
  const { data } = tensor
  if (!areLabels(data) && kindOf(data) !== 'Float32Array') {
    throw wrongType(
      loss,
      'mask',
      'an array of integers, a Float32Array or an array of booleans',
      data,
      maskFrom(tensor),
    )
  }
  attached(loss, 'mask', data as NumberArray)
  return tensor as Tensor<NumberArray>
}

/** What to write in place of a mask of another type. */
function maskFrom({ data, shape }: Tensor<unknown>): string {
  const name = shape === undefined ? 'mask' : 'mask.data'
  if (Array.isArray(data)) return `write Uint8Array.from(${name}${Array.isArray(data[0]) ? '.flat(Infinity)' : ''})`
  return kindOf(data) === undefined ? '' : `write Float32Array.from(${name})`
}

/** Which positions count, by a mask and, where they are given, labels; `shape` is that of the input, if it is known. */
export function marksOf(
  loss: string,
  labels: NumberArray | undefined,
  ignored: readonly number[],
  mask: Tensor<NumberArray> | undefined,
  shape: readonly number[] | undefined,
  axes: () => readonly number[],
): Marks {
  if (mask === undefined) return labels === undefined ? everything : { labels, ignored, mask, maskInner: 1 }
  fitsShape(loss, 'mask', mask)
  const lengths = axes()
  const maskInner = sharing(loss, 'mask', mask.data, lengths, shape)
  if (mask.shape !== undefined && shape !== undefined) {
    // [N, 1, …] beside [N, C, …] is MONAI's layout.
    const [got, expected] = [mask.shape, lengths].map((all) => all.filter((length) => length !== 1))
    if (got.some((length, axis) => length !== expected[axis])) {
      const way = `${leadingShapes(lengths)}, for the input [${shape}]`
      throw new RangeError(`${loss}: shape of mask must be ${way}, got [${mask.shape}]`)
    }
  }
  return { labels, ignored, mask: mask.data, maskInner }
}

/** The option `sampleWeight`. */
export function sampleWeightOf(loss: string, value: unknown): Float32Array | undefined {
  return value === undefined ? undefined : smallArray(loss, 'sampleWeight', value)
}

/** The option `ignoreIndex`: one label or several. */
export function ignoredOf(loss: string, value: unknown = -100): readonly number[] {
  const one = (name: string, index: unknown) => number(loss, name, index, 'a 32-bit integer', (i) => i === (i | 0))
  if (!Array.isArray(value)) return [one('ignoreIndex', value)]
  if (value.length === 0 || value.length > MOST_IGNORED) {
    throw wrongValue(loss, 'ignoreIndex', `an integer, or an array of 1 to ${MOST_IGNORED}`, value)
  }
  return value.map((index, i) => one(`ignoreIndex[${i}]`, index))
}

/** A scan of so few values costs less in TypeScript than the call of a backend. */
const SHORT = 256

/** Total weight of the positions that count; refuses labels that are no class. Without `classes` any label will do. */
export function totalWeight(
  loss: string,
  marks: Marks,
  positions: number,
  classes = 0,
  weight?: Float32Array,
  sampleWeight?: Float32Array,
  sampleInner = 1,
): number {
  if (marks === everything && sampleWeight === undefined) return positions
  return scannedWeight(loss, marks, positions, classes, weight, sampleWeight, sampleInner)
}

function scannedWeight(
  loss: string,
  marks: Marks,
  positions: number,
  classes: number,
  weight: Float32Array | undefined,
  sampleWeight: Float32Array | undefined,
  sampleInner: number,
): number {
  const call = {
    kind: weightKind,
    loss,
    definition: undefined,
    marks,
    positions,
    classes,
    weight,
    sampleWeight,
    sampleInner,
  }
  const kept = positions <= SHORT ? keptWeight(call) : active.run(call)
  if (kept >= 0) return kept
  const i = -1 - kept
  // As many labels as scores.
  const oneHot = 'one-hot targets come in a Float32Array with shape: [N, C]; for labels of 0 and 1 use bceWithLogits'
  throw wrongLabel(loss, `target[${i}]`, marks.labels![i], classes, marks.ignored, classes === 1 ? oneHot : '')
}

/** Index of the first value that counts and is not in [low, high], or −1. */
export function outside(values: NumberArray, low: number, high: number, marks: Marks): number {
  const call = { kind: outsideKind, loss: '', definition: undefined, marks, values, low, high }
  return values.length <= SHORT ? firstOutside(call) : active.run(call)
}

/** Refuses integers other than 0 and 1 as targets of a probability; `find` is {@link outside} for the layout of the target. */
export function checkBits(loss: string, target: NumberArray, find: (low: number, high: number) => number): void {
  if (kindOf(target) === 'Float32Array') return
  const i = find(0, 1)
  if (i < 0) return
  const value = target[i]
  const scaled = Number(value) === 255 ? 'divide by 255 (Float32Array.from(target, (v) => v / 255)), or ' : ''
  const way = Number(value) === (Number(value) | 0) ? `${scaled}leave it out with ignoreIndex: ${value}` : ''
  throw wrongValue(loss, `target[${i}]`, '0 or 1 in an array of integers', value, way)
}

/** Refuses class weights of another number. */
export function checkClassWeight(loss: string, name: string, weight: Float32Array | undefined, classes: number): void {
  if (weight !== undefined && weight.length !== classes) {
    throw wrongValue(loss, name, `an array of ${classes}, one per class`, weight)
  }
}
