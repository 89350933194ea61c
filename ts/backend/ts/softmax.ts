/**
 * Losses of the softmax of scores, and of scores that are ln p already.
 *
 * Positions go one after the other, in units whose labels are read at once. For each position:
 *
 * 1. a pass over its scores gives the largest, and another e^z and their sum, in double precision;
 * 2. at the label, or class by class for distributions and smoothing, value and slopes follow. Where a class is nearly certain,
 *    1 − p is the sum over the others, of which nothing is lost;
 * 3. a last pass writes the gradient: e^z times a factor, less the part of the class.
 *
 * Values go into 16 lanes by the number of the position in its unit; the lanes fold at its end, and units add up. Since all of it is
 * in double precision until it is stored, nothing is computed again. Two softmaxes are in `teacher.ts`.
 */

import { firstScore } from '../../call/axis.js'
import { classesOf, NOTHING } from '../../call/marks.js'
import type { SoftmaxCall, SoftmaxExtra } from '../../call/softmax.js'
import { separateGrad } from '../../check.js'
import { BLOCK, LANES, positionsOfBlock } from '../../sum.js'
import { bounded, CERTAIN, exponentials, largest, restOf, scratchOf } from './exponentials.js'
import { distilled } from './teacher.js'

const { fround } = Math

/** Of one block: which positions count, as classes. */
const classNumbers = new Int32Array(BLOCK)
/** Sums of a block, in double precision: values may be below the floats where their mean is not. */
const lanes = new Float64Array(LANES)

/** See {@link SoftmaxCall}. */
export function softmax(call: SoftmaxCall): number {
  const { definition: loss, x, marks, axis, dx, scale, labelSmoothing, temperature, p0, extra } = call
  if (extra === undefined) separateGrad(loss.name, dx, x, marks.labels)
  if (loss.kind === 'logProbabilities') return picked(call)
  if (loss.kind === 'teacher') return distilled(call)
  const { classes } = axis
  const inner = axis.last ? 1 : axis.positions
  const { target, sampleWeight, sampleInner, gradOutput, targetGrad, out, accumulate } = extra ?? plain
  const weight = extra?.exactWeight ?? extra?.weight
  const finite = bounded(scale)
  const positions = x.length / classes
  const keep = 1 - labelSmoothing
  const spread = labelSmoothing / classes
  const atOne = target === undefined && labelSmoothing === 0
  const size = positionsOfBlock(classes, inner === 1)
  const sharpness = 1 / temperature
  const { exps, targetSlopes } = scratchOf(classes)
  let total = 0
  for (let block = 0; block < positions; block += size) {
    const end = Math.min(positions, block + size)
    lanes.fill(0)
    classesOf(marks, block, end - block, classNumbers)
    for (let position = block; position < end; position++) {
      const first = firstScore(position, inner, classes)
      const last = first + classes * inner
      const y = classNumbers[position - block]
      // The labels were checked; one that another thread changed since must still not reach past its position.
      const ignored = target === undefined ? y < 0 || y >= classes : y === NOTHING
      if (ignored) {
        if (dx !== undefined && !accumulate) for (let i = first; i < last; i += inner) dx[i] = 0
        if (targetGrad !== undefined) for (let i = first; i < last; i += inner) targetGrad[i] = 0
        if (out !== undefined) out[position] = 0
        continue
      }
      const max = largest(x, first, last, inner)
      const sum = exponentials(x, first, last, inner, max, sharpness, exps)
      const certain = sum < CERTAIN
      const rest = certain ? restOf(exps) : sum - 1
      const whole = certain ? 1 + rest : sum
      const logSum = certain ? Math.log1p(rest) : Math.log(sum)
      const positionWeight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
      const factor = ((gradOutput === undefined ? finite : gradOutput[position]) * positionWeight) / temperature
      // A softmax that is none shows, also where no class is asked for.
      let value = 0 * sum
      // Σ t_c · slope(ln p_c), t_c the weighted target of a class; each term stays in `targetSlopes`.
      let slope = 0
      if (atOne) {
        const logP = (x[first + y * inner] - max) * sharpness - logSum
        const w = weight === undefined ? 1 : weight[y]
        // ∞ · 0 of a class that counts for nothing is 0.
        if (w !== 0) value = loss.value(logP, p0) * w
        slope = loss.slope(logP, p0) * w
        // p_y − 1 is −rest/whole where that is the largest.
        exps[y] = certain && exps[y] === 1 ? -rest : exps[y] - whole
      } else {
        for (let c = 0, i = first; c < classes; c++, i += inner) {
          const q = target === undefined ? Number(c === y) : target[i]
          const w = weight === undefined ? 1 : weight[c]
          const t = w * (keep * q + spread)
          const logP = (x[i] - max) * sharpness - logSum
          if (targetGrad !== undefined) targetGrad[i] = keep * w * loss.value(logP, p0) * factor * temperature
          targetSlopes[c] = 0
          // 0 · ∞ is 0 here: a class that cannot be and is not asked for costs nothing.
          if (t === 0) continue
          value += t * loss.value(logP, p0)
          slope += targetSlopes[c] = t * loss.slope(logP, p0)
        }
      }
      value *= positionWeight
      if (out !== undefined) out[position] = value
      lanes[(position - block) & (LANES - 1)] += value
      if (dx === undefined) continue
      const slopeOverSum = slope / whole
      if (certain && !atOne) {
        // p_c·Σ s − s_c is the sum of the others' s less (1 − p_c)·Σ s, of which nothing is lost.
        const top = exps.indexOf(1)
        targetSlopes[top] = 0
        let others = 0
        for (let c = 0; c < classes; c++) others += targetSlopes[c]
        targetSlopes[top] = slopeOverSum * rest - others
        exps[top] = 0
      }
      const all = slopeOverSum * factor
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        const g = atOne ? exps[c] * all : exps[c] * all - targetSlopes[c] * factor
        dx[i] = accumulate ? dx[i] + g : g
      }
    }
    total += fold()
  }
  return total
}

/** The sum of {@link lanes}, which it uses up, in the order of {@link total}. */
function fold(): number {
  for (let half = LANES >> 1; half > 0; half >>= 1) {
    for (let j = 0; j < half; j++) lanes[j] += lanes[j + half]
  }
  return lanes[0]
}

const plain: SoftmaxExtra = {
  target: undefined,
  weight: undefined,
  exactWeight: undefined,
  sampleWeight: undefined,
  sampleInner: 1,
  gradOutput: undefined,
  targetGrad: undefined,
  out: undefined,
  accumulate: false,
}

/**
 * Input that is ln p already. All values before the first gradient, which may be written over the input. Products are in double
 * precision until they are stored, with the bits of `crate/core/src/family/softmax/picked.rs`.
 */
function picked({ definition: loss, x, marks, axis, dx, scale, extra }: SoftmaxCall): number {
  const { classes } = axis
  const inner = axis.last ? 1 : axis.positions
  const { weight, sampleWeight, sampleInner, gradOutput, out, accumulate } = extra!
  const positions = x.length / classes
  const at = (position: number, y: number) => firstScore(position, inner, classes) + y * inner
  const weightOf = (position: number, y: number) => {
    if (y < 0 || y >= classes) return 0
    const positionWeight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
    return (weight === undefined ? 1 : weight[y]) * positionWeight
  }
  const size = positionsOfBlock(classes, inner === 1)
  let sum = 0
  // By blocks of positions of a sample, as the other backends add them.
  for (let first = 0; first < positions; ) {
    const left = inner === 1 ? positions - first : inner - (first % inner)
    const end = first + Math.min(size, left)
    lanes.fill(0)
    classesOf(marks, first, end - first, classNumbers)
    for (let position = first; position < end; position++) {
      const y = classNumbers[position - first]
      const w = weightOf(position, y)
      // ∞ · 0 of a position that counts for nothing is 0.
      const value = w === 0 ? 0 : w * loss.value(x[at(position, y)], 0)
      if (out !== undefined) out[position] = value
      lanes[(position - first) & (LANES - 1)] += value
    }
    sum += fold()
    first = end
  }
  if (dx === undefined) return sum
  if (!accumulate) dx.fill(0)
  for (let first = 0; first < positions; first += BLOCK) {
    const count = Math.min(positions - first, BLOCK)
    classesOf(marks, first, count, classNumbers)
    for (let position = first; position < first + count; position++) {
      const y = classNumbers[position - first]
      const w = weightOf(position, y)
      if (w !== 0) dx[at(position, y)] -= fround(w * (gradOutput === undefined ? scale : gradOutput[position]))
    }
  }
  return sum
}
