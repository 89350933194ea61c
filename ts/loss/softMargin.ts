import { expressionLoss } from '../expression/define.js'
import { anySigns, input } from '../expression/inputs.js'
import { mul, neg, softplus } from '../expression/node.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link softMargin}. */
export interface SoftMarginOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** Whether labels are 0 and 1, and not −1 and 1. Default false; those in an array of unsigned integers always are 0 and 1. */
  zeroOne?: boolean
}

/**
 * Logistic loss of labels −1 and 1: ln(1 + e^(−t·x)) of each element, finite for all scores that are.
 *
 * The gradient is −t·σ(−t·x), and by the target −x·σ(−t·x), times gradOutput / denominator; with labels of 0 and 1 that is the gradient
 * by these, −2x·σ(−t·x).
 *
 * - `input`: scores. `target`: labels of the same length, −1 and 1 or any number, in a Float32Array; integers may be −1 and 1 alone. With
 *   `zeroOne`, and in arrays of unsigned integers, 0 and 1 stand in their place.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit: all float labels are 0 or 1 without `zeroOne`, which would train on 0 as if it were a sign. Nothing is written then
 * @example
 * import { softMargin } from 'fused-loss'
 *
 * const scores = Float32Array.of(0, -1000, 1000)
 * const { value, grad } = softMargin.valueAndGrad(scores, Float32Array.of(1, 1, 1), { reduction: 'none' })
 * value.map((v) => Math.round(v * 1000) / 1000) // → [0.6930000185966492, 1000, 0]
 * grad // → [-0.5, -1, 0]
 * @see PyTorch `torch.nn.functional.soft_margin_loss`
 */
export const softMargin: Loss<Floats, Floats | Labels, SoftMarginOptions> = /* @__PURE__ */ expressionLoss({
  name: 'softMargin',
  inputs: { input, target: anySigns },
  draws: { input: 'real', target: 'sign' },
  loss: ({ input, target }) => softplus(neg(mul(target, input))),
})
