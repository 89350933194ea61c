import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, expm1, log1p, lt, mul, mulsign, neg, square, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/**
 * Log-cosh: ln cosh d of each element, with d = x − t. It is d²/2 near 0 and |d| − ln 2 far from it.
 *
 * The gradient is tanh d · gradOutput / denominator; by the target it is the negative of that.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Small differences keep their digits: d + ln(1 + e^−2d) − ln 2, the usual form, has none left there. NaN and ±∞ reach the value; NaN
 *   reaches the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { logCosh } from 'fused-loss'
 *
 * const input = Float32Array.of(0, Math.LN2, 100)
 * const target = Float32Array.of(0, 0, 0)
 * logCosh(input, target, { reduction: 'none' }).map((v) => Math.round(v * 1e4)) // → [0, 2231, 993069]
 * logCosh.backward(input, target, { reduction: 'sum' }).map((g) => Math.round(g * 10)) // → [0, 6, 10]
 * @see Keras `keras.losses.LogCosh`; Optax `optax.losses.log_cosh`
 */
export const logCosh: Loss<Floats, Floats, Omit<PointwiseOptions, 'ignoreIndex'>> = /* @__PURE__ */ expressionLoss({
  name: 'logCosh',
  inputs: { input, target: input },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }) {
    const d = sub(input, target)
    const size = abs(d)
    const e = expm1(mul(-2, size))
    // cosh² is 1 + sinh², and sinh² is e²/(4(1 + e)); cosh is also e^|d|·(1 + e/2), of which nothing overflows far from 0.
    const isNear = lt(size, 1)
    const log = log1p(where(isNear, div(square(e), mul(4, add(1, e))), mul(0.5, e)))
    return custom(where(isNear, mul(0.5, log), add(size, log)), [d, mulsign(neg(div(e, add(2, e))), d)])
  },
})
