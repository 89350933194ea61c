import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, log, neg, sign, sub } from '../expression/node.js'
import { lifted } from '../expression/stable.js'
import type { Floats } from '../family/arrays.js'
import type { Denominator, LossOf } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link laplaceNll}. */
export interface LaplaceNllOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** Whether the constant ln 2 is added. Default false. */
  full?: boolean
  /** The least scale that is computed with. Default 1e-6. */
  eps?: number
  /** `true` or a buffer: d(value)/d(scale) as well; only `true` where the scale is a number. */
  scaleGrad?: boolean | Float32Array
}

/**
 * Negative log-likelihood of Laplace distributions: ln s + |x − t|/s of each element, where s is the scale or eps, whichever is larger.
 *
 * With d = x − t the gradient is sign(d)/s, 0 where d = 0, times gradOutput / denominator; by the target it is the negative of that, and
 * by the scale (1 − |d|/s)/s. The last is taken at s also where the scale is below eps, as if s were the scale: the derivative of the
 * larger one, 0, would never lift it again.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `scale`: one per element; or one number, or one per row: of as many as the shape has elements without its last axis. Its gradient is the
 *   sum over what it stands for then, a number or an array of that length.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, as a scale below 0; nothing is written then
 * @example
 * import { laplaceNll } from 'fused-loss'
 *
 * const loss = laplaceNll.with({ reduction: 'none', scaleGrad: true })
 * const scale = Float32Array.of(1, 2)
 * const { value, grad, scaleGrad } = loss.valueAndGrad(Float32Array.of(3, 3), Float32Array.of(1, 4), scale)
 * value.map((v) => Math.round(v * 1000) / 1000) // → [2, 1.1929999589920044]
 * grad // → [1, -0.5]
 * scaleGrad // → [-1, 0.25]
 * @see PyTorch `torch.distributions.Laplace(x, s).log_prob(t)`, whose negative it is with `full`
 */
export const laplaceNll: LossOf<
  [input: Floats, target: Floats, scale: Floats | number],
  LaplaceNllOptions,
  'mean',
  Denominator & { targetGrad?: Float32Array; scaleGrad?: Float32Array | number }
> = /* @__PURE__ */ expressionLoss({
  name: 'laplaceNll',
  inputs: {
    input,
    target: input,
    scale: input.within(0, Infinity, { hint: 'of its logarithm pass scale.map(Math.exp)' }).broadcast(),
  },
  params: {
    full: false,
    eps: { default: 1e-6, expected: 'a number > 0', holds: (eps) => eps > 0, samples: [0.05] },
  },
  draws: { input: 'real', target: 'real', scale: 'positive' },
  loss({ input, target, scale }, { full, eps }) {
    const d = sub(input, target)
    const s = lifted(scale, eps)
    const z = div(abs(d), s)
    const value = add(log(s), z)
    const slope = div(sign(d), s)
    const ofScale = div(sub(1, z), s)
    return custom(full ? add(value, Math.LN2) : value, [input, slope], [target, neg(slope)], [scale, ofScale])
  },
})
