import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import {
  type Numbers,
  ofSquares,
  type RegionOptions,
  type RegionTarget,
  region,
  type Sums,
} from '../family/region/index.js'

/** Options of {@link dice}. */
export interface DiceOptions extends RegionOptions {
  /** Squares p and y in the denominator's sums. Default false. */
  squaredPred?: boolean
}

/**
 * Soft Dice loss: 1 − (2·Σ p·y + smoothNr) / (Σ p + Σ y + smoothDr) of each sample and class, the sums over its positions.
 *
 * With A and B the numerator and denominator the gradient by p is (A − 2·y·B)/B², with `squaredPred` (2·p·A − 2·y·B)/B²;
 * from there through the activation: p·(1 − p) of a sigmoid, p_c·(g_c − Σ_k g_k·p_k) of a softmax; times gradOutput /
 * denominator. The gradient by y (`targetGrad`) is the same with p and y in each other's place, without the activation.
 *
 * - `input`: probabilities, or logits with an `activation`, [N, C, d1, …]; see `classAxis`. `target`: a mask or soft labels in
 *   the shape of the input, or a class index for each position. A softmax needs at least two classes.
 * - `'mean'` (default) divides the sum over samples and classes by their number; `'sum'` does not divide; `'none'` returns the
 *   value of each. The mean over nothing is NaN (`emptyMean`) with a gradient of zeros.
 * - The value keeps its digits where the prediction is nearly the target, since it is computed as (B − A)/B with
 *   B − A = Σ p·(1 − y) + Σ (1 − p)·y, or Σ (p − y)², and the difference of the smoothing terms. Where those are equal it is
 *   never negative.
 * - An empty prediction of an empty target costs 0 where the two smoothing terms are equal, and is NaN where they are 0.
 * - Without smoothing, planes that hold next to nothing are computed in double precision: as long as there is anything to
 *   divide by there is a value, and a gradient that is finite where single precision can hold it, and infinite elsewhere. With
 *   `squaredPred` targets below 1e-18 count as 0 beside larger predictions.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { dice } from 'fused-loss'
 *
 * const probabilities = Float32Array.of(1, 0.5, 0, 0.5)
 * const mask = Float32Array.of(1, 1, 0, 0)
 * dice(probabilities, mask, { smoothNr: 0, smoothDr: 0 }) // → 0.25
 * dice.backward(probabilities, mask, { smoothNr: 0, smoothDr: 0 }) // → [-0.3125, -0.3125, 0.1875, 0.1875]
 * @see Milletari et al., V-Net (2016); MONAI `DiceLoss`. The soft Dice that is written with the smoothing inside the factor 2
 *   is `smoothNr: 2 * smooth, smoothDr: smooth`.
 */
export const dice: Loss<Floats, RegionTarget, DiceOptions> = /* @__PURE__ */ region({
  family: 'region',
  name: 'dice',
  params: {},
  squared: true,
  value: diceValue,
  slope: diceSlope,
})

/** The loss of a plane, or of weighted sums of planes. */
export function diceValue(sums: Sums, numbers: Numbers): number {
  const { gap, b } = terms(sums, numbers)
  return gap / b
}

/** Its derivative by p. */
export function diceSlope(sums: Sums, numbers: Numbers, squared: boolean): readonly [a: number, k: number, b: number] {
  const { gap, a, b } = terms(sums, numbers)
  // Without anything to divide by there is no value either.
  if (b === 0) return [0, 0, 0]
  if (squared) return ofSquares((2 * a) / b ** 2, 2 / b, (2 * gap) / b ** 2)
  return [-(gap + b) / b ** 2, 0, a / b ** 2]
}

/** A, B and the gap B − A: of what only one of p and y has it is exact where it is small. */
function terms(
  { tp, fp, fn }: Sums,
  { smoothNr, smoothDr }: Numbers,
): { readonly gap: number; readonly a: number; readonly b: number } {
  const off = fp + fn
  return { gap: off + (smoothDr - smoothNr), a: 2 * tp + smoothNr, b: 2 * tp + off + smoothDr }
}
