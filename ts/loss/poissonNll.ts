import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import { abs, add, custom, div, exp, expm1, log, lt, mul, sub, where } from '../expression/node.js'
import { noticed } from '../expression/stable.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** ½·ln 2π */
const LOG_ROOT_TWO_PI = Math.log(2 * Math.PI) / 2

/** Options of {@link poissonNll}. */
export interface PoissonNllOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** Whether the input is the logarithm of the rate. Default true. */
  logInput?: boolean
  /** Whether the part of the target alone is added, ln t! by Stirling's formula, where t > 1. Default false. */
  full?: boolean
  /** What is added to a rate before its logarithm is taken, with `logInput: false`. Default 1e-8. */
  eps?: number
}

/**
 * Negative log-likelihood of counts under Poisson distributions: e^x − t·x of each element, where x is the logarithm of the rate, or with
 * `logInput: false`, where it is the rate itself, x − t·ln(x + eps).
 *
 * `full` adds t·ln t − t + ½·ln(2πt) where t > 1, which is ln t! but for at most 1/(12t); the value keeps its digits where the rate is
 * near the count then, since no large terms cancel.
 *
 * The gradient is e^x − t, or 1 − t/(x + eps), times gradOutput / denominator. By the target it is −x, or −ln(x + eps), and with `full`
 * ln t + 1/(2t) more where t > 1, times the same.
 *
 * - `input`: logarithms of rates, or rates ≥ 0. `target`: counts ≥ 0 of the same length, not only whole ones.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - The value and the gradient are infinite where e^x is so in single precision, from x = 88.73 on. NaN of an input reaches its value
 *   and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, as a count or a rate below 0; nothing is written then
 * @example
 * import { poissonNll } from 'fused-loss'
 *
 * const logRates = Float32Array.of(0, 0)
 * const counts = Float32Array.of(3, 0)
 * poissonNll(logRates, counts, { reduction: 'none' }) // → [1, 1]
 * poissonNll.backward(logRates, counts, { reduction: 'sum' }) // → [-2, 1]
 * poissonNll.backward(Float32Array.of(2, 2), counts, { logInput: false, reduction: 'sum' }) // → [-0.5, 1]
 * @see PyTorch `torch.nn.functional.poisson_nll_loss`; Keras `keras.losses.poisson` has `logInput: false, eps: 1e-7`
 */
export const poissonNll: Loss<Floats, Floats, PoissonNllOptions> = /* @__PURE__ */ expressionLoss({
  name: 'poissonNll',
  inputs: {
    input: input.within(0, Infinity, {
      when: ({ logInput }) => logInput === false,
      hint: 'logarithms of rates need logInput: true',
    }),
    target: input.within(0, Infinity, { hint: 'it is a count; the order is poissonNll(input, target)' }),
  },
  params: {
    logInput: true,
    full: false,
    eps: { default: 1e-8, expected: 'a number > 0', holds: (eps) => eps > 0, samples: [1e-3] },
  },
  draws: { input: 'positive', target: 'count' },
  loss({ input, target }, { logInput, full, eps }) {
    const count = noticed(target)
    const rate = add(input, eps)
    const plain = logInput ? sub(exp(input), mul(count, input)) : sub(input, mul(count, log(rate)))
    if (!full) return plain
    // With r = ln rate − ln t the sum is t·(e^r − 1 − r) + ½·ln 2πt: written as it stands, terms of t·ln t cancel near r = 0.
    const logCount = log(target)
    const stirling = add(mul(0.5, logCount), LOG_ROOT_TWO_PI)
    const r = sub(logInput ? input : log(rate), logCount)
    const far = sub(sub(logInput ? exp(input) : input, target), mul(target, r))
    const near = mul(target, sub(expm1(r), r))
    // e^r·t is the rate with eps in it.
    const whole = where(lt(abs(r), 1), logInput ? near : sub(near, eps), far)
    const slope = logInput ? sub(exp(input), target) : sub(1, div(target, rate))
    const ofTarget = sub(add(logCount, div(0.5, target)), logInput ? input : log(rate))
    const sum = custom(add(whole, stirling), [input, slope], [target, ofTarget])
    return where(lt(1, target), sum, plain)
  },
})
