import type { Floats } from '../family/arrays.js'
import { type EmbeddingOptions, embedding } from '../family/embedding/index.js'
import type { Denominator, LossOf } from '../family/loss.js'

/** Options of {@link tripletMargin}. */
export interface TripletMarginOptions extends EmbeddingOptions {
  /** How much farther than the positive row the negative one should be, > 0. Default 1. */
  margin?: number
  /** How the distance of two rows is taken: `'lp'` (default), `'squared'` or `'cosine'`. */
  distance?: 'lp' | 'squared' | 'cosine'
  /** The norm of the distance `'lp'`: at least 1, or Infinity for the largest of the differences. Default 2. */
  p?: number
  /** What is added to each difference of the distance `'lp'`. Default 1e-6. */
  eps?: number
  /** Whether the negative row may also be too near to the positive one: the less of both distances counts. Default false. */
  swap?: boolean
  /** Whether the loss is ln(1 + e^z) in place of max(0, z). Default false. */
  smooth?: boolean
  /** `true` or a buffer: d(value)/d(positive) as well. */
  positiveGrad?: boolean | Float32Array
  /** `true` or a buffer: d(value)/d(negative) as well. */
  negativeGrad?: boolean | Float32Array
}

/** The largest norm of a row that has no direction. */
const LEAST = 1e-8

/**
 * Triplet margin loss: max(0, z) of each anchor a, its positive row p and its negative row n, with z = margin + δ(a, p) − δ(a, n) and the
 * distance δ(x, y) = ‖x − y + eps‖₂, or another. The loss is 0 once the negative row is farther than the positive one by the margin.
 *
 * - `distance: 'lp'` takes the norm of x − y + eps that `p` says, (Σ |u|^p)^(1/p), and for Infinity the largest |u|; `'squared'` takes
 *   Σ (x − y)²; `'cosine'` takes 1 − cos, where a row with a norm of at most 1e-8 has the cosine 0 with every other and no gradient.
 * - With `swap` the distance δ(p, n) stands in place of δ(a, n) where it is smaller. With `smooth` the loss is ln(1 + e^z).
 * - The gradient by `anchor` is g·(dδ(a, p)/da − dδ(a, n)/da), by `positive`, which `positiveGrad` asks for, g·dδ(a, p)/dp, and by `negative`,
 *   by `negativeGrad`, −g·dδ(a, n)/dn, each times gradOutput / denominator. g is 1 where z > 0 and else 0, or σ(z) with `smooth`; where
 *   `swap` takes δ(p, n), that has the gradients of δ(a, n), and where both are equal each has half of them. With u = x − y + eps,
 *   dδ/dx is sign(u)·(|u|/‖u‖)^(p − 1), for Infinity sign(u) shared among the largest, and 0 where ‖u‖ is 0.
 * - `anchor`, `positive`, `negative`: arrays of the same length, with `shape: [N, D]` for N rows of D numbers, or tensors of such a shape.
 *   `[D]` is one row, and of `[N, d1, D]` each of the first axes is one of rows.
 * - `sampleWeight`, `mask`: one per row, or for the first axes of the rows. A number of a row has no weight.
 * - `'mean'` (default) divides the sum by the number of rows that count, those whose loss is 0 among them, with weights too, or with
 *   `meanBy: 'weight'` by the sum of the weights; `'sum'` does not divide; `'none'` returns the value of each row. The mean over nothing is
 *   NaN (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits, unless p is another than 1, 2 and Infinity, or `smooth` is set: these take powers and exponentials.
 *   Rows may be as long or short as floats can make them: what lies between is computed in double precision. NaN in a row makes NaN of the
 *   value and the gradients.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, or the shape is missing; nothing is written then
 * @example
 * import { tripletMargin } from 'fused-loss'
 *
 * const anchor = Float32Array.of(1, 1, 0, 0)
 * const positive = Float32Array.of(3, 2, 3, 4)
 * const negative = Float32Array.of(2, 3, 0, 9)
 * const loss = tripletMargin.with({ shape: [2, 2] })
 * loss(anchor, positive, negative, { eps: 0, reduction: 'none' }) // → [1, 0]
 * const { grad, positiveGrad, negativeGrad } = loss.valueAndGrad(anchor, positive, negative, {
 *   distance: 'squared',
 *   reduction: 'sum',
 *   positiveGrad: true,
 *   negativeGrad: true,
 * })
 * grad // → [-2, 2, 0, 0]
 * positiveGrad // → [4, 2, 0, 0]
 * negativeGrad // → [-2, -4, 0, 0]
 * @see PyTorch `torch.nn.functional.triplet_margin_loss`, and `triplet_margin_with_distance_loss` for other distances
 */
export const tripletMargin: LossOf<
  [anchor: Floats, positive: Floats, negative: Floats],
  TripletMarginOptions,
  'mean',
  Denominator & { positiveGrad?: Float32Array; negativeGrad?: Float32Array }
> = /* @__PURE__ */ embedding({
  family: 'embedding',
  name: 'tripletMargin',
  rows: ['anchor', 'positive', 'negative'],
  params: {
    margin: { default: 1, expected: 'a number > 0', holds: (margin) => margin > 0, samples: [0.25, 5] },
    p: {
      default: 2,
      expected: 'at least 1, or Infinity',
      holds: (p) => p >= 1,
      infinite: true,
      samples: [1, 1.5, 3, Infinity],
    },
    eps: { default: 1e-6, expected: 'a finite number ≥ 0', holds: (eps) => eps >= 0, samples: [0, 0.125] },
    swap: { default: 0 },
    distance: { words: { lp: 0, squared: 1, cosine: 2 } },
    smooth: { default: 0 },
  },
  measure([, p, eps, , distance]) {
    if (distance === 1) return { kind: 'square', p: 2, eps: 0 }
    return distance === 2 ? { kind: 'cosine', least: LEAST, added: 0 } : { kind: 'norm', p, eps }
  },
  pairs: ([, , , swap]) => (swap === 1 ? 3 : 2),
  formula(ofPositive, ofNegative, ofBoth, _positive, [margin, , , swap, distance, smooth]) {
    // A cosine says how near rows are, and a distance how far.
    const isCosine = distance === 2
    const near = isCosine ? 1 - ofPositive : ofPositive
    const far = isCosine ? 1 - ofNegative : ofNegative
    const swapped = isCosine ? 1 - ofBoth : ofBoth
    // What the distances of the negative row have of the slope.
    let share = 1
    if (swap === 1 && !(far < swapped)) share = swapped < far ? 0 : 0.5
    const z = margin + (near - (share === 0 ? swapped : far))
    const { value, slope } = smooth === 1 ? softplus(z) : hinge(z)
    const xy = isCosine ? -slope : slope
    return { value, xy, xz: -xy * share, yz: -xy * (1 - share) }
  },
})

/** max(0, z) and its slope; NaN is both. */
function hinge(z: number) {
  if (z <= 0) return { value: 0, slope: 0 }
  return { value: z, slope: z > 0 ? 1 : z }
}

/** ln(1 + e^z) and its slope, the sigmoid of z. */
function softplus(z: number) {
  const e = Math.exp(-Math.abs(z))
  return { value: Math.max(z, 0) + Math.log1p(e), slope: (z < 0 ? e : 1) / (1 + e) }
}
