import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import {
  abs,
  add,
  custom,
  div,
  exp,
  expm1,
  ge,
  log1p,
  lt,
  mul,
  type Operand,
  sqrt,
  square,
  sub,
  type Value,
  where,
} from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link robust}. */
export interface RobustOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** α in [−1e30, 1e30] or −Infinity: the smaller, the less outliers count. Default 1. */
  alpha?: number
  /** c in [1e-15, 1e15]: the difference from which on an element is an outlier. Default 1. */
  scale?: number
}

/** So near to 2 the formula has no digits, and the parabola is the same to all that single precision has. */
const NEAR = 1e-6

/** Where squares may overflow soon, and 1 + u² is u² to all digits. */
const FAR = 1e9

/** A smaller α makes no difference, and its reciprocal is no 32-bit float. */
const LEAST = 1e-30

/** The value and the slope by z = d/c. */
type Pair = readonly [value: Value, slope: Value]

/** The formula of an α, as cheap as it is for that one. */
function formulaOf(alpha: number, z: Value): Pair {
  if (Math.abs(alpha - 2) < NEAR) return [mul(0.5, square(z)), z]
  // Where z² overflows its quotients are what they tend to.
  const [size, squared] = [abs(z), square(z)]
  const isNear = lt(size, FAR)
  const root = where(isNear, sqrt(add(squared, 1)), size)
  if (alpha === 1) return [where(isNear, div(squared, add(root, 1)), size), div(z, root)]
  if (alpha === -Infinity) {
    const half = mul(-0.5, where(ge(size, FAR), FAR, squared))
    return [mul(-1, expm1(half)), mul(z, exp(half))]
  }
  const b = Math.abs(alpha - 2)
  const scaled = mul(1 / Math.sqrt(b), size)
  const isSmall = lt(scaled, FAR)
  const log = mul(where(isSmall, 1, 2), log1p(where(isSmall, square(scaled), scaled)))
  const slope = mul(z, exp(mul(alpha / 2 - 1, log)))
  if (Math.abs(alpha) < LEAST) return [log, slope]
  return [mul(b / alpha, expm1(mul(alpha / 2, log))), slope]
}

/**
 * General robust loss of Barron: (b/α)·(((d/c)²/b + 1)^(α/2) − 1) of each element, with d = x − t and b = |α − 2|. α = 2 is the parabola
 * (d/c)²/2, 1 the smooth |d/c| without its kink, 0 Cauchy's ln((d/c)²/2 + 1), −2 that of Geman and McClure, and −Infinity Welsch's
 * 1 − e^(−(d/c)²/2).
 *
 * The gradient is d/c²·((d/c)²/b + 1)^(α/2 − 1) · gradOutput / denominator; by the target it is the negative of that. For α < 1 it falls
 * again far from 0: outliers pull less and less.
 *
 * - `input`, `target`: arrays of the same length, or tensors of the same shape.
 * - `alpha` α in [−1e30, 1e30] or −Infinity. Default 1. One that is changed from step to step compiles a program each time, which takes
 *   about a millisecond.
 * - `scale` c in [1e-15, 1e15]: about the size of differences that are no outliers. Default 1.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros.
 * - Small differences keep their digits. NaN reaches the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { robust } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 2, 100)
 * const target = Float32Array.of(0, 0, 0)
 * robust(input, target, { alpha: 2, reduction: 'none' }) // → [0, 2, 5000]
 * robust(input, target, { alpha: -2, reduction: 'none' }).map((v) => Math.round(v * 100)) // → [0, 100, 200]
 * robust.backward(input, target, { reduction: 'sum' }).map((g) => Math.round(g * 100)) // → [0, 89, 100]
 * @see Barron, A General and Adaptive Robust Loss Function (2019); kornia `charbonnier_loss`, `cauchy_loss`, `geman_mcclure_loss`,
 *   `welsch_loss`
 */
export const robust: Loss<Floats, Floats, RobustOptions> = /* @__PURE__ */ expressionLoss({
  name: 'robust',
  inputs: { input, target: input },
  params: {
    alpha: {
      default: 1,
      constant: true,
      expected: 'in [-1e30, 1e30] or -Infinity',
      holds: (alpha) => Math.abs(alpha) <= 1e30 || alpha === -Infinity,
      samples: [2, 0, -2, -Infinity, 1.5, -8],
    },
    scale: {
      default: 1,
      expected: 'in [1e-15, 1e15]',
      holds: (scale) => scale >= 1e-15 && scale <= 1e15,
      samples: [0.5, 3],
    },
  },
  draws: { input: 'real', target: 'real' },
  loss({ input, target }, { alpha, scale }) {
    const d = sub(input, target)
    const [value, slope] = formulaOf(alpha, div(d, scale as Operand))
    return custom(value, [d, mul(div(1, scale as Operand), slope)])
  },
})
