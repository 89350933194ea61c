import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import {
  abs,
  add,
  custom,
  div,
  ge,
  log,
  log1p,
  max,
  mul,
  mulsign,
  neg,
  square,
  sub,
  where,
} from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { LossOf } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link studentTNll}. */
export interface StudentTNllOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** ν in [1e-3, 1e9], the degrees of freedom: the fewer, the less outliers count. Default 3. */
  df?: number
  /** Whether what does not depend on the inputs is added too. Default false. */
  full?: boolean
  /** ε in [1e-15, 1e15]: the least scale that counts. Default 1e-6. */
  eps?: number
  /** `true` to have the gradient by the scale too, or a buffer for it. */
  scaleGrad?: boolean | Float32Array
}

/** Where squares may overflow soon, and 1 + u² is u² to all digits. */
const FAR = 1e9

/** From here on the series of {@link constantOf} has all digits of double precision. */
const ASYMPTOTIC = 16

/** ln Γ(ν/2) − ln Γ((ν + 1)/2) + ½·ln(νπ) */
function constantOf(df: number): number {
  // With x = ν/2 it is ½·ln 2π for large x, and a series in 1/x of ln Γ(x + ½) − ln Γ(x) − ½·ln x. A smaller x is lifted by
  // Γ(x + 1) = x·Γ(x), one factor of the quotient at a time.
  let [x, lifted] = [df / 2, 0]
  const start = x
  for (; x < ASYMPTOTIC; x++) lifted += Math.log1p(0.5 / x)
  const series = 1 / (8 * x) - 1 / (192 * x ** 3) + 1 / (640 * x ** 5) - 17 / (14336 * x ** 7) + 31 / (18432 * x ** 9)
  return 0.5 * Math.log(2 * Math.PI) + series + lifted - 0.5 * Math.log(x / start)
}

/**
 * Negative log-likelihood of Student's t distribution: ½(ν + 1)·ln(1 + z²/ν) + ln s of each element, with z = (x − t)/s and
 * s = max(scale, ε).
 *
 * The gradient is (ν + 1)·z/((ν + z²)·s) · gradOutput / denominator, and by the target the negative of that. That by the scale is
 * ν·(1 − z²)/((ν + z²)·s) times the same, taken at s also where the scale is below ε, so that it grows again.
 *
 * - `input`, `target`, `scale`: arrays of the same length, or tensors of the same shape: locations, observations, and scales ≥ 0. The
 *   scale may be a number, or one per row of the last axis.
 * - `df` ν in [1e-3, 1e9]: the degrees of freedom. Default 3; 1 is Cauchy's distribution, and from many on it is the normal one.
 * - `full`: add ln Γ(ν/2) − ln Γ((ν + 1)/2) + ½·ln(νπ), so that it is the likelihood and not only as good to minimise.
 * - `eps` ε in [1e-15, 1e15]: the least scale that counts. Default 1e-6.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - NaN reaches the value and the element's gradients.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit, such as a scale below 0; nothing is written then
 * @example
 * import { studentTNll } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 3)
 * const target = Float32Array.of(0, 0)
 * const scale = Float32Array.of(1, 1)
 * studentTNll(input, target, scale, { reduction: 'none' }).map((v) => Math.round(v * 1e4)) // → [0, 27726]
 * studentTNll.backward(input, target, scale, { reduction: 'sum' }) // → [0, 1]
 * studentTNll(input, target, 1, { full: true, reduction: 'none' }).map((v) => Math.round(v * 1e4)) // → [10009, 37735]
 * @see PyTorch `torch.distributions.StudentT`, whose `log_prob` it is the negative of with `full`
 */
export const studentTNll: LossOf<[input: Floats, target: Floats, scale: Floats | number], StudentTNllOptions> =
  /* @__PURE__ */ expressionLoss({
    name: 'studentTNll',
    inputs: {
      input,
      target: input,
      scale: input.within(0, Infinity, { hint: 'let the model end in a function such as softplus' }).broadcast(),
    },
    params: {
      df: {
        default: 3,
        constant: true,
        expected: 'in [1e-3, 1e9]',
        holds: (df) => df >= 1e-3 && df <= 1e9,
        samples: [1, 0.5, 30],
      },
      full: false,
      eps: { default: 1e-6, expected: 'in [1e-15, 1e15]', holds: (eps) => eps >= 1e-15 && eps <= 1e15 },
    },
    draws: { input: 'real', target: 'real', scale: 'positive' },
    loss({ input, target, scale }, { df, full, eps }) {
      const d = sub(input, target)
      const s = max(scale, eps)
      const size = div(abs(d), s)
      // u² = z²/ν, whose square overflows far from 0. NaN is not far, so that it gets everywhere.
      const u = mul(1 / Math.sqrt(df), size)
      const isFar = ge(u, FAR)
      const squared = square(u)
      const logTerm = log1p(where(isFar, u, squared))
      const value = add(mul(where(isFar, df + 1, (df + 1) / 2), logTerm), log(s))
      // ν/(ν + z²)
      const reciprocal = div(1, add(1, squared))
      const slope = where(isFar, div(df + 1, d), mul((df + 1) / df, mul(div(mulsign(size, d), s), reciprocal)))
      const byScale = div(where(isFar, -df, mul(mul(sub(1, size), add(1, size)), reciprocal)), s)
      const all = full ? add(value, constantOf(df)) : value
      return custom(all, [input, slope], [target, neg(slope)], [scale, byScale])
    },
  })
