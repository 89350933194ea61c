import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import {
  abs,
  add,
  custom,
  div,
  le,
  log1p,
  max,
  min,
  mul,
  mulsign,
  neg,
  square,
  sub,
  where,
} from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link msle}. */
export interface MsleOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** ε ≥ 0: the least number that counts. Default 1e-7. */
  eps?: number
}

/**
 * Mean squared logarithmic error: l² of each element, with l = ln(1 + max(x, ε)) − ln(1 + max(t, ε)).
 *
 * The gradient is 2l/(1 + x) · gradOutput / denominator, and by the target −2l/(1 + t) times the same. **A prediction that is not above ε
 * has the gradient 0**, so that one below 0 stays there: let the model end in a function whose values are positive, such as softplus.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape, of numbers ≥ 0; smaller ones count as ε.
 * - `eps` ε ≥ 0: the least number that counts. Default 1e-7.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Predictions close to their targets keep their digits. NaN reaches the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { msle } from 'fused-loss'
 *
 * const input = Float32Array.of(Math.E - 1, 3, -2)
 * const target = Float32Array.of(0, 3, 0)
 * msle(input, target, { reduction: 'none' }).map((v) => Math.round(v * 1e4) / 1e4) // → [1, 0, 0]
 * msle.backward(input, target, { reduction: 'sum' }).map((g) => Math.round(g * 100)) // → [74, 0, 0]
 * @see Keras `keras.losses.MeanSquaredLogarithmicError`
 */
export const msle: Loss<Floats, Floats, MsleOptions> = /* @__PURE__ */ expressionLoss({
  name: 'msle',
  inputs: { input, target: input },
  params: { eps: { default: 1e-7, expected: 'a number ≥ 0', holds: (eps) => eps >= 0, samples: [0, 0.05] } },
  draws: { input: 'positive', target: 'positive' },
  loss({ input, target }, { eps }) {
    const [x, t] = [max(input, eps), max(target, eps)]
    const d = sub(x, t)
    // The larger one over the smaller one is 1 + |d|/(1 + the smaller one): a difference of two logarithms would cancel.
    const size = log1p(div(abs(d), add(1, min(x, t))))
    const twice = mul(2, mulsign(size, d))
    return custom(
      square(size),
      [input, where(le(input, eps), 0, div(twice, add(1, x)))],
      [target, where(le(target, eps), 0, neg(div(twice, add(1, t))))],
    )
  },
})
