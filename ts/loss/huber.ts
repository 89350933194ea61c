import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'
import { sign } from '../math.js'

const { fround } = Math

/** Options of {@link huber}. */
export interface HuberOptions extends PointwiseOptions {
  /** δ > 0: from there on the loss is a line. Default 1. */
  delta?: number
}

/**
 * Huber loss: with d = x − t, d²/2 of each element where |d| ≤ δ, and δ·(|d| − δ/2) elsewhere.
 *
 * The gradient is d held within ±δ, times gradOutput / denominator; by the target it is the negative of that.
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
 * import { huber } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 2, 4)
 * const target = Float32Array.of(1, 1.5, 1)
 * huber(input, target, { reduction: 'none', delta: 2 }) // → [0, 0.125, 4]
 * huber.backward(input, target, { reduction: 'sum', delta: 2 }) // → [0, 0.5, 2]
 * @see PyTorch `torch.nn.functional.huber_loss`; Huber, Robust Estimation of a Location Parameter (1964)
 */
export const huber: Loss<Floats, Floats, HuberOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'huber',
  params: { delta: { default: 1, expected: 'a number > 0', holds: (delta) => delta > 0, samples: [0.25, 3] } },
  domain: { input: 'real', target: 'real' },
  formula(x, t, _aux, delta) {
    const d = Math.abs(x - t)
    return d <= delta ? d ** 2 / 2 : delta * (d - delta / 2)
  },
  inDouble(x, t, p0) {
    const delta = fround(p0)
    const d = x - t
    const outside = delta < Math.abs(d)
    return outside ? [delta * (Math.abs(d) - 0.5 * delta), sign(d) * delta] : [0.5 * d * d, d]
  },
  kernel(x, t, _aux, start, count, p0, _p1, value, dx, dt) {
    const delta = fround(p0)
    for (let i = 0; i < count; i++) {
      const d = fround(x[start + i] - t[start + i])
      const size = Math.abs(d)
      const outside = delta < size
      const slope = outside ? sign(d) * delta : d
      value[i] = outside ? delta * fround(size - 0.5 * delta) : 0.5 * d * d
      dx[i] = slope
      if (dt !== undefined) dt[i] = -slope
    }
  },
})
