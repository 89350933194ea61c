/**
 * Two softmaxes and their divergence.
 *
 * Positions go one after the other. For each of them:
 *
 * 1. passes over both arrays give the largest scores, the e^z and their sums, and the mean of the differences of the scores;
 * 2. where the divergence is large it is that of the logarithms of the sums; elsewhere a pass adds up terms of second order, of
 *    which none is negative, and leaves what the gradient is made of in place of e^z;
 * 3. the gradient by the teacher is written before that pass, and the one by the student after it.
 *
 * Values add up in the order of the positions, in double precision throughout: nothing is computed again.
 */

import { firstScore } from '../../call/axis.js'
import { classesOf, everything, NOTHING } from '../../call/marks.js'
import type { SoftmaxCall } from '../../call/softmax.js'
import { BLOCK } from '../../sum.js'
import { bounded, exponentials, largest, scratchOf } from './exponentials.js'

/** Of one block: which positions count, as classes. */
const classNumbers = new Int32Array(BLOCK)

/**
 * (e^−u − 1 + u)/u² for u in [−1, 1]: e^−u − 1 is −u·(1 − u·this). `crate/core/src/math/exp.rs` has the same polynomial. Its
 * factors are no array, since elements of one are read each time.
 */
function secondOrder(u: number): number {
  const high = 0.0013885397 + u * (-0.00019838102 + u * (2.5358513e-5 + u * -2.8062802e-6))
  return 0.5 + u * (-0.16666667 + u * (0.041666735 + u * (-0.008333339 + u * high)))
}

/** From so large a divergence on, logarithms of sums and differences of probabilities have all digits of their own. */
const FAR = 0.1

/**
 * Two softmaxes and their divergence, from the difference of the scores as `crate/core/src/family/softmax/teacher.rs` has it:
 * the logarithms of two softmaxes that are nearly the same have no digit of it. Where they are not, those do.
 */
export function distilled({ x, marks, axis, dx, scale, temperature, extra }: SoftmaxCall): number {
  const { classes } = axis
  const inner = axis.last ? 1 : axis.positions
  const { target, sampleWeight, sampleInner, gradOutput, targetGrad, out, accumulate } = extra!
  const t = target!
  const finite = bounded(scale)
  const { exps, targetSlopes: expsT } = scratchOf(classes)
  const sharpness = 1 / temperature
  let sum = 0
  for (let position = 0; position < x.length / classes; position++) {
    const first = firstScore(position, inner, classes)
    const last = first + classes * inner
    if (marks !== everything) {
      const i = position % BLOCK
      if (i === 0) classesOf(marks, position, Math.min(x.length / classes - position, BLOCK), classNumbers)
      if (classNumbers[i] === NOTHING) {
        if (dx !== undefined && !accumulate) for (let i = first; i < last; i += inner) dx[i] = 0
        if (targetGrad !== undefined) for (let i = first; i < last; i += inner) targetGrad[i] = 0
        if (out !== undefined) out[position] = 0
        continue
      }
    }
    const positionWeight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
    const maxX = largest(x, first, last, inner)
    const maxT = largest(t, first, last, inner)
    const expX = exponentials(x, first, last, inner, maxX, sharpness, exps)
    const expT = exponentials(t, first, last, inner, maxT, sharpness, expsT)
    let top = first
    while (top < last - inner && t[top] !== maxT) top += inner
    // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
    const atTop = Math.max(x[top], -Number.MAX_VALUE)
    const from = atTop - maxT
    const inverseX = 1 / expX
    const inverseT = 1 / expT
    // With d_c the difference past that of this class, Σ t·d. What the teacher rules out costs nothing.
    let mean = 0
    for (let c = 0, i = first; c < classes; c++, i += inner) {
      if (expsT[c] !== 0) mean += expsT[c] * (x[i] - t[i] - from)
    }
    mean *= inverseT
    const divergence = Math.log(expX) - Math.log(expT) - (atTop - maxX + mean) * sharpness
    const factor = positionWeight * (gradOutput === undefined ? finite : gradOutput[position])
    if (targetGrad !== undefined) {
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        targetGrad[i] = expsT[c] === 0 ? 0 : expsT[c] * inverseT * (mean - (x[i] - t[i] - from)) * factor
      }
    }
    let value = divergence * temperature * temperature
    // The gradient is that of p − t, or of (t·(e^−u − 1) − t·Q)/(1 + Q) with the first in the place of the student's e^z.
    const by = temperature * factor
    let back = inverseT
    let byExp = inverseX
    if (!(divergence > FAR)) {
      // e^−u of a class that is not near is of the student's p, as t·e^−u = p·e^KL.
      const ratio = inverseX * Math.exp(divergence)
      value = 0
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        const p = expsT[c] * inverseT
        const u = (mean - (x[i] - t[i] - from)) * sharpness
        if (Math.abs(u) <= 1) {
          const pu = p * u
          const second = pu * u * secondOrder(u)
          value += second
          exps[c] = second - pu
        } else {
          exps[c] = exps[c] * ratio - p
          value += exps[c] + (p === 0 ? 0 : p * u)
        }
      }
      byExp = 1 / (1 + value)
      back = inverseT * value * byExp
      value = Math.log1p(value) * temperature * temperature
    }
    if (dx !== undefined) {
      byExp *= by
      back *= by
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        const g = exps[c] * byExp - expsT[c] * back
        dx[i] = accumulate ? dx[i] + g : g
      }
    }
    value *= positionWeight
    if (out !== undefined) out[position] = value
    sum += value
  }
  return sum
}
