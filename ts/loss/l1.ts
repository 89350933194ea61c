import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'
import { sign } from '../math.js'

const { fround } = Math

/**
 * Mean absolute error: |x − t| of each element.
 *
 * The gradient is the sign of x − t, 0 where they are equal, times gradOutput / denominator; by the target it is the
 * negative of that.
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
 * import { l1 } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 2, 3)
 * const target = Float32Array.of(2, 2, 1)
 * l1(input, target) // → 1
 * l1.backward(input, target, { reduction: 'sum' }) // → [-1, 0, 1]
 * @see PyTorch `torch.nn.functional.l1_loss`
 */
export const l1: Loss<Floats, Floats, PointwiseOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'l1',
  params: {},
  domain: { input: 'real', target: 'real' },
  formula: (x, t) => Math.abs(x - t),
  inDouble: (x, t) => [Math.abs(x - t), sign(x - t)],
  kernel(x, t, _aux, start, count, _p0, _p1, value, dx, dt) {
    for (let i = 0; i < count; i++) {
      const d = fround(x[start + i] - t[start + i])
      const slope = sign(d)
      value[i] = Math.abs(d)
      dx[i] = slope
      if (dt !== undefined) dt[i] = -slope
    }
  },
})
