import { expressionLoss } from '../expression/define.js'
import { input, signs } from '../expression/inputs.js'
import { custom, max, mul, square, sub } from '../expression/node.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { HingeOptions } from './hinge.js'

/**
 * Squared hinge loss: max(0, margin − t·x)² of each element, where t is the label −1 or 1.
 *
 * The gradient is −2t·max(0, margin − t·x), times gradOutput / denominator.
 *
 * - `input`: scores. `target`: labels of the same length, −1 and 1, in a Float32Array or integers; with `zeroOne`, and in arrays of unsigned
 *   integers, 0 and 1 in their place.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit: a label is none, as 0 is without `zeroOne`. Nothing is written then
 * @example
 * import { squaredHinge } from 'fused-loss'
 *
 * const scores = Float32Array.of(0.5, -2, 3)
 * const labels = Int32Array.of(1, 1, -1)
 * squaredHinge(scores, labels, { reduction: 'none' }) // → [0.25, 9, 16]
 * squaredHinge.backward(scores, labels, { reduction: 'sum' }) // → [-1, -6, 8]
 * @see Keras `keras.losses.squared_hinge`; Lee and Mangasarian, SSVM: A Smooth Support Vector Machine (2001)
 */
export const squaredHinge: Loss<Floats, Floats | Labels, HingeOptions> = /* @__PURE__ */ expressionLoss({
  name: 'squaredHinge',
  inputs: { input, target: signs },
  params: { margin: { default: 1, samples: [0, 0.25, 2] } },
  draws: { input: 'real', target: 'sign' },
  loss({ input, target }, { margin }) {
    const z = sub(margin, mul(target, input))
    const h = max(0, z)
    // 0 at the kink, and NaN where z is.
    return custom(square(h), [z, mul(2, h)])
  },
})
