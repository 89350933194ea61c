import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, lt, mul, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link quantile}. */
export interface QuantileOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** q in (0, 1): the quantile that is predicted. Default 0.5. */
  q?: number
}

/**
 * Quantile (pinball) loss: with e = t − x, q·e of each element where e > 0, and (q − 1)·e elsewhere.
 *
 * The gradient is −q where the prediction is too low and 1 − q where it is too high, times gradOutput / denominator; by the target it is
 * the negative of that. It is 0 where e is 0.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape. For several quantiles of one target, call the loss once
 *   with each, or see "Rows of columns" in `docs/your-own-loss.md`.
 * - `q` in (0, 1): the quantile that is predicted. Default 0.5, which is half of `l1`.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN and ±∞ reach the value; NaN reaches the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { quantile } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 3, 2)
 * const target = Float32Array.of(2, 2, 2)
 * quantile(input, target, { q: 0.75, reduction: 'none' }) // → [0.75, 0.25, 0]
 * quantile.backward(input, target, { q: 0.75, reduction: 'sum' }) // → [-0.75, 0.25, 0]
 * @see scikit-learn `sklearn.metrics.mean_pinball_loss`; Koenker and Bassett, Regression Quantiles (1978)
 */
export const quantile: Loss<Floats, Floats, QuantileOptions> = /* @__PURE__ */ expressionLoss({
  name: 'quantile',
  inputs: { input, target: input },
  params: { q: { default: 0.5, expected: 'a number in (0, 1)', holds: (q) => q > 0 && q < 1, samples: [0.1, 0.9] } },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { q }) {
    const e = sub(target, input)
    return mul(where(lt(e, 0), sub(1, q), q), abs(e))
  },
})
