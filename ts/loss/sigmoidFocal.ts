import type { Floats, Probabilities } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'
import { exp, log1p, power } from '../math.js'

/** Above this γ the rounding of a q_t near 1 shows in its power. */
const STEEP = 8

/** Larger than the cross-entropy of any finite logit. */
const ENDLESS = 1e200

/** Options of {@link sigmoidFocal}. */
export interface SigmoidFocalOptions extends PointwiseOptions {
  /** α in [0, 1]: weight of the positive class, 1 − α that of the negative; `null` for none. Default 0.25. */
  alpha?: number | null
  /** γ in [0, 1e38]: how much easy elements are played down; 0 does not. Default 2. */
  gamma?: number
}

/**
 * Sigmoid focal loss: α_t·q_t^γ·bce(x, t), the binary cross-entropy of σ(x) played down where
 * q_t = 1 − p_t = σ(x)·(1 − t) + σ(−x)·t is small; α_t = α·t + (1 − α)·(1 − t).
 *
 * The gradient is α_t·q_t^γ·(σ(x) − t − γ·bce·(2t − 1)·σ(x)·σ(−x)/q_t) · gradOutput / denominator; by the target it is
 * q_t^γ·((2α − 1)·bce − α_t·(γ·bce·(σ(x) − σ(−x))/q_t + x)) times the same, where 2α − 1 is 0 without α.
 *
 * - `input`: logits. `target`: probabilities of the same length, or integers of 0 and 1.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Finite for every γ, also where a prediction is saturated, right or wrong. With γ = 0 and no α it is `bceWithLogits`.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { sigmoidFocal } from 'fused-loss'
 *
 * const logits = Float32Array.of(0, 0)
 * const target = Float32Array.of(1, 0)
 * sigmoidFocal(logits, target, { reduction: 'none' }).map((v) => v / Math.LN2) // → [0.0625, 0.1875]
 * sigmoidFocal(logits, target, { alpha: null, gamma: 0 }).toFixed(4) // → '0.6931'
 * @see torchvision `torchvision.ops.sigmoid_focal_loss`; Lin et al., Focal Loss for Dense Object Detection (2017)
 */
export const sigmoidFocal: Loss<Floats, Probabilities, SigmoidFocalOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'sigmoidFocal',
  params: {
    // Twice as much is still a float.
    gamma: { default: 2, expected: 'in [0, 1e38]', holds: (g) => g >= 0 && g <= 1e38, samples: [0, 0.5, 1, 3.7] },
    alpha: {
      default: 0.25,
      expected: 'in [0, 1] or null',
      holds: (alpha) => alpha >= 0 && alpha <= 1,
      none: -1,
      samples: [0, 0.75, -1],
    },
  },
  domain: { input: 'real', target: 'probability' },
  formula(x, t, _aux, gamma, alpha) {
    const log1p = Math.log1p(Math.exp(-Math.abs(x)))
    const bce = t * (Math.max(-x, 0) + log1p) + (1 - t) * (Math.max(x, 0) + log1p)
    const qT = (1 - t) / (1 + Math.exp(-x)) + t / (1 + Math.exp(x))
    return (alpha < 0 ? 1 : alpha * t + (1 - alpha) * (1 - t)) * qT ** gamma * bce
  },
  kernel(x, t, _aux, start, count, gamma, alpha, value, dx, dt) {
    const tilt = alpha < 0 ? 0 : 2 * alpha - 1
    const base = alpha < 0 ? 1 : 1 - alpha
    for (let i = 0; i < count; i++) {
      const xi = x[start + i]
      const on = t[start + i]
      const off = 1 - on
      const e = exp(-Math.abs(xi))
      const large = 1 / (1 + e)
      // Without branches, and ∞ · 0 is 0, as in bceWithLogits.
      const below = Number(xi < 0)
      const above = 1 - below
      const small = e * large
      const side = below * on + above * off
      const size = Math.min(Math.abs(xi), Number.MAX_VALUE)
      const bce = size * side + log1p(e)
      const qT = side * (large - small) + small
      // Near 1 q_t is rounded by more than a large γ forgives: what it lacks of 1 is known better.
      const near = gamma > STEEP && qT > 0.5
      const modulator = near ? Math.exp(gamma * Math.log1p(-side * small - (1 - side) * large)) : power(qT, gamma)
      const alphaT = tilt * on + base
      const weight = alphaT * modulator
      // At most 1; an infinite bce has a quotient of 0.
      const product = large * small
      const turn = product === 0 ? 0 : (gamma * (1 - 2 * side) * product) / qT
      // An infinite logit has a finite size above, for its gradient; only a power of 0 makes its value finite.
      value[i] = bce > ENDLESS ? (weight === 0 ? 0 : Infinity) : weight * bce
      dx[i] = (above - below) * weight * (side - small - (turn === 0 ? 0 : bce * turn))
      if (dt !== undefined) {
        // At a q_t of 0 bce is 0 too, and bce/q_t is 1. e^−|x| is 0 below −320, but a small power of it is not.
        const ratio = qT === 0 ? 1 : bce / qT
        const exact = qT === 0 ? Math.exp(-gamma * Math.abs(xi)) : modulator
        // σ(|x|) − σ(−|x|), of which a subtraction leaves nothing near 0.
        const apart = -Math.expm1(-Math.abs(xi)) * large
        const turned = alphaT * (gamma * ratio * apart + size)
        dt[i] = exact === 0 ? 0 : exact * (tilt * bce + (below - above) * turned)
      }
    }
  },
})
