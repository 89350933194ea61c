/**
 * Losses of one input element and one target element.
 *
 * A loss gives a loop over a block, not a function of one element: a callback per element turns megamorphic as soon as
 * several losses are in use, and takes 2.5 times as long. For each block of 1,024 elements:
 *
 * 1. target and extra parameter are copied where they have another type than floats, or are shorter than the input;
 * 2. the loop of the loss fills arrays of the block with values and derivatives;
 * 3. where there are weights, masks or upstream gradients, a loop makes 0 of what does not count, multiplies the rest, and adds
 *    gradients to what is there;
 * 4. the values are summed in the one order ({@link total}), and the gradients go to the caller's arrays, times the factor of all.
 *
 * A block whose sum or gradients have left the range of single precision, or whose factors lift what is below it, is looked at
 * again vector by vector in double ({@link again}) before it is stored.
 */

import { classesOf, everything, NOTHING } from '../../call/marks.js'
import type { PointwiseCall } from '../../call/pointwise.js'
import { kindOf, separateGrad } from '../../check.js'
import { BLOCK, FOUR, isLarge, LANES, LARGE, total } from '../../sum.js'

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

/** See {@link PointwiseCall}. */
export function pointwise(call: PointwiseCall): number {
  const { definition: loss, x, t, dx, scale, aux, p0, p1, marks, extra } = call
  if (extra === undefined) separateGrad(loss.name, dx, x, t)
  const factor = fround(scale)
  const weight = extra?.weight
  const gradOutput = extra?.gradOutput
  const sampleWeight = extra?.sampleWeight
  const sampleInner = extra?.sampleInner ?? 1
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
  if (loss.aux !== undefined && typeof aux === 'number') auxs.fill(aux, 0, Math.min(BLOCK, x.length))
  let sum = 0
  for (let start = 0; start < x.length; start += BLOCK) {
    const count = Math.min(x.length - start, BLOCK)
    if (typeof aux !== 'number') {
      for (let i = 0; i < count; i++) auxs[i] = aux[Math.floor((start + i) / extra!.auxInner) % aux.length]
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
    let sumOfBlock = total(values, count)
    let left = plain ? factor : 1
    if (out !== undefined) scaled(values, 1, out, start, count)
    if (wide || lifted || !(Math.abs(sumOfBlock + probe) < LARGE)) {
      if (plain) {
        scaled(dxs, factor, dxs, 0, count)
        scaled(dts, factor, dts, 0, count)
        left = 1
      }
      const apart = again(call, start, count, wide, lifted)
      for (const at of large) values.fill(0, at, at + LANES)
      sumOfBlock = total(values, count) + apart
    }
    if (left === 1) {
      dx?.set(count === BLOCK ? dxs : dxs.subarray(0, count), start)
      targetGrad?.set(count === BLOCK ? dts : dts.subarray(0, count), start)
    } else {
      if (dx !== undefined) scaled(dxs, left, dx, start, count)
      if (targetGrad !== undefined) scaled(dts, left, targetGrad, start, count)
    }
    sum += sumOfBlock
  }
  return sum
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
  { definition: loss, x, t, dx, scale, p0, p1, marks, extra }: PointwiseCall,
  start: number,
  count: number,
  wide: boolean,
  lifted: boolean,
): number {
  const { weight, sampleWeight, sampleInner = 1, gradOutput, targetGrad } = extra ?? {}
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
    let sumOfVector = 0
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
      sumOfVector += apart ? value : low ? value - values[i] : 0
      if (extra?.out !== undefined && (low || !Number.isFinite(values[i]))) extra.out[start + i] = value
      if (dx !== undefined && (!keeps(dxs[i]) || delicate(slope, f))) {
        dxs[i] = (extra?.accumulate ? dx[start + i] : 0) + slope * f
      }
      if (targetGrad !== undefined && (!keeps(dts[i]) || delicate(targetSlope, f))) dts[i] = targetSlope * f
    }
    sum += sumOfVector
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
