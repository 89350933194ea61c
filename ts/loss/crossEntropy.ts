import type { Loss } from '../family/loss.js'
import type { Floats } from '../family/pointwise.js'
import { type Labels, type SoftmaxOptions, softmax } from '../family/softmax.js'

/**
 * Softmax cross-entropy: −ln p_y of each row, p = softmax(x/T).
 *
 * With class weights w, label smoothing ε and C classes the value of a row is
 * (1 − ε)·w_y·(−ln p_y) + (ε/C)·Σ_c w_c·(−ln p_c), and its gradient
 * ((1 − ε)·w_y·(p_c − [c = y]) + (ε/C)·(p_c·Σ w − w_c)) / T · gradOutput / denominator.
 *
 * - `input`: scores [N, C], row after row. `target`: N class indices.
 * - `'mean'` (default) divides the sum by Σ w_y over the rows that are not ignored, without weights by their number; `'sum'`
 *   does not divide; `'none'` returns the value of each row. The mean over nothing (no rows, all ignored, no weight) is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Every index is checked. An ignored row counts for nothing, even if it holds NaN. A score of −∞ off the label is a
 *   class that cannot be; +∞, NaN, or −∞ in all of a row make that row NaN.
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
 * @see PyTorch `torch.nn.functional.cross_entropy`
 */
export const crossEntropy: Loss<Floats, Labels, SoftmaxOptions> = /* @__PURE__ */ softmax({
  family: 'softmax',
  name: 'crossEntropy',
  value: (logP) => 0 - logP,
  slope: () => 1,
})
