/** Positions and their classes: where they lie, their labels and masks. */

import {
  attached,
  type DynamicTensor,
  describe,
  float32Of,
  isShape,
  kindOf,
  lengthOf,
  number,
  smallArray,
  type TensorLike,
  wrongType,
  wrongValue,
} from '../check.js'

/** Class indices. */
export type LabelArray =
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | Int8Array
  | Int16Array
  | BigInt64Array
  | BigUint64Array

/** Class indices, or a tensor of them. */
export type Labels = LabelArray | TensorLike<LabelArray> | DynamicTensor

/** One value per position: 0 says that it counts for nothing. */
export type Mask = Uint8Array | Float32Array

/** How the scores of positions lie in memory. */
export interface Axis {
  readonly samples: number
  readonly classes: number
  /** Positions of a sample. */
  readonly positions: number
  /** Whether the classes of a position are neighbours. */
  readonly last: boolean
}

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
  classAxis: 1 | -1 | null,
  expected = `have ${positions} elements, one per position`,
): RangeError {
  const count = lengthOf(labels)
  const scores = shape.reduce((size, length) => size * length, 1)
  let way = ''
  if (count === scores) way = '; one-hot targets come in a Float32Array'
  else if (classAxis === 1 && count * shape[shape.length - 1] === scores) way = '; for classes last give classAxis: -1'
  return new RangeError(`${loss}: target must ${expected} of the input [${shape}], got ${describe(labels)}${way}`)
}

/** The error for a label that is no class. */
export function wrongLabel(
  loss: string,
  at: string,
  label: number | bigint,
  classes: number,
  ignoreIndex: number,
  way = '',
): RangeError {
  // What datasets write where there is no class.
  const none = Number(label) === -1 || Number(label) === 255
  const ignored = none ? `${ignoreIndex}; to leave out ${label} give ignoreIndex: ${label}` : `${ignoreIndex}`
  return wrongValue(loss, at, `a class index in [0, ${classes}) or ignoreIndex (${ignored})`, label, way)
}

let scratch = new Int32Array(0)

function scratchOf(length: number): Int32Array {
  if (scratch.length < length) scratch = new Int32Array(length)
  return scratch.subarray(0, length)
}

/**
 * Labels of any integer type as Int32Array: kernels know one type. Those of another type are copied, once a call, and so are
 * masked ones, with `ignoreIndex` where the mask is 0.
 */
export function int32Labels(
  loss: string,
  value: unknown,
  mask: Mask | undefined,
  ignoreIndex: number,
  parameter = 'target',
): Int32Array {
  const kind = kindOf(value)
  if (kind === 'Int32Array' && mask === undefined) return attached(loss, parameter, value as Int32Array)
  if (!areLabels(value)) throw notLabels(loss, parameter, value)
  const labels = attached(loss, parameter, value as LabelArray)
  const { length } = labels
  checkMask(loss, mask, length)
  const copy = scratchOf(length)
  for (let i = 0; i < length; i++) {
    if (mask !== undefined && mask[i] === 0) {
      copy[i] = ignoreIndex
      continue
    }
    const label = Number(labels[i])
    // A label that does not fit would wrap around to a legal one.
    if (label !== (label | 0)) throw wrongValue(loss, `${parameter}[${i}]`, 'a class index', labels[i])
    copy[i] = label
  }
  return copy
}

/** Labels of a target without: `ignoreIndex` where the mask is 0 or a value is that index, something else elsewhere. */
export function keptLabels(
  length: number,
  ignoreIndex: number,
  mask: Mask | undefined,
  values: Float32Array | undefined,
): Int32Array {
  const labels = scratchOf(length)
  const kept = ignoreIndex === 0 ? 1 : 0
  for (let i = 0; i < length; i++) {
    labels[i] = mask?.[i] === 0 || values?.[i] === ignoreIndex ? ignoreIndex : kept
  }
  return labels
}

/** Number of positions that count: all, where there are no labels. */
export function countKept(labels: Int32Array, positions: number, ignoreIndex: number): number {
  if (labels.length === 0) return positions
  let count = 0
  for (let i = 0; i < positions; i++) if (labels[i] !== ignoreIndex) count++
  return count
}

/** No labels: every position counts. */
export const noLabels: Int32Array = new Int32Array(0)

/** The option `mask`, whose length is not yet known. */
export function maskOf(loss: string, value: unknown): Mask | undefined {
  if (value === undefined) return undefined
  const kind = kindOf(value)
  if (kind !== 'Uint8Array' && kind !== 'Float32Array') {
    throw wrongType(loss, 'mask', 'a Uint8Array or a Float32Array', value)
  }
  return attached(loss, 'mask', value as Mask)
}

/** Refuses a mask of another length. */
export function checkMask(loss: string, mask: Mask | undefined, positions: number): void {
  if (mask !== undefined && lengthOf(mask) !== positions) {
    throw wrongValue(loss, 'mask', `an array of ${positions}, one per position`, mask)
  }
}

/** The option `sampleWeight`. */
export function sampleWeightOf(loss: string, value: unknown): Float32Array | undefined {
  return value === undefined ? undefined : smallArray(loss, 'sampleWeight', value)
}

/** Refuses sample weights of another length. */
export function checkSampleWeight(loss: string, weight: Float32Array | undefined, positions: number): void {
  if (weight !== undefined) float32Of(loss, 'sampleWeight', positions, weight)
}

/** The option `ignoreIndex`. */
export function ignoreIndexOf(loss: string, value: unknown = -100): number {
  return number(loss, 'ignoreIndex', value, 'a 32-bit integer', (i) => i === (i | 0))
}

/** Refuses class weights of another number. */
export function checkClassWeight(loss: string, name: string, weight: Float32Array | undefined, classes: number): void {
  if (weight !== undefined && weight.length !== classes) {
    throw wrongValue(loss, name, `an array of ${classes}, one per class`, weight)
  }
}
