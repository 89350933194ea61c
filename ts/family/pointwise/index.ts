/** Losses of one input element and one target element: checks, the call, the reduction. */

import { backendFor } from '../../backend/load.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from '../../call/marks.js'
import { type PointwiseExtra, pointwiseKind } from '../../call/pointwise.js'
import {
  agreedShape,
  attached,
  fitsShape,
  flag,
  floatTensor,
  gradBuffer,
  kindOf,
  sameShape,
  shapeOf,
  single,
  smallArray,
  smallWeights,
  type Tensor,
  word,
  wrongType,
  wrongValue,
} from '../../check.js'
import type {
  BatchReduction,
  FlagParam,
  Param,
  PointwiseDefinition,
  Range,
  Reduction,
  Values,
  WordParam,
} from '../../definition.js'
import { BLOCK } from '../../sum.js'
import type { Floats, Mask, Probabilities } from '../arrays.js'
import type { Result, Wanted } from '../inside.js'
import {
  accumulates,
  addTo,
  arrayGradOutput,
  type Buffers,
  type CommonOptions,
  checkMeanBy,
  commonOptions,
  commonSettings,
  denominatorOf,
  emptyResult,
  type Loss,
  makeLoss,
  meanByOf,
  result,
  type Settings,
  samplesOf,
  scalarGradOutput,
  separateCall,
  targetGradBuffer,
  valuesBuffer,
  writtenTargetGrad,
} from '../loss.js'
import {
  areLabels,
  checkBits,
  classAxisOf,
  ignoredOf,
  type LabelArray,
  marksOf,
  maskOf,
  outside,
  sampleWeightOf,
  sharing,
  totalWeight,
} from '../positions.js'

/** Options of every pointwise loss. */
export interface PointwiseOptions<R extends BatchReduction = Reduction> extends CommonOptions<R> {
  /** Lengths of the axes; the first is the batch. */
  shape?: readonly number[]
  /**
   * Factor of each element's value and gradient: one per element or, with a shape, one per element of a sample, for all samples. One
   * per sample is `sampleWeight`.
   */
  weight?: Float32Array | readonly number[]
  /** Factor of each sample's value and gradient, with a shape; or one per element, or for its first axes, as [N, d1] of [N, d1, d2]. */
  sampleWeight?: Float32Array | readonly number[]
  /** `'mean'` divides by the number of elements that count, `'count'` (default), or by the sum of their weights, `'weight'`. */
  meanBy?: 'count' | 'weight'
  /** One per element, per sample, or for the first axes of the shape: those of 0 give neither value nor gradient, whatever they hold. */
  mask?: Mask
  /** Of targets that are integers: elements with such a one give neither value nor gradient. One or several. */
  ignoreIndex?: number | readonly number[]
  /** `true` or a buffer: d(value)/d(target) as well. */
  targetGrad?: boolean | Float32Array
}

/** Options of a loss of an element whose target has no gradient and is no probability. */
export type ElementOptions<R extends BatchReduction = Reduction> = Omit<
  PointwiseOptions<R>,
  'targetGrad' | 'ignoreIndex'
>

/** Where the numbers of an array are. */
const RANGES: Readonly<Record<Values, Range>> = {
  real: [-Infinity, Infinity],
  probability: [0, 1],
  logProbability: [-Infinity, 0],
}

const add = (a: number, b: number) => a + b

/** Of one block: which elements count. */
const classes = new Int32Array(BLOCK)

interface PointwiseSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly classAxis: number
  readonly weight: Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly mask: Tensor<NumberArray> | undefined
  /** Integers that say of a target that it counts for nothing. */
  readonly ignored: readonly number[] | undefined
  readonly meanBy: 'count' | 'weight'
  /** Sum of `weight`, where the mean needs it. */
  readonly weightSum: number
  readonly aux: number | Float32Array
  readonly auxName: string | undefined
  readonly p0: number
  readonly p1: number
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
  const options = new Set<string>([
    ...commonOptions,
    ...['shape', 'weight', 'sampleWeight', 'meanBy', 'mask'],
    ...params.map(([name]) => name),
  ])
  // Only such a target may come as integers.
  const integers = definition.domain.target === 'probability'
  if (integers) options.add('ignoreIndex')
  options.add('targetGrad')
  if (aux) options.add(aux.name).add('classAxis')

  function resolve(given: Readonly<Record<string, unknown>>): PointwiseSettings {
    const { shape, classAxis, weight, meanBy = 'count', ignoreIndex } = given
    const { reduction, emptyMean, normalizer, validate } = commonSettings(loss, given, definition.reductions)
    const weights = weight === undefined ? undefined : smallArray(loss, 'weight', weight)
    const sampleWeight = sampleWeightOf(loss, given.sampleWeight)
    return {
      reduction,
      emptyMean,
      normalizer,
      validate,
      shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
      classAxis: classAxisOf(loss, classAxis),
      weight: weights,
      sampleWeight,
      mask: maskOf(loss, given.mask),
      ignored: ignoreIndex === undefined ? undefined : ignoredOf(loss, ignoreIndex),
      meanBy: meanByOf(loss, meanBy, reduction, normalizer),
      weightSum: meanBy === 'weight' && weights !== undefined ? weights.reduce(add, 0) : 0,
      aux: aux === undefined ? 0 : auxOf(loss, aux.name, given[aux.name], aux.default),
      auxName: aux?.name,
      p0: paramOf(loss, params[0], given),
      p1: paramOf(loss, params[1], given),
    }
  }

  function run(
    wanted: Wanted,
    input: Tensor<unknown>,
    target: Tensor<unknown>,
    settings: PointwiseSettings,
    buffers: Buffers,
  ): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const { data: t, shape: targetShape } = targetTensor(target)
    const n = x.length
    if (t.length !== n) throw wrongValue(loss, 'target', `a Float32Array of ${n} elements`, t)
    // Here and below, functions are called where a call has what they are for: V8 inlines no more than some hundred instructions of
    // what is called, and a call of a function that it does not inline takes as long as a vector of the loss.
    const hasShape = settings.shape !== undefined || inputShape !== undefined
    const shape = hasShape ? agreedShape(loss, settings.shape, inputShape, n) : undefined
    if (shape !== undefined && targetShape !== undefined) sameShape(loss, 'shape of target', targetShape, shape)
    const { weight, sampleWeight, mask, ignored, meanBy, reduction } = settings
    const isMarked = mask !== undefined || ignored !== undefined
    const marks = isMarked ? marksOfTarget(t, settings, shape, n) : everything
    if (meanBy === 'weight') checkMeanBy(loss, meanBy, 'a weight or a sampleWeight', weight, sampleWeight)

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, n) : undefined
    const accumulate = accumulates(loss, buffers, wanted)
    const hasExtra =
      isMarked ||
      weight !== undefined ||
      sampleWeight !== undefined ||
      typeof settings.aux !== 'number' ||
      typeof buffers.gradOutput === 'object' ||
      reduction === 'none' ||
      buffers.out !== undefined ||
      buffers.targetGrad !== undefined ||
      accumulate ||
      (integers && kindOf(t) !== 'Float32Array')
    const extra = hasExtra ? extraOf(wanted, x, t, grad, settings, shape, buffers, marks, accumulate) : undefined
    if (integers) checkBits(loss, t, (low, high) => outside(t, low, high, marks))
    if (range !== undefined) checkRange(x, t, marks, range, range)
    else if (settings.validate) checkRange(x, t, marks, RANGES[definition.domain.input], RANGES[targetValues(settings)])
    const count =
      meanBy === 'count' ? totalWeight(loss, marks, n) : weightOf(loss, extra!, marks, settings.weightSum, n)
    const ofBatch = reduction === 'batchmean'
    const denominator = ofBatch ? samplesOf(loss, shape) : denominatorOf(settings, count)
    const reported = ofBatch || reduction === 'mean' ? denominator : count
    if (wanted.dry) return result(Number.NaN, grad, reported, extra?.targetGrad)
    if (n === 0 || denominator === 0) {
      // Samples without elements are no mean over nothing: their sum of 0 has a denominator.
      const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
      return emptyResult(nothing, extra?.out, grad, accumulate, reported, extra?.targetGrad)
    }
    const { aux, p0, p1 } = settings
    const scale = scalar / denominator
    const targetGrad = writtenTargetGrad(extra?.targetGrad, buffers, accumulate)
    const own = targetGrad === extra?.targetGrad ? extra : { ...extra!, targetGrad }
    const call = { kind: pointwiseKind, loss, definition, marks, x, t, dx: grad, scale, p0, p1, aux, extra: own }
    const sum = backendFor('pointwise', n).run(call)
    addTo(extra?.targetGrad, targetGrad)
    return result(extra?.out ?? sum / denominator, grad, reported, extra?.targetGrad)
  }

  /** Which elements count. */
  function marksOfTarget(
    t: NumberArray,
    { mask, ignored }: PointwiseSettings,
    shape: readonly number[] | undefined,
    n: number,
  ): Marks {
    if (ignored !== undefined && kindOf(t) === 'Float32Array') {
      throw new RangeError(`${loss}: ignoreIndex needs a target of integers, got a Float32Array; use mask`)
    }
    return marksOf(loss, ignored && t, ignored ?? [], mask, shape, () => shape ?? [n])
  }

  /** What targets are: an option may say so. */
  function targetValues(settings: PointwiseSettings): Values {
    const flag = params.findIndex(([, param]) => 'target' in param)
    const isSet = flag >= 0 && [settings.p0, settings.p1][flag] === 1
    return isSet ? (params[flag][1] as FlagParam).target! : definition.domain.target
  }

  /** Targets between 0 and 1 may be integers. */
  function targetTensor(target: Tensor<unknown>): Tensor<Float32Array | LabelArray> {
    const { data } = target
    if (!integers || !areLabels(data)) return floatTensor(loss, 'target', target)
    attached(loss, 'target', data)
    fitsShape(loss, 'target', target)
    return target as Tensor<LabelArray>
  }

  /** Refuses what the loss has no value for. */
  function checkRange(x: Float32Array, t: NumberArray, marks: Marks, ofInput: Range, ofTarget: Range): void {
    const check = (parameter: string, values: NumberArray, [low, high]: Range, way = '') => {
      const i = outside(values, low, high, marks)
      if (i < 0) return
      const expected = low === -Infinity ? (high === 0 ? 'at most 0' : 'a number') : `in [${low}, ${high}]`
      throw wrongValue(loss, `${parameter}[${i}]`, expected, values[i], Number.isNaN(values[i]) ? '' : way)
    }
    check('input', x, ofInput, definition.domain.input === 'probability' ? 'for logits use bceWithLogits' : '')
    check('target', t, ofTarget, `the order is ${loss}(input, target)`)
  }

  /** The streams and outputs that take the general loop; undefined where the call has none. */
  function extraOf(
    wanted: Wanted,
    x: Float32Array,
    t: NumberArray,
    grad: Float32Array | undefined,
    settings: PointwiseSettings,
    shape: readonly number[] | undefined,
    buffers: Buffers,
    marks: Marks,
    accumulate: boolean,
  ): PointwiseExtra | undefined {
    const { weight, sampleWeight } = settings
    const classes = typeof settings.aux === 'number' ? undefined : settings.aux
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, x.length)
    const out = valuesBuffer(loss, buffers.out, wanted, settings, x.length)
    const targetGrad = targetGradBuffer(loss, wanted, x.length, buffers.targetGrad)
    if (
      weight === undefined &&
      sampleWeight === undefined &&
      marks === everything &&
      classes === undefined &&
      gradOutput === undefined &&
      out === undefined &&
      targetGrad === undefined &&
      !accumulate &&
      (!integers || kindOf(t) === 'Float32Array')
    ) {
      return undefined
    }
    checkWeight(loss, weight, x.length, shape)
    const auxInner = classes === undefined ? 1 : innerOf(classes, shape, settings.classAxis)
    separateCall(loss, { grad, out, targetGrad }, x, t, settings, buffers, accumulate)
    const sampleInner =
      sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, shape ?? [x.length])
    return { weight, sampleWeight, sampleInner, auxInner, gradOutput, targetGrad, out, accumulate }
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

/** Refuses weights that are neither one per element nor one per element of a sample. */
export function checkWeight(
  loss: string,
  weight: Float32Array | undefined,
  length: number,
  shape: readonly number[] | undefined,
): void {
  if (weight === undefined || weight.length === length) return
  const sample = shape !== undefined && shape[0] > 0 ? length / shape[0] : undefined
  if (weight.length === sample && sample > 0) return
  const expected = sample === undefined ? '' : ` or, for all samples, ${sample}`
  throw wrongValue(loss, 'weight', `an array of ${length}${expected} elements`, weight)
}

/** Sum of the weights of the elements that count; `weightSum` is that of `weight`. */
export function weightOf(
  loss: string,
  { weight, sampleWeight, sampleInner }: Pick<PointwiseExtra, 'weight' | 'sampleWeight' | 'sampleInner'>,
  marks: Marks,
  weightSum: number,
  n: number,
): number {
  if (weight === undefined) return totalWeight(loss, marks, n, 0, undefined, sampleWeight, sampleInner)
  if (weight.length === 0) return 0
  // Those of one sample count for each.
  if (sampleWeight === undefined && marks === everything) return weightSum * (n / weight.length)
  let sum = 0
  for (let first = 0; first < n; first += BLOCK) {
    const count = Math.min(n - first, BLOCK)
    classesOf(marks, first, count, classes)
    for (let i = first; i < first + count; i++) {
      if (classes[i - first] === NOTHING) continue
      sum += weight[i % weight.length] * (sampleWeight === undefined ? 1 : sampleWeight[Math.floor(i / sampleInner)])
    }
  }
  return sum
}

/** The value of a scalar parameter for the kernel; 0 where there is none. */
export function paramOf(
  loss: string,
  entry: readonly [name: string, param: Param | WordParam] | undefined,
  given: Readonly<Record<string, unknown>>,
): number {
  if (entry === undefined) return 0
  const [name, param] = entry
  const value = given[name]
  if ('words' in param) {
    const words = Object.keys(param.words)
    return param.words[word(loss, name, value ?? words[0], words)]
  }
  if (value === undefined) return param.default
  if (!('holds' in param)) return flag(loss, name, value) ? 1 : 0
  if (value === Infinity && param.infinite) return value
  if (value === null && param.none !== undefined) return param.none
  return single(loss, name, value, param.expected, param.holds)
}

/** The option that is a number, or one per class. */
export function auxOf(loss: string, name: string, value: unknown, otherwise: number): number | Float32Array {
  if (value === undefined) return otherwise
  if (typeof value === 'number') return single(loss, name, value, 'a finite number ≥ 0', (n) => n >= 0)
  if (typeof value !== 'object') throw wrongType(loss, name, 'a number or an array of one per class', value)
  return smallWeights(loss, name, value)
}
