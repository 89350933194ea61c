import { expressionLoss } from '../expression/define.js'
import { fixed, input } from '../expression/inputs.js'
import {
  abs,
  add,
  custom,
  div,
  exp,
  expm1,
  log,
  lt,
  mul,
  mul0,
  neg,
  pow,
  sub,
  type Value,
  where,
} from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { ElementOptions } from '../family/pointwise/index.js'

/** Options of {@link tweedie}. */
export interface TweedieOptions extends ElementOptions {
  /** p in (1, 2): the variance grows as mean^p. Default 1.5. */
  power?: number
  /** Whether the input is the logarithm of the mean. Default true. */
  logInput?: boolean
  /** Whether the value is the unit deviance: twice what is above its least value, so that it is 0 where the mean is the target. Default false. */
  deviance?: boolean
}

/**
 * Loss of Tweedie distributions, for amounts that are often 0: −t·e^((1 − p)·x)/(1 − p) + e^((2 − p)·x)/(2 − p) of each element, where x
 * is the logarithm of the mean and p the power, or with `logInput: false`, where it is the mean itself, the same with x for e^x.
 *
 * `deviance` adds t^(2 − p)/((1 − p)·(2 − p)) and doubles all; it keeps its digits where the mean is near the target, since no large
 * terms cancel.
 *
 * The gradient is e^((2 − p)·x) − t·e^((1 − p)·x), or x^(1 − p)·(1 − t/x), with `deviance` twice that, times gradOutput / denominator.
 *
 * - `input`: logarithms of means, or means > 0. `target`: amounts ≥ 0 of the same length.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN of an input reaches its value and its gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, as a target below 0 or a mean that is not above it; nothing is written then
 * @example
 * import { tweedie } from 'fused-loss'
 *
 * const logMeans = Float32Array.of(0, 0)
 * const target = Float32Array.of(0, 3)
 * tweedie(logMeans, target, { reduction: 'none' }) // → [2, 8]
 * tweedie.backward(logMeans, target, { reduction: 'sum' }) // → [1, -2]
 * tweedie(Float32Array.of(4, 4), Float32Array.of(4, 0), { deviance: true, logInput: false, reduction: 'none' }) // → [0, 8]
 * @see scikit-learn `mean_tweedie_deviance`, which is `deviance: true, logInput: false`; LightGBM and XGBoost `tweedie`; Jørgensen, The
 *   Theory of Dispersion Models (1997)
 */
export const tweedie: Loss<Floats, Floats, TweedieOptions> = /* @__PURE__ */ expressionLoss({
  name: 'tweedie',
  inputs: {
    input: input.within(0, Infinity, {
      open: true,
      when: ({ logInput }) => logInput === false,
      hint: 'logarithms of means need logInput: true',
    }),
    target: fixed.within(0, Infinity),
  },
  params: {
    power: {
      default: 1.5,
      expected: 'a number in (1, 2), since 1 is poissonNll and 2 gammaNll',
      holds: (p) => p > 1 && p < 2,
      samples: [1.1, 1.75, 1.9],
    },
    logInput: true,
    deviance: false,
  },
  draws: { input: 'positive', target: 'count' },
  loss({ input, target }, { power: p, logInput, deviance }) {
    const [low, high] = [sub(p, 1), sub(2, p)]
    const small = logInput ? exp(neg(mul(low, input))) : pow(input, neg(low))
    const large = logInput ? exp(mul(high, input)) : mul(input, small)
    // A target of 0 costs nothing where the small power is infinite.
    const ofTarget = logInput ? mul0(target, small) : mul(target, small)
    const slope = logInput ? sub(large, ofTarget) : mul(small, sub(1, div(target, input)))
    const plain = add(div(ofTarget, low), div(large, high))
    if (!deviance) return custom(plain, [input, slope])
    // With u = ln mean − ln t it is a sum of t^(2 − p)·(e^(a·u) − 1)/|a| over the exponents a = 2 − p and 1 − p, each of which is nearly
    // ±t^(2 − p)·u near u = 0. There expm1 keeps the digits, and elsewhere the difference of powers; a target of 0 has u = ∞.
    const u = sub(logInput ? input : log(input), log(target))
    const least = pow(target, high)
    const above = (exponent: Value, power: Value) =>
      where(lt(abs(mul(exponent, u)), 1), mul(least, expm1(mul(exponent, u))), sub(power, least))
    const half = add(div(above(high, large), high), div(above(neg(low), ofTarget), low))
    return custom(mul(2, half), [input, mul(2, slope)])
  },
})
