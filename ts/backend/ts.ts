/**
 * The kernels in TypeScript, in the same blocks and the same order of summation. They compute in double precision and
 * round where a value is stored; losses of class `exact` round every step, and so have the bits of the others.
 *
 * A loss gives a loop over a block, not a function of one element: a callback per element turns megamorphic as soon as
 * several losses are in use, which is 2.5 times slower (measured).
 */

import { kindOf, separateGrad } from '../check.js'
import { interpret } from '../expression/interpret.js'
import type { PointwiseDefinition } from '../family/pointwise.js'
import type { Axis } from '../family/positions.js'
import type { SoftmaxDefinition } from '../family/softmax.js'
import { exp } from '../math.js'
import { BLOCK, FOUR, isLarge, LANES, LARGE, positionsOfBlock, total } from '../sum.js'
import { version } from '../version.js'
import {
  type Backend,
  type ExpressionCall,
  firstScore,
  PLANE,
  type PointwiseExtra,
  type RegionCall,
  type SoftmaxExtra,
} from './contract.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from './marks.js'

const { fround } = Math

/** Smallest normal number. */
const LEAST = 2 ** -126

// Of one block: which elements count, as classes; targets of another type than floats; what the loss gives, and its extra
// parameter.
const classNumbers = new Int32Array(BLOCK)
const inputs = new Float32Array(BLOCK)
const floats = new Float32Array(BLOCK)
const values = new Float32Array(BLOCK)
const dxs = new Float32Array(BLOCK)
const dts = new Float32Array(BLOCK)
const auxs = new Float32Array(BLOCK)
/** Of losses of the softmax family, in double precision: values may be below the floats where their mean is not. */
const lanes = new Float64Array(LANES)

/** See {@link Backend.firstOutside}; short arrays are scanned here whatever the backend. */
export function firstOutside(values: NumberArray, low: number, high: number, marks: Marks): number {
  if (marks === everything) {
    for (let i = 0; i < values.length; i++) if (!(values[i] >= low && values[i] <= high)) return i
    return -1
  }
  for (let first = 0; first < values.length; first += BLOCK) {
    const count = Math.min(values.length - first, BLOCK)
    classesOf(marks, first, count, classNumbers)
    for (let i = 0; i < count; i++) {
      const value = values[first + i]
      if (classNumbers[i] !== NOTHING && !(value >= low && value <= high)) return first + i
    }
  }
  return -1
}

/** See {@link Backend.keptWeight}; short label arrays are scanned here whatever the backend. */
export function keptWeight(
  marks: Marks,
  positions: number,
  classes: number,
  weight: Float32Array | undefined,
  sampleWeight: Float32Array | undefined,
  sampleInner: number,
): number {
  const { labels, ignored, mask } = marks
  if (labels instanceof Int32Array && mask === undefined && ignored.length === 1 && sampleWeight === undefined) {
    return keptLabels(labels, classes, ignored[0], weight)
  }
  let total = 0
  for (let first = 0; first < positions; first += BLOCK) {
    const count = Math.min(positions - first, BLOCK)
    classesOf(marks, first, count, classNumbers)
    for (let i = 0; i < count; i++) {
      const y = classNumbers[i]
      if (y === NOTHING) continue
      if (classes > 0 && (y < 0 || y >= classes)) return -1 - first - i
      const own = sampleWeight === undefined ? 1 : sampleWeight[Math.floor((first + i) / sampleInner)]
      total += weight === undefined ? own : weight[y] * own
    }
  }
  return total
}

/** The gradient passes take the numbers of planes in double precision too. */
export interface TsBackend extends Backend {
  expression(call: ExpressionCall): number
  regionGradient(call: RegionCall, planes: Planes, scale: number, dx: Float32Array, accumulate: boolean): void
  regionTargetGradient(call: RegionCall, planes: Planes, dt: Float32Array): void
}

type Planes = Float32Array | Float64Array

/** The same of what a training step has, without a copy of the labels. */
function keptLabels(labels: Int32Array, classes: number, ignored: number, weight: Float32Array | undefined): number {
  let total = 0
  for (let i = 0; i < labels.length; i++) {
    const y = labels[i]
    if (y === ignored) continue
    if (classes > 0 && (y < 0 || y >= classes)) return -1 - i
    total += weight === undefined ? 1 : weight[y]
  }
  return total
}

/** The TypeScript backend: loads everywhere. */
export const tsBackend: TsBackend = {
  name: 'ts',
  instructionSet: 'none',
  version,
  registry: [],
  firstOutside,
  keptWeight,
  expression: interpret,

  pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
    if (extra === undefined) separateGrad(loss.name, dx, x, t)
    const factor = fround(scale)
    const weight = extra?.weight
    const gradOutput = extra?.gradOutput
    const sampleWeight = extra?.sampleWeight
    const sampleInner = extra?.sampleInner ?? 1
    const marks = extra?.marks ?? everything
    const targetGrad = extra?.targetGrad
    const out = extra?.out
    const accumulate = extra?.accumulate === true
    const isFloats = kindOf(t) === 'Float32Array'
    const all = marks === everything && sampleWeight === undefined
    const plain = weight === undefined && gradOutput === undefined && !accumulate && all
    const slopes = dx !== undefined || targetGrad !== undefined
    const wide = gradOutput === undefined && slopes && !fits(scale)
    // See LIFT.
    let lifted = plain && slopes && Math.abs(factor) >= LIFT
    const dt = targetGrad === undefined ? undefined : dts
    if (loss.aux !== undefined && extra?.aux === undefined) auxs.fill(aux, 0, Math.min(BLOCK, x.length))
    let sum = 0
    for (let start = 0; start < x.length; start += BLOCK) {
      const count = Math.min(x.length - start, BLOCK)
      if (extra?.aux !== undefined) {
        for (let i = 0; i < count; i++) {
          auxs[i] = extra.aux[Math.floor((start + i) / extra.auxInner) % extra.aux.length]
        }
      }
      if (isFloats) loss.kernel(x, t as Float32Array, auxs, start, count, p0, p1, values, dxs, dt)
      else {
        for (let i = 0; i < count; i++) {
          inputs[i] = x[start + i]
          floats[i] = Number(t[start + i])
        }
        loss.kernel(inputs, floats, auxs, 0, count, p0, p1, values, dxs, dt)
      }
      // A gradient that is not finite makes it NaN.
      let probe = 0
      if (!plain) {
        classesOf(marks, start, count, classNumbers)
        for (let i = 0; i < count; i++) {
          if (classNumbers[i] === NOTHING) {
            values[i] = 0
            dxs[i] = accumulate ? dx![start + i] : 0
            dts[i] = 0
            continue
          }
          let w = weight === undefined ? 1 : weight[(start + i) % weight.length]
          if (sampleWeight !== undefined) w = fround(w * sampleWeight[Math.floor((start + i) / sampleInner)])
          const f = fround(w * (gradOutput === undefined ? factor : gradOutput[start + i]))
          values[i] *= w
          // Sums of a four may be large where that of the block is not: weights may be negative.
          if (!(Math.abs(values[i]) < LARGE / 4)) probe = Number.NaN
          if (Math.max(Math.abs(w), slopes ? Math.abs(f) : 0) >= LIFT) lifted = true
          if (dx !== undefined && Math.abs(dxs[i]) >= LIFT) lifted = true
          if (targetGrad !== undefined && Math.abs(dts[i]) >= LIFT) lifted = true
          if (dx !== undefined) dxs[i] = accumulate ? dx[start + i] + fround(dxs[i] * f) : dxs[i] * f
          if (targetGrad !== undefined) dts[i] *= f
        }
        if (dx !== undefined) probe += probed(dxs, count)
      }
      // Without weights a derivative of class exact is only infinite where the value is.
      if (targetGrad !== undefined && !(plain && loss.inDouble !== undefined)) probe += probed(dts, count)
      let own = total(values, count)
      let left = plain ? factor : 1
      if (out !== undefined) scaled(values, 1, out, start, count)
      if (wide || lifted || !(Math.abs(own + probe) < LARGE)) {
        if (plain) {
          scaled(dxs, factor, dxs, 0, count)
          scaled(dts, factor, dts, 0, count)
          left = 1
        }
        const apart = again(loss, x, t, dx, scale, p0, p1, extra, start, count, wide, lifted)
        for (const at of large) values.fill(0, at, at + LANES)
        own = total(values, count) + apart
      }
      if (left === 1) {
        dx?.set(count === BLOCK ? dxs : dxs.subarray(0, count), start)
        targetGrad?.set(count === BLOCK ? dts : dts.subarray(0, count), start)
      } else {
        if (dx !== undefined) scaled(dxs, left, dx, start, count)
        if (targetGrad !== undefined) scaled(dts, left, targetGrad, start, count)
      }
      sum += own
    }
    return sum
  },

  softmax(loss, x, marks, classes, dx, scale, labelSmoothing, temperature, p0, extra) {
    if (extra === undefined) separateGrad(loss.name, dx, x, marks.labels)
    if (loss.kind === 'logProbabilities') return picked(loss, x, marks, classes, dx, scale, extra!)
    if (loss.kind === 'teacher') return distilled(x, marks, classes, dx, scale, temperature, extra!)
    const { inner, target, sampleWeight, sampleInner, gradOutput, targetGrad, out, accumulate } = extra ?? plain
    const weight = extra?.exactWeight ?? extra?.weight
    const finite = bounded(scale)
    const positions = x.length / classes
    const keep = 1 - labelSmoothing
    const spread = labelSmoothing / classes
    const atOne = target === undefined && labelSmoothing === 0
    const size = positionsOfBlock(classes, inner === 1)
    const sharpness = 1 / temperature
    const { exps, owns } = scratchOf(classes)
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
        const own = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
        const factor = ((gradOutput === undefined ? finite : gradOutput[position]) * own) / temperature
        // A softmax that is none shows, also where no class is asked for.
        let value = 0 * sum
        // Σ t_c · slope(ln p_c), t_c the weighted target of a class; each term stays in `owns`.
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
            owns[c] = 0
            // 0 · ∞ is 0 here: a class that cannot be and is not asked for costs nothing.
            if (t === 0) continue
            value += t * loss.value(logP, p0)
            slope += owns[c] = t * loss.slope(logP, p0)
          }
        }
        value *= own
        if (out !== undefined) out[position] = value
        lanes[(position - block) & (LANES - 1)] += value
        if (dx === undefined) continue
        const share = slope / whole
        if (certain && !atOne) {
          // p_c·Σ s − s_c is the sum of the others' s less (1 − p_c)·Σ s, of which nothing is lost.
          const top = exps.indexOf(1)
          owns[top] = 0
          let others = 0
          for (let c = 0; c < classes; c++) others += owns[c]
          owns[top] = share * rest - others
          exps[top] = 0
        }
        const all = share * factor
        for (let c = 0, i = first; c < classes; c++, i += inner) {
          const g = atOne ? exps[c] * all : exps[c] * all - owns[c] * factor
          dx[i] = accumulate ? dx[i] + g : g
        }
      }
      total += fold()
    }
    return total
  },

  regionSums(call, sums, keep) {
    const { x, axis, activation, squared, part } = call
    if (activation === 'softmax') return sumsOfSoftmax(call, sums)
    const { classes, positions, last } = axis
    const step = last ? classes : 1
    let value = 0
    for (let plane = 0; plane < axis.samples * classes; plane++) {
      const sample = Math.floor(plane / classes)
      for (let start = 0; start < positions; start += BLOCK) {
        const count = Math.min(positions - start, BLOCK)
        activate(call, sample, plane % classes, start, count)
        addUp(sums, PLANE * plane, squared, count)
        if (part !== undefined) for (let i = 0; i < count; i++) value += kept[i] === 0 ? 0 : partValues[i]
        if (keep === undefined) continue
        let at = indexOf(axis, sample, plane % classes, start)
        // Never 0, so that it has a sign.
        for (let i = 0; i < count; i++, at += step) keep[at] = (1 - 2 * Number(x[at] < 0)) * Math.max(smalls[i], LEAST)
      }
    }
    return value
  },

  regionGradient(call, planes, scale, dx, accumulate) {
    const { axis, activation, squared, part } = call
    const { classes, positions, last } = axis
    const step = last ? classes : 1
    if (activation === 'softmax') {
      throughSoftmax(call, planes, scale, dx, accumulate)
      return
    }
    for (let plane = 0; plane < axis.samples * classes; plane++) {
      const sample = Math.floor(plane / classes)
      const a = planes[PLANE * plane]
      const k = planes[PLANE * plane + 1]
      const b = planes[PLANE * plane + 2]
      for (let start = 0; start < positions; start += BLOCK) {
        const count = Math.min(positions - start, BLOCK)
        activate(call, sample, plane % classes, start, count)
        let at = indexOf(axis, sample, plane % classes, start)
        for (let i = 0; i < count; i++, at += step) {
          let g = 0
          if (kept[i] !== 0) {
            const y = targets[i]
            g = byP(squared, a, k, b, probabilities[i], complements[i], y, 1 - y) * slopes[i]
            if (part !== undefined) g += scale * partSlopes[i]
          }
          dx[at] = accumulate ? dx[at] + g : g
        }
      }
    }
  },

  regionTargetGradient(call, planes, dt) {
    const { axis, activation, squared } = call
    const { classes, positions, last } = axis
    const step = last ? classes : 1
    if (activation === 'softmax') {
      bySoftmaxTarget(call, planes, dt)
      return
    }
    for (let plane = 0; plane < axis.samples * classes; plane++) {
      const sample = Math.floor(plane / classes)
      const a = planes[PLANE * plane]
      const k = planes[PLANE * plane + 1]
      const b = planes[PLANE * plane + 2]
      for (let start = 0; start < positions; start += BLOCK) {
        const count = Math.min(positions - start, BLOCK)
        activate(call, sample, plane % classes, start, count)
        let at = indexOf(axis, sample, plane % classes, start)
        for (let i = 0; i < count; i++, at += step) {
          const y = targets[i]
          dt[at] = kept[i] === 0 ? 0 : byP(squared, a, k, b, y, 1 - y, probabilities[i], complements[i])
        }
      }
    }
  },
}

/** Whether single precision holds the factor of the gradients with all its digits. */
const fits = (scale: number) => scale === 0 || (Math.abs(scale) >= LEAST && Math.abs(fround(scale)) < Infinity)

// Of one vector in double precision, and where the vectors of fours start whose sums are in double.
const values64 = new Float64Array(LANES)
const dxs64 = new Float64Array(LANES)
const dts64 = new Float64Array(LANES)
const large: number[] = []

const HUGE = 1e250

/**
 * A factor by which less than the smallest normal float, which has lost digits or all of itself, shows in a result. Below it the
 * error is less than the smallest normal float.
 */
const LIFT = 2 ** 24

/** Whether single precision has too few digits of one factor for what the other makes of it. */
const delicate = (a: number, b: number) => lifts(a, b) || lifts(b, a)
const lifts = (small: number, large: number) => small !== 0 && Math.abs(small) < LEAST && Math.abs(large) >= LIFT

/**
 * What has left the range of single precision in a block, once more in double, as
 * `crate/core/src/family/pointwise/double.rs` has it: what single precision holds stays, but for gradients by a factor that is too
 * `wide`. What the sum lacks, without those vectors that {@link large} names then.
 */
function again(
  loss: PointwiseDefinition,
  x: Float32Array,
  t: NumberArray,
  dx: Float32Array | undefined,
  scale: number,
  p0: number,
  p1: number,
  extra: PointwiseExtra | undefined,
  start: number,
  count: number,
  wide: boolean,
  lifted: boolean,
): number {
  const { weight, sampleWeight, sampleInner = 1, gradOutput, targetGrad, marks = everything } = extra ?? {}
  classesOf(marks, start, count, classNumbers)
  // The smallest denominators make even a double ∞.
  const finite = Math.max(-Number.MAX_VALUE, Math.min(scale, Number.MAX_VALUE))
  const keeps = (value: number) => !wide && Number.isFinite(value)
  let sum = 0
  let apart = false
  large.length = 0
  for (let at = 0; at < count; at += LANES) {
    const length = Math.min(LANES, count - at)
    if (at % FOUR === 0) apart = isLarge(values, at)
    let again = wide || lifted
    for (let i = at; i < at + length; i++) {
      if ((dx !== undefined && !keeps(dxs[i])) || (targetGrad !== undefined && !keeps(dts[i]))) again = true
    }
    if (!apart && !again) continue
    if (loss.inDouble === undefined) {
      for (let i = at; i < at + length; i++) {
        inputs[i - at] = x[start + i]
        floats[i - at] = Number(t[start + i])
      }
      loss.kernel(inputs, floats, auxs.subarray(at), 0, length, p0, p1, values64, dxs64, dts64)
    }
    let own = 0
    for (let j = 0, i = at; j < length; j++, i++) {
      let [value, slope, targetSlope] = [values64[j], dxs64[j], dts64[j]]
      if (loss.inDouble !== undefined) {
        ;[value, slope] = loss.inDouble(x[start + i], Number(t[start + i]), p0)
        targetSlope = -slope
      }
      // Kernels that multiply by 0 take the largest double for ∞, which no finite input comes near.
      if (Math.abs(value) > HUGE) value *= Infinity
      let w = weight === undefined ? 1 : weight[(start + i) % weight.length]
      if (sampleWeight !== undefined) w *= sampleWeight[Math.floor((start + i) / sampleInner)]
      const f = w * (gradOutput === undefined ? finite : gradOutput[start + i])
      if (classNumbers[i] === NOTHING) {
        value = 0
        slope = 0
        targetSlope = 0
      }
      const low = extra !== undefined && delicate(value, w)
      value *= w
      own += apart ? value : low ? value - values[i] : 0
      if (extra?.out !== undefined && (low || !Number.isFinite(values[i]))) extra.out[start + i] = value
      if (dx !== undefined && (!keeps(dxs[i]) || delicate(slope, f))) {
        dxs[i] = (extra?.accumulate ? dx[start + i] : 0) + slope * f
      }
      if (targetGrad !== undefined && (!keeps(dts[i]) || delicate(targetSlope, f))) dts[i] = targetSlope * f
    }
    sum += own
    if (apart) large.push(at)
  }
  return sum
}

/** 0 where the first of the values are finite, otherwise NaN. Four sums, because each waits for the one before. */
function probed(values: Float32Array, count: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  for (let i = 0; i < count; i += 4) {
    a += 0 * values[i]
    b += 0 * values[i + 1]
    c += 0 * values[i + 2]
    d += 0 * values[i + 3]
  }
  return a + b + c + d
}

/** A function of its own: V8 compiles it for the arrays at hand, within a long one the loop takes twice the time. */
function scaled(from: Float32Array, factor: number, to: Float32Array, start: number, count: number): void {
  for (let i = 0; i < count; i++) to[start + i] = from[i] * factor
}

/** The smallest denominators make even a double ∞. */
const bounded = (scale: number) => Math.max(-Number.MAX_VALUE, Math.min(scale, Number.MAX_VALUE))

/** The sum of {@link lanes}, which it uses up, in the order of {@link total}. */
function fold(): number {
  for (let half = LANES >> 1; half > 0; half >>= 1) {
    for (let j = 0; j < half; j++) lanes[j] += lanes[j + half]
  }
  return lanes[0]
}

const plain: SoftmaxExtra = {
  inner: 1,
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
function picked(
  loss: SoftmaxDefinition,
  x: Float32Array,
  marks: Marks,
  classes: number,
  dx: Float32Array | undefined,
  scale: number,
  { inner, weight, sampleWeight, sampleInner, gradOutput, out, accumulate }: SoftmaxExtra,
): number {
  const positions = x.length / classes
  const at = (position: number, y: number) => firstScore(position, inner, classes) + y * inner
  const weightOf = (position: number, y: number) => {
    if (y < 0 || y >= classes) return 0
    const own = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
    return (weight === undefined ? 1 : weight[y]) * own
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
function distilled(
  x: Float32Array,
  marks: Marks,
  classes: number,
  dx: Float32Array | undefined,
  scale: number,
  temperature: number,
  { inner, target, sampleWeight, sampleInner, gradOutput, targetGrad, out, accumulate }: SoftmaxExtra,
): number {
  const t = target!
  const finite = bounded(scale)
  const { exps, owns: expsT } = scratchOf(classes)
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
    const own = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(position / sampleInner)]
    const maxX = largest(x, first, last, inner)
    const maxT = largest(t, first, last, inner)
    const expX = exponentials(x, first, last, inner, maxX, sharpness, exps)
    const expT = exponentials(t, first, last, inner, maxT, sharpness, expsT)
    let top = first
    while (top < last - inner && t[top] !== maxT) top += inner
    // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
    const atTop = Math.max(x[top], -Number.MAX_VALUE)
    const from = atTop - maxT
    const shareX = 1 / expX
    const shareT = 1 / expT
    // With d_c the difference past that of this class, Σ t·d. What the teacher rules out costs nothing.
    let mean = 0
    for (let c = 0, i = first; c < classes; c++, i += inner) {
      if (expsT[c] !== 0) mean += expsT[c] * (x[i] - t[i] - from)
    }
    mean *= shareT
    const divergence = Math.log(expX) - Math.log(expT) - (atTop - maxX + mean) * sharpness
    const factor = own * (gradOutput === undefined ? finite : gradOutput[position])
    if (targetGrad !== undefined) {
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        targetGrad[i] = expsT[c] === 0 ? 0 : expsT[c] * shareT * (mean - (x[i] - t[i] - from)) * factor
      }
    }
    let value = divergence * temperature * temperature
    // The gradient is that of p − t, or of (t·(e^−u − 1) − t·Q)/(1 + Q) with the first in the place of the student's e^z.
    const by = temperature * factor
    let back = shareT
    let share = shareX
    if (!(divergence > FAR)) {
      // e^−u of a class that is not near is of the student's p, as t·e^−u = p·e^KL.
      const ratio = shareX * Math.exp(divergence)
      value = 0
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        const p = expsT[c] * shareT
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
      share = 1 / (1 + value)
      back = shareT * value * share
      value = Math.log1p(value) * temperature * temperature
    }
    if (dx !== undefined) {
      share *= by
      back *= by
      for (let c = 0, i = first; c < classes; c++, i += inner) {
        const g = exps[c] * share - expsT[c] * back
        dx[i] = accumulate ? dx[i] + g : g
      }
    }
    value *= own
    if (out !== undefined) out[position] = value
    sum += value
  }
  return sum
}

// Of one position, by class: e^((x − max)/T), and the class's own part of the gradient.
let scratch = { exps: new Float64Array(0), owns: new Float64Array(0) }

function scratchOf(classes: number): typeof scratch {
  if (scratch.exps.length !== classes) scratch = { exps: new Float64Array(classes), owns: new Float64Array(classes) }
  return scratch
}

/** Below it a sum of exponentials, of which the largest is 1, has lost too much of the others: see {@link restOf}. */
const CERTAIN = 1 + 2 ** -16

/** Writes e^((x − max) · sharpness) of a position into `exps`; their sum. Divisions are slow, so callers multiply. */
function exponentials(
  x: Float32Array,
  first: number,
  last: number,
  step: number,
  max: number,
  sharpness: number,
  exps: Float64Array,
): number {
  let sum = 0
  for (let i = first, c = 0; i < last; i += step, c++) {
    const e = exp((x[i] - max) * sharpness)
    exps[c] = e
    sum += e
  }
  return sum
}

/** The sum of the exponentials of a position without the one that is 1, which is nearly certain. */
function restOf(exps: Float64Array): number {
  let rest = 0
  for (let c = 0; c < exps.length; c++) if (exps[c] !== 1) rest += exps[c]
  return rest
}

function largest(x: Float32Array, first: number, last: number, step: number): number {
  let max = -Infinity
  for (let i = first; i < last; i += step) if (x[i] > max) max = x[i]
  return max
}

// Of one block of positions and one class: what a region loss and its part are made of.
const scores = new Float32Array(BLOCK)
const targets = new Float32Array(BLOCK)
const kept = new Uint8Array(BLOCK)
const probabilities = new Float64Array(BLOCK)
/** 1 − p, from the activation, so that it keeps its digits where p is nearly 1. */
const complements = new Float64Array(BLOCK)
/** dp/dx where the activation is of each score by itself. */
const slopes = new Float64Array(BLOCK)
/** σ(−|x|) of a sigmoid. */
const smalls = new Float64Array(BLOCK)
const partValues = new Float64Array(BLOCK)
const partSlopes = new Float64Array(BLOCK)

/** Index of the score of a position of a sample. */
function indexOf({ classes, positions, last }: Axis, sample: number, c: number, position: number): number {
  return last ? (sample * positions + position) * classes + c : (sample * classes + c) * positions + position
}

function gather(from: NumberArray, first: number, step: number, to: Float32Array, count: number): void {
  for (let i = 0, at = first; i < count; i++, at += step) to[i] = Number(from[at])
}

/** Adds what {@link activate} has filled in to the three sums of a plane. */
function addUp(sums: Float64Array, plane: number, squared: boolean, count: number): void {
  let first = sums[plane]
  let second = sums[plane + 1]
  let both = sums[plane + 2]
  if (squared) {
    for (let i = 0; i < count; i++) {
      if (kept[i] === 0) continue
      const p = probabilities[i]
      const y = targets[i]
      // The difference p − y.
      const apart = p * (1 - y) - complements[i] * y
      first += apart * apart
      second += y * y
      both += p * y
    }
  } else {
    for (let i = 0; i < count; i++) {
      if (kept[i] === 0) continue
      const p = probabilities[i]
      const y = targets[i]
      first += p * (1 - y)
      second += complements[i] * y
      both += p * y
    }
  }
  sums[plane] = first
  sums[plane + 1] = second
  sums[plane + 2] = both
}

/** a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p with q = 1 − p and z = 1 − y. */
function byP(squared: boolean, a: number, k: number, b: number, p: number, q: number, y: number, z: number): number {
  return squared ? a * y + k * (p * z - q * y) + b * p : a * y + b * z
}

/** Fills the arrays above. */
function activate(call: RegionCall, sample: number, c: number, start: number, count: number): void {
  const { x, target, marks, axis, activation, part } = call
  const { classes, positions, last } = axis
  const step = last ? classes : 1
  const first = indexOf(axis, sample, c, start)
  classesOf(marks, sample * positions + start, count, classNumbers)
  gather(x, first, step, scores, count)
  if (target !== undefined) gather(target, first, step, targets, count)
  else for (let i = 0; i < count; i++) targets[i] = Number(classNumbers[i] === c)
  for (let i = 0; i < count; i++) kept[i] = Number(classNumbers[i] !== NOTHING)
  if (activation === 'none') {
    for (let i = 0; i < count; i++) {
      probabilities[i] = scores[i]
      complements[i] = 1 - scores[i]
    }
    slopes.fill(1, 0, count)
  } else if (activation === 'kept') {
    for (let i = 0; i < count; i++) {
      const xi = scores[i]
      const below = Number(xi < 0)
      const above = 1 - below
      const small = Math.abs(xi)
      const large = 1 - small
      probabilities[i] = below * small + above * large
      complements[i] = below * large + above * small
      slopes[i] = small * large
    }
  } else {
    for (let i = 0; i < count; i++) {
      const xi = scores[i]
      // Factors of 0 and 1 in place of a branch on the sign, as in bceWithLogits.
      const below = Number(xi < 0)
      const above = 1 - below
      const e = exp(-Math.abs(xi))
      const large = 1 / (1 + e)
      const small = e * large
      probabilities[i] = below * small + above * large
      complements[i] = below * large + above * small
      slopes[i] = small * large
      smalls[i] = small
    }
  }
  if (part === undefined) return
  auxs.fill(typeof part.aux === 'number' ? part.aux : part.aux[c], 0, count)
  const { kernel } = part.definition as PointwiseDefinition
  kernel(scores, targets, auxs, 0, count, part.p0, part.p1, values, dxs, undefined)
  const w = (part.weight?.[c] ?? 1) * (part.sampleWeight?.[sample] ?? 1)
  for (let i = 0; i < count; i++) {
    partValues[i] = w * values[i]
    partSlopes[i] = w * dxs[i]
  }
}

/** The sums where a position's probabilities depend on all its scores. */
function sumsOfSoftmax(call: RegionCall, sums: Float64Array): number {
  const { x, target, marks, axis, squared, part } = call
  const { samples, classes, positions, last } = axis
  const step = last ? 1 : positions
  const smoothing = part?.labelSmoothing ?? 0
  const spread = smoothing / classes
  const loss = part?.definition as SoftmaxDefinition
  const { exps } = scratchOf(classes)
  let value = 0
  for (let sample = 0; sample < samples; sample++) {
    const firstPlane = PLANE * classes * sample
    const own = part?.sampleWeight?.[sample] ?? 1
    for (let position = 0; position < positions; position++) {
      const label = labelOf(marks, axis, sample, position)
      if (label === NOTHING) continue
      const first = indexOf(axis, sample, 0, position)
      const max = largest(x, first, first + classes * step, step)
      const sum = exponentials(x, first, first + classes * step, step, max, 1, exps)
      const share = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(exps) * share : 0
      const logSum = part === undefined ? 0 : logOf(sum, exps)
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const p = exps[c] * share
        const y = target === undefined ? Number(c === label) : Number(target[at])
        const q = certain && exps[c] === 1 ? rest : 1 - p
        if (squared) {
          const apart = p * (1 - y) - q * y
          sums[plane] += apart * apart
          sums[plane + 1] += y * y
        } else {
          sums[plane] += p * (1 - y)
          sums[plane + 1] += q * y
        }
        sums[plane + 2] += p * y
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * own * ((1 - smoothing) * y + spread)
        if (t !== 0) value += t * loss.value(x[at] - max - logSum, part.p0)
      }
    }
  }
  return value
}

/** ln of the sum of a position's exponentials. */
function logOf(sum: number, exps: Float64Array): number {
  return sum < CERTAIN ? Math.log1p(restOf(exps)) : Math.log(sum)
}

/** Class of a position, which come in order. */
function labelOf(marks: Marks, { positions }: Axis, sample: number, position: number): number {
  const i = position % BLOCK
  if (i === 0) classesOf(marks, sample * positions + position, Math.min(positions - position, BLOCK), classNumbers)
  return classNumbers[i]
}

/** With g_c the gradient by p_c it is p_c·(g_c − Σ g·p), and that of the part p_c·Σ s − s_c as in a softmax loss. */
function throughSoftmax(
  { x, target, marks, axis, squared, part }: RegionCall,
  planes: Planes,
  scale: number,
  dx: Float32Array,
  accumulate: boolean,
): void {
  const { samples, classes, positions, last } = axis
  const step = last ? 1 : positions
  const smoothing = part?.labelSmoothing ?? 0
  const spread = smoothing / classes
  const loss = part?.definition as SoftmaxDefinition
  const g = new Float64Array(classes)
  const { exps: p, owns } = scratchOf(classes)
  for (let sample = 0; sample < samples; sample++) {
    const firstPlane = PLANE * classes * sample
    const weight = part?.sampleWeight?.[sample] ?? 1
    for (let position = 0; position < positions; position++) {
      const first = indexOf(axis, sample, 0, position)
      const label = labelOf(marks, axis, sample, position)
      if (label === NOTHING) {
        if (!accumulate) for (let c = 0; c < classes; c++) dx[first + c * step] = 0
        continue
      }
      const max = largest(x, first, first + classes * step, step)
      const sum = exponentials(x, first, first + classes * step, step, max, 1, p)
      const share = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(p) * share : 0
      const logSum = part === undefined ? 0 : logOf(sum, p)
      let mean = 0
      let slope = 0
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const isTop = certain && p[c] === 1
        p[c] *= share
        const q = isTop ? rest : 1 - p[c]
        const y = target === undefined ? Number(c === label) : Number(target[at])
        g[c] = byP(squared, planes[plane], planes[plane + 1], planes[plane + 2], p[c], q, y, 1 - y)
        mean += g[c] * p[c]
        owns[c] = 0
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * weight * ((1 - smoothing) * y + spread)
        if (t === 0) continue
        const own = scale * t * loss.slope(x[at] - max - logSum, part.p0)
        slope += own
        owns[c] = own
      }
      if (certain) settle(p, g, owns, slope)
      const past = slope - mean
      for (let c = 0, at = first; c < classes; c++, at += step) {
        const by = p[c] * (g[c] + past) - owns[c]
        dx[at] = accumulate ? dx[at] + by : by
      }
    }
  }
}

/**
 * At a class that is nearly certain both parts of the gradient are written with 1 − p_c and the sums over the other classes, of
 * which nothing is lost. All of it takes the place of s, and 0 that of p.
 */
function settle(p: Float64Array, g: Float64Array, owns: Float64Array, slope: number): void {
  let top = 0
  let rest = 0
  let otherMean = 0
  let otherSlope = 0
  for (let c = 0; c < p.length; c++) {
    if (p[c] > 0.5) {
      top = c
      continue
    }
    rest += p[c]
    otherMean += g[c] * p[c]
    otherSlope += owns[c]
  }
  owns[top] = rest * slope - otherSlope - p[top] * (rest * g[top] - otherMean)
  p[top] = 0
}

/** The gradient by the target where a position's probabilities depend on all its scores. */
function bySoftmaxTarget({ x, target, marks, axis, squared }: RegionCall, planes: Planes, dt: Float32Array): void {
  const { samples, classes, positions, last } = axis
  const step = last ? 1 : positions
  const { exps } = scratchOf(classes)
  for (let sample = 0; sample < samples; sample++) {
    const firstPlane = PLANE * classes * sample
    for (let position = 0; position < positions; position++) {
      const first = indexOf(axis, sample, 0, position)
      const end = first + classes * step
      if (labelOf(marks, axis, sample, position) === NOTHING) {
        for (let at = first; at < end; at += step) dt[at] = 0
        continue
      }
      const sum = exponentials(x, first, end, step, largest(x, first, end, step), 1, exps)
      const share = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(exps) * share : 0
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const p = exps[c] * share
        const q = certain && exps[c] === 1 ? rest : 1 - p
        const y = Number(target![at])
        dt[at] = byP(squared, planes[plane], planes[plane + 1], planes[plane + 2], y, 1 - y, p, q)
      }
    }
  }
}
