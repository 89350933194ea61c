import type { Floats, Labels } from '../family/arrays.js'
import { type EmbeddingOptions, embedding } from '../family/embedding/index.js'
import type { Denominator, LossOf } from '../family/loss.js'

/** Options of {@link cosineEmbedding}. */
export interface CosineEmbeddingOptions extends EmbeddingOptions {
  /** The similarity in [−1, 1] that rows which do not belong together may have. Default 0. */
  margin?: number
  /** Whether labels are 0 and 1 in place of −1 and 1. Default false. */
  zeroOne?: boolean
  /** `true` or a buffer: d(value)/d(input2) as well. */
  input2Grad?: boolean | Float32Array
}

/** The largest norm of a row that counts as 0, and what PyTorch adds to squared norms. */
const LEAST = 1e-8
const ADDED = 1e-12

/**
 * Cosine embedding loss of pairs of rows: 1 − cos where the label is 1, since the rows belong together, and max(0, cos − margin) where
 * it is −1. With A = ‖x₁‖² + 1e-12 and B = ‖x₂‖² + 1e-12, as PyTorch has them, cos is x₁·x₂/√(A·B).
 *
 * The gradient by `input1` is cos·x₁/A − x₂/√(A·B) where the label is 1, and the negative of that where it is −1 and cos > margin, elsewhere
 * 0, times gradOutput / denominator; by `input2`, which `input2Grad` asks for, it is the same with the rows in each other's place. A
 * row with a norm of at most 1e-8 has the similarity 0 with every other, and no gradient.
 *
 * - `input1`, `input2`: arrays of the same length, with `shape: [N, D]` for N rows of D numbers, or tensors of such a shape. `[D]`
 *   is one row, and of `[N, d1, D]` each of the first axes is one of rows.
 * - `target`: a label per row, −1 or 1, in a Float32Array or integers; with `zeroOne`, and in arrays of unsigned integers, 0 and 1 in
 *   their place.
 * - `sampleWeight`, `mask`: one per row, or for the first axes of the rows. A number of a row has no weight.
 * - `'mean'` (default) divides the sum by the number of rows that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each row. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. Rows may be as long or short as floats can make them: what lies between is computed in double
 *   precision. NaN and ±∞ make NaN of the row's value and gradients.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, or the shape is missing: a label is none, as 0 is without `zeroOne`. Nothing is written then
 * @example
 * import { cosineEmbedding } from 'fused-loss'
 *
 * const first = Float32Array.of(1, 0, 0, 2)
 * const second = Float32Array.of(0, 1, 0, 1)
 * const labels = Int8Array.of(1, -1)
 * const loss = cosineEmbedding.with({ shape: [2, 2], margin: 0.25, reduction: 'none' })
 * loss(first, second, labels) // → [1, 0.75]
 * @see PyTorch `torch.nn.functional.cosine_embedding_loss`, where a label of 0 has a loss of 0
 */
export const cosineEmbedding: LossOf<
  [input1: Floats, input2: Floats, target: Floats | Labels],
  CosineEmbeddingOptions,
  'mean',
  Denominator & { input2Grad?: Float32Array }
> = /* @__PURE__ */ embedding({
  family: 'embedding',
  name: 'cosineEmbedding',
  rows: ['input1', 'input2'],
  signs: true,
  params: {
    margin: { default: 0, expected: 'in [-1, 1]', holds: (m) => m >= -1 && m <= 1, samples: [0.25, -0.5] },
  },
  measure: () => ({ kind: 'cosine', least: LEAST, added: ADDED }),
  pairs: () => 1,
  formula(cosine, _xz, _yz, positive, [margin]) {
    if (positive) return { value: 1 - cosine, xy: -1, xz: 0, yz: 0 }
    const value = cosine - margin
    return value <= 0 ? { value: 0, xy: 0, xz: 0, yz: 0 } : { value, xy: 1, xz: 0, yz: 0 }
  },
})
