import { expressionLoss } from '../expression/define.js'
import { input, signs } from '../expression/inputs.js'
import { lt, sub, where } from '../expression/node.js'
import { noticed, positivePart } from '../expression/stable.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { HingeOptions } from './hinge.js'

/**
 * Hinge loss of distances between pairs: x of each element where the label is 1 (a pair that belongs together), and max(0, margin − x)
 * where it is −1.
 *
 * The gradient is 1, or −1 where x < margin and 0 elsewhere, times gradOutput / denominator.
 *
 * - `input`: distances. `target`: labels of the same length, −1 and 1, in a Float32Array or integers; with `zeroOne`, and in arrays of unsigned
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
 * import { hingeEmbedding } from 'fused-loss'
 *
 * const distances = Float32Array.of(0.25, 0.25, 3)
 * const labels = Int8Array.of(1, -1, -1)
 * hingeEmbedding(distances, labels, { reduction: 'none' }) // → [0.25, 0.75, 0]
 * hingeEmbedding.backward(distances, labels, { reduction: 'sum' }) // → [1, -1, 0]
 * @see PyTorch `torch.nn.functional.hinge_embedding_loss`; Hadsell, Chopra and LeCun, Dimensionality Reduction by Learning an
 *   Invariant Mapping (2006)
 */
export const hingeEmbedding: Loss<Floats, Floats | Labels, HingeOptions> = /* @__PURE__ */ expressionLoss({
  name: 'hingeEmbedding',
  inputs: { input, target: signs },
  params: { margin: { default: 1, samples: [0, 0.25, 2] } },
  draws: { input: 'real', target: 'sign' },
  loss: ({ input, target }, { margin }) => where(lt(0, target), noticed(input), positivePart(sub(margin, input))),
})
