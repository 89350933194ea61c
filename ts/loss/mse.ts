import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'

const { fround } = Math

/**
 * Mean squared error: (x − t)² of each element.
 *
 * The gradient is 2(x − t) · gradOutput / denominator; by the target it is the negative of that.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`. PyTorch's weighted mean is that of
 *   `meanBy: 'weight'`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN and ±∞ reach the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { mse } from 'fused-loss'
 *
 * const input = Float32Array.of(1, 2, 3)
 * const target = Float32Array.of(1, 1, 1)
 * mse(input, target, { reduction: 'sum' }) // → 5
 * mse.backward(input, target, { reduction: 'sum' }) // → [0, 2, 4]
 * @see PyTorch `torch.nn.functional.mse_loss`
 */
export const mse: Loss<Floats, Floats, PointwiseOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'mse',
  params: {},
  domain: { input: 'real', target: 'real' },
  formula: (x, t) => (x - t) ** 2,
  inDouble: (x, t) => [(x - t) * (x - t), x - t + (x - t)],
  kernel(x, t, _aux, start, count, _p0, _p1, value, dx, dt) {
    for (let i = 0; i < count; i++) {
      const d = fround(x[start + i] - t[start + i])
      value[i] = d * d
      dx[i] = d + d
      if (dt !== undefined) dt[i] = -(d + d)
    }
  },
})
