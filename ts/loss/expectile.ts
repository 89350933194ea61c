import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { lt, mul, square, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link expectile}. */
export interface ExpectileOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** τ in (0, 1): the expectile that is predicted. Default 0.5. */
  tau?: number
}

/**
 * Expectile loss: with e = t − x, w·e² of each element, where w is τ for e > 0 and 1 − τ elsewhere.
 *
 * The gradient is −2w·e · gradOutput / denominator; by the target it is the negative of that.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `tau` τ in (0, 1): the expectile that is predicted. Default 0.5, which is half of `mse`.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN and ±∞ reach the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { expectile } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 3, 2)
 * const target = Float32Array.of(3, 2, 2)
 * expectile(input, target, { tau: 0.75, reduction: 'none' }) // → [3, 0.25, 0]
 * expectile.backward(input, target, { tau: 0.75, reduction: 'sum' }) // → [-3, 0.5, 0]
 * @see Newey and Powell, Asymmetric Least Squares Estimation and Testing (1987)
 */
export const expectile: Loss<Floats, Floats, ExpectileOptions> = /* @__PURE__ */ expressionLoss({
  name: 'expectile',
  inputs: { input, target: input },
  params: {
    tau: { default: 0.5, expected: 'a number in (0, 1)', holds: (tau) => tau > 0 && tau < 1, samples: [0.1, 0.9] },
  },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { tau }) {
    const e = sub(target, input)
    return mul(where(lt(e, 0), sub(1, tau), tau), square(e))
  },
})
