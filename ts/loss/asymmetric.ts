import { expressionLoss } from '../expression/define.js'
import { input } from '../expression/inputs.js'
import {
  add,
  custom,
  div,
  eq,
  log1p,
  max,
  min,
  mul,
  mul0,
  neg,
  pow,
  sigmoid,
  softplus,
  sub,
  where,
} from '../expression/node.js'

const isExponent = (gamma: number) => gamma >= 0 && gamma <= 1e38

import { noticed } from '../expression/stable.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link asymmetric}. */
export interface AsymmetricOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** γ₋ in [0, 1e38]: how much easy negatives are played down. Default 4. */
  gammaNeg?: number
  /** γ₊ in [0, 1e38]: how much easy positives are played down. Default 1. */
  gammaPos?: number
  /** m in [0, 1): negatives of a smaller probability count for nothing. Default 0.05. */
  clip?: number
}

/**
 * Asymmetric loss for many labels (ASL): −t·q^γ₊·ln p − (1 − t)·r^γ₋·ln(1 − r) of each element, with p = σ(x), q = 1 − p and
 * r = max(p − m, 0). Easy negatives are played down by γ₋, and those below m are left out.
 *
 * The gradient goes through the factors q^γ₊ and r^γ₋ too. It is −t·q^γ₊·(q − γ₊·p·ln p) + (1 − t)·r^γ₋·p·q·(1/(1 − r) − γ₋·ln(1 − r)/r)
 * times gradOutput / denominator, the second part 0 where r is 0; by the target it is −q^γ₊·ln p + r^γ₋·ln(1 − r) times the same.
 *
 * - `input`: logits. `target`: probabilities of the same length, floats of 0 and 1 for hard labels.
 * - `gammaNeg` γ₋ in [0, 1e38]: how much easy negatives are played down. Default 4.
 * - `gammaPos` γ₊ in [0, 1e38]: how much easy positives are. Default 1.
 * - `clip` m in [0, 1): negatives of a smaller probability count for nothing. Default 0.05.
 * - `weight`: factor per element, or per element of one sample with `shape: [N, …]`.
 * - `'mean'` (default) divides the sum by the number of elements that count, with weights too, or with `meanBy: 'weight'` by the sum of
 *   the weights; `'sum'` does not divide; `'none'` returns the value of each element. The mean over nothing is NaN
 *   (`emptyMean`) with a gradient of zeros. Others divide by the number of rows, for which there is `normalizer`.
 * - Finite for every γ, also where a prediction is saturated, right or wrong. NaN reaches the value and the element's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { asymmetric } from 'fused-loss'
 *
 * const logits = Float32Array.of(0, 0, -4)
 * const target = Float32Array.of(1, 0, 0)
 * asymmetric(logits, target, { reduction: 'none' }).map((v) => Math.round(v * 1e4)) // → [3466, 245, 0]
 * asymmetric.backward(logits, target, { reduction: 'sum' }).map((g) => Math.round(g * 1e3)) // → [-423, 73, 0]
 * @see timm `timm.loss.AsymmetricLossMultiLabel`; Ridnik et al., Asymmetric Loss For Multi-Label Classification (2021)
 */
export const asymmetric: Loss<Floats, Floats, AsymmetricOptions> = /* @__PURE__ */ expressionLoss({
  name: 'asymmetric',
  inputs: { input, target: input.within(0, 1, { validate: true }) },
  params: {
    gammaNeg: { default: 4, expected: 'in [0, 1e38]', holds: isExponent, samples: [0, 0.5, 2.3] },
    gammaPos: { default: 1, expected: 'in [0, 1e38]', holds: isExponent, samples: [0, 0.7] },
    clip: { default: 0.05, expected: 'in [0, 1)', holds: (clip) => clip >= 0 && clip < 1, samples: [0, 0.25] },
  },
  draws: { input: 'real', target: 'probability' },
  loss({ input, target }, { gammaNeg, gammaPos, clip }) {
    const [p, q] = [sigmoid(input), sigmoid(neg(input))]
    const isWhole = eq(clip, 0)
    const r = max(sub(p, clip), 0)
    // 1 − r without a difference of nearly equal numbers.
    const rest = add(q, min(p, clip))
    // −ln p, and −ln(1 − r) = ln(1 + r/(1 − r)), which keeps its digits at both ends.
    const missed = softplus(neg(input))
    const raised = where(isWhole, softplus(input), log1p(div(r, rest)))
    const easy = pow(q, gammaPos)
    const hard = pow(r, gammaNeg)
    // Where a prediction is infinite, nothing times infinity is nothing.
    const positive = mul(easy, missed)
    const negative = mul(hard, raised)
    const value = add(mul0(target, positive), mul0(sub(1, target), negative))

    const down = mul(easy, add(mul(gammaPos, mul0(p, missed)), q))
    const whole = where(isWhole, p, div(mul(p, q), rest))
    const up = where(eq(r, 0), 0, mul(hard, add(mul(gammaNeg, mul(div(p, r), mul0(q, raised))), whole)))
    const slope = sub(mul(sub(1, target), up), mul(target, down))
    return custom(value, [input, slope], [noticed(target), sub(positive, negative)])
  },
})
