import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type Numbers, type RegionOptions, type RegionTarget, region, type Sums } from '../family/region/index.js'

/** Options of {@link tversky}. */
export interface TverskyOptions extends RegionOptions {
  /** Weight of false positives, ≥ 0. Default 0.5. */
  alpha?: number
  /** Weight of false negatives, ≥ 0. Default 0.5. */
  beta?: number
  /** γ > 0: the loss is raised to it (focal Tversky). Default 1. */
  gamma?: number
}

/**
 * Tversky loss: (1 − (Σ p·y + smoothNr) / (Σ p·y + α·Σ p·(1 − y) + β·Σ (1 − p)·y + smoothDr))^γ of each sample and class, the
 * sums over its positions.
 *
 * With N and D the numerator and denominator and f the loss before the power, the gradient by p is
 * γ·f^(γ − 1)·(N·(α + (1 − α − β)·y) − y·D)/D², 0 where f is 0 and γ is not 1, and from there through the activation as in
 * `dice`; times gradOutput / denominator. The gradient by y (`targetGrad`) is the same with p and y, and α and β, in each other's
 * place, without the activation.
 *
 * - `input`, `target`, the reductions and the digits are those of `dice`, which this is with α = β = ½ and half the smoothing.
 * - Where smoothing makes f negative, its power counts as 0 for γ other than 1.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { tversky } from 'fused-loss'
 *
 * const probabilities = Float32Array.of(1, 0.5, 0, 0.5)
 * const mask = Float32Array.of(1, 1, 0, 0)
 * tversky(probabilities, mask, { smoothNr: 0, smoothDr: 0, alpha: 1, beta: 1 }) // → 0.4
 * @see Salehi et al., Tversky loss function for image segmentation (2017); Abraham and Khan, A Novel Focal Tversky Loss (2019);
 *   MONAI `TverskyLoss`
 */
export const tversky: Loss<Floats, RegionTarget, TverskyOptions> = /* @__PURE__ */ region({
  family: 'region',
  name: 'tversky',
  params: {
    alpha: { default: 0.5, expected: 'a number ≥ 0', holds: (n) => n >= 0, samples: [0, 0.3] },
    beta: { default: 0.5, expected: 'a number ≥ 0', holds: (n) => n >= 0, samples: [0, 0.7] },
    gamma: {
      default: 1,
      expected: 'a number > 0',
      holds: (n) => n > 0,
      samples: [0.75, 2],
    },
  },
  mirrored: (numbers) => ({ ...numbers, alpha: numbers.beta, beta: numbers.alpha }),
  value(sums, numbers) {
    const { gap, d } = ratio(sums, numbers)
    const f = gap / d
    return numbers.gamma === 1 ? f : f < 0 ? 0 : f ** numbers.gamma
  },
  slope(sums, numbers) {
    const { alpha, beta, gamma } = numbers
    const { gap, n, d } = ratio(sums, numbers)
    // Without anything to divide by there is no value either.
    if (d === 0) return [0, 0, 0]
    const f = gap / d
    const power = gamma === 1 ? 1 : f > 0 ? gamma * f ** (gamma - 1) : 0
    return [(-power * (gap + beta * n)) / d ** 2, 0, (power * n * alpha) / d ** 2]
  },
})

/** N, D and the gap D − N: of what only one of p and y has it is exact where it is small. */
function ratio(
  { tp, fp, fn }: Sums,
  { smoothNr, smoothDr, alpha, beta }: Numbers,
): { readonly gap: number; readonly n: number; readonly d: number } {
  const off = alpha * fp + beta * fn
  return { gap: off + (smoothDr - smoothNr), n: tp + smoothNr, d: tp + off + smoothDr }
}
