import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'
import { sign } from '../math.js'

const { fround } = Math

/** Options of {@link smoothL1}. */
export interface SmoothL1Options extends PointwiseOptions {
  /** β ≥ 0: half width of the parabola; with 0 the loss is `l1`. Default 1. */
  beta?: number
}

/**
 * Smooth L1: with d = x − t, d²/2β of each element where |d| < β, and |d| − β/2 elsewhere.
 *
 * The gradient is d/β inside and the sign of d outside, times gradOutput / denominator; by the target it is the negative
 * of that. At |d| = β it is that of the line.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN and ±∞ reach the value; NaN reaches the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { smoothL1 } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 2, 3)
 * const target = Float32Array.of(1, 1.5, 1)
 * smoothL1(input, target, { reduction: 'none' }) // → [0, 0.125, 1.5]
 * smoothL1.backward(input, target, { reduction: 'sum' }) // → [0, 0.5, 1]
 * @see PyTorch `torch.nn.functional.smooth_l1_loss`; Girshick, Fast R-CNN (2015)
 */
export const smoothL1: Loss<Floats, Floats, SmoothL1Options> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'smoothL1',
  params: { beta: { default: 1, expected: 'a number ≥ 0', holds: (beta) => beta >= 0, samples: [0, 0.25, 3] } },
  domain: { input: 'real', target: 'real' },
  formula(x, t, _aux, beta) {
    const d = Math.abs(x - t)
    return d < beta ? d ** 2 / (2 * beta) : d - beta / 2
  },
  inDouble(x, t, p0) {
    const beta = fround(p0)
    const d = x - t
    const inside = Math.abs(d) < beta
    return inside ? [0.5 * d * (d / beta), d / beta] : [Math.abs(d) - 0.5 * beta, sign(d)]
  },
  kernel(x, t, _aux, start, count, p0, _p1, value, dx, dt) {
    const beta = fround(p0)
    for (let i = 0; i < count; i++) {
      const d = fround(x[start + i] - t[start + i])
      const size = Math.abs(d)
      const inside = size < beta
      const slope = inside ? fround(d / beta) : sign(d)
      value[i] = inside ? 0.5 * d * slope : size - 0.5 * beta
      dx[i] = slope
      if (dt !== undefined) dt[i] = -slope
    }
  },
})
