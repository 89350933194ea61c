import { expressionLoss } from '../expression/define.js'
import { input, softSigns } from '../expression/inputs.js'
import { mul, sub } from '../expression/node.js'
import { positivePart } from '../expression/stable.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { ElementOptions } from '../family/pointwise/index.js'

/** Options of {@link hinge} and {@link squaredHinge}. */
export interface HingeOptions extends ElementOptions {
  /** From which t·x on an element costs nothing. Default 1; with 0 the loss is that of the perceptron. */
  margin?: number
  /** Whether labels are 0 and 1, and not −1 and 1. Default false; those in an array of unsigned integers always are 0 and 1. */
  zeroOne?: boolean
}

/**
 * Hinge loss of a support vector machine: max(0, margin − t·x) of each element, where t is the label −1 or 1.
 *
 * The gradient is −t where margin − t·x > 0, elsewhere 0, times gradOutput / denominator.
 *
 * - `input`: scores. `target`: labels of the same length, −1 and 1 or any number between, in a Float32Array or integers; with `zeroOne`,
 *   and in arrays of unsigned integers, 0 and 1 in their place.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - All backends give the same bits. NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit: a label is none, or all float labels are 0 or 1 without `zeroOne`, which would train on 0 as if it were a sign. Nothing is
 *   written then
 * @example
 * import { hinge } from 'fused-loss'
 *
 * const scores = Float32Array.of(0.5, -2, 3)
 * hinge(scores, Float32Array.of(1, 1, 1), { reduction: 'none' }) // → [0.5, 3, 0]
 * hinge.backward(scores, Float32Array.of(1, 1, 1), { reduction: 'sum' }) // → [-1, -1, 0]
 * hinge(scores, Uint8Array.of(1, 0, 0), { reduction: 'none' }) // → [0.5, 0, 4]
 * @see Keras `keras.losses.hinge`, Optax `hinge_loss`; Cortes and Vapnik, Support-Vector Networks (1995)
 */
export const hinge: Loss<Floats, Floats | Labels, HingeOptions> = /* @__PURE__ */ expressionLoss({
  name: 'hinge',
  inputs: { input, target: softSigns },
  params: { margin: { default: 1, samples: [0, 0.25, 2] } },
  draws: { input: 'real', target: 'sign' },
  loss: ({ input, target }, { margin }) => positivePart(sub(margin, mul(target, input))),
})
