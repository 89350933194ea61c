import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type SoftmaxOptions, softmax } from '../family/softmax/index.js'

/**
 * Softmax cross-entropy: −ln p_y of each position, p = softmax(x/T) over its classes; of a distribution q of classes,
 * −Σ_c q_c·ln p_c.
 *
 * With class weights w, label smoothing ε and C classes the target is t_c = w_c·((1 − ε)·q_c + ε/C), q_c = [c = y] for a class
 * index; the value is −Σ_c t_c·ln p_c, and its gradient (p_c·Σ t − t_c) / T · gradOutput / denominator. For class indices the
 * weight of the first term is w_y throughout.
 *
 * - `input`: scores [N, C] or [N, C, d1, …], or [N, d1, …, C] with `classAxis: -1`. `target`: a class index for each position,
 *   or a Float32Array of the input's shape with a distribution for each, whose gradient `targetGrad` asks for.
 * - `'mean'` (default) divides the sum by Σ w_y over the positions that count, without weights by their number; for
 *   distributions always by their number. `'sum'` does not divide; `'none'` returns the value of each position. The mean over
 *   nothing (no positions, all ignored, no weight) is NaN (`emptyMean`) with a gradient of zeros.
 * - Every index is checked. A position that is ignored or masked counts for nothing, even if it holds NaN. A score of −∞ off
 *   the target is a class that cannot be; +∞, NaN, or −∞ in all classes make the position NaN.
 * - Where a class is nearly certain, value and gradients keep their digits; what is below 1.2e-38 may become 0.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { crossEntropy } from 'fused-loss'
 *
 * const logits = Float32Array.of(1, 2, 3, 1, 2, 4)
 * const labels = Int32Array.of(0, 1)
 * const options = { shape: [2, 3], weight: [1, 2, 3], ignoreIndex: 1, labelSmoothing: 0.2 }
 * crossEntropy(logits, labels, options).toFixed(6) // → '2.355794'
 *
 * const distributions = Float32Array.of(0.5, 0.5, 0, 0, 0, 1)
 * crossEntropy(logits, distributions, { shape: [2, 3] }).toFixed(4) // → '1.0387'
 * @see PyTorch `torch.nn.functional.cross_entropy`
 */
export const crossEntropy: Loss<Floats, Labels | Floats, SoftmaxOptions> = /* @__PURE__ */ softmax({
  family: 'softmax',
  name: 'crossEntropy',
  kind: 'scores',
  params: {},
  value: (logP) => 0 - logP,
  slope: () => 1,
})
