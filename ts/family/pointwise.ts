/** Losses of one input element and one target element: checks, the call, the reduction. */

import type { PointwiseExtra } from '../backend/contract.js'
import { active, backendFor } from '../backend/load.js'
import { firstOutside } from '../backend/ts.js'
import {
  agreedShape,
  attached,
  flag,
  floatsOf,
  floatTensor,
  gradBuffer,
  kindOf,
  number,
  sameShape,
  separate,
  separateGrad,
  shapeOf,
  smallArray,
  smallWeights,
  type Tensor,
  type TensorLike,
  unwrap,
  word,
  wrongType,
  wrongValue,
} from '../check.js'
import {
  arrayGradOutput,
  type BatchReduction,
  type Buffers,
  type CommonOptions,
  commonOptions,
  commonSettings,
  denominatorOf,
  emptyResult,
  type Loss,
  makeLoss,
  type Reduction,
  type Result,
  result,
  type Settings,
  scalarGradOutput,
  targetGradBuffer,
  valuesBuffer,
  type Wanted,
} from './loss.js'
import { classAxisOf } from './positions.js'

/** An array, or a tensor of another library. */
export type Floats = Float32Array | TensorLike<Float32Array>

/** Floats, or bytes of 0 and 1. */
export type Probabilities = Floats | Uint8Array | TensorLike<Uint8Array>

/** Options of every pointwise loss. */
export interface PointwiseOptions<R extends BatchReduction = Reduction> extends CommonOptions<R> {
  /** Lengths of the axes; the first is the batch. */
  shape?: readonly number[]
  /** Factor of each element's value and gradient. With a shape it may have the length of one sample. */
  weight?: Float32Array | readonly number[]
  /** `'mean'` divides by the number of elements, `'count'` (default), or by the sum of their weights, `'weight'`. */
  meanBy?: 'count' | 'weight'
  /** `true` or a buffer: d(value)/d(target) as well. */
  targetGrad?: boolean | Float32Array
}

/** What the numbers of an array are. */
export type Values = 'real' | 'probability' | 'logProbability'

/** A scalar parameter of the kernel. */
export type Param = NumberParam | FlagParam

interface NumberParam {
  readonly default: number
  /** What it must be, in words and as a test. */
  readonly expected: string
  holds(value: number): boolean
  /** What the kernel gets for `null`, where the option may be that. */
  readonly none?: number
  /** Values that tests try; `none` stands for `null`. */
  readonly samples: readonly number[]
}

/** An option that is true or false, and 1 or 0 for the kernel. */
interface FlagParam {
  readonly default: 0 | 1
  /** What targets are where it is true. */
  readonly target: Values
}

/** What a pointwise loss is made of. */
export interface PointwiseDefinition {
  readonly family: 'pointwise'
  readonly name: string
  /** Scalar parameters by option name, in the order of the registry row; at most two. */
  readonly params: Readonly<Record<string, Param>>
  /** Option that is a number, or one per class. */
  readonly aux?: { readonly name: string; readonly default: number; readonly samples: readonly number[] }
  /** Set where the loss offers no gradient by the target. */
  readonly noTargetGrad?: true
  /** All reductions, where there are more than the usual three. */
  readonly reductions?: readonly BatchReduction[]
  /** What inputs and targets are: tests and benches draw from it. */
  readonly domain: {
    readonly input: Values
    readonly target: Values
    /** The least and the largest that both may be, where others are refused. */
    readonly range?: readonly [low: number, high: number]
  }
  /** The loss of one element in double precision: tests take it for the truth. */
  formula(x: number, t: number, aux: number, p0: number, p1: number): number
  /**
   * Value and derivatives of `count` elements from `start` into the front of `value`, `dx` and, where given, `dt`.
   * `aux` has the extra parameter of each.
   */
  kernel(
    x: Float32Array,
    t: Float32Array,
    aux: Float32Array,
    start: number,
    count: number,
    p0: number,
    p1: number,
    value: Float32Array | Float64Array,
    dx: Float32Array | Float64Array,
    dt: Float32Array | Float64Array | undefined,
  ): void
  /**
   * Where the kernel rounds every step to single precision: value and derivative by the input of one element in double, in the
   * kernel's order. The derivative by the target is the negative of that.
   */
  inDouble?(x: number, t: number, p0: number): readonly [value: number, dx: number]
}

/** A scan of so few values costs less in TypeScript than the call of a backend. */
const SHORT = 256

interface PointwiseSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly classAxis: number
  readonly weight: Float32Array | undefined
  readonly meanBy: 'count' | 'weight'
  /** Sum of `weight`, where the mean needs it. */
  readonly weightSum: number
  readonly aux: number | Float32Array
  readonly p0: number
  readonly p1: number
}

function sumOf(weights: Float32Array): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum += weights[i]
  return sum
}

/** Makes the public loss. */
export function pointwise<
  Options extends Omit<PointwiseOptions<BatchReduction>, 'targetGrad'>,
  Target extends Probabilities = Floats,
>(definition: PointwiseDefinition): Loss<Floats, Target, Options> {
  const loss = definition.name
  const { aux } = definition
  const { range } = definition.domain
  const params = Object.entries(definition.params)
  const options = new Set<string>([...commonOptions, 'shape', 'weight', 'meanBy', ...params.map(([name]) => name)])
  if (!definition.noTargetGrad) options.add('targetGrad')
  if (aux) options.add(aux.name).add('classAxis')

  function resolve(given: Readonly<Record<string, unknown>>): PointwiseSettings {
    const { shape, classAxis, weight, meanBy = 'count' } = given
    const { reduction, emptyMean, normalizer } = commonSettings(loss, given, definition.reductions)
    if (meanBy === 'weight' && reduction !== 'mean') {
      throw new RangeError(`${loss}: meanBy 'weight' needs the reduction 'mean', got '${reduction}'`)
    }
    if (meanBy === 'weight' && normalizer !== undefined) {
      throw new RangeError(`${loss}: meanBy 'weight' and normalizer are two denominators, give one of them`)
    }
    const weights = weight === undefined ? undefined : smallArray(loss, 'weight', weight)
    return {
      reduction,
      emptyMean,
      normalizer,
      shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
      classAxis: classAxisOf(loss, classAxis),
      weight: weights,
      meanBy: word(loss, 'meanBy', meanBy, ['count', 'weight']),
      weightSum: meanBy === 'weight' && weights !== undefined ? sumOf(weights) : 0,
      aux: aux === undefined ? 0 : auxOf(loss, aux.name, given[aux.name], aux.default),
      p0: paramOf(loss, params[0], given),
      p1: paramOf(loss, params[1], given),
    }
  }

  function run(wanted: Wanted, input: unknown, target: unknown, settings: PointwiseSettings, buffers: Buffers): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const { data: given, shape: targetShape } = targetTensor(target)
    const n = x.length
    if (given.length !== n) throw wrongValue(loss, 'target', `a Float32Array of ${n} elements`, given)
    const t = kindOf(given) === 'Float32Array' ? (given as Float32Array) : floatsOf(given)
    const shape = agreedShape(loss, settings.shape, inputShape, n)
    if (shape !== undefined && targetShape !== undefined) sameShape(loss, 'shape of target', targetShape, shape)

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, n) : undefined
    // A backend would see the copy.
    if (given !== t) separateGrad(loss, grad, x, given)
    const extra = extraOf(wanted, x, given, grad, settings, shape, buffers)
    if (range !== undefined) {
      checkRange('input', x, range)
      checkRange('target', t, range)
    }
    const denominator =
      settings.reduction === 'batchmean' ? (shape?.[0] ?? n) : denominatorOf(settings, countOf(settings, n))
    if (!wanted.dry && (n === 0 || denominator === 0)) {
      // Samples without elements are no mean over nothing: their sum of 0 has a denominator.
      const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
      // A gradient that would be added to is left as it is.
      const zeroed = buffers.accumulate ? undefined : grad
      return { ...emptyResult(nothing, extra?.out, zeroed, extra?.targetGrad), grad }
    }
    if (wanted.dry) return result(Number.NaN, grad, extra?.targetGrad)
    const { aux } = settings
    const sum = backendFor('pointwise', n).pointwise(
      definition,
      x,
      t,
      grad,
      scalar / denominator,
      typeof aux === 'number' ? aux : 0,
      settings.p0,
      settings.p1,
      extra,
    )
    return result(extra?.out ?? sum / denominator, grad, extra?.targetGrad)
  }

  /** Targets between 0 and 1 may be bytes. */
  function targetTensor(target: unknown): Tensor<Float32Array | Uint8Array> {
    const floats = definition.domain.target !== 'probability' || kindOf(target) === 'Float32Array'
    if (floats) return floatTensor(loss, 'target', target)
    const { data, shape } = unwrap(loss, 'target', target)
    if (kindOf(data) !== 'Uint8Array') return floatTensor(loss, 'target', target)
    return { data: attached(loss, 'target', data as Uint8Array), shape }
  }

  /** What a mean without a normalizer divides by. */
  function countOf({ meanBy, weight, weightSum }: PointwiseSettings, n: number): number {
    if (meanBy === 'count') return n
    if (weight === undefined) throw new RangeError(`${loss}: meanBy 'weight' needs a weight`)
    // Those of one sample count for each.
    return weight.length === 0 ? 0 : weightSum * (n / weight.length)
  }

  /** Refuses what the loss has no value for. */
  function checkRange(parameter: string, values: Float32Array, [low, high]: readonly [number, number]): void {
    const scan = values.length <= SHORT ? firstOutside : active.firstOutside
    const i = scan(values, low, high)
    if (i >= 0) throw wrongValue(loss, `${parameter}[${i}]`, `in [${low}, ${high}]`, values[i])
  }

  /** The streams and outputs that take the general loop; undefined where the call has none. */
  function extraOf(
    wanted: Wanted,
    x: Float32Array,
    t: Float32Array | Uint8Array,
    grad: Float32Array | undefined,
    settings: PointwiseSettings,
    shape: readonly number[] | undefined,
    buffers: Buffers,
  ): PointwiseExtra | undefined {
    const { weight } = settings
    const classes = typeof settings.aux === 'number' ? undefined : settings.aux
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, x.length)
    const out = valuesBuffer(loss, buffers.out, wanted, settings, x.length)
    const targetGrad = targetGradBuffer(loss, wanted, x.length, buffers.targetGrad)
    const accumulate = buffers.accumulate === true
    if (
      weight === undefined &&
      classes === undefined &&
      gradOutput === undefined &&
      out === undefined &&
      targetGrad === undefined &&
      !accumulate
    ) {
      return undefined
    }
    if (weight !== undefined && weight.length !== x.length) {
      const sample = shape !== undefined && shape[0] > 0 ? x.length / shape[0] : undefined
      if (weight.length !== sample || sample === 0) {
        const expected = sample === undefined ? '' : ` or, for all samples, ${sample}`
        throw wrongValue(loss, 'weight', `an array of ${x.length}${expected} elements`, weight)
      }
    }
    const auxInner = classes === undefined ? 1 : innerOf(classes, shape, settings.classAxis)
    separate(
      loss,
      [
        ['grad', grad],
        ['out', out],
        ['targetGrad', targetGrad],
      ],
      [
        ['input', x],
        ['target', t],
        ['weight', weight],
        [definition.aux?.name ?? '', classes],
        ['gradOutput', gradOutput],
      ],
    )
    return { weight, aux: classes, auxInner, gradOutput, targetGrad, out, accumulate }
  }

  /** How many neighbouring elements share a class. */
  function innerOf(classes: Float32Array, shape: readonly number[] | undefined, classAxis: number): number {
    const name = definition.aux!.name
    if (shape === undefined || shape.length < 2) {
      throw new RangeError(`${loss}: ${name} per class needs a shape with a class axis, got ${shape && `[${shape}]`}`)
    }
    const axis = classAxis === -1 ? shape.length - 1 : 1
    if (classes.length !== shape[axis]) {
      throw wrongValue(loss, name, `a number or an array of ${shape[axis]}, one per class`, classes)
    }
    return shape.slice(axis + 1).reduce((inner, length) => inner * length, 1)
  }

  return makeLoss({ definition, options, resolve, run })
}

/** The value of a scalar parameter for the kernel; 0 where there is none. */
export function paramOf(
  loss: string,
  entry: readonly [name: string, param: Param] | undefined,
  given: Readonly<Record<string, unknown>>,
): number {
  if (entry === undefined) return 0
  const [name, param] = entry
  const value = given[name]
  if (value === undefined) return param.default
  if ('target' in param) {
    return flag(loss, name, value) ? 1 : 0
  }
  if (value === null && param.none !== undefined) return param.none
  return single(loss, name, value, param.expected, param.holds)
}

/** A number that is still what it must be as a 32-bit float: the kernels compute with those. */
function single(
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

/** The option that is a number, or one per class. */
export function auxOf(loss: string, name: string, value: unknown, otherwise: number): number | Float32Array {
  if (value === undefined) return otherwise
  if (typeof value === 'number') return single(loss, name, value, 'a finite number ≥ 0', (n) => n >= 0)
  if (typeof value !== 'object') throw wrongType(loss, name, 'a number or an array of one per class', value)
  return smallWeights(loss, name, value)
}
