import type { Floats, Probabilities } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'

/** Options of {@link bce}. */
export interface BceOptions extends PointwiseOptions {
  /** ε in [0, 1]: the target becomes t(1 − ε) + ε/2. Default 0. */
  labelSmoothing?: number
}

/**
 * Binary cross-entropy of probabilities: −t·ln x − (1 − t)·ln(1 − x), where no logarithm counts for less than −100.
 *
 * The gradient is (x − t)/max(x(1 − x), 1e-12) · gradOutput / denominator; by the target it is
 * (ln(1 − x) − ln x) · gradOutput / denominator, of the logarithms as the value has them.
 *
 * - `input`: probabilities. `target`: probabilities of the same length, or integers of 0 and 1. Where the model gives logits,
 *   `bceWithLogits` is more exact and needs no sigmoid.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Right to a few units in the last place down to the smallest x. A certain and wrong prediction costs 100, with a gradient
 *   of ±1e12 that still says where to go.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, such as a probability outside [0, 1] or NaN; nothing is written then
 * @example
 * import { bce } from 'fused-loss'
 *
 * const probabilities = Float32Array.of(0.5, 0.25, 1)
 * const target = Float32Array.of(1, 0, 1)
 * bce(probabilities, target, { reduction: 'none' }).map((v) => v / Math.LN2)[0] // → 1
 * bce.backward(probabilities, target, { reduction: 'sum' })[0] // → -2
 * @see PyTorch `torch.nn.functional.binary_cross_entropy`
 */
export const bce: Loss<Floats, Probabilities, BceOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'bce',
  params: {
    labelSmoothing: { default: 0, expected: 'in [0, 1]', holds: (e) => e >= 0 && e <= 1, samples: [0, 0.25] },
  },
  domain: { input: 'probability', target: 'probability', range: [0, 1] },
  formula(x, t, _aux, smoothing) {
    const y = t * (1 - smoothing) + smoothing / 2
    return (y - 1) * Math.max(Math.log1p(-x), -100) - y * Math.max(Math.log(x), -100)
  },
  kernel(x, t, _aux, start, count, smoothing, _p1, value, dx, dt) {
    const keep = 1 - smoothing
    const shift = smoothing / 2
    for (let i = 0; i < count; i++) {
      const p = x[start + i]
      const on = t[start + i] * keep + shift
      const off = (1 - t[start + i]) * keep + shift
      const logOn = Math.max(Math.log(p), -100)
      const logOff = Math.max(Math.log1p(-p), -100)
      // Not the negative of the sum, which is −0 for a certain and right prediction.
      value[i] = 0 - (on * logOn + off * logOff)
      dx[i] = (p - on) / Math.max(p * (1 - p), 1e-12)
      if (dt !== undefined) dt[i] = (logOff - logOn) * keep
    }
  },
})
