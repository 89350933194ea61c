import type { Floats, Probabilities } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'
import { exp, log1p } from '../math.js'

/** Options of {@link bceWithLogits}. */
export interface BceWithLogitsOptions extends PointwiseOptions {
  /** Factor of the positive part: a number, or one per class with `shape: [N, C, …]`. Default 1. */
  posWeight?: number | Float32Array | readonly number[]
  /** Which axis of `shape` has the classes: 1 (default) or −1. */
  classAxis?: 1 | -1
  /** ε in [0, 1]: the target becomes t(1 − ε) + ε/2. Default 0. */
  labelSmoothing?: number
}

/**
 * Binary cross-entropy of the sigmoid of a logit: (1 − t)·x + (1 + (w − 1)·t)·ln(1 + e^−x), w = `posWeight`.
 *
 * The gradient is ((1 − t)·σ(x) − w·t·σ(−x)) · gradOutput / denominator; by the target it is
 * (−x + (w − 1)·ln(1 + e^−x)) · gradOutput / denominator.
 *
 * - `input`: logits. `target`: probabilities of the same length, or integers of 0 and 1.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Right to a few units in the last place up to |x| = 1e38; what is below 1.2e-38 may become 0. An infinite logit on the
 *   right side costs 0; NaN reaches the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { bceWithLogits } from 'fused-loss'
 *
 * const logits = Float32Array.of(0, 1000)
 * const target = Float32Array.of(1, 1)
 * const { value, grad } = bceWithLogits.valueAndGrad(logits, target, { posWeight: 3 })
 * value.toFixed(4) // → '1.0397'
 * grad // → [-0.75, 0]
 * @see PyTorch `torch.nn.functional.binary_cross_entropy_with_logits`
 */
export const bceWithLogits: Loss<Floats, Probabilities, BceWithLogitsOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'bceWithLogits',
  params: {
    labelSmoothing: { default: 0, expected: 'in [0, 1]', holds: (e) => e >= 0 && e <= 1, samples: [0, 0.25] },
  },
  aux: { name: 'posWeight', default: 1, samples: [1, 2.5] },
  domain: { input: 'real', target: 'probability' },
  formula(x, t, w, smoothing) {
    const y = t * (1 - smoothing) + smoothing / 2
    const log1p = Math.log1p(Math.exp(-Math.abs(x)))
    return y * w * (Math.max(-x, 0) + log1p) + (1 - y) * (Math.max(x, 0) + log1p)
  },
  kernel(x, t, aux, start, count, smoothing, _p1, value, dx, dt) {
    const keep = 1 - smoothing
    for (let i = 0; i < count; i++) {
      const xi = x[start + i]
      const w = aux[i]
      const y = t[start + i] * keep + smoothing / 2
      const positives = w * y
      const both = 1 - y + positives
      const e = exp(-Math.abs(xi))
      const log = log1p(e)
      const small = e / (1 + e)
      // Factors of 0 and 1: a branch on the sign of a logit would be guessed wrong half the time.
      const below = Number(xi < 0)
      const above = 1 - below
      // What a large logit is charged for.
      const side = below * positives + above * (1 - y)
      // ∞ · 0 is 0 here: an infinite logit on the right side costs nothing.
      const size = Math.min(Math.abs(xi), Number.MAX_VALUE)
      value[i] = size * side + both * log
      dx[i] = (above - below) * (side - both * small)
      if (dt !== undefined) {
        const tilt = w === 1 ? 0 : (w - 1) * ((xi < 0 ? -xi : 0) + log)
        dt[i] = (tilt - xi) * keep
      }
    }
  },
})
