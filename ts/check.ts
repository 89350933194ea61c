/** Checks of arguments. Each returns what it checked, and builds a message only when it throws. */

/** A tensor of another library: onnxruntime and transformers.js say `dims`, ndarray and stdlib `shape`. */
export interface TensorLike<A> {
  readonly data: A
  readonly shape?: readonly number[]
  readonly dims?: readonly number[]
}

/**
 * A tensor of which the compiler does not know what it holds, as a session of onnxruntime or a model of transformers.js returns
 * it. The call checks its data.
 */
export interface DynamicTensor {
  readonly type: string
  readonly data: ArrayLike<unknown>
  readonly dims: readonly number[]
}

/**
 * An array with its shape, where that is known. {@link tensorOf} makes it of what a caller gives: its fields are plain, so that
 * looking at them runs no code of the caller.
 */
export class Tensor<A> {
  constructor(
    readonly data: A,
    readonly shape: readonly number[] | undefined,
  ) {}
}

// The intrinsic getters work across realms and cannot be shadowed by a property of the array.
const typedArray = Object.getPrototypeOf(Uint8Array.prototype)
const getter = (name: string | symbol) => Object.getOwnPropertyDescriptor(typedArray, name)!.get!
const tagOf = getter(Symbol.toStringTag)
const lengthGetter = getter('length')

/** The kind of typed array, such as `Float32Array`; undefined for anything else. */
export function kindOf(value: unknown): string | undefined {
  return tagOf.call(value)
}

/** The true length of a typed array. */
export function lengthOf(array: ArrayBufferView): number {
  return lengthGetter.call(array)
}

/** What came, for a message. */
export function describe(value: unknown): string {
  const kind = kindOf(value)
  if (kind !== undefined) return `${kind}(${lengthGetter.call(value)})`
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (value === null || value === undefined) return String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'bigint') return `${value}n`
  if (value instanceof Promise) return 'a Promise, which must be awaited'
  if (typeof value === 'object') return builtIn(value) ?? 'an object'
  if (typeof value === 'function') return 'a function'
  return String(value)
}

/** What objects of the language are, with an article, whose properties say nothing. */
const builtIns: Readonly<Record<string, string>> = {
  Map: 'a Map',
  Set: 'a Set',
  WeakMap: 'a WeakMap',
  WeakSet: 'a WeakSet',
  Date: 'a Date',
  RegExp: 'a RegExp',
  DataView: 'a DataView',
  ArrayBuffer: 'an ArrayBuffer',
  SharedArrayBuffer: 'a SharedArrayBuffer',
  Promise: 'a Promise, which must be awaited',
}

/** The name of an object that holds what it has in no property, also of another realm; undefined for any other. */
function builtIn(value: object): string | undefined {
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  return Object.hasOwn(builtIns, tag) ? builtIns[tag] : undefined
}

/** Whether an object is written `{ … }`, or made by `Object.create(null)`. */
export function isLiteral(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Whether what an object has is found in its properties: not so of a Map, a typed array, or anything else to be iterated. */
export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return isLiteral(value) || (!(Symbol.iterator in value) && builtIn(value) === undefined)
}

/** The elements of an array, each read once: an array of the caller may have getters and methods of its own. */
export function itemsOf(array: ArrayLike<unknown>): unknown[] {
  const { length } = array
  const items: unknown[] = []
  for (let i = 0; i < length; i++) items.push(array[i])
  return items
}

/** The wrong kind of thing; `way` says what to write instead. */
export function wrongType(loss: string, parameter: string, expected: string, value: unknown, way = ''): TypeError {
  return new TypeError(`${loss}: ${parameter} must be ${expected}, got ${describe(value)}${way && `; ${way}`}`)
}

/** The right kind, but a value that cannot be; `way` says what to write instead. */
export function wrongValue(loss: string, parameter: string, expected: string, value: unknown, way = ''): RangeError {
  return new RangeError(`${loss}: ${parameter} must be ${expected}, got ${describe(value)}${way && `; ${way}`}`)
}

/** A Float32Array that can be read. */
function float32(loss: string, parameter: string, value: unknown): Float32Array {
  if (kindOf(value) !== 'Float32Array') {
    throw wrongType(loss, parameter, 'a Float32Array', value, conversion(value))
  }
  return attached(loss, parameter, value as Float32Array)
}

/** How other arrays become floats. */
export function conversion(value: unknown): string {
  if (Array.isArray(value)) {
    return Array.isArray(value[0])
      ? `convert it with Float32Array.from(array.flat(Infinity)) and give its shape`
      : 'convert it with Float32Array.from'
  }
  return kindOf(value) === undefined ? '' : 'convert it with Float32Array.from'
}

/** A Float32Array of a given length. */
export function float32Of(loss: string, parameter: string, length: number, value: unknown): Float32Array {
  const array = float32(loss, parameter, value)
  if (lengthGetter.call(array) !== length) {
    throw wrongValue(loss, parameter, `a Float32Array of ${length} elements`, value)
  }
  return array
}

/** The same array, unless it lies about its length or its memory has gone: such a view passes for an empty array. */
export function attached<A extends ArrayLike<unknown>>(loss: string, parameter: string, array: A): A {
  // In this order: once V8 has seen what kind of array it is, it inlines the getter. What is rare is apart here and below, since V8
  // inlines no more than some hundred instructions of all that a call does.
  const { length } = array
  if (lengthGetter.call(array) !== length || length === 0) assertAttached(loss, parameter, array)
  return array
}

function assertAttached(loss: string, parameter: string, array: ArrayLike<unknown>): void {
  if (lengthGetter.call(array) !== array.length) {
    throw new TypeError(`${loss}: ${parameter} must not have a length of its own`)
  }
  try {
    typedArray.at.call(array, 0)
  } catch {
    throw new TypeError(`${loss}: ${parameter} is detached or out of the bounds of its buffer`)
  }
}

/** A few numbers, as a Float32Array: short arrays may come as plain arrays. */
export function smallArray(loss: string, parameter: string, value: unknown): Float32Array {
  if (!Array.isArray(value)) return float32(loss, parameter, value)
  for (let i = 0; i < value.length; i++) {
    if (typeof value[i] !== 'number') throw wrongType(loss, `${parameter}[${i}]`, 'a number', value[i])
  }
  return Float32Array.from(value)
}

/** As {@link smallArray}, every value finite and not negative. */
export function smallWeights(loss: string, parameter: string, value: unknown): Float32Array {
  const weights = smallArray(loss, parameter, value)
  for (let i = 0; i < weights.length; i++) {
    if (!(weights[i] >= 0 && weights[i] < Infinity)) {
      throw wrongValue(loss, `${parameter}[${i}]`, 'finite and not negative', weights[i])
    }
  }
  return weights
}

/** A finite number for which `holds` is true. */
export function number(
  loss: string,
  parameter: string,
  value: unknown,
  expected: string,
  holds: (value: number) => boolean,
): number {
  if (typeof value !== 'number') throw wrongType(loss, parameter, expected, value)
  if (!Number.isFinite(value) || !holds(value)) throw wrongValue(loss, parameter, expected, value)
  return value
}

/** A number that is still what it must be as a 32-bit float: the kernels compute with those. */
export function single(
  loss: string,
  parameter: string,
  value: unknown,
  expected: string,
  holds: (value: number) => boolean,
): number {
  const given = number(loss, parameter, value, expected, holds)
  const rounded = Math.fround(given)
  if (Number.isFinite(rounded) && holds(rounded)) return given
  throw wrongValue(loss, parameter, `${expected} as a 32-bit float, which reaches from 1.4e-45 to 3.4e38`, value)
}

/** True or false. */
export function flag(loss: string, parameter: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw wrongType(loss, parameter, 'true or false', value)
  return value
}

/** One of a few words. */
export function word<W extends string>(loss: string, parameter: string, value: unknown, words: readonly W[]): W {
  if (words.includes(value as W)) return value as W
  const expected = words.map((w) => `'${w}'`).join(', ')
  throw typeof value === 'string'
    ? wrongValue(loss, parameter, `one of ${expected}`, value)
    : wrongType(loss, parameter, `one of ${expected}`, value)
}

/** Lengths of the axes, each read once. */
export function shapeOf(loss: string, parameter: string, value: unknown): readonly number[] {
  if (!Array.isArray(value) && kindOf(value) === undefined) {
    throw wrongType(loss, parameter, 'an array of axis lengths', value)
  }
  const { length } = value as ArrayLike<unknown>
  const shape: number[] = []
  for (let axis = 0; axis < length; axis++) {
    const size = (value as ArrayLike<unknown>)[axis]
    // The message is built only where it is needed.
    if (typeof size !== 'number' || !isLength(size)) {
      number(loss, `${parameter}[${axis}]`, size, 'an integer ≥ 0', isLength)
    }
    shape.push(size as number)
  }
  return shape
}

const isLength = (n: number) => Number.isInteger(n) && n >= 0

/** Whether {@link tensorOf} has made it. */
export function isTensor(value: object): value is Tensor<unknown> {
  return Object.getPrototypeOf(value) === Tensor.prototype
}

/** Product of the axis lengths. */
function sizeOf(shape: readonly number[]): number {
  let size = 1
  for (const length of shape) size *= length
  return size
}

/** Where the elements of a tensor lie: ndarray says `stride`, stdlib and tfjs `strides`, transformers.js has a method. */
interface Layout {
  readonly type?: unknown
  readonly dtype?: unknown
  readonly stride?: unknown
  readonly strides?: unknown
  readonly offset?: unknown
}

/** Refuses a view whose elements do not follow each other in row-major order from the start of its data. */
function assertContiguous(loss: string, parameter: string, tensor: Layout, shape: readonly number[] | undefined): void {
  const given = tensor.strides ?? tensor.stride
  const strides = (typeof given === 'function' ? given.call(tensor) : given) ?? undefined
  const offset = tensor.offset ?? 0
  if (shape === undefined) {
    if (strides === undefined && offset === 0) return
    throw new TypeError(`${loss}: ${parameter} must have a shape where it has strides or an offset`)
  }
  const size = sizeOf(shape)
  if (strides !== undefined) {
    if (!Array.isArray(strides) && kindOf(strides) === undefined) {
      throw wrongType(loss, `${parameter}.strides`, 'an array of one per axis', strides)
    }
    const expected = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)))
    // tfjs leaves out the last, which is 1. Where an axis has one element, or the tensor none, no step is taken.
    const fits = (step: number, axis: number) =>
      size === 0 ||
      shape[axis] === 1 ||
      strides[axis] === step ||
      (axis === strides.length && axis === shape.length - 1)
    if (strides.length > shape.length || !expected.every(fits)) {
      throw new RangeError(
        `${loss}: ${parameter} must be contiguous, with the strides [${expected}] of its shape [${shape}], got ` +
          `[${Array.from(strides as ArrayLike<unknown>)}]; copy its elements in row-major order`,
      )
    }
  }
  if (offset !== 0) {
    const way = typeof offset === 'number' ? `pass data.subarray(${offset}, ${offset + size}) without an offset` : ''
    throw wrongValue(loss, `${parameter}.offset`, '0', offset, way)
  }
}

/**
 * Takes an array or a tensor of another library apart, once; `data` is checked by the caller. This may run code of the caller, such
 * as a getter, and so comes before the checks of any array.
 */
export function tensorOf(loss: string, parameter: string, value: unknown): Tensor<unknown> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return new Tensor(value, undefined)
  return isTensor(value) ? value : tensorOfObject(loss, parameter, value)
}

function tensorOfObject(loss: string, parameter: string, value: object): Tensor<unknown> {
  if (!('data' in value)) return new Tensor<unknown>(value, undefined)
  const tensor = value as TensorLike<unknown> & Layout
  const { data } = tensor
  if (typeof data === 'function') {
    throw new TypeError(
      `${loss}: ${parameter} must have its data at hand, got a function; pass { data: await t.data(), shape: t.shape }`,
    )
  }
  const type = tensor.type ?? tensor.dtype
  if ((type === 'float16' || type === 'bfloat16') && kindOf(data) === 'Uint16Array') {
    throw new TypeError(
      `${loss}: ${parameter} must be a tensor of 32-bit floats, got ${type}, of which a Uint16Array has the bits; cast it to float32`,
    )
  }
  const axes = tensor.shape ?? tensor.dims
  const shape = axes === undefined ? undefined : shapeOf(loss, `${parameter}.shape`, axes)
  assertContiguous(loss, parameter, tensor, shape)
  return new Tensor<unknown>(data, shape)
}

/** Refuses data of another length than their shape says, where they are a typed array. */
export function fitsShape(loss: string, parameter: string, { data, shape }: Tensor<unknown>): void {
  if (shape === undefined || kindOf(data) === undefined) return
  if (lengthGetter.call(data) === 0) attached(loss, parameter, data as ArrayLike<unknown>)
  if (lengthGetter.call(data) !== sizeOf(shape)) {
    throw wrongValue(loss, `${parameter}.data`, `as long as its shape [${shape}] says`, data)
  }
}

/** The same tensor, whose data can be read as floats. */
export function floatTensor(loss: string, parameter: string, tensor: Tensor<unknown>): Tensor<Float32Array> {
  float32(loss, parameter, tensor.data)
  if (tensor.shape !== undefined) fitsShape(loss, parameter, tensor)
  return tensor as Tensor<Float32Array>
}

/** The shape that the option and the tensors agree on, if any says one. */
export function agreedShape(
  loss: string,
  option: readonly number[] | undefined,
  tensor: readonly number[] | undefined,
  length: number,
): readonly number[] | undefined {
  const shape = option ?? tensor
  if (shape === undefined) return undefined
  if (sizeOf(shape) !== length) {
    throw new RangeError(`${loss}: shape must have the product ${length}, the length of the input, got [${shape}]`)
  }
  if (option !== undefined && tensor !== undefined) sameShape(loss, 'shape', option, tensor)
  return shape
}

/** Whether two shapes are equal. */
export function isShape(got: readonly number[], expected: readonly number[]): boolean {
  return got.length === expected.length && got.every((length, axis) => length === expected[axis])
}

/** Two shapes that must be equal. */
export function sameShape(loss: string, parameter: string, got: readonly number[], expected: readonly number[]): void {
  if (!isShape(got, expected)) {
    throw new RangeError(`${loss}: ${parameter} must be that of the input, [${expected}], got [${got}]`)
  }
}

/** Whether two arrays share memory. The getter `buffer` is slow, so offsets are read only where it matters. */
function overlaps(a: ArrayBufferView, b: ArrayBufferView): boolean {
  return (
    a.buffer === b.buffer && a.byteOffset < b.byteOffset + b.byteLength && b.byteOffset < a.byteOffset + a.byteLength
  )
}

/** The caller's gradient buffer or a new one. */
export function gradBuffer(loss: string, given: unknown, length: number): Float32Array {
  return given === undefined ? new Float32Array(length) : float32Of(loss, 'grad', length, given)
}

/** What errors call a gradient, its input and the other array. */
interface GradNames {
  readonly grad: string
  readonly input: string
  readonly target: string
}

const GRAD_NAMES: GradNames = { grad: 'grad', input: 'input', target: 'target' }
const INPUT_OF = { grad: 'input' }

/**
 * The gradient may be written over the input itself, but not over a part of it nor over the target. Where it is added to what is
 * there, it may not be the input either, nor another view of its memory.
 */
export function separateGrad(
  loss: string,
  grad: Float32Array | undefined,
  input: Float32Array,
  target?: ArrayBufferView,
  accumulate = false,
  names: GradNames = GRAD_NAMES,
): void {
  if (grad === undefined) return
  if ((accumulate || grad !== input) && overlaps(grad, input)) {
    const self = names.input === 'input' ? 'the input' : names.input
    if (grad.byteOffset !== input.byteOffset) {
      throw new RangeError(`${loss}: ${names.grad} must be ${self} itself or not overlap it`)
    }
    if (accumulate) {
      throw new RangeError(
        `${loss}: ${names.grad} must not be ${self} with accumulate, since the gradient is added to it`,
      )
    }
  }
  if (target !== undefined && overlaps(grad, target)) {
    throw new RangeError(`${loss}: ${names.grad} must not overlap ${names.target}`)
  }
}

/** An array of a call and the name of its parameter. */
export type Named = readonly [name: string, array: ArrayBufferView | undefined]

/**
 * Refuses outputs that share memory with each other or with what is read, but for a gradient over the very input that it belongs to:
 * `inputOf` has the name of that. With `accumulate` gradients are added to what is there.
 */
export function separate(
  loss: string,
  written: readonly Named[],
  read: readonly Named[],
  accumulate = false,
  inputOf: Readonly<Record<string, string>> = INPUT_OF,
): void {
  const outputs = written.filter(isGiven)
  const all = [...outputs, ...read.filter(isGiven)]
  const buffers = all.map(([, array]) => array!.buffer)
  for (let i = 0; i < outputs.length; i++) {
    for (let j = i + 1; j < all.length; j++) {
      if (buffers[i] !== buffers[j]) continue
      const [name, output] = all[i]
      const [otherName, other] = all[j]
      if (inputOf[name] === otherName) {
        const names = { grad: name, input: otherName, target: '' }
        separateGrad(loss, output as Float32Array, other as Float32Array, undefined, accumulate, names)
      } else if (overlaps(output!, other!)) {
        throw new RangeError(`${loss}: ${name} must not overlap ${otherName}`)
      }
    }
  }
}

const isGiven = ([, array]: Named) => array !== undefined
