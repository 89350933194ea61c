/** Losses of the softmax over a class axis: checks, the call, the reduction. */

import type { SoftmaxExtra } from '../backend/contract.js'
import { active, backendFor } from '../backend/load.js'
import { keptWeight } from '../backend/ts.js'
import {
  agreedShape,
  float32Of,
  floatTensor,
  gradBuffer,
  kindOf,
  number,
  sameShape,
  separate,
  separateGrad,
  shapeOf,
  smallWeights,
  unwrap,
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
import { type Floats, type Param, paramOf } from './pointwise.js'
import {
  type Axis,
  axisOf,
  checkClassWeight,
  checkMask,
  checkSampleWeight,
  classAxisOf,
  countKept,
  ignoreIndexOf,
  int32Labels,
  keptLabels,
  type LabelArray,
  type Labels,
  labelShape,
  type Mask,
  maskOf,
  noLabels,
  sampleWeightOf,
} from './positions.js'

/** Options of every loss over a class axis. */
export interface ClassAxisOptions<R extends BatchReduction = Reduction> extends CommonOptions<R> {
  /**
   * `[N, C, d1, …]`, or `[N, d1, …, C]` with `classAxis: -1`. Without it C is the length of the input over that of the
   * labels.
   */
  shape?: readonly number[]
  /** Where the classes are: 1 (default), or −1 for last. Nothing is transposed in memory. */
  classAxis?: 1 | -1
}

/** Options of losses with class indices. */
export interface LabelOptions extends ClassAxisOptions {
  /** One per class, finite and not negative. */
  weight?: Float32Array | readonly number[]
  /** One per position, for its value and gradient; the mean divides by the same as without. */
  sampleWeight?: Float32Array | readonly number[]
  /** One per position: those of 0 give neither value nor gradient, whatever they hold. */
  mask?: Mask
  /** Positions with this target give neither value nor gradient, whatever they hold. Default −100. */
  ignoreIndex?: number
}

/** Options of every loss of the softmax of scores. */
export interface SoftmaxOptions extends LabelOptions {
  /** ε in [0, 1]: the target is 1 − ε at the label and ε/C everywhere. Default 0. */
  labelSmoothing?: number
  /** T > 0: the scores are divided by it. Default 1. */
  temperature?: number
  /** `true` or a buffer: d(value)/d(target) as well, where the target is a distribution. */
  targetGrad?: boolean | Float32Array
}

/** What a softmax loss is made of. */
export interface SoftmaxDefinition {
  readonly family: 'softmax'
  readonly name: string
  /**
   * `scores`: the target is a class or a distribution. `logProbabilities`: the input is ln p already, the target a class.
   * `teacher`: the target is the scores of another softmax, and the loss the divergence of the two.
   */
  readonly kind: 'scores' | 'logProbabilities' | 'teacher'
  /** Scalar parameters by option name, in the order of the registry row; at most one. */
  readonly params: Readonly<Record<string, Param>>
  /** Set where the option `alpha` weights classes without entering the denominator. */
  readonly alpha?: true
  /** All reductions, where there are more than the usual three, the default first. */
  readonly reductions?: readonly BatchReduction[]
  /** The loss as a function of ln p_y, in double precision. */
  value(logP: number, p0: number): number
  /** −d(loss)/d(ln p_y). */
  slope(logP: number, p0: number): number
}

/** The checked options of a softmax loss. */
export interface SoftmaxSettings extends Settings {
  readonly shape: readonly number[] | undefined
  /** Of the shape, if the options say one. */
  readonly axis: Axis | undefined
  readonly classAxis: 1 | -1
  readonly weight: Float32Array | undefined
  readonly alpha: number | Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly mask: Mask | undefined
  readonly ignoreIndex: number
  readonly labelSmoothing: number
  readonly temperature: number
  readonly p0: number
}

/** Neither it nor its inverse leaves the range of single precision. */
const invertible = (t: number) =>
  Math.fround(t) > 0 && Math.fround(1 / t) > 0 && Math.fround(1 / t) < Infinity && Math.fround(t) < Infinity

/** A scan of so few labels costs less in TypeScript than the call of a backend. */
const SHORT = 256

const axisOptions = [...commonOptions, 'shape', 'classAxis']
const labelOptions = [...axisOptions, 'weight', 'sampleWeight', 'mask', 'ignoreIndex']
const optionsOf = {
  scores: [...labelOptions, 'labelSmoothing', 'temperature', 'targetGrad'],
  logProbabilities: labelOptions,
  teacher: [...axisOptions, 'temperature', 'targetGrad'],
}

/** Makes the public loss. */
export function softmax<Target extends Labels | Floats, Options extends CommonOptions<BatchReduction>>(
  definition: SoftmaxDefinition,
): Loss<Floats, Target, Options, 'mean'>
export function softmax<
  Target extends Labels | Floats,
  Options extends CommonOptions<BatchReduction>,
  D extends BatchReduction,
>(definition: SoftmaxDefinition): Loss<Floats, Target, Options, D>
export function softmax(definition: SoftmaxDefinition): unknown {
  const { name: loss, kind } = definition
  const options = new Set([
    ...optionsOf[kind],
    ...Object.keys(definition.params),
    ...(definition.alpha ? ['alpha'] : []),
  ])

  function run(wanted: Wanted, input: unknown, target: unknown, settings: SoftmaxSettings, buffers: Buffers): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const { data: given, shape: targetShape } = unwrap(loss, 'target', target)
    const shape = agreedShape(loss, settings.shape, inputShape, x.length)
    const { ignoreIndex, mask } = settings
    let labels = noLabels
    let distribution: Float32Array | undefined
    let axis: Axis
    if (kindOf(given) === 'Float32Array' && kind !== 'logProbabilities') {
      distribution = float32Of(loss, 'target', x.length, given)
      if (shape === undefined) throw new RangeError(`${loss}: shape is needed where the target is a Float32Array`)
      if (targetShape !== undefined) sameShape(loss, 'shape of target', targetShape, shape)
      axis = settings.axis ?? axisOf(loss, shape, settings.classAxis)
      const count = axis.samples * axis.positions
      checkMask(loss, mask, count)
      if (mask !== undefined) labels = keptLabels(count, ignoreIndex, mask, undefined)
    } else {
      if (kind === 'teacher') throw wrongType(loss, 'target', 'a Float32Array', given)
      labels = int32Labels(loss, given, mask, ignoreIndex)
      axis = labelledAxis(x.length, labels.length, shape, settings)
      labelShape(loss, targetShape, shape, settings.classAxis)
    }
    const { samples, classes } = axis
    const positions = samples * axis.positions
    const { weight, sampleWeight } = settings
    if (positions > 0) {
      checkClassWeight(loss, 'weight', weight, classes)
      if (typeof settings.alpha === 'object') checkClassWeight(loss, 'alpha', settings.alpha, classes)
    }
    checkSampleWeight(loss, sampleWeight, positions)

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, positions)
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const out = valuesBuffer(loss, buffers.out, wanted, settings, positions)
    const targetGrad = targetGradBuffer(loss, wanted, x.length, buffers.targetGrad)
    if (targetGrad !== undefined && distribution === undefined) {
      throw new TypeError(`${loss}: targetGrad needs a target of probabilities, got class indices`)
    }
    const accumulate = buffers.accumulate === true
    const weights = weightsOf(settings, classes)
    let extra: SoftmaxExtra | undefined
    if (
      distribution !== undefined ||
      !axis.last ||
      weights !== undefined ||
      sampleWeight !== undefined ||
      gradOutput !== undefined ||
      out !== undefined ||
      accumulate ||
      kind !== 'scores'
    ) {
      const inner = axis.last ? 1 : axis.positions
      extra = { inner, target: distribution, weight: weights, sampleWeight, gradOutput, targetGrad, out, accumulate }
    }
    if (extra !== undefined || given !== labels) {
      // A backend would see the labels' copy.
      separate(
        loss,
        [
          ['grad', grad],
          ['out', out],
          ['targetGrad', targetGrad],
        ],
        [
          ['input', x],
          ['target', given as LabelArray],
          ['weight', weights],
          ['sampleWeight', sampleWeight],
          ['mask', mask],
          ['gradOutput', gradOutput],
        ],
      )
    }

    const kept =
      distribution === undefined
        ? weighLabels(loss, labels, given as LabelArray, classes, ignoreIndex, weight)
        : countKept(labels, positions, ignoreIndex)
    const denominator = settings.reduction === 'batchmean' ? samples : denominatorOf(settings, kept)
    if (wanted.dry) return result(Number.NaN, grad, targetGrad)
    if (positions === 0 || denominator === 0) {
      // No backend is called that would refuse it.
      separateGrad(loss, grad, x, given as LabelArray)
      return { ...emptyResult(settings, out, accumulate ? undefined : grad, targetGrad), grad }
    }
    const sum = backendFor('softmax', x.length).softmax(
      definition,
      x,
      labels,
      classes,
      grad,
      scalar / denominator,
      ignoreIndex,
      settings.labelSmoothing,
      settings.temperature,
      settings.p0,
      extra,
    )
    return result(out ?? sum / denominator, grad, targetGrad)
  }

  /** The axes where the target is labels: without a shape the input is rows. */
  function labelledAxis(
    scores: number,
    labels: number,
    shape: readonly number[] | undefined,
    settings: SoftmaxSettings,
  ): Axis {
    if (shape !== undefined) {
      const axis = settings.axis ?? axisOf(loss, shape, settings.classAxis)
      const positions = axis.samples * axis.positions
      if (positions !== labels) {
        throw new RangeError(
          `${loss}: target must have ${positions} elements, one per position of the input, got ${labels}`,
        )
      }
      return axis
    }
    const classes = labels === 0 ? 0 : scores / labels
    if (!Number.isInteger(classes) || (classes === 0 && labels > 0) || (labels === 0 && scores > 0)) {
      throw new RangeError(`${loss}: input must have a whole number of scores per target, got ${scores} for ${labels}`)
    }
    return { samples: labels, classes, positions: 1, last: true }
  }

  return makeLoss({
    definition,
    options,
    resolve: (given) => softmaxSettings(definition, given),
    run,
  })
}

/** Total weight of the labels that are not ignored; refuses what is no class. `given` is what they are a copy of. */
export function weighLabels(
  loss: string,
  labels: Int32Array,
  given: LabelArray,
  classes: number,
  ignoreIndex: number,
  weight: Float32Array | undefined,
): number {
  const scan = labels.length <= SHORT ? keptWeight : active.keptWeight
  const kept = scan(labels, classes, ignoreIndex, weight)
  if (kept >= 0) return kept
  const i = -1 - kept
  const expected = `a class index in [0, ${classes}) or ignoreIndex (${ignoreIndex})`
  throw wrongValue(loss, `target[${i}]`, expected, given[i])
}

/** Class weights times alpha. */
export function weightsOf(
  { weight, alpha }: Pick<SoftmaxSettings, 'weight' | 'alpha'>,
  classes: number,
): Float32Array | undefined {
  if (alpha === undefined) return weight
  return Float32Array.from({ length: classes }, (_, c) => {
    return (weight === undefined ? 1 : weight[c]) * (typeof alpha === 'number' ? alpha : alpha[c])
  })
}

/** Checks the options that do not depend on the arrays. */
export function softmaxSettings(
  { name: loss, params, reductions }: SoftmaxDefinition,
  given: Readonly<Record<string, unknown>>,
): SoftmaxSettings {
  const { shape, weight, alpha, labelSmoothing, temperature = 1 } = given
  const { reduction, emptyMean, normalizer } = commonSettings(loss, given, reductions)
  const lengths = shape === undefined ? undefined : shapeOf(loss, 'shape', shape)
  const classAxis = classAxisOf(loss, given.classAxis)
  return {
    reduction,
    emptyMean,
    normalizer,
    shape: lengths,
    axis: lengths === undefined ? undefined : axisOf(loss, lengths, classAxis),
    classAxis,
    weight: weight === undefined ? undefined : smallWeights(loss, 'weight', weight),
    alpha: alphaOf(loss, alpha),
    sampleWeight: sampleWeightOf(loss, given.sampleWeight),
    mask: maskOf(loss, given.mask),
    ignoreIndex: ignoreIndexOf(loss, given.ignoreIndex),
    labelSmoothing: labelSmoothingOf(loss, labelSmoothing),
    temperature: number(loss, 'temperature', temperature, '> 0, with an inverse in single precision', invertible),
    p0: singleParam(loss, Object.entries(params)[0], given),
  }
}

/** The scalar parameter, which the kernels get in single precision. */
function singleParam(
  loss: string,
  entry: readonly [name: string, param: Param] | undefined,
  given: Readonly<Record<string, unknown>>,
): number {
  const value = paramOf(loss, entry, given)
  if (fitsSingle(value)) return value
  throw wrongValue(loss, entry![0], 'a number that single precision can hold, below 3.4e38', value)
}

const fitsSingle = (value: number) => Math.abs(Math.fround(value)) < Infinity

/** The option `labelSmoothing`. */
export function labelSmoothingOf(loss: string, value: unknown = 0): number {
  return number(loss, 'labelSmoothing', value, 'in [0, 1]', (e) => e >= 0 && e <= 1)
}

/** The option `alpha`: a number, or one per class; `null` for none. */
export function alphaOf(loss: string, value: unknown): number | Float32Array | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number') {
    return number(loss, 'alpha', value, 'a finite number ≥ 0, in single precision too', (a) => a >= 0 && fitsSingle(a))
  }
  if (typeof value !== 'object') throw wrongType(loss, 'alpha', 'a number, an array of one per class, or null', value)
  return smallWeights(loss, 'alpha', value)
}
