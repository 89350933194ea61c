import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, lt, sqrt, square, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link charbonnier}. */
export interface CharbonnierOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** ε in [1e-18, 1e14]: the value where there is no difference. Default 1e-3. */
  eps?: number
}

/** From here on ε² is too small to change the root, and squares may overflow soon. */
const FAR = 2 ** 60

/**
 * Charbonnier loss: √(d² + ε²) of each element, with d = x − t: |d| without its kink.
 *
 * The gradient is d/√(d² + ε²) · gradOutput / denominator; by the target it is the negative of that.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `eps` ε in [1e-18, 1e14]: the value where there is no difference. Default 1e-3. The form that is 0 there is `robust` with alpha 1.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN and ±∞ reach the value; NaN reaches the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { charbonnier } from 'fused-loss'
 *
 * const input = Float32Array.of(4, 0)
 * const target = Float32Array.of(0, 0)
 * charbonnier(input, target, { eps: 3, reduction: 'none' }) // → [5, 3]
 * charbonnier.backward(input, target, { eps: 3, reduction: 'sum' }).map((g) => Math.round(g * 10)) // → [8, 0]
 * @see Charbonnier et al., Two Deterministic Half-Quadratic Regularization Algorithms (1994)
 */
export const charbonnier: Loss<Floats, Floats, CharbonnierOptions> = /* @__PURE__ */ expressionLoss({
  name: 'charbonnier',
  inputs: { input, target: input },
  params: {
    // The square is a normal number, and lost beside that of FAR.
    eps: {
      default: 1e-3,
      expected: 'in [1e-18, 1e14]',
      holds: (eps) => eps >= 1e-18 && eps <= 1e14,
      samples: [0.5, 10],
    },
  },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { eps }) {
    const d = sub(input, target)
    const size = abs(d)
    const root = where(lt(size, FAR), sqrt(add(square(d), square(eps))), size)
    return custom(root, [d, div(d, root)])
  },
})
