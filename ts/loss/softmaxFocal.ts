import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type SoftmaxOptions, softmax } from '../family/softmax/index.js'

/**
 * (1 − p)^γ. Its logarithm is of p where that is small, as 1 − p has lost digits of it that a large γ multiplies, and of 1 − p
 * elsewhere. A p of 1 gives 0, NaN stays NaN.
 */
function modulator(logP: number, q: number, gamma: number): number {
  if (gamma === 2) return q * q
  if (gamma === 0) return 1
  return Math.exp(gamma * (q > 0.5 ? Math.log1p(-Math.exp(logP)) : Math.log(q)))
}

/** Options of {@link softmaxFocal}. */
export interface SoftmaxFocalOptions extends SoftmaxOptions {
  /** A factor, or one per class; unlike `weight` it does not enter the mean. `null` (default) for none. */
  alpha?: number | Float32Array | readonly number[] | null
  /** γ ≥ 0: how much easy positions are played down; 0 does not. Default 2. */
  gamma?: number
}

/**
 * Softmax focal loss: −α_y·(1 − p_y)^γ·ln p_y of each position, p = softmax(x/T) over its classes; of a distribution q of
 * classes, −Σ_c q_c·α_c·(1 − p_c)^γ·ln p_c.
 *
 * With s_c = t_c·α_c·(1 − p_c)^γ·(1 − γ·p_c·ln p_c/(1 − p_c)), t the target as in `crossEntropy`, the gradient is
 * (p_c·Σ s − s_c) / T · gradOutput / denominator.
 *
 * - `input`, `target` and the options are those of `crossEntropy`.
 * - `'mean'` (default) divides the sum by Σ w_y over the positions that count, without weights by their number; for
 *   distributions always by their number. `'sum'` does not divide; `'none'` returns the value of each position. The mean over
 *   nothing is NaN (`emptyMean`) with a gradient of zeros.
 * - Finite for every γ, also where a prediction is saturated. Where a class is nearly certain, value and gradients keep their
 *   digits; what is below 1.2e-38 may become 0. With γ = 0 it is `crossEntropy`. The focal loss of two logits
 *   with α for the second class is `alpha: [1 - α, α]`.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { softmaxFocal } from 'fused-loss'
 *
 * const logits = Float32Array.of(0, 0, 0, 0)
 * const labels = Int32Array.of(0, 1)
 * const values = softmaxFocal(logits, labels, { reduction: 'none', alpha: [0.75, 0.25] })
 * values.map((v) => v / Math.LN2) // → [0.1875, 0.0625]
 * @see Lin et al., Focal Loss for Dense Object Detection (2017); MONAI `FocalLoss(use_softmax=True)`
 */
export const softmaxFocal: Loss<Floats, Labels | Floats, SoftmaxFocalOptions> = /* @__PURE__ */ softmax({
  family: 'softmax',
  name: 'softmaxFocal',
  kind: 'scores',
  params: {
    gamma: { default: 2, expected: 'a number ≥ 0', holds: (gamma) => gamma >= 0, samples: [0, 0.5, 1, 3.7] },
  },
  alpha: true,
  value: (logP, gamma) => (0 - logP) * modulator(logP, -Math.expm1(logP), gamma),
  slope(logP, gamma) {
    if (gamma === 0) return 1
    const q = -Math.expm1(logP)
    const p = 1 - q
    // The ratio goes to 1 as q goes to 0, and p·ln p to 0 as p does.
    const ratio = p === 0 ? 0 : q === 0 ? 1 : (p * -logP) / q
    return modulator(logP, q, gamma) * (1 + gamma * ratio)
  },
})
