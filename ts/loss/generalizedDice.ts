import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type RegionOptions, type RegionTarget, region } from '../family/region/index.js'
import { diceSlope, diceValue } from './dice.js'

/** Options of {@link generalizedDice}. */
export interface GeneralizedDiceOptions extends RegionOptions {
  /** What a class weighs whose target sums to Y: 1/Y² (`'square'`, default), 1/Y (`'simple'`) or 1 (`'uniform'`). */
  weightType?: 'square' | 'simple' | 'uniform'
  /** One per class, finite and not negative: factors of what the classes weigh. */
  weight?: Float32Array | readonly number[]
  /** Sums over the samples too: one value for all. Default false. */
  batch?: boolean
  /** Whether class 0 enters the sums; it takes part in a softmax either way. Default true. */
  includeBackground?: boolean
  /** `'mean'` divides by the number of values, `'count'` (default), or by the sum of `sampleWeight`, `'weight'`. */
  meanBy?: 'count' | 'weight'
  /**
   * A class without target in a sample: it weighs as much as the heaviest other class (default), or nothing. Of a sample without any
   * target the value is then 0, or not counted.
   */
  emptyClass?: 'zero' | 'skip'
}

/**
 * Generalised Dice loss: 1 − (2·Σ_c w_c·Σ p·y + smoothNr) / (Σ_c w_c·(Σ p + Σ y) + smoothDr) of each sample, where small classes weigh
 * more, w_c = 1/(Σ y)².
 *
 * It is one value for all classes, and `dice` of the sums of all classes by their weights. With A and B the numerator and denominator
 * the gradient by p of class c is w_c·(A − 2·y·B)/B², the weights taken as constants, and from there through the activation as in
 * `dice`; times gradOutput / denominator. The gradient by y (`targetGrad`) is the same with p and y in each other's place, without the
 * activation.
 *
 * - `input`, `target` and the digits are those of `dice`.
 * - `'mean'` (default) divides the sum over the samples by their number; `'sum'` does not divide; `'none'` returns the value of each
 *   sample. With `batch` there is one value for all samples, whose sums are added before anything else. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - `weightType`: w_c is 1/Y² (`'square'`, default), 1/Y (`'simple'`) or 1 (`'uniform'`), with Y the Σ y of class c in the sample.
 *   `weight` is a factor of w_c: for weights of your own give `weightType: 'uniform'` beside them.
 * - A class without target weighs as much as the heaviest other class of the sample, so that predictions of it cost; with `emptyClass`
 *   it weighs nothing. Where no class has a target, all weigh nothing and the value is 1 − smoothNr/smoothDr, 0 by default; with
 *   `'uniform'` it is that of `dice`.
 * - The smoothing, 1e-5 each by default, is not weighted, while each class adds about 2/Y to B with `'square'`: where all classes have a
 *   million positions it hides most of the loss. Give less then, or 0 and an `emptyClass`.
 * - NaN anywhere in a sample, where it counts, is NaN in its value and in the gradient of all of its classes.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { generalizedDice } from 'fused-loss'
 *
 * const probabilities = Float32Array.of(1, 1, 1, 0.5, 0, 0, 0, 0.5) // [1, 2, 4]
 * const labels = Int32Array.of(0, 0, 0, 1)
 * const options = { shape: [1, 2, 4], weightType: 'simple', smoothNr: 0, smoothDr: 0 }
 * // w = 1/3 and 1: A = 2·(3/3 + 0.5), B = (3.5 + 3)/3 + (0.5 + 1)
 * generalizedDice(probabilities, labels, options).toFixed(4) // → '0.1818'
 * @see Sudre et al., Generalised Dice overlap as a deep learning loss function for highly unbalanced segmentations (2017); MONAI
 *   `GeneralizedDiceLoss`, where a gradient by the target goes through the weights too
 */
export const generalizedDice: Loss<Floats, RegionTarget, GeneralizedDiceOptions> = /* @__PURE__ */ region({
  family: 'region',
  name: 'generalizedDice',
  // Powers of Y to divide by.
  params: { weightType: { words: { square: 2, simple: 1, uniform: 0 } } },
  joint(targets, { weightType }) {
    const weights = targets.map((y) => 1 / y ** weightType)
    const largest = weights.reduce((most, w) => (w > most && w < Infinity ? w : most), 0)
    return weights.map((w) => (w < Infinity ? w : largest))
  },
  value: diceValue,
  slope: diceSlope,
})
