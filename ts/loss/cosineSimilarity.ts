import type { Floats } from '../family/arrays.js'
import { type EmbeddingOptions, embedding } from '../family/embedding/index.js'
import type { Loss } from '../family/loss.js'

/** Options of {@link cosineSimilarity}. */
export interface CosineSimilarityOptions extends EmbeddingOptions {
  /** A row with a norm of at most this has the similarity 0 with every other, and no gradient. Default 1e-8. */
  eps?: number
  /** `true` or a buffer: d(value)/d(target) as well. */
  targetGrad?: boolean | Float32Array
}

/**
 * Cosine similarity of pairs of rows, negative so that less is better: −cos = −x·t/(‖x‖·‖t‖) of each row x of the input and t of the
 * target. The cosine distance is 1 more.
 *
 * With x̂ = x/‖x‖ and t̂ = t/‖t‖ the gradient is (cos·x̂ − t̂)/‖x‖, times gradOutput / denominator; by the target it is (cos·t̂ − x̂)/‖t‖.
 *
 * - `input`, `target`: arrays of the same length, with `shape: [N, D]` for N rows of D numbers, or tensors of such a shape. `[D]` is
 *   one row, and of `[N, d1, D]` each of the first axes is one of rows.
 * - `sampleWeight`, `mask`: one per row, or for the first axes of the rows. A number of a row has no weight.
 * - `'mean'` (default) divides the sum by the number of rows that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each row. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. Rows may be as long or short as floats can make them: what lies between is computed in double
 *   precision. NaN and ±∞ make NaN of the row's value and gradients.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, or the shape is missing; nothing is written then
 * @example
 * import { cosineSimilarity } from 'fused-loss'
 *
 * const input = Float32Array.of(3, 4, 1, 0)
 * const target = Float32Array.of(3, 4, 0, 2)
 * cosineSimilarity(input, target, { shape: [2, 2], reduction: 'none' }) // → [-1, 0]
 * const { grad, targetGrad } = cosineSimilarity.valueAndGrad(input, target, {
 *   shape: [2, 2],
 *   reduction: 'sum',
 *   targetGrad: true,
 * })
 * grad.subarray(2) // → [0, -1]
 * targetGrad.subarray(2) // → [-0.5, 0]
 * @see PyTorch `torch.nn.functional.cosine_similarity`, the negative of this; Keras `keras.losses.cosine_similarity`
 */
export const cosineSimilarity: Loss<Floats, Floats, CosineSimilarityOptions> = /* @__PURE__ */ embedding({
  family: 'embedding',
  name: 'cosineSimilarity',
  rows: ['input', 'target'],
  params: {
    eps: { default: 1e-8, expected: 'a finite number ≥ 0', holds: (eps) => eps >= 0, samples: [0, 0.75] },
  },
  measure: ([eps]) => ({ kind: 'cosine', least: eps, added: 0 }),
  pairs: () => 1,
  formula: (cosine) => ({ value: 0 - cosine, xy: -1, xz: 0, yz: 0 }),
})
