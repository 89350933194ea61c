import type { BatchReduction } from '../definition.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type PointwiseOptions, pointwise } from '../family/pointwise/index.js'

const { fround } = Math

/** a · b, where 0 · ∞ and 0 · NaN are 0. */
const product = (a: number, b: number) => (a === 0 || b === 0 ? 0 : a * b)

/** Options of {@link klDiv}. */
export interface KlDivOptions extends PointwiseOptions<BatchReduction> {
  /** `true`: the target comes as a logarithm, as the input does. Default false. */
  logTarget?: boolean
}

/**
 * Kullback-Leibler divergence of the input from the target: t·(ln t − x) of each element, where 0·ln 0 is 0; with
 * `logTarget` e^t·(t − x).
 *
 * The gradient is −t, or −e^t, times gradOutput / denominator. By the target it is ln t + 1 − x, or e^t·(t − x + 1), times the
 * same; at t = 0, where it would be infinite, it is −x, as if the part 0·ln 0 were constant.
 *
 * - `input`: logarithms of probabilities. `target`: probabilities of the same length, or their logarithms.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'batchmean'` divides the sum by the number of samples, the first of `shape`, which plain arrays need then, and gives the
 *   divergence as it is defined. `'mean'` (default) divides by the number of elements, with weights too, or with
 *   `meanBy: 'weight'` by the sum of the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN (`emptyMean`) with a gradient of zeros.
 * - A target of probability 0 costs nothing, also where the input is −∞. A negative target has the value NaN. NaN reaches
 *   the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { klDiv } from 'fused-loss'
 *
 * const logProbabilities = Float32Array.of(0.5, 0.5, 0.25, 0.75).map(Math.log)
 * const target = Float32Array.of(1, 0, 0.25, 0.75)
 * const perSample = klDiv.with({ shape: [2, 2], reduction: 'batchmean' })
 * const { value, grad } = perSample.valueAndGrad(logProbabilities, target)
 * value.toFixed(4) // → '0.3466'
 * grad // → [-0.5, 0, -0.125, -0.375]
 * @see PyTorch `torch.nn.functional.kl_div`; Kullback and Leibler, On Information and Sufficiency (1951)
 */
export const klDiv: Loss<Floats, Floats, KlDivOptions> = /* @__PURE__ */ pointwise({
  family: 'pointwise',
  name: 'klDiv',
  params: { logTarget: { default: 0, target: 'logProbability' } },
  reductions: ['mean', 'sum', 'none', 'batchmean'],
  domain: { input: 'logProbability', target: 'probability' },
  formula(x, t, _aux, logTarget) {
    if (logTarget) return t === -Infinity ? 0 : Math.exp(t) * (t - x)
    return t === 0 ? 0 : t * (Math.log(t) - x)
  },
  kernel(x, t, _aux, start, count, logTarget, _p1, value, dx, dt) {
    for (let i = 0; i < count; i++) {
      const xi = x[start + i]
      const ti = t[start + i]
      // Rounded, so that it is 0 and ∞ where that of the other backends is.
      const p = logTarget ? fround(Math.exp(ti)) : ti
      const difference = (logTarget ? ti : Math.log(ti)) - xi
      // A NaN of the input must show, although the derivative by it does not depend on it.
      const known = !Number.isNaN(xi)
      value[i] = known ? product(p, difference) : xi
      dx[i] = known ? -p : xi
      if (dt !== undefined) {
        if (!known) dt[i] = xi
        else if (logTarget) dt[i] = product(p, difference + 1)
        else dt[i] = p === 0 ? -xi : difference + 1
      }
    }
  },
})
