/** What losses of planes are made of, and their options as the caller sees them. */

import type { Activation } from '../../call/region.js'
import type { Param, PointwiseDefinition, SoftmaxDefinition, WordParam } from '../../definition.js'
import type { Floats, Labels, Mask } from '../arrays.js'
import type { CommonOptions } from '../loss.js'

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
  readonly params: Readonly<Record<string, Param | WordParam>>
  /** Set where the option `squaredPred` squares p and y in their own sums. */
  readonly squared?: true
  /**
   * Set where all classes of a sample, or of the batch, have one value: weights of the classes by the Σ y of each. `value` and
   * `slope` get the classes' sums added up by these weights, which count as constants for the gradient.
   */
  joint?(targets: readonly number[], numbers: Numbers): readonly number[]
  /** The loss of a plane, or of the weighted sums of all classes. */
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
