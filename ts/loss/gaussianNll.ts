import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { add, custom, detach, div, log, mul, neg, pow, sub } from '../expression/node.js'
import { lifted } from '../expression/stable.js'
import type { Floats } from '../family/arrays.js'
import type { Denominator, LossOf } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link gaussianNll}. */
export interface GaussianNllOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** Whether the constant ½·ln 2π is added. Default false. */
  full?: boolean
  /** The least variance that is computed with. Default 1e-6. */
  eps?: number
  /**
   * β of the β-NLL: value and gradients of an element are multiplied by its variance^β, which counts as a constant. Default 0; ½ keeps
   * elements of large variance from being left behind.
   */
  beta?: number
  /** `true` or a buffer: d(value)/d(variance) as well; only `true` where the variance is a number. */
  varianceGrad?: boolean | Float32Array
}

/**
 * Negative log-likelihood of normal distributions: ½·(ln v + (x − t)²/v) of each element, where v is the variance or eps, whichever is
 * larger.
 *
 * With d = x − t the gradient is d/v, times gradOutput / denominator; by the target it is the negative of that, and by the variance
 * ½·(1 − d²/v)/v. The last is taken at v also where the variance is below eps, as if v were the variance: the derivative of the larger
 * one, 0, would never lift it again.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `variance`: one per element; or one number, or one per row: of as many as the shape has elements without its last axis. Its gradient is the
 *   sum over what it stands for then, a number or an array of that length.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, as a variance below 0; nothing is written then
 * @example
 * import { gaussianNll } from 'fused-loss'
 *
 * const mean = Float32Array.of(1, 2, 3, 4)
 * const target = Float32Array.of(1, 0, 3, 8)
 * const loss = gaussianNll.with({ reduction: 'sum', shape: [2, 2], varianceGrad: true })
 * const { value, grad, varianceGrad } = loss.valueAndGrad(mean, target, Float32Array.of(1, 4))
 * value.toFixed(4) // → '5.3863'
 * grad // → [0, 2, 0, -1]
 * varianceGrad // → [-1, -0.25]
 * loss.valueAndGrad(mean, target, 4).varianceGrad // → -0.125
 * @see PyTorch `torch.nn.functional.gaussian_nll_loss`, whose `var` is the variance; Seitzer et al., On the Pitfalls of Heteroscedastic
 *   Uncertainty Estimation with Probabilistic Neural Networks (2022), for β
 */
export const gaussianNll: LossOf<
  [input: Floats, target: Floats, variance: Floats | number],
  GaussianNllOptions,
  'mean',
  Denominator & { targetGrad?: Float32Array; varianceGrad?: Float32Array | number }
> = /* @__PURE__ */ expressionLoss({
  name: 'gaussianNll',
  inputs: {
    input,
    target: input,
    variance: input.within(0, Infinity, { hint: 'of its logarithm pass variance.map(Math.exp)' }).broadcast(),
  },
  params: {
    full: false,
    eps: { default: 1e-6, expected: 'a number > 0', holds: (eps) => eps > 0, samples: [0.05] },
    beta: { default: 0, expected: 'a number ≥ 0', holds: (beta) => beta >= 0, samples: [0.5, 1, 0.3] },
  },
  draws: { input: 'real', target: 'real', variance: 'positive' },
  loss({ input, target, variance }, { full, eps, beta }) {
    const d = sub(input, target)
    const v = lifted(variance, eps)
    const z = div(d, v)
    // The square is taken of no number that the division has not made smaller, and the slopes are made of the same quotient.
    const square = mul(d, z)
    const value = mul(0.5, add(log(v), square))
    const ofVariance = div(mul(0.5, sub(1, square)), v)
    const loss = custom(
      full ? add(value, Math.log(2 * Math.PI) / 2) : value,
      [input, z],
      [target, neg(z)],
      [variance, ofVariance],
    )
    return mul(detach(pow(v, beta)), loss)
  },
})
