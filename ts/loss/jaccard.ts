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

/** Options of {@link jaccard}. */
export interface JaccardOptions extends RegionOptions {
  /** Squares p and y in the denominator's own sums. Default false. */
  squaredPred?: boolean
}

/**
 * Soft Jaccard loss (intersection over union): 1 − (2·Σ p·y + smoothNr) / (2·(Σ p + Σ y − Σ p·y) + smoothDr) of each sample and
 * class, the sums over its positions.
 *
 * With A and B the numerator and denominator the gradient by p is (A·(2 − 2·y) − 2·y·B)/B², and from there through the
 * activation as in `dice`; times gradOutput / denominator. The gradient by y (`targetGrad`) is the same with p and y in each
 * other's place, without the activation.
 *
 * - `input`, `target`, the reductions and the digits are those of `dice`: here B − A is twice what it is there.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { jaccard } from 'fused-loss'
 *
 * const probabilities = Float32Array.of(1, 0.5, 0, 0.5)
 * const mask = Float32Array.of(1, 1, 0, 0)
 * jaccard(probabilities, mask, { smoothNr: 0, smoothDr: 0 }) // → 0.4
 * @see MONAI `DiceLoss(jaccard=True)`
 */
export const jaccard: Loss<Floats, RegionTarget, JaccardOptions> = /* @__PURE__ */ region({
  family: 'region',
  name: 'jaccard',
  params: {},
  squared: true,
  value(sums, numbers) {
    const { gap, b } = terms(sums, numbers)
    return gap / b
  },
  slope(sums, numbers, squared) {
    const { gap, a, b } = terms(sums, numbers)
    // Without anything to divide by there is no value either.
    if (b === 0) return [0, 0, 0]
    if (squared) return ofSquares((4 * a) / b ** 2, (2 * a + 2 * b) / b ** 2, (2 * gap) / b ** 2)
    return [-2 / b, 0, (2 * a) / b ** 2]
  },
})

/** A, B and the gap B − A: of what only one of p and y has it is exact where it is small. */
function terms(
  { tp, fp, fn }: Sums,
  { smoothNr, smoothDr }: Numbers,
): { readonly gap: number; readonly a: number; readonly b: number } {
  const off = fp + fn
  return { gap: 2 * off + (smoothDr - smoothNr), a: 2 * tp + smoothNr, b: 2 * (tp + off) + smoothDr }
}
