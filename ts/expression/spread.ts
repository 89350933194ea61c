/** Inputs that are one number for all elements, or one for each row of the last axis. */

import {
  conversion,
  float32Of,
  floatTensor,
  isShape,
  kindOf,
  number,
  type Tensor,
  wrongType,
  wrongValue,
} from '../check.js'

/** What an input stands for that has fewer numbers than there are elements. */
export interface Spread {
  readonly isNumber: boolean
  /** How many neighbouring elements share a number. */
  readonly inner: number
  /** One number per element. */
  readonly array: Float32Array
}

/** An input of a call that may have fewer numbers; `shape` is that of the elements. */
export function spreadOf(
  loss: string,
  name: string,
  tensor: Tensor<unknown>,
  elements: number,
  shape: readonly number[] | undefined,
): { readonly given: Float32Array; readonly spread: Spread | undefined } {
  if (typeof tensor.data === 'number') {
    const value = number(loss, name, tensor.data, 'a finite number', (n) => Number.isFinite(Math.fround(n)))
    const spread = { isNumber: true, inner: elements, array: new Float32Array(elements).fill(value) }
    return { given: Float32Array.of(value), spread }
  }
  if (kindOf(tensor.data) !== 'Float32Array') {
    throw wrongType(loss, name, 'a Float32Array or a number', tensor.data, conversion(tensor.data))
  }
  const { data: given, shape: ownShape } = floatTensor(loss, name, tensor)
  const inner = shape === undefined || shape.length === 0 ? 1 : shape[shape.length - 1]
  const rows = inner === 0 ? 0 : elements / inner
  if (given.length === elements && (ownShape === undefined || shape === undefined || isShape(ownShape, shape))) {
    return { given, spread: undefined }
  }
  const expected = shape === undefined ? undefined : [shape.slice(0, -1), [...shape.slice(0, -1), 1]]
  if (given.length !== rows || (ownShape !== undefined && !expected?.some((one) => isShape(ownShape, one)))) {
    const perRow = shape === undefined ? '' : `, of ${rows}, one per row of the shape [${shape}]`
    throw wrongValue(
      loss,
      name,
      `a number or a Float32Array of ${elements} elements${perRow}`,
      tensor.data,
      wayOf(shape),
    )
  }
  const array = new Float32Array(elements)
  for (let row = 0; row < rows; row++) array.fill(given[row], row * inner, (row + 1) * inner)
  return { given, spread: { isNumber: false, inner, array } }
}

const wayOf = (shape: readonly number[] | undefined) => (shape === undefined ? 'one per row needs a shape' : '')

/** The array for the gradient by such an input; undefined where it is one number. */
export function totalsBuffer(
  loss: string,
  gradName: string,
  { isNumber }: Spread,
  length: number,
  given: boolean | Float32Array | undefined,
): Float32Array | undefined {
  if (!isNumber) return given === true ? new Float32Array(length) : float32Of(loss, gradName, length, given)
  if (given === true) return undefined
  throw wrongType(loss, gradName, 'true where the input is a number', given)
}

/** Sums of the gradients of the elements that share a number, in double precision: in `into` or added to it, or as a number. */
export function totals(
  grads: Float32Array,
  { inner }: Spread,
  into: Float32Array | undefined,
  accumulate: boolean,
): Float32Array | number {
  if (into === undefined) return sumOf(grads, 0, grads.length)
  for (let row = 0; row < into.length; row++)
    into[row] = (accumulate ? into[row] : 0) + sumOf(grads, row * inner, (row + 1) * inner)
  return into
}

function sumOf(values: Float32Array, from: number, to: number): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += values[i]
  return sum
}
