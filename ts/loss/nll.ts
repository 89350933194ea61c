import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type LabelOptions, softmax } from '../family/softmax/index.js'

/**
 * Negative log likelihood: −w_y·x_y of each position, x the logarithms of its classes' probabilities.
 *
 * The gradient is −w_y at the label and 0 elsewhere, times gradOutput / denominator.
 *
 * - `input`: log-probabilities [N, C] or [N, C, d1, …], or [N, d1, …, C] with `classAxis: -1`. `target`: a class index for each
 *   position.
 * - `'mean'` (default) divides the sum by Σ w_y over the positions that count, without weights by their number; `'sum'` does
 *   not divide; `'none'` returns the value of each position. The mean over nothing is NaN (`emptyMean`) with a gradient of
 *   zeros.
 * - Every index is checked. A position that is ignored or masked counts for nothing, even if it holds NaN.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { nll } from 'fused-loss'
 *
 * const logProbabilities = Float32Array.of(-0.5, -1, -2, -0.25)
 * nll(logProbabilities, Int32Array.of(0, 1)) // → 0.375
 * nll.backward(logProbabilities, Int32Array.of(0, 1)) // → [-0.5, 0, 0, -0.5]
 * @see PyTorch `torch.nn.functional.nll_loss`
 */
export const nll: Loss<Floats, Labels, LabelOptions> = /* @__PURE__ */ softmax({
  family: 'softmax',
  name: 'nll',
  kind: 'logProbabilities',
  params: {},
  value: (logP) => 0 - logP,
  slope: () => 1,
})
