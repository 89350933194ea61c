import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, ge, max, mul, neg, sign, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link smape}. */
export interface SmapeOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** ε ≥ 1e-30: the least divisor. Default 1e-7. */
  eps?: number
}

/**
 * Symmetric mean absolute percentage error: 200·|x − t|/m of each element, with m = max(|x| + |t|, ε), which is at most 200.
 *
 * The gradient is ±400·|t|/m² · gradOutput / denominator, with the sign of x − t, where x and t have the same sign, and 0 where they have
 * different ones: the error is 200 there, whatever they are. Below ε it is ±200/ε. By the target it is the negative of that, with |x| in
 * the place of |t|.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `eps` ε ≥ 1e-30: the least divisor. Default 1e-7.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - It is 0 where both are 0. At x = 0, a kink, the gradient is ±200/m. All backends give the same bits. NaN reaches the value and the
 *   element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { smape } from 'fused-loss'
 *
 * const input = Float32Array.of(3, 1, 0)
 * const target = Float32Array.of(1, -4, 0)
 * smape(input, target, { reduction: 'none' }) // → [100, 200, 0]
 * smape.backward(input, target, { reduction: 'sum' }) // → [25, 0, 0]
 * @see Makridakis and Hibon, The M3-Competition (2000)
 */
export const smape: Loss<Floats, Floats, SmapeOptions> = /* @__PURE__ */ expressionLoss({
  name: 'smape',
  inputs: { input, target: input },
  // A smaller one would have no reciprocal in single precision.
  params: { eps: { default: 1e-7, expected: 'a number ≥ 1e-30', holds: (eps) => eps >= 1e-30, samples: [1e-30, 0.5] } },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { eps }) {
    const d = sub(input, target)
    const [x, t] = [abs(input), abs(target)]
    // Halves, whose sum does not overflow.
    const half = add(mul(0.5, x), mul(0.5, t))
    const least = mul(0.5, eps)
    const m = max(half, least)
    // 2 where both have the same sign, 0 where they have different ones, and 1 at a kink. By the rule of the quotient each slope would
    // be a difference of two numbers that are nearly equal where the other argument is near 0.
    const agreement = add(1, mul(sign(input), sign(target)))
    const slope = div(mul(100, sign(d)), m)
    const ratio = (other: typeof x) => where(ge(half, least), div(mul(mul(0.5, agreement), other), m), 1)
    return custom(mul(100, div(abs(d), m)), [input, mul(slope, ratio(t))], [target, neg(mul(slope, ratio(x)))])
  },
})
