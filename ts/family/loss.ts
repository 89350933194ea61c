/** What all losses share: the three verbs, bound options, reductions. */

import type { Named } from '../check.js'
import {
  flag,
  float32Of,
  isTensor,
  kindOf,
  number,
  separate,
  separateGrad,
  Tensor,
  tensorOf,
  word,
  wrongType,
} from '../check.js'
import type { BatchReduction, Reduction } from '../definition.js'
import {
  type Buffers,
  type Compared,
  type NamedBuffers,
  NO_GRADS,
  type Options,
  readCall,
  readOptions,
  toCompare,
} from '../options.js'
import { type AnyDefinition, forward, hiding, type Inside, type Result, type Wanted } from './inside.js'

export type { Buffers }

/** Options of every loss. */
export interface CommonOptions<R extends BatchReduction = Reduction> {
  /** `'mean'` (default) and `'sum'` give a number, `'none'` an array. */
  reduction?: R
  /** Upstream gradient: a number, or with `'none'` also one per value. Default 1. */
  gradOutput?: number | Float32Array
  /** The gradient is written here and nothing is allocated. It may be the input array itself. */
  grad?: Float32Array
  /**
   * Whether the gradient is added to what `grad` holds, which is not the input then, and every other gradient to what its buffer holds.
   * Default false.
   */
  accumulate?: boolean
  /** With `'none'` the values are written here. */
  out?: Float32Array
  /** The mean over nothing: `'nan'` (default, as PyTorch) or `'zero'`. Its gradient is 0 either way. */
  emptyMean?: 'nan' | 'zero'
  /** Replaces the denominator of `'mean'`, for gradients accumulated over several batches. */
  normalizer?: number
  /**
   * Whether the numbers of input and target are checked, for one more scan of each: that probabilities are in [0, 1], their
   * logarithms at most 0, and that distributions sum to 1. Default false.
   */
  validate?: boolean
}

/** What the options of every loss have in common: one of several parts has a normalizer for each. */
export type LossOptions = Omit<CommonOptions<BatchReduction>, 'normalizer'> & { normalizer?: unknown }

/** What a loss gives, by reduction. */
export type Value<R extends BatchReduction> = R extends 'none' ? Float32Array : number

/** Result of `valueAndGrad`. */
export interface ValueAndGrad<R extends BatchReduction> {
  value: Value<R>
  grad: Float32Array
  /** Gradient by the target, where the option of that name asks for it. */
  targetGrad?: Float32Array
}

/** The result of a loss that is one mean has what it divides by. */
export interface Denominator {
  /**
   * What `'mean'` and `'batchmean'` divide by, and with `'sum'` and `'none'` what `'mean'` would: batches of different size are
   * joined by Σ sum / Σ denominator.
   */
  denominator: number
}

/** The reductions that a loss has. */
export type ReductionOf<Options extends LossOptions> = NonNullable<Options['reduction']>

/**
 * Options with a reduction, by which the result is typed. The type parameter allows all, so that losses in a union can be called;
 * one that the loss lacks becomes those that it has, which the compiler then names.
 */
export type Reducing<Options extends LossOptions, R extends BatchReduction> = Options & {
  reduction?: R extends ReductionOf<Options> ? R : ReductionOf<Options>
}

/** Options of `backward`, which returns one array: the gradient by the target needs a buffer. */
export type BackwardOptions<Options> = 'targetGrad' extends keyof Options
  ? Omit<Options, 'targetGrad'> & { targetGrad?: false | Float32Array }
  : Options

/**
 * A loss: call it for the value, or one of its verbs. `D` is the reduction where the options name none, and `More` what
 * `valueAndGrad` has beside value and gradient.
 */
export interface Loss<
  Input,
  Target,
  Options extends LossOptions,
  D extends BatchReduction = 'mean',
  More = Denominator,
> {
  /** The value. */
  <R extends BatchReduction = D>(input: Input, target: Target, options?: Reducing<Options, R>): Value<R>
  /** d(value)/d(input) · gradOutput, in `grad` or in a new array. */
  backward(input: Input, target: Target, options?: BackwardOptions<Options>): Float32Array
  /** Both in one pass: what a training step calls. */
  valueAndGrad<R extends BatchReduction = D>(
    input: Input,
    target: Target,
    options?: Reducing<Options, R>,
  ): ValueAndGrad<R> & More
  /** The same loss with these options bound: they are checked here, once. */
  with<R extends BatchReduction = D>(options: Reducing<Options, R>): Loss<Input, Target, Options, R, More>
  /** Name of the loss. */
  readonly name: string
}

/** What a loss of any number of arrays is made of, for the types of sums of losses. Nothing has it at run time. */
export interface Typed<Arrays, Options, More> {
  readonly types?: { readonly arrays: Arrays; readonly options: Options; readonly more: More }
}

/**
 * The same of any number of arrays, before the options: `Arrays` is the tuple of them. The gradient by an argument after the first is
 * asked for by an option of its name, `varianceGrad` say, which `More` has in the result.
 */
export interface LossOf<
  Arrays extends readonly unknown[],
  Options extends LossOptions,
  D extends BatchReduction = 'mean',
  More = Denominator,
> extends Typed<Arrays, Options, More> {
  /** The value. */
  <R extends BatchReduction = D>(...args: [...inputs: Arrays, options?: Reducing<Options, R>]): Value<R>
  /** d(value)/d(first input) · gradOutput, in `grad` or in a new array. */
  backward(...args: [...inputs: Arrays, options?: Options]): Float32Array
  /** Both in one pass: what a training step calls. */
  valueAndGrad<R extends BatchReduction = D>(
    ...args: [...inputs: Arrays, options?: Reducing<Options, R>]
  ): { value: Value<R>; grad: Float32Array } & More
  /** The same loss with these options bound: they are checked here, once. */
  with<R extends BatchReduction = D>(options: Reducing<Options, R>): LossOf<Arrays, Options, R, More>
  /** Name of the loss. */
  readonly name: string
}

/** The checked options that stay the same from call to call. */
export interface Settings {
  readonly reduction: BatchReduction
  readonly emptyMean: 'nan' | 'zero'
  readonly normalizer: number | undefined
  readonly validate: boolean
}

/** Without a `targetGrad` where none was asked for. */
export function result(
  value: number | Float32Array,
  grad: Float32Array | undefined,
  denominator: number,
  targetGrad: Float32Array | undefined,
): Result {
  return targetGrad === undefined ? { value, grad, denominator } : { value, grad, denominator, targetGrad }
}

/** How a family makes a loss. */
export interface Family<S extends Settings, T = Tensor<unknown>> {
  readonly definition: AnyDefinition
  /** Names of all options. */
  readonly options: ReadonlySet<string>
  /** Where there is an option that this loss does not have, in words for a message. */
  elsewhere?(option: string): string | undefined
  /** Checks the options that do not depend on the arrays. */
  resolve(options: Options): S
  /**
   * Reads a target, where it is more than an array or a tensor. What has been read may come again, and stays as it is then.
   */
  read?(target: unknown): T
  /** Checks everything else and computes. Whatever it gets has been read: no code of the caller runs here. */
  run(wanted: Wanted, input: Tensor<unknown>, target: T, settings: S, buffers: Buffers): Result
}

export const commonOptions = [
  'reduction',
  'gradOutput',
  'grad',
  'accumulate',
  'out',
  'emptyMean',
  'normalizer',
  'validate',
] as const

const bufferOptions: ReadonlySet<string> = new Set<keyof Buffers>([
  'gradOutput',
  'grad',
  'accumulate',
  'out',
  'targetGrad',
])
const backward: Wanted = { value: false, grad: true }
const both: Wanted = { value: true, grad: true }

/** The settings of calls: of the bound options, and of those of a call over them. */
export class CallSettings<S> {
  /** The options of the call before, to be compared with those of the next. */
  last: Compared | undefined
  readonly bound: S
  #settings: S
  readonly #options: Options
  readonly #isBound: boolean
  readonly #resolve: (options: Options) => S

  constructor(resolve: (options: Options) => S, options: Options) {
    this.#resolve = resolve
    this.#options = options
    this.#isBound = Object.keys(options).length > 0
    this.bound = resolve(options)
    this.#settings = this.bound
  }

  /** Those of the call before are kept. */
  of(given: Options | undefined): S {
    if (given === undefined) return this.bound
    if (given === this.last?.all) return this.#settings
    const settings = this.#resolve(this.#isBound ? { ...this.#options, ...given } : given)
    this.last = toCompare(given)
    this.#settings = settings
    return settings
  }
}

/** The frozen callable of a loss with some options bound. */
export function makeLoss<S extends Settings, L, T = Tensor<unknown>>(family: Family<S, T>, bound: Options = {}): L {
  const { definition, run } = family
  const { name } = definition
  const read = family.read ?? ((target: unknown) => tensorOf(name, 'target', target) as T)
  const { gradOutput, grad, out, targetGrad, accumulate } = bound as Buffers
  const boundBuffers = { gradOutput, grad, out, targetGrad, accumulate, grads: NO_GRADS } as NamedBuffers

  const settings = new CallSettings((options) => family.resolve(options), bound)

  const call: Inside['call'] = (wanted, input, target, options, accumulate = false) => {
    // All that may run code of the caller comes first: then what the checks have found cannot change any more.
    const given =
      options === undefined
        ? undefined
        : readCall(name, options, family.options, family.elsewhere, boundBuffers, settings.last)
    const x = tensorOf(name, 'input', input)
    const t = read(target)
    const buffers = given ?? boundBuffers
    return run(wanted, x, t, settings.of(given?.settings), accumulate ? { ...buffers, accumulate } : buffers)
  }

  const loss = (input: unknown, target: unknown, options?: unknown) => call(forward, input, target, options).value
  Object.defineProperty(loss, 'name', { value: name })
  Object.assign(loss, {
    backward: (input: unknown, target: unknown, options?: unknown) => call(backward, input, target, options).grad,
    valueAndGrad: (input: unknown, target: unknown, options?: unknown) => call(both, input, target, options),
    with(options: unknown) {
      return makeLoss(family, { ...bound, ...bind(readOptions(name, options, family.options, family.elsewhere)) })
    },
  })
  return hiding(loss, { definition, options: family.options, bound, read, call }) as L
}

/** Options that outlive the call, whose arrays the caller may change: all but the buffers are copied. */
export function bind(options: Options, buffers = bufferOptions): Options {
  const bound: Record<string, unknown> = { ...options }
  for (const [name, value] of Object.entries(bound)) {
    if (buffers.has(name)) continue
    if (typeof value === 'object' && value !== null && isTensor(value))
      bound[name] = new Tensor(copyOf(value.data), value.shape)
    else bound[name] = copyOf(value)
  }
  return bound
}

const copied = [
  Float32Array,
  Int32Array,
  Uint8Array,
  Uint8ClampedArray,
  Int8Array,
  Int16Array,
  Uint16Array,
  Uint32Array,
] as const
const copiers = new Map<string | undefined, (array: never) => unknown>([
  ...copied.map((own) => [own.name, (array: Float32Array) => new own(array)] as const),
  ['BigInt64Array', (array: BigInt64Array) => new BigInt64Array(array)],
  ['BigUint64Array', (array: BigUint64Array) => new BigUint64Array(array)],
])

/** A copy of a typed array; its own method `slice` might be the caller's. Anything else is given back. */
function copyOf(value: unknown): unknown {
  return copiers.get(kindOf(value))?.(value as never) ?? value
}

/** The options of every loss, checked; `reductions` are those of this one. */
export function commonSettings(
  loss: string,
  options: Options,
  reductions: readonly BatchReduction[] = ['mean', 'sum', 'none'],
): Settings {
  const { reduction = reductions[0], emptyMean = 'nan', normalizer, validate = false } = options
  if (normalizer !== undefined) number(loss, 'normalizer', normalizer, 'a number > 0', (n) => n > 0)
  const settings: Settings = {
    reduction: word(loss, 'reduction', reduction, reductions),
    emptyMean: word(loss, 'emptyMean', emptyMean, ['nan', 'zero']),
    normalizer: normalizer as number | undefined,
    validate: flag(loss, 'validate', validate),
  }
  if (normalizer !== undefined && reduction !== 'mean') {
    throw new RangeError(`${loss}: normalizer needs the reduction 'mean', got '${reduction}'`)
  }
  return settings
}

/** Number of samples, by which `'batchmean'` divides: only a shape says it. */
export function samplesOf(loss: string, shape: readonly number[] | undefined): number {
  if (shape === undefined) {
    throw new RangeError(`${loss}: shape is needed with the reduction 'batchmean', which divides by its first length`)
  }
  return shape.length === 0 ? 1 : shape[0]
}

/** The option `meanBy`, where the other options leave the denominator to it. */
export function meanByOf(
  loss: string,
  meanBy: unknown,
  reduction: BatchReduction,
  normalizer: number | undefined,
): 'count' | 'weight' {
  const by = word(loss, 'meanBy', meanBy, ['count', 'weight'])
  if (by === 'count') return by
  if (reduction !== 'mean') {
    throw new RangeError(`${loss}: meanBy 'weight' needs the reduction 'mean', got '${reduction}'`)
  }
  if (normalizer !== undefined) {
    throw new RangeError(`${loss}: meanBy 'weight' and normalizer are two denominators, give one of them`)
  }
  return by
}

/** Refuses a mean by weights of a call that has none: bound options may leave them to the call. */
export function checkMeanBy(loss: string, meanBy: 'count' | 'weight', weights: string, ...given: unknown[]): void {
  if (meanBy === 'weight' && given.every((weight) => weight === undefined)) {
    throw new RangeError(`${loss}: meanBy 'weight' needs ${weights}`)
  }
}

/** Whether the gradients are added to what their buffers hold; that by the first input must have one then. */
export function accumulates(loss: string, buffers: Buffers, wanted: Wanted): boolean {
  return buffers.accumulate !== undefined && hasRoomToAdd(loss, buffers, wanted)
}

function hasRoomToAdd(loss: string, { accumulate, grad }: Buffers, wanted: Wanted): boolean {
  if (!flag(loss, 'accumulate', accumulate) || !wanted.grad) return false
  if (grad === undefined) throw new TypeError(`${loss}: accumulate needs grad, the buffer to add to`)
  return true
}

/**
 * Where a kernel writes the gradient by the target. Kernels with several loops add to the gradient by the input alone, since what adds
 * is code in each of these loops: what is to be added to a buffer of the caller gets an array of its own, and {@link addTo} adds it.
 */
export function writtenTargetGrad(
  targetGrad: Float32Array | undefined,
  { targetGrad: given }: Buffers,
  accumulate: boolean,
): Float32Array | undefined {
  const isAdded = accumulate && targetGrad !== undefined && typeof given === 'object'
  return isAdded ? new Float32Array(targetGrad.length) : targetGrad
}

/** Adds what a kernel has written to the buffer that it is meant for, if it has not written there. */
export function addTo(buffer: Float32Array | undefined, written: Float32Array | undefined): void {
  if (buffer === undefined || written === undefined || buffer === written) return
  for (let i = 0; i < buffer.length; i++) buffer[i] += written[i]
}

/**
 * Refuses outputs that share memory with each other, or with any array of the call, but for the gradient over the input. The arrays
 * among the options are those of the settings, whatever the loss.
 */
export function separateCall(
  loss: string,
  outputs: Readonly<Record<'grad' | 'out' | 'targetGrad', Float32Array | undefined>>,
  input: Float32Array,
  target: ArrayBufferView,
  settings: Settings,
  { gradOutput }: Buffers,
  accumulate: boolean,
): void {
  const { grad } = outputs
  const { out, targetGrad } = outputs
  const arrays = arraysOf(settings)
  const upstream = typeof gradOutput === 'object' ? gradOutput : undefined
  if (out === undefined && targetGrad === undefined && upstream === undefined && arrays.length === 0) {
    separateGrad(loss, grad, input, target, accumulate)
    return
  }
  separate(
    loss,
    [
      ['grad', grad],
      ['out', out],
      ['targetGrad', targetGrad],
    ],
    [['input', input], ['target', target], ['gradOutput', upstream], ...arrays],
    accumulate,
  )
}

/** The arrays of settings that have been asked for: those of bound options serve many calls. */
const known = new WeakMap<object, readonly Named[]>()

/** The typed arrays of settings, and of those of their parts; a setting `aux` has the name of its option beside it. */
export function arraysOf(settings: object & { readonly auxName?: string | undefined }): readonly Named[] {
  const before = known.get(settings)
  if (before !== undefined) return before
  const arrays: Named[] = []
  for (const name in settings) {
    const value: unknown = settings[name as keyof typeof settings]
    if (typeof value !== 'object' || value === null) continue
    if (kindOf(value) !== undefined) arrays.push([name === 'aux' ? settings.auxName! : name, value as Float32Array])
    else if (name === 'part') arrays.push(...arraysOf(value))
    else if ('data' in value && kindOf(value.data) !== undefined) arrays.push([name, value.data as Float32Array])
  }
  known.set(settings, arrays)
  return arrays
}

/** What the sum is divided by; 0 says that the mean is over nothing. */
export function denominatorOf(settings: Settings, count: number): number {
  return settings.reduction === 'mean' ? (settings.normalizer ?? count) : 1
}

/** Of nothing: an empty array, a sum of 0, or the mean that the settings say; the gradient is 0. */
export function emptyResult(
  settings: Settings,
  out: Float32Array | undefined,
  grad: Float32Array | undefined,
  accumulate: boolean,
  denominator: number,
  targetGrad: Float32Array | undefined,
): Result {
  if (!accumulate) {
    grad?.fill(0)
    targetGrad?.fill(0)
  }
  const isMean = settings.reduction === 'mean' || settings.reduction === 'batchmean'
  const noMean = isMean && settings.normalizer === undefined && settings.emptyMean === 'nan'
  return result(out ?? (noMean ? Number.NaN : 0), grad, denominator, targetGrad)
}

/** The upstream gradient where it is one number; NaN where it is an array. */
export function scalarGradOutput(loss: string, gradOutput: Buffers['gradOutput']): number {
  if (gradOutput === undefined) return 1
  if (typeof gradOutput === 'object' && kindOf(gradOutput) !== undefined) return Number.NaN
  return number(loss, 'gradOutput', gradOutput, 'a finite number', (n) => Number.isFinite(Math.fround(n)))
}

/** The upstream gradient where it is an array of one per value. */
export function arrayGradOutput(
  loss: string,
  gradOutput: Buffers['gradOutput'],
  settings: Settings,
  length: number,
): Float32Array | undefined {
  if (typeof gradOutput !== 'object' || kindOf(gradOutput) === undefined) return undefined
  if (settings.reduction !== 'none') {
    throw wrongType(loss, 'gradOutput', `a number with the reduction '${settings.reduction}'`, gradOutput)
  }
  return float32Of(loss, 'gradOutput', length, gradOutput)
}

/** The array for the values of the reduction `none`, the caller's or a new one. */
export function valuesBuffer(
  loss: string,
  out: Float32Array | undefined,
  wanted: Wanted,
  settings: Settings,
  length: number,
): Float32Array | undefined {
  if (out !== undefined && settings.reduction !== 'none') {
    throw new TypeError(`${loss}: out needs the reduction 'none', got '${settings.reduction}'`)
  }
  if (settings.reduction !== 'none' || !wanted.value) return undefined
  return out === undefined ? new Float32Array(length) : float32Of(loss, 'out', length, out)
}

/** The array for the gradient by the target, or by another argument than the first, where one is asked for. */
export function targetGradBuffer(
  loss: string,
  wanted: Wanted,
  length: number,
  given: Buffers['targetGrad'],
  name = 'targetGrad',
): Float32Array | undefined {
  if (!wanted.grad || given === undefined || given === false) return undefined
  if (given !== true) return float32Of(loss, name, length, given)
  if (wanted.value) return new Float32Array(length)
  throw new TypeError(`${loss}: backward returns one array; give ${name} a buffer, or call valueAndGrad`)
}
