/** Losses of the softmax over a class axis: checks, the call, the reduction. */

import { backendFor } from '../../backend/load.js'
import { tsBackend } from '../../backend/ts/index.js'
import { type Axis, firstScore } from '../../call/axis.js'
import { classesOf, type Marks, NOTHING, type NumberArray } from '../../call/marks.js'
import { type SoftmaxExtra, softmaxKind } from '../../call/softmax.js'
import {
  agreedShape,
  conversion,
  fitsShape,
  floatTensor,
  gradBuffer,
  kindOf,
  number,
  sameShape,
  separateGrad,
  shapeOf,
  single,
  smallWeights,
  type Tensor,
  wrongType,
  wrongValue,
} from '../../check.js'
import type { BatchReduction, Reduction, SoftmaxDefinition } from '../../definition.js'
import type { Floats, Labels, Mask } from '../arrays.js'
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
  type LossOptions,
  makeLoss,
  meanByOf,
  result,
  type Settings,
  scalarGradOutput,
  separateCall,
  targetGradBuffer,
  valuesBuffer,
  writtenTargetGrad,
} from '../loss.js'
import { paramOf } from '../pointwise/index.js'
import {
  areLabels,
  axisOf,
  checkClassWeight,
  classAxisOf,
  distributionOf,
  ignoredOf,
  type LabelArray,
  labelShape,
  labelsOf,
  marksOf,
  maskOf,
  positionAxes,
  sampleWeightOf,
  sharing,
  totalWeight,
  wrongLabelCount,
} from '../positions.js'

/** Options of every loss over a class axis. */
export interface ClassAxisOptions<R extends BatchReduction = Reduction> extends CommonOptions<R> {
  /**
   * `[N, C, d1, …]`, or `[N, d1, …, C]` with `classAxis: -1`. Without it C is the length of the input over that of the
   * labels.
   */
  shape?: readonly number[]
  /** Where the classes are: 1 (default), or −1 for last. Nothing is transposed in memory. */
  classAxis?: 1 | -1
  /** Factor of value and gradient: one per position, per sample, or for the first axes of the positions. */
  sampleWeight?: Float32Array | readonly number[]
  /** One per position, per sample, or for the first axes: those of 0 give neither value nor gradient, whatever they hold. */
  mask?: Mask
  /**
   * What `'mean'` divides by: `'count'` (default), the same as without `sampleWeight`, or `'weight'`, the sum of the weights of the
   * positions that count.
   */
  meanBy?: 'count' | 'weight'
}

/** Options of losses with class indices. */
export interface LabelOptions extends ClassAxisOptions {
  /** One per class, finite and not negative. */
  weight?: Float32Array | readonly number[]
  /** Positions with this target, or one of these, give neither value nor gradient, whatever they hold. Default −100. */
  ignoreIndex?: number | readonly number[]
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

/** The checked options of a softmax loss. */
export interface SoftmaxSettings extends Settings {
  readonly shape: readonly number[] | undefined
  /** Of the shape, if the options say one. */
  readonly axis: Axis | undefined
  readonly classAxis: 1 | -1
  readonly weight: Float32Array | undefined
  readonly alpha: number | Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly mask: Tensor<NumberArray> | undefined
  readonly ignored: readonly number[]
  /** Whether the option `ignoreIndex` is given. */
  readonly ignores: boolean
  readonly meanBy: 'count' | 'weight'
  readonly labelSmoothing: number
  readonly temperature: number
  readonly p0: number
}

/** Neither it nor its inverse leaves the range of single precision. */
const invertible = (t: number) =>
  Math.fround(t) > 0 && Math.fround(1 / t) > 0 && Math.fround(1 / t) < Infinity && Math.fround(t) < Infinity

const axisOptions = [...commonOptions, 'shape', 'classAxis', 'sampleWeight', 'meanBy', 'mask']
const labelOptions = [...axisOptions, 'weight', 'ignoreIndex']
const optionsOf = {
  scores: [...labelOptions, 'labelSmoothing', 'temperature', 'targetGrad'],
  logProbabilities: labelOptions,
  teacher: [...axisOptions, 'temperature', 'targetGrad'],
}

/** Makes the public loss. */
export function softmax<Target extends Labels | Floats, Options extends LossOptions>(
  definition: SoftmaxDefinition,
): Loss<Floats, Target, Options, 'mean'>
export function softmax<Target extends Labels | Floats, Options extends LossOptions, D extends BatchReduction>(
  definition: SoftmaxDefinition,
): Loss<Floats, Target, Options, D>
export function softmax(definition: SoftmaxDefinition): unknown {
  const { name: loss, kind } = definition
  const options = new Set([
    ...optionsOf[kind],
    ...Object.keys(definition.params),
    ...(definition.alpha ? ['alpha'] : []),
  ])

  function run(
    wanted: Wanted,
    input: Tensor<unknown>,
    target: Tensor<unknown>,
    settings: SoftmaxSettings,
    buffers: Buffers,
  ): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const { data: given, shape: targetShape } = target
    // As in `pointwise.ts`, functions are called where a call has what they are for.
    if (targetShape !== undefined) fitsShape(loss, 'target', target)
    const hasShape = settings.shape !== undefined || inputShape !== undefined
    const shape = hasShape ? agreedShape(loss, settings.shape, inputShape, x.length) : undefined
    const { ignored, mask } = settings
    let distribution: Float32Array | undefined
    let labels: LabelArray | undefined
    let axis: Axis
    if (kindOf(given) === 'Float32Array' && kind !== 'logProbabilities') {
      distribution = distributionOf(loss, x.length, given as Float32Array, kind === 'scores')
      if (shape === undefined) throw new RangeError(`${loss}: shape is needed where the target is a Float32Array`)
      if (settings.ignores) {
        throw new RangeError(`${loss}: ignoreIndex needs class indices as target, got a Float32Array; use mask`)
      }
      if (targetShape !== undefined) sameShape(loss, 'shape of target', targetShape, shape)
      axis = settings.axis ?? axisOf(loss, shape, settings.classAxis)
    } else {
      if (kind === 'teacher') throw notTeacher(given)
      labels = labelsOf(loss, given, 'target', kind === 'scores' ? 'a Float32Array' : undefined)
      axis = labelledAxis(x.length, labels, shape, settings)
      if (targetShape !== undefined) labelShape(loss, targetShape, shape, settings.classAxis)
    }
    const axes = () => positionAxes(shape, axis, settings.classAxis)
    const marks = marksOf(loss, labels, ignored, mask, shape, axes)
    const { samples, classes } = axis
    const positions = samples * axis.positions
    const { weight, sampleWeight } = settings
    if (settings.meanBy === 'weight') checkMeanBy(loss, settings.meanBy, 'a sampleWeight', sampleWeight)
    if (positions > 0) {
      if (weight !== undefined) checkClassWeight(loss, 'weight', weight, classes)
      if (typeof settings.alpha === 'object') checkClassWeight(loss, 'alpha', settings.alpha, classes)
    }
    const sampleInner = sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, axes())

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const isArray = typeof buffers.gradOutput === 'object'
    const gradOutput = isArray ? arrayGradOutput(loss, buffers.gradOutput, settings, positions) : undefined
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const hasValues = settings.reduction === 'none' || buffers.out !== undefined
    const out = hasValues ? valuesBuffer(loss, buffers.out, wanted, settings, positions) : undefined
    const hasOther = buffers.targetGrad !== undefined
    const targetGrad = hasOther ? targetGradBuffer(loss, wanted, x.length, buffers.targetGrad) : undefined
    if (targetGrad !== undefined && distribution === undefined) {
      throw new TypeError(`${loss}: targetGrad needs a target of probabilities, got class indices`)
    }
    const accumulate = accumulates(loss, buffers, wanted)
    const weights = weightsOf(settings, classes)
    const exactWeight = weights === undefined ? undefined : exactWeightOf(settings, weights)
    let extra: SoftmaxExtra | undefined
    if (
      distribution !== undefined ||
      !axis.last ||
      weights !== undefined ||
      sampleWeight !== undefined ||
      gradOutput !== undefined ||
      out !== undefined ||
      accumulate ||
      kind !== 'scores' ||
      mask !== undefined ||
      ignored.length > 1 ||
      kindOf(labels) !== 'Int32Array'
    ) {
      extra = {
        target: distribution,
        weight: weights,
        exactWeight,
        sampleWeight,
        sampleInner,
        gradOutput,
        targetGrad: writtenTargetGrad(targetGrad, buffers, accumulate),
        out,
        accumulate,
      }
      const target = given as ArrayBufferView
      separateCall(loss, { grad, out, targetGrad }, x, target, settings, buffers, accumulate)
    }
    if (settings.validate && distribution !== undefined && kind === 'scores') {
      assertDistributions(loss, distribution, axis, marks)
    }

    const ofClass = distribution === undefined ? weight : undefined
    const own = settings.meanBy === 'weight' ? sampleWeight : undefined
    const count = totalWeight(loss, marks, positions, classes, ofClass, own, sampleInner)
    const ofBatch = settings.reduction === 'batchmean'
    const denominator = ofBatch ? samples : denominatorOf(settings, count)
    const reported = ofBatch || settings.reduction === 'mean' ? denominator : count
    if (wanted.dry) return result(Number.NaN, grad, reported, targetGrad)
    if (positions === 0 || denominator === 0) {
      // No backend is called that would refuse it.
      separateGrad(loss, grad, x, given as ArrayBufferView)
      // Samples without positions are no mean over nothing: their sum of 0 has a denominator.
      const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
      return emptyResult(nothing, out, grad, accumulate, reported, targetGrad)
    }
    const backend = exactWeight === undefined ? backendFor('softmax', x.length) : tsBackend
    const { labelSmoothing, temperature, p0 } = settings
    const scale = scalar / denominator
    const sum = backend.run({
      kind: softmaxKind,
      loss,
      definition,
      marks,
      x,
      axis,
      dx: grad,
      scale,
      labelSmoothing,
      temperature,
      p0,
      extra,
    })
    addTo(targetGrad, extra?.targetGrad)
    return result(out ?? sum / denominator, grad, reported, targetGrad)
  }

  function notTeacher(given: unknown): TypeError {
    const way = areLabels(given) ? 'labels are the target of crossEntropy, see combine' : conversion(given)
    return wrongType(loss, 'target', 'a Float32Array', given, way)
  }

  /** The axes where the target is labels: without a shape the input is rows. */
  function labelledAxis(
    scores: number,
    labels: LabelArray,
    shape: readonly number[] | undefined,
    settings: SoftmaxSettings,
  ): Axis {
    const count = labels.length
    if (shape !== undefined) {
      const axis = settings.axis ?? axisOf(loss, shape, settings.classAxis)
      const positions = axis.samples * axis.positions
      if (positions !== count) throw wrongLabelCount(loss, labels, positions, shape)
      return axis
    }
    const classes = count === 0 ? 0 : scores / count
    if (!Number.isInteger(classes) || (classes === 0 && count > 0) || (count === 0 && scores > 0)) {
      throw new RangeError(`${loss}: input must have a whole number of scores per target, got ${scores} for ${count}`)
    }
    return { samples: count, classes, positions: 1, last: true }
  }

  return makeLoss({
    definition,
    options,
    resolve: (given) => softmaxSettings(definition, given),
    run,
  })
}

/** How far the sum of a distribution may be from 1. */
const SUM_TOLERANCE = 1e-3

/** Refuses what is no distribution over the classes, where a position counts. */
function assertDistributions(
  loss: string,
  target: Float32Array,
  { classes, positions, last, samples }: Axis,
  marks: Marks,
): void {
  const step = last ? 1 : positions
  const counts = new Int32Array(1)
  for (let position = 0; position < samples * positions; position++) {
    classesOf(marks, position, 1, counts)
    if (counts[0] === NOTHING) continue
    const first = firstScore(position, step, classes)
    let sum = 0
    for (let c = 0, i = first; c < classes; c++, i += step) {
      if (!(target[i] >= 0 && target[i] <= 1)) throw wrongValue(loss, `target[${i}]`, 'in [0, 1]', target[i])
      sum += target[i]
    }
    if (Math.abs(sum - 1) > SUM_TOLERANCE) {
      throw wrongValue(loss, `the sum of target at position ${position}`, '1', sum)
    }
  }
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

/** Smallest normal float. */
const LEAST = 2 ** -126

/** Class weights times alpha in double precision, where one of the products is no float with all its digits. */
function exactWeightOf(
  { weight, alpha }: SoftmaxSettings,
  products: Float32Array | undefined,
): Float64Array | undefined {
  if (weight === undefined || alpha === undefined || products === undefined) return undefined
  const exact = Float64Array.from(weight, (w, c) => w * (typeof alpha === 'number' ? alpha : alpha[c]))
  const fits = exact.every((w, c) => w === 0 || (products[c] >= LEAST && products[c] < Infinity))
  return fits ? undefined : exact
}

/** Checks the options that do not depend on the arrays. */
export function softmaxSettings(
  { name: loss, params, reductions }: SoftmaxDefinition,
  given: Readonly<Record<string, unknown>>,
): SoftmaxSettings {
  const { shape, weight, alpha, labelSmoothing, temperature = 1 } = given
  const { reduction, emptyMean, normalizer, validate } = commonSettings(loss, given, reductions)
  const { ignoreIndex, meanBy = 'count' } = given
  const lengths = shape === undefined ? undefined : shapeOf(loss, 'shape', shape)
  const classAxis = classAxisOf(loss, given.classAxis)
  return {
    reduction,
    emptyMean,
    normalizer,
    validate,
    shape: lengths,
    axis: lengths === undefined ? undefined : axisOf(loss, lengths, classAxis),
    classAxis,
    weight: weight === undefined ? undefined : smallWeights(loss, 'weight', weight),
    alpha: alphaOf(loss, alpha),
    sampleWeight: sampleWeightOf(loss, given.sampleWeight),
    mask: maskOf(loss, given.mask),
    ignored: ignoredOf(loss, ignoreIndex),
    ignores: ignoreIndex !== undefined,
    meanBy: meanByOf(loss, meanBy, reduction, normalizer),
    labelSmoothing: labelSmoothingOf(loss, labelSmoothing),
    temperature: number(loss, 'temperature', temperature, '> 0, with an inverse in single precision', invertible),
    p0: paramOf(loss, Object.entries(params)[0], given),
  }
}

/** The option `labelSmoothing`. */
export function labelSmoothingOf(loss: string, value: unknown = 0): number {
  return number(loss, 'labelSmoothing', value, 'in [0, 1]', (e) => e >= 0 && e <= 1)
}

/** The option `alpha`: a number, or one per class; `null` for none. */
export function alphaOf(loss: string, value: unknown): number | Float32Array | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number') return single(loss, 'alpha', value, 'a finite number ≥ 0', (a) => a >= 0)
  if (typeof value !== 'object') throw wrongType(loss, 'alpha', 'a number, an array of one per class, or null', value)
  return smallWeights(loss, 'alpha', value)
}
