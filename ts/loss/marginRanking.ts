import { expressionLoss } from '../expression/define.js'
import { input, signs } from '../expression/inputs.js'
import { mul, sub } from '../expression/node.js'
import { positivePart } from '../expression/stable.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { Denominator, LossOf } from '../family/loss.js'
import type { HingeOptions } from './hinge.js'

/** Options of {@link marginRanking}. */
export interface MarginRankingOptions extends Omit<HingeOptions, 'margin'> {
  /** By how much the one score must be above the other. Default 0. */
  margin?: number
  /** `true` or a buffer: d(value)/d(input2) as well. */
  input2Grad?: boolean | Float32Array
}

/**
 * Margin ranking loss: max(0, margin − t·(x₁ − x₂)) of each pair of scores, where the label t is 1 if the first must be higher and −1 if
 * the second.
 *
 * The gradient by `input1` is −t where margin − t·(x₁ − x₂) > 0, elsewhere 0, times gradOutput / denominator; by `input2`, which
 * `input2Grad` asks for, it is the negative of that.
 *
 * - `input1`, `input2`: scores, arrays of the same length or tensors of the same shape.
 * - `target`: labels of the same length, −1 and 1, in a Float32Array or integers; with `zeroOne`, and in arrays of unsigned
 *   integers, 0 and 1 in their place.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit: a label is none, as 0 is without `zeroOne`. Nothing is written then
 * @example
 * import { marginRanking } from 'fused-loss'
 *
 * const first = Float32Array.of(3, 1, 2)
 * const second = Float32Array.of(1, 3, 2)
 * const labels = Float32Array.of(1, 1, -1)
 * const loss = marginRanking.with({ margin: 0.5, reduction: 'none', input2Grad: true })
 * const { value, grad, input2Grad } = loss.valueAndGrad(first, second, labels)
 * value // → [0, 2.5, 0.5]
 * grad // → [0, -1, 1]
 * input2Grad // → [0, 1, -1]
 * @see PyTorch `torch.nn.functional.margin_ranking_loss`
 */
export const marginRanking: LossOf<
  [input1: Floats, input2: Floats, target: Floats | Labels],
  MarginRankingOptions,
  'mean',
  Denominator & { input2Grad?: Float32Array }
> = /* @__PURE__ */ expressionLoss({
  name: 'marginRanking',
  inputs: { input1: input, input2: input, target: signs },
  params: { margin: { default: 0, samples: [0.25, 2] } },
  draws: { input1: 'real', input2: 'real', target: 'sign' },
  loss: ({ input1, input2, target }, { margin }) => positivePart(sub(margin, mul(target, sub(input1, input2)))),
})
