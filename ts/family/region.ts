/**
 * Losses of whole planes, alone or with a loss of each position beside them that shares their activation: checks, the two
 * passes of the backend, the reduction.
 */

import {
  type Activation,
  activations,
  type Backend,
  firstScore,
  PLANE,
  type RegionCall,
  type RegionPart,
} from '../backend/contract.js'
import { backendFor } from '../backend/load.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from '../backend/marks.js'
import { tsBackend } from '../backend/ts.js'
import {
  agreedShape,
  attached,
  describe,
  fitsShape,
  flag,
  float32Of,
  floatTensor,
  gradBuffer,
  isRecord,
  kindOf,
  lengthOf,
  number,
  sameShape,
  shapeOf,
  single,
  smallWeights,
  type Tensor,
  word,
  wrongType,
  wrongValue,
} from '../check.js'
import { BLOCK } from '../sum.js'
import {
  accumulates,
  arrayGradOutput,
  type CommonOptions,
  checkMeanBy,
  commonOptions,
  commonSettings,
  denominatorOf,
  emptyResult,
  type Family,
  type Loss,
  makeLoss,
  meanByOf,
  type Result,
  result,
  type Settings,
  scalarGradOutput,
  separateCall,
  targetGradBuffer,
  valuesBuffer,
} from './loss.js'
import { auxOf, type Floats, type Param, type PointwiseDefinition, paramOf } from './pointwise.js'
import {
  type Axis,
  areLabels,
  axisOf,
  checkBits,
  checkClassWeight,
  classAxisOf,
  ignoredOf,
  type Labels,
  labelShape,
  labelsOf,
  type Mask,
  marksOf,
  maskOf,
  outside,
  positionAxes,
  sampleWeightOf,
  totalWeight,
  wrongLabelCount,
  wrongScoreCount,
} from './positions.js'
import { alphaOf, labelSmoothingOf, type SoftmaxDefinition, weightsOf } from './softmax.js'

export type { Activation }

/** A target of a region loss: a value per score, or a class index per position. */
export type RegionTarget = Floats | Labels

/** Options of every region loss but its activation. */
export interface PlaneOptions {
  /**
   * `[N, C, d1, …]`, or `[N, d1, …, C]` with `classAxis: -1`, or `[N, d1, …]` with `classAxis: null`. Without it the arrays are
   * one sample of one channel.
   */
  shape?: readonly number[]
  /** Where the classes are: 1 (default), −1 for last, `null` for no such axis. Nothing is transposed in memory. */
  classAxis?: 1 | -1 | null
  /** Added to the numerator. Default 1e-5. */
  smoothNr?: number
  /** Added to the denominator. Default 1e-5. */
  smoothDr?: number
  /** Sums over the samples too: one value per class. Default false. */
  batch?: boolean
  /** Whether class 0 has a value; it takes part in a softmax either way. Default true. */
  includeBackground?: boolean
  /** One per class, finite and not negative. */
  weight?: Float32Array | readonly number[]
  /** Factor of the values of each sample. */
  sampleWeight?: Float32Array | readonly number[]
  /** `'mean'` divides by the number of values, `'count'` (default), or by the sum of their weights, `'weight'`. */
  meanBy?: 'count' | 'weight'
  /** One per position, per sample, or for the first axes: those of 0 count for nothing, whatever they hold. */
  mask?: Mask
  /**
   * Positions with this target, or one of these, count for nothing, whatever they hold; of labels, or of a mask of one channel.
   * Default −100.
   */
  ignoreIndex?: number | readonly number[]
  /** A class without target in a sample: as the formula says (default), 0, or not counted. */
  emptyClass?: 'zero' | 'skip'
}

/** Options of every region loss. */
export interface RegionOptions extends PlaneOptions, CommonOptions {
  /** What makes probabilities of the input. Default `'none'`: it is probabilities. */
  activation?: Activation
  /** `true` or a buffer: d(value)/d(target) as well, where the target is a value per score. */
  targetGrad?: boolean | Float32Array
}

/**
 * Sums of a plane over predictions p and targets y: true positives, and what only one of both has. A loss is written by these and
 * not by Σ p and Σ y, whose difference has no digits left where both are nearly the same.
 */
export interface Sums {
  /** Σ p·y */
  readonly tp: number
  /** Σ p·(1 − y), not squared */
  readonly fp: number
  /** Σ (1 − p)·y, not squared; with squares `fp` and `fn` have a meaning only together, fp + fn = Σ (p − y)² = Σ p² + Σ y² − 2·tp. */
  readonly fn: number
}

/** Scalar parameters of a region loss by name, those of smoothing among them. */
export type Numbers = Readonly<Record<string, number>>

/** What a region loss is made of: it works on sums, so its kernels are those of the activation. */
export interface RegionDefinition {
  readonly family: 'region'
  readonly name: string
  /** Parameters beside those of smoothing. */
  readonly params: Readonly<Record<string, Param>>
  /** Set where the option `squaredPred` squares p and y in their own sums. */
  readonly squared?: true
  /** The loss of a plane. */
  value(sums: Sums, numbers: Numbers): number
  /**
   * Its derivative by p, as a, k and b of a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p: in this form nothing cancels where
   * y is 0 or 1, nor where p is nearly y. See {@link ofSquares}.
   */
  slope(sums: Sums, numbers: Numbers, squared: boolean): readonly [a: number, k: number, b: number]
  /**
   * The parameters by which the loss stays the same when p and y change places, where they are others: the derivative by y is the
   * slope by them.
   */
  mirrored?(numbers: Numbers): Numbers
}

/**
 * The derivative ofP·p − ofY·y of a loss of squares as a, k and b: of two factors that are nearly the same their difference, which
 * is the `gap` ofY − ofP, and what both have at p − y.
 */
export function ofSquares(ofP: number, ofY: number, gap: number): readonly [a: number, k: number, b: number] {
  return gap < 0 ? [0, ofY, -gap] : [-gap, ofP, 0]
}

/** A region loss with another loss beside it. */
export interface CompoundDefinition {
  readonly family: 'compound'
  readonly name: string
  readonly region: RegionDefinition
  /** Name of the other part; its weight is the option of that name and `Weight`. */
  readonly part: string
  /** The activations there are, the default first, and the other part with each. */
  readonly parts: Readonly<Partial<Record<Activation, PointwiseDefinition | SoftmaxDefinition>>>
  /** Options of the part, and their defaults where they are not its own. */
  readonly partOptions: Readonly<Record<string, unknown>>
  /** Set where a part of each score leaves the background out as the region does. */
  readonly foreground?: true
}

/** Options of every compound loss. */
export interface CompoundOptions extends PlaneOptions {
  /** Each part is reduced by itself: `'mean'` (default) or `'sum'`. */
  reduction?: 'mean' | 'sum'
  /** Upstream gradient. Default 1. */
  gradOutput?: number
  /** The gradient is written here and nothing is allocated. It may be the input array itself. */
  grad?: Float32Array
  /** Whether the gradient is added to what `grad` holds, which is not the input then. Default false. */
  accumulate?: boolean
  /** The mean over nothing: `'nan'` (default, as PyTorch) or `'zero'`. Its gradient is 0 either way. */
  emptyMean?: 'nan' | 'zero'
  /** Replaces the denominators of `'mean'`, by the names of the parts, for gradients accumulated over several batches. */
  normalizer?: Readonly<Record<string, number>>
  /** Whether the numbers of the target are checked to be in [0, 1], for one more scan. Default false. */
  validate?: boolean
  /** Squares p and y in the denominator's sums of Dice. Default false. */
  squaredPred?: boolean
  /** Weight of Dice. Default 1. */
  diceWeight?: number
}

/** The result of a compound loss has the values of its parts, without their weights. */
export interface Parts<Name extends string> {
  parts: Record<Name, number>
  /** What the mean of each part divides by. */
  denominators: Record<Name, number>
}

interface RegionSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly classAxis: 1 | -1 | null
  readonly activation: Activation
  readonly numbers: Numbers
  /** Whether smoothing adds next to nothing to the denominator. */
  readonly bare: boolean
  readonly squared: boolean
  readonly batch: boolean
  readonly includeBackground: boolean
  readonly weight: Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly meanBy: 'count' | 'weight'
  readonly mask: Tensor<NumberArray> | undefined
  readonly ignored: readonly number[] | undefined
  readonly emptyClass: 'zero' | 'skip' | undefined
  readonly regionWeight: number
  readonly part: PartSettings | undefined
  /** What the means of the parts divide by instead, by their names. */
  readonly normalizers: Readonly<Record<string, number>>
}

interface PartSettings {
  readonly name: string
  readonly definition: PointwiseDefinition | SoftmaxDefinition
  readonly weight: number
  readonly p0: number
  readonly p1: number
  readonly aux: number | Float32Array
  readonly auxName: string | undefined
  readonly alpha: number | Float32Array | undefined
  readonly labelSmoothing: number
}

const planeOptions = [
  'shape',
  'classAxis',
  'smoothNr',
  'smoothDr',
  'batch',
  'includeBackground',
  'weight',
  'sampleWeight',
  'meanBy',
  'mask',
  'ignoreIndex',
  'emptyClass',
]

const smoothing: Param = { default: 1e-5, expected: 'a number ≥ 0', holds: (n) => n >= 0, samples: [0, 1] }

/** Makes the public loss. */
export function region<Options extends RegionOptions>(
  definition: RegionDefinition,
): Loss<Floats, RegionTarget, Options> {
  const own = Object.keys(definition.params)
  const options = new Set([...commonOptions, 'targetGrad', 'activation', ...planeOptions, ...own])
  if (definition.squared) options.add('squaredPred')
  return makeLoss({
    definition,
    options,
    resolve(given) {
      const { activation = 'none' } = given
      const chosen = word(definition.name, 'activation', activation, activations)
      return regionSettings(definition.name, definition, given, chosen, 1, undefined)
    },
    run: runOf(definition.name, definition, activations),
  })
}

/** Makes the public loss. */
export function compound<Options extends CompoundOptions, Name extends string>(
  definition: CompoundDefinition,
): Loss<Floats, RegionTarget, Options, 'mean', Parts<Name>> {
  const { name: loss, region, part, parts, partOptions } = definition
  const choices = Object.keys(parts) as Activation[]
  const [own, other] = ['diceWeight', `${part}Weight`]
  const options = new Set([
    ...[
      'reduction',
      'gradOutput',
      'grad',
      'accumulate',
      'emptyMean',
      'normalizer',
      'validate',
      'squaredPred',
      own,
      other,
    ],
    ...planeOptions,
    ...Object.keys(partOptions),
  ])
  if (choices.length > 1) options.add('activation')
  const family: Family<RegionSettings> = {
    definition,
    options,
    resolve(given) {
      if (given.reduction === 'none') {
        throw new RangeError(
          `${loss}: reduction must be 'mean' or 'sum', since the parts have values of different shapes`,
        )
      }
      const { activation = choices[0] } = given
      const chosen = word(loss, 'activation', activation, choices)
      const weightOf = (name: string) => {
        return single(loss, name, given[name] ?? 1, 'a finite number', () => true)
      }
      const settings = partSettings(loss, part, parts[chosen]!, weightOf(other), { ...partOptions, ...given })
      const { normalizer, ...rest } = given
      const names = [part, 'dice']
      const normalizers = normalizersOf(loss, normalizer, names, given.reduction)
      // What has no normalizer still has its weights.
      const all = names.every((name) => normalizers[name] !== undefined)
      meanByOf(loss, given.meanBy ?? 'count', 'mean', all ? 1 : undefined)
      return regionSettings(loss, region, rest, chosen, weightOf(own), settings, normalizers)
    },
    run: runOf(loss, region, choices, definition.foreground),
  }
  return makeLoss(family)
}

/** The option `normalizer` of a loss with parts: a number for each part, by its name. */
function normalizersOf(
  loss: string,
  given: unknown,
  parts: readonly string[],
  reduction: unknown = 'mean',
): Readonly<Record<string, number>> {
  if (given === undefined) return {}
  const names = parts.join(', ')
  if (!isRecord(given)) throw wrongType(loss, 'normalizer', `an object of ${names}`, given)
  if (reduction !== 'mean') {
    throw new RangeError(`${loss}: normalizer needs the reduction 'mean', got ${describe(reduction)}`)
  }
  const normalizers: Record<string, number> = {}
  for (const [part, value] of Object.entries(given)) {
    if (!parts.includes(part)) throw new TypeError(`${loss}: normalizer has no ${part}; there are ${names}`)
    if (value !== undefined) normalizers[part] = number(loss, `normalizer.${part}`, value, 'a number > 0', (n) => n > 0)
  }
  return normalizers
}

function partSettings(
  loss: string,
  name: string,
  definition: PointwiseDefinition | SoftmaxDefinition,
  weight: number,
  given: Readonly<Record<string, unknown>>,
): PartSettings {
  const params = Object.entries(definition.params)
  const { labelSmoothing, alpha } = given
  const aux = definition.family === 'pointwise' ? definition.aux : undefined
  const own = definition.family === 'softmax'
  return {
    name,
    definition,
    weight,
    p0: paramOf(loss, params[0], given),
    p1: paramOf(loss, params[1], given),
    aux: aux === undefined ? 0 : auxOf(loss, aux.name, given[aux.name], aux.default),
    auxName: aux?.name,
    alpha: own ? alphaOf(loss, alpha) : undefined,
    labelSmoothing: own ? labelSmoothingOf(loss, labelSmoothing) : 0,
  }
}

function regionSettings(
  loss: string,
  { params }: RegionDefinition,
  given: Readonly<Record<string, unknown>>,
  activation: Activation,
  regionWeight: number,
  part: PartSettings | undefined,
  normalizers: Readonly<Record<string, number>> = {},
): RegionSettings {
  const { shape, classAxis, weight, mask, ignoreIndex, emptyClass, meanBy = 'count' } = given
  const { reduction, emptyMean, normalizer, validate } = commonSettings(loss, given)
  const sampleWeight = sampleWeightOf(loss, given.sampleWeight)
  if (sampleWeight !== undefined && given.batch === true) {
    throw new RangeError(`${loss}: sampleWeight needs batch: false, since no sample has a value of its own otherwise`)
  }
  const flagOf = (name: string, otherwise: boolean) => {
    return given[name] === undefined ? otherwise : flag(loss, name, given[name])
  }
  const entries = Object.entries({ smoothNr: smoothing, smoothDr: smoothing, ...params }).map((entry) => {
    return [entry[0], paramOf(loss, entry, given)] as const
  })
  const numbers: Numbers = Object.fromEntries(entries)
  return {
    reduction,
    emptyMean,
    normalizer,
    validate,
    shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
    classAxis: classAxis === null ? null : classAxisOf(loss, classAxis, '1, -1 or null'),
    activation,
    numbers,
    bare: numbers.smoothDr < SMALL,
    squared: flagOf('squaredPred', false),
    batch: flagOf('batch', false),
    includeBackground: flagOf('includeBackground', true),
    weight: weight === undefined ? undefined : smallWeights(loss, 'weight', weight),
    sampleWeight,
    meanBy: meanByOf(loss, meanBy, reduction, normalizer),
    mask: maskOf(loss, mask),
    ignored: ignoreIndex === undefined ? undefined : ignoredOf(loss, ignoreIndex),
    emptyClass: emptyClass === undefined ? undefined : word(loss, 'emptyClass', emptyClass, ['zero', 'skip'] as const),
    regionWeight,
    part,
    normalizers,
  }
}

function runOf(
  loss: string,
  definition: RegionDefinition,
  choices: readonly Activation[],
  foreground = false,
): Family<RegionSettings>['run'] {
  return function run(wanted, input, target, settings, buffers): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const shape = agreedShape(loss, settings.shape, inputShape, x.length)
    const axis = regionAxis(loss, x.length, shape, settings.classAxis)
    const { samples, classes, positions } = axis
    const { weight, sampleWeight, includeBackground, part } = settings
    checkMeanBy(loss, settings.meanBy, 'a weight or a sampleWeight', weight, sampleWeight)
    const count = samples * positions
    if (count > 0) checkClassWeight(loss, 'weight', weight, classes)
    if (!includeBackground && classes < 2 && count > 0) {
      throw new RangeError(`${loss}: includeBackground: false needs at least two classes, got ${classes}`)
    }
    if (count > 0) checkPart(loss, part, classes)
    if (sampleWeight !== undefined && count > 0) float32Of(loss, 'sampleWeight', samples, sampleWeight)
    const given = targetOf(loss, target, x.length, axis, shape, settings)
    if (settings.activation === 'softmax' && classes < 2 && count > 0) throw oneClass(loss, shape, choices)

    const rows = settings.batch ? 1 : samples
    const firstClass = includeBackground ? 0 : 1
    const planes = rows * (classes - firstClass)
    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, planes)
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const out = valuesBuffer(loss, buffers.out, wanted, settings, planes)
    const targetGrad = targetGradBuffer(loss, wanted, x.length, buffers.targetGrad)
    if (targetGrad !== undefined && given.values === undefined) {
      throw new TypeError(`${loss}: targetGrad needs a target with a value per score, got class indices`)
    }
    const accumulate = accumulates(loss, buffers, wanted)
    separateCall(loss, { grad, out, targetGrad }, x, given.array, settings, buffers, accumulate)
    if (settings.validate) checkRanges(loss, x, given, axis, settings.activation)
    if (wanted.dry) return result(Number.NaN, grad, Number.NaN, targetGrad)
    if (x.length === 0) {
      const nothing = emptyResult(settings, out, grad, accumulate, settings.normalizer ?? 0, targetGrad)
      if (part === undefined) return nothing
      const ofParts = (value: number) => ({ [part.name]: value, dice: value })
      const { value } = nothing
      return { value, grad, parts: ofParts(value as number), denominators: ofParts(0) }
    }

    const call = callOf(loss, x, given, axis, settings, foreground)
    const sums = sumsOf(samples * classes * PLANE)
    const { bare } = settings
    // What depends on the denominator even where no target is.
    const divided = bare && (settings.numbers.smoothNr > 0 || targetGrad !== undefined)
    // The gradient's buffer holds the sigmoids meanwhile, so that they are computed once. They are at least 2^−126 there, which
    // shows where nothing else is in the denominator.
    const isSigmoid = part === undefined && settings.activation === 'sigmoid'
    const keep = grad !== undefined && !accumulate && isSigmoid && !divided
    let kernels = backendFor('region', x.length)
    let partSum = kernels.regionSums(call, sums, keep ? grad : undefined)
    if (settings.activation === 'none') checkSums(loss, sums, settings)
    if (settings.batch) addSamples(sums, samples, classes)
    const rest: RegionCall = keep ? { ...call, x: grad, activation: 'kept' } : call
    if (bare && isDelicate(definition, settings, sums, rows, classes, divided)) {
      kernels = tsBackend
      partSum = kernels.regionSums(rest, sums.fill(0), undefined)
      if (settings.batch) addSamples(sums, samples, classes)
    }
    const { total, counted } = reduce(definition, settings, sums, rows, classes, out)
    const denominator = denominatorOf(settings, settings.normalizers.dice ?? counted)
    const reported = settings.reduction === 'mean' ? denominator : counted
    const nothing = settings.emptyMean === 'nan' ? Number.NaN : 0
    const regionValue = denominator === 0 ? nothing : total / denominator
    const partCounted = part === undefined ? 1 : partCount(loss, given, axis, settings, foreground)
    const partDenominator = denominatorOf(settings, settings.normalizers[part?.name ?? ''] ?? partCounted)
    if (grad !== undefined) {
      const factor = denominator === 0 ? 0 : (scalar * settings.regionWeight) / denominator
      const scale = part === undefined || partDenominator === 0 ? 0 : (scalar * part.weight) / partDenominator
      const planes = { definition, settings, sums, rows, axis, factor, gradOutput }
      const slopes = singleSlopes(sums.length)
      // Before the other gradient, which may be written over what both are computed from.
      if (targetGrad !== undefined) byTarget(kernels, rest, planes, slopes, targetGrad)
      const fits = fillSlopes(slopes, planes, false) && !(Math.abs(scale) > LARGE)
      if (fits) kernels.regionGradient(rest, slopes, scale, grad, accumulate)
      else tsBackend.regionGradient(rest, doubleSlopes(planes, false), scale, grad, accumulate)
    }
    if (part === undefined) return result(out ?? regionValue, grad, reported, targetGrad)
    const partValue = partDenominator === 0 ? nothing : partSum / partDenominator
    const value = settings.regionWeight * regionValue + part.weight * partValue
    const ofPart = settings.reduction === 'mean' ? partDenominator : partCounted
    return {
      value,
      grad,
      parts: { [part.name]: partValue, dice: regionValue },
      denominators: { [part.name]: ofPart, dice: reported },
    }
  }
}

/** A softmax over one class: its gradient would be 0 everywhere. */
function oneClass(loss: string, shape: readonly number[] | undefined, choices: readonly Activation[]): RangeError {
  const other = choices.includes('sigmoid') ? "the activation 'sigmoid'" : "bceDice, which has a 'sigmoid'"
  const missing = shape === undefined ? 'give shape: [N, C, …], or ' : ''
  const why = 'a softmax needs at least two classes, got 1, whose probability is always 1'
  return new RangeError(`${loss}: ${why}; ${missing}use ${other}`)
}

// Numbers of a few planes stay from call to call: to make an array for them takes longer than a small plane.
const FEW = 1024 * PLANE
let sums = new Float64Array(0)
let slopes = new Float32Array(0)

function sumsOf(length: number): Float64Array {
  if (sums.length === length) return sums.fill(0)
  const own = new Float64Array(length)
  if (length <= FEW) sums = own
  return own
}

function singleSlopes(length: number): Float32Array {
  if (slopes.length === length) return slopes
  const own = new Float32Array(length)
  if (length <= FEW) slopes = own
  return own
}

/** The most that numbers of a plane may be in single precision, so that no sum of their products leaves it. */
const LARGE = 2 ** 100

/** Sums of so little, or of products of so little, may have lost what single precision does not hold. */
const SMALL = 1e-15
const SMALL_PRODUCT = 1e-30

/**
 * Whether what single precision does not hold of a plane shows, since nothing more is added to the denominator: then all of the
 * call is computed in double precision. Where there is no target it shows only in what is `divided` all the same, or where nothing
 * at all is left. Never of hard masks and predictions, whose sums are 0 or large.
 */
function isDelicate(
  definition: RegionDefinition,
  settings: RegionSettings,
  sums: Float64Array,
  rows: number,
  classes: number,
  divided: boolean,
): boolean {
  const { includeBackground, numbers } = settings
  for (let row = 0; row < rows; row++) {
    for (let c = includeBackground ? 0 : 1; c < classes; c++) {
      const at = PLANE * (row * classes + c)
      const { p, y } = ownSums(settings, sums, at)
      if (sums[at + 2] >= SMALL_PRODUCT || isEmpty(settings, sums, at)) continue
      if (p + y < SMALL && (y > 0 || divided)) return true
      if (p > 0 && y > 0 && p * y < SMALL_PRODUCT) return true
      if (Number.isFinite(p + y) && !Number.isFinite(definition.value(sumsOfPlane(settings, sums, at), numbers)))
        return true
    }
  }
  return false
}

/** Whether a plane has a value of 0 because it has no target. */
function isEmpty(settings: RegionSettings, sums: Float64Array, at: number): boolean {
  return settings.emptyClass !== undefined && ownSums(settings, sums, at).y === 0
}

/** What a loss is given of a plane; with `swapped`, p and y in each other's place. */
function sumsOfPlane({ squared }: RegionSettings, sums: Float64Array, at: number, swapped = false): Sums {
  const tp = sums[at + 2]
  if (squared) return { tp, fp: sums[at], fn: 0 }
  return swapped ? { tp, fp: sums[at + 1], fn: sums[at] } : { tp, fp: sums[at], fn: sums[at + 1] }
}

/** Σ p and Σ y of a plane, or Σ p² and Σ y². That of p² may have lost what is small beside the other. */
function ownSums({ squared }: RegionSettings, sums: Float64Array, at: number): { p: number; y: number } {
  const both = sums[at + 2]
  if (squared) return { p: Math.max(0, sums[at] + 2 * both - sums[at + 1]), y: sums[at + 1] }
  return { p: sums[at] + both, y: sums[at + 1] + both }
}

/** Sum of the planes' values, how many count, and each into `out`, where it is given. */
function reduce(
  definition: RegionDefinition,
  settings: RegionSettings,
  sums: Float64Array,
  rows: number,
  classes: number,
  out: Float32Array | undefined,
): { total: number; counted: number } {
  const { includeBackground, weight, sampleWeight, numbers, emptyClass, meanBy } = settings
  let total = 0
  let counted = 0
  let plane = 0
  for (let row = 0; row < rows; row++) {
    for (let c = includeBackground ? 0 : 1; c < classes; c++, plane++) {
      const at = PLANE * (row * classes + c)
      const empty = isEmpty(settings, sums, at)
      const own = empty ? 0 : definition.value(sumsOfPlane(settings, sums, at), numbers)
      const factor = (weight?.[c] ?? 1) * (sampleWeight?.[row] ?? 1)
      const value = factor === 1 ? own : factor * own
      if (!empty || emptyClass === 'zero') counted += meanBy === 'weight' ? factor : 1
      if (out !== undefined) out[plane] = value
      total += value
    }
  }
  return { total, counted }
}

/** What the gradients of all planes are made of. */
interface Planes {
  readonly definition: RegionDefinition
  readonly settings: RegionSettings
  readonly sums: Float64Array
  readonly rows: number
  readonly axis: Axis
  readonly factor: number
  readonly gradOutput: Float32Array | undefined
}

/** Writes the numbers by which p and y enter a gradient; whether single precision holds them. */
function fillSlopes(
  slopes: Float32Array | Float64Array,
  { definition, settings, sums, rows, axis, factor, gradOutput }: Planes,
  byTarget: boolean,
): boolean {
  const { samples, classes } = axis
  const { includeBackground, weight, sampleWeight, squared } = settings
  const numbers = (byTarget && definition.mirrored?.(settings.numbers)) || settings.numbers
  let fits = true
  slopes.fill(0)
  let plane = 0
  for (let row = 0; row < rows; row++) {
    for (let c = includeBackground ? 0 : 1; c < classes; c++, plane++) {
      const at = PLANE * (row * classes + c)
      const up = (gradOutput?.[plane] ?? factor) * (weight?.[c] ?? 1) * (sampleWeight?.[row] ?? 1)
      if (up === 0 || isEmpty(settings, sums, at)) continue
      const slope = definition.slope(sumsOfPlane(settings, sums, at, byTarget), numbers, squared)
      const { p, y } = ownSums(settings, sums, at)
      // What a is a factor of may be 0 everywhere: then it need not be more than single precision holds.
      const isUnused = (byTarget ? p : y) === 0 && sums[at + 2] === 0
      const a = isUnused && Math.abs(up * slope[0]) > LARGE ? 0 : up * slope[0]
      const k = up * slope[1]
      const b = up * slope[2]
      if (Math.max(Math.abs(a), Math.abs(k), Math.abs(b)) > LARGE) fits = false
      for (let sample = row; sample < samples; sample += rows) {
        const to = PLANE * (sample * classes + c)
        slopes[to] = a
        slopes[to + 1] = k
        slopes[to + 2] = b
      }
    }
  }
  return fits
}

/** The gradient by the target. */
function byTarget(
  kernels: Backend,
  call: RegionCall,
  planes: Planes,
  slopes: Float32Array,
  targetGrad: Float32Array,
): void {
  if (fillSlopes(slopes, planes, true)) kernels.regionTargetGradient(call, slopes, targetGrad)
  else tsBackend.regionTargetGradient(call, doubleSlopes(planes, true), targetGrad)
}

function doubleSlopes(planes: Planes, byTarget: boolean): Float64Array {
  const slopes = new Float64Array(planes.sums.length)
  fillSlopes(slopes, planes, byTarget)
  return slopes
}

/** Where the planes are: without a shape all is one. */
function regionAxis(
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
interface Target {
  readonly array: NumberArray
  /** The same, where it has a value per score. */
  readonly values: NumberArray | undefined
  /** Which positions count. */
  readonly marks: Marks
  /** Total weight of the class indices that count. */
  readonly kept: number | undefined
}

function targetOf(
  loss: string,
  target: Tensor<unknown>,
  length: number,
  axis: Axis,
  shape: readonly number[] | undefined,
  { mask, ignored, classAxis, weight }: RegionSettings,
): Target {
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
    checkBits(loss, values, (low, high) => outsideScores(values, low, high, marks, axis))
    return { array: values, values, marks, kept: undefined }
  }
  const labels = labelsOf(loss, data, 'target', 'a Float32Array or Uint8Array of the shape of the input')
  if (labels.length !== positions) {
    if (shape === undefined) throw wrongScoreCount(loss, labels, length)
    const expected = `be an array of ${length}, one per score, or of ${positions}, one per position`
    throw wrongLabelCount(loss, labels, positions, shape, expected)
  }
  if (classAxis !== null) labelShape(loss, targetShape, shape, classAxis)
  const marks = marksOf(loss, labels, ignored ?? [-100], mask, shape, axes)
  const kept = totalWeight(loss, marks, positions, axis.classes, weight)
  return { array: labels, values: undefined, marks, kept }
}

/** Of one block: which positions count. */
const counted = new Int32Array(BLOCK)

/** Index of a value that is not in [low, high], of a position that counts, or −1. */
function outsideScores(
  values: NumberArray,
  low: number,
  high: number,
  marks: Marks,
  { samples, classes, positions, last }: Axis,
): number {
  if (marks === everything || classes === 1) return outside(values, low, high, marks)
  for (let first = 0; first < samples * positions; first += BLOCK) {
    const count = Math.min(samples * positions - first, BLOCK)
    classesOf(marks, first, count, counted)
    for (let position = first; position < first + count; position++) {
      if (counted[position - first] === NOTHING) continue
      const score = firstScore(position, last ? 1 : positions, classes)
      for (let c = 0, i = score; c < classes; c++, i += last ? 1 : positions) {
        if (!(values[i] >= low && values[i] <= high)) return i
      }
    }
  }
  return -1
}

const forLogits = "for logits give activation: 'sigmoid' or 'softmax'"

/** Refuses probabilities and targets outside [0, 1]. */
function checkRanges(
  loss: string,
  x: Float32Array,
  { values, marks }: Target,
  axis: Axis,
  activation: Activation,
): void {
  const check = (parameter: string, array: NumberArray, way: string) => {
    const i = outsideScores(array, 0, 1, marks, axis)
    if (i >= 0) throw wrongValue(loss, `${parameter}[${i}]`, 'in [0, 1]', array[i], way)
  }
  if (activation === 'none') check('input', x, forLogits)
  if (values !== undefined) check('target', values, `the order is ${loss}(input, target)`)
}

/** Refuses sums that no probabilities in [0, 1] have: a look at three numbers of each plane, where one at each score costs a pass. */
function checkSums(loss: string, sums: Float64Array, settings: RegionSettings): void {
  for (let at = 0; at < sums.length; at += PLANE) {
    const py = sums[at + 2]
    const { p, y } = ownSums(settings, sums, at)
    const beyond = !settings.squared && py > 1.00001 * y + 1e-6
    if (!(p < 0 || py < 0 || beyond)) continue
    const got = `Σ input·target = ${py} for Σ input = ${p} and Σ target = ${y}`
    throw new RangeError(
      `${loss}: input and target must be in [0, 1] with the activation 'none', got ${got}; ${forLogits}`,
    )
  }
}

/** Adds the sums of all samples into those of the first. */
function addSamples(sums: Float64Array, samples: number, classes: number): void {
  for (let sample = 1; sample < samples; sample++) {
    for (let i = 0; i < PLANE * classes; i++) sums[i] += sums[PLANE * classes * sample + i]
  }
}

function checkPart(loss: string, part: PartSettings | undefined, classes: number): void {
  if (part === undefined) return
  const { aux, alpha } = part
  const { definition } = part
  if (typeof aux !== 'number' && definition.family === 'pointwise') {
    checkClassWeight(loss, definition.aux!.name, aux, classes)
  }
  if (alpha !== undefined && typeof alpha !== 'number') checkClassWeight(loss, 'alpha', alpha, classes)
}

function callOf(
  loss: string,
  x: Float32Array,
  { values, marks }: Target,
  axis: Axis,
  { activation, squared, part, weight, sampleWeight, includeBackground }: RegionSettings,
  foreground: boolean,
): RegionCall {
  let own: RegionPart | undefined
  if (part !== undefined) {
    let weights = weightsOf({ weight, alpha: part.alpha }, axis.classes)
    if (foreground && !includeBackground && part.definition.family === 'pointwise') {
      weights = Float32Array.from({ length: axis.classes }, (_, c) => (c === 0 ? 0 : (weights?.[c] ?? 1)))
    }
    const { definition, p0, p1, aux, labelSmoothing } = part
    own = { definition, p0, p1, aux, weight: weights, sampleWeight, labelSmoothing }
  }
  return { loss, x, target: values, marks, axis, activation, squared, part: own }
}

/** What the mean of the part divides by. */
function partCount(
  loss: string,
  { values, marks, kept }: Target,
  { samples, classes, positions }: Axis,
  { part, weight, sampleWeight, meanBy, includeBackground }: RegionSettings,
  foreground: boolean,
): number {
  const own = meanBy === 'weight' ? sampleWeight : undefined
  const count = samples * positions
  if (part!.definition.family === 'softmax' && values === undefined) {
    return own === undefined ? kept! : totalWeight(loss, marks, count, classes, weight, own, positions)
  }
  const ofPositions = totalWeight(loss, marks, count, 0, undefined, own, positions)
  if (part!.definition.family === 'softmax') return ofPositions
  const first = foreground && !includeBackground ? 1 : 0
  if (meanBy === 'count' || weight === undefined) return ofPositions * (classes - first)
  return ofPositions * weight.subarray(first).reduce((sum, weight) => sum + weight, 0)
}
