import { expressionLoss } from '../expression/define.js'
import { fixed, input } from '../expression/inputs.js'
import { abs, add, custom, div, exp, expm1, log, lt, mul, neg, sub, where } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { ElementOptions } from '../family/pointwise/index.js'
import { lnGamma } from '../math.js'

/** Options of {@link gammaNll}. */
export interface GammaNllOptions extends ElementOptions {
  /** Whether the input is the logarithm of the mean. Default true. */
  logInput?: boolean
  /** k > 0: the concentration, or shape, of the distributions. Default 1, for exponential ones. */
  concentration?: number
  /** Whether the part of target and concentration alone is added. Default false. */
  full?: boolean
}

/**
 * Negative log-likelihood of gamma distributions by their mean: k·(x + t·e^−x) of each element, where x is the logarithm of the mean and
 * k the concentration, or with `logInput: false`, where it is the mean itself, k·(ln x + t/x).
 *
 * `full` adds lnΓ(k) − k·ln k − (k − 1)·ln t; the value keeps its digits where the mean is near the target then, since no large terms
 * cancel.
 *
 * The gradient is k·(1 − t·e^−x), or k·(1 − t/x)/x, times gradOutput / denominator.
 *
 * - `input`: logarithms of means, or means > 0. `target`: numbers > 0 of the same length.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, as a target or a mean that is not above 0; nothing is written then
 * @example
 * import { gammaNll } from 'fused-loss'
 *
 * const logMeans = Float32Array.of(0, 0)
 * const target = Float32Array.of(1, 3)
 * gammaNll(logMeans, target, { reduction: 'none' }) // → [1, 3]
 * gammaNll.backward(logMeans, target, { reduction: 'sum' }) // → [0, -2]
 * gammaNll.backward(Float32Array.of(2, 2), target, { logInput: false, reduction: 'sum', concentration: 4 }) // → [1, -1]
 * @see PyTorch `torch.distributions.Gamma(k, k / mean).log_prob(t)`, whose negative it is with `full`; scikit-learn
 *   `mean_gamma_deviance` is twice the value of k = 1 less ln t + 1; XGBoost `reg:gamma`
 */
export const gammaNll: Loss<Floats, Floats, GammaNllOptions> = /* @__PURE__ */ expressionLoss({
  name: 'gammaNll',
  inputs: {
    input: input.within(0, Infinity, {
      open: true,
      when: ({ logInput }) => logInput === false,
      hint: 'logarithms of means need logInput: true',
    }),
    target: fixed.within(0, Infinity, { open: true, hint: 'zeros are left out by mask, or use tweedie' }),
  },
  params: {
    logInput: true,
    concentration: {
      default: 1,
      constant: true,
      expected: 'a finite number > 0',
      holds: (k) => k > 0 && k < Infinity,
      samples: [0.5, 3, 40],
    },
    full: false,
  },
  draws: { input: 'positive', target: 'positive' },
  loss({ input, target }, { logInput, concentration: k, full }) {
    const ratio = logInput ? mul(target, exp(neg(input))) : div(target, input)
    const rest = mul(k, sub(1, ratio))
    const slope = logInput ? rest : div(rest, input)
    if (!full) return custom(mul(k, add(logInput ? input : log(input), ratio)), [input, slope])
    // With r = ln t − ln mean all is k·(e^r − 1 − r) + ln t and a constant: written as it stands, terms of k and k·ln t cancel.
    const logTarget = log(target)
    const r = sub(logTarget, logInput ? input : log(input))
    const whole = mul(k, sub(where(lt(abs(r), 1), expm1(r), sub(ratio, 1)), r))
    const constant = lnGamma(k) - k * Math.log(k) + k
    return custom(add(add(whole, logTarget), constant), [input, slope])
  },
})
