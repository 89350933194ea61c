import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, custom, div, ge, max, mul, neg, sign, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link mape}. */
export interface MapeOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** ε ≥ 1e-30: the least divisor. Default 1e-7. */
  eps?: number
}

/**
 * Mean absolute percentage error: 100·|x − t|/m of each element, with m = max(|t|, ε).
 *
 * The gradient is ±100/m · gradOutput / denominator, with the sign of x − t and 0 where that is 0. By the target it is the negative of
 * that, times x/t where |t| ≥ ε.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape. A target near 0 makes the error large: see `smape`.
 * - `eps` ε ≥ 1e-30: the least divisor. Default 1e-7.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN reaches the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { mape } from 'fused-loss'
 *
 * const input = Float32Array.of(3, 1, 5)
 * const target = Float32Array.of(2, -4, 5)
 * mape(input, target, { reduction: 'none' }) // → [50, 125, 0]
 * mape.backward(input, target, { reduction: 'sum' }) // → [50, 25, 0]
 * @see Keras `keras.losses.MeanAbsolutePercentageError`
 */
export const mape: Loss<Floats, Floats, MapeOptions> = /* @__PURE__ */ expressionLoss({
  name: 'mape',
  inputs: { input, target: input },
  // A smaller one would have no reciprocal in single precision.
  params: { eps: { default: 1e-7, expected: 'a number ≥ 1e-30', holds: (eps) => eps >= 1e-30, samples: [1e-30, 0.5] } },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { eps }) {
    const d = sub(input, target)
    const size = abs(target)
    const m = max(size, eps)
    const slope = div(mul(100, sign(d)), m)
    // 1 + (x − t)/t, as the rule of the quotient has it, would cancel for x near 0.
    const byTarget = neg(mul(slope, where(ge(size, eps), div(input, target), 1)))
    return custom(mul(100, div(abs(d), m)), [input, slope], [target, byTarget])
  },
})
