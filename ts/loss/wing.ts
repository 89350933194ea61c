import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, log1p, lt, mul, mulsign, sub, where } from '../expression/node.js'

const isModerate = (value: number) => value >= 1e-30 && value <= 1e30

import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link wing}. */
export interface WingOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** w in [1e-30, 1e30]: where the line begins. Default 10. */
  width?: number
  /** ε in [1e-30, 1e30]: how much small differences count. Default 2. */
  curvature?: number
}

/**
 * Wing loss: with d = x − t, w·ln(1 + |d|/ε) of each element where |d| < w, and |d| − w + w·ln(1 + w/ε) elsewhere.
 *
 * The gradient is w/(ε + |d|) with the sign of d where |d| < w, and that sign elsewhere, times gradOutput / denominator; by the target it
 * is the negative of that. It jumps at |d| = w, where that of the line counts, and is 0 where d is 0.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `width` w in [1e-30, 1e30]: where the line begins. Default 10.
 * - `curvature` ε in [1e-30, 1e30]: how much small differences count: w/ε is the slope beside 0. Default 2.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN and ±∞ reach the value; NaN reaches the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { wing } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 2, -20)
 * const target = Float32Array.of(0, 0, 0)
 * wing(input, target, { reduction: 'none' }).map((v) => Math.round(v * 1e4)) // → [0, 69315, 279176]
 * wing.backward(input, target, { reduction: 'sum' }) // → [0, 2.5, -1]
 * @see Feng et al., Wing Loss for Robust Facial Landmark Localisation (2018); segmentation-models-pytorch `wing_loss`
 */
export const wing: Loss<Floats, Floats, WingOptions> = /* @__PURE__ */ expressionLoss({
  name: 'wing',
  inputs: { input, target: input },
  params: {
    width: { default: 10, expected: 'in [1e-30, 1e30]', holds: isModerate, samples: [0.5, 3] },
    curvature: { default: 2, expected: 'in [1e-30, 1e30]', holds: isModerate, samples: [0.25, 20] },
  },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { width, curvature }) {
    const d = sub(input, target)
    const size = abs(d)
    const isNear = lt(size, width)
    // What the line begins with is added to what is beyond it: both are positive, so that nothing cancels.
    const line = add(sub(size, width), mul(width, log1p(div(width, curvature))))
    const value = where(isNear, mul(width, log1p(div(size, curvature))), line)
    return custom(value, [d, mulsign(where(isNear, div(width, add(curvature, size)), 1), d)])
  },
})
