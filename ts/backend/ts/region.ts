/**
 * Passes of losses of planes.
 *
 * A call is one pass: it adds three sums for each plane of a sample and a class, or it writes the gradient by the scores or by the
 * target from three coefficients of each plane.
 *
 * - Without a softmax the planes go one after the other, by blocks of 1,024 positions. {@link activate} fills arrays of the block with
 *   probabilities, their complements and slopes, and with value and slope of a loss of each position beside the planes; a loop over
 *   them adds up ({@link addUp}) or writes.
 * - With a softmax the positions of a sample go one after the other, and of each all classes: the largest score, e^z and their sum, and
 *   then the classes with their planes. Where a class is nearly certain, 1 − p is the sum over the others, of which nothing is lost.
 *
 * Sums are in double precision and in the order of the positions: nothing is computed again.
 */

import type { Axis } from '../../call/axis.js'
import { classesOf, type Marks, NOTHING, type NumberArray } from '../../call/marks.js'
import { PLANE, type RegionCall } from '../../call/region.js'
import type { PointwiseDefinition, SoftmaxDefinition } from '../../definition.js'
import { exp } from '../../math.js'
import { BLOCK } from '../../sum.js'
import { CERTAIN, exponentials, largest, restOf, scratchOf } from './exponentials.js'

type Planes = Float32Array | Float64Array

/** Smallest normal number. */
const LEAST = 2 ** -126

// Of one block: the classes of the positions, and what the part gives and takes.
const classNumbers = new Int32Array(BLOCK)
const values = new Float32Array(BLOCK)
const dxs = new Float32Array(BLOCK)
const auxs = new Float32Array(BLOCK)

/** See {@link RegionCall}. */
export function region(call: RegionCall): number {
  const { sums, planes, dx, dt } = call
  if (sums !== undefined) return addToSums(call, sums, dx)
  if (dt !== undefined) writeTargetGradient(call, planes!, dt)
  else writeGradient(call, planes!, call.scale, dx!, call.accumulate)
  return 0
}

function addToSums(call: RegionCall, sums: Float64Array, keep: Float32Array | undefined): number {
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
      if (part !== undefined) for (let i = 0; i < count; i++) value += counted[i] === 0 ? 0 : partValues[i]
      if (keep === undefined) continue
      let at = indexOf(axis, sample, plane % classes, start)
      // Never 0, so that it has a sign.
      for (let i = 0; i < count; i++, at += step) keep[at] = (1 - 2 * Number(x[at] < 0)) * Math.max(smalls[i], LEAST)
    }
  }
  return value
}

function writeGradient(call: RegionCall, planes: Planes, scale: number, dx: Float32Array, accumulate: boolean): void {
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
        if (counted[i] !== 0) {
          const y = targets[i]
          g = byP(squared, a, k, b, probabilities[i], complements[i], y, 1 - y) * slopes[i]
          if (part !== undefined) g += scale * partSlopes[i]
        }
        dx[at] = accumulate ? dx[at] + g : g
      }
    }
  }
}

function writeTargetGradient(call: RegionCall, planes: Planes, dt: Float32Array): void {
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
        dt[at] = counted[i] === 0 ? 0 : byP(squared, a, k, b, y, 1 - y, probabilities[i], complements[i])
      }
    }
  }
}

// Of one block of positions and one class: what a region loss and its part are made of.
const scores = new Float32Array(BLOCK)
const targets = new Float32Array(BLOCK)
const counted = new Uint8Array(BLOCK)
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
      if (counted[i] === 0) continue
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
      if (counted[i] === 0) continue
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
  for (let i = 0; i < count; i++) counted[i] = Number(classNumbers[i] !== NOTHING)
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
    const weight = part?.sampleWeight?.[sample] ?? 1
    for (let position = 0; position < positions; position++) {
      const label = labelOf(marks, axis, sample, position)
      if (label === NOTHING) continue
      const first = indexOf(axis, sample, 0, position)
      const max = largest(x, first, first + classes * step, step)
      const sum = exponentials(x, first, first + classes * step, step, max, 1, exps)
      const inverse = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(exps) * inverse : 0
      const logSum = part === undefined ? 0 : logOf(sum, exps)
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const p = exps[c] * inverse
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
        const t = (part.weight?.[c] ?? 1) * weight * ((1 - smoothing) * y + spread)
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
  const { exps: p, targetSlopes } = scratchOf(classes)
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
      const inverse = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(p) * inverse : 0
      const logSum = part === undefined ? 0 : logOf(sum, p)
      let mean = 0
      let slope = 0
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const isTop = certain && p[c] === 1
        p[c] *= inverse
        const q = isTop ? rest : 1 - p[c]
        const y = target === undefined ? Number(c === label) : Number(target[at])
        g[c] = byP(squared, planes[plane], planes[plane + 1], planes[plane + 2], p[c], q, y, 1 - y)
        mean += g[c] * p[c]
        targetSlopes[c] = 0
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * weight * ((1 - smoothing) * y + spread)
        if (t === 0) continue
        const targetSlope = scale * t * loss.slope(x[at] - max - logSum, part.p0)
        slope += targetSlope
        targetSlopes[c] = targetSlope
      }
      if (certain) settle(p, g, targetSlopes, slope)
      const past = slope - mean
      for (let c = 0, at = first; c < classes; c++, at += step) {
        const by = p[c] * (g[c] + past) - targetSlopes[c]
        dx[at] = accumulate ? dx[at] + by : by
      }
    }
  }
}

/**
 * At a class that is nearly certain both parts of the gradient are written with 1 − p_c and the sums over the other classes, of
 * which nothing is lost. All of it takes the place of s, and 0 that of p.
 */
function settle(p: Float64Array, g: Float64Array, targetSlopes: Float64Array, slope: number): void {
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
    otherSlope += targetSlopes[c]
  }
  targetSlopes[top] = rest * slope - otherSlope - p[top] * (rest * g[top] - otherMean)
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
      const inverse = 1 / sum
      const certain = sum < CERTAIN
      const rest = certain ? restOf(exps) * inverse : 0
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const p = exps[c] * inverse
        const q = certain && exps[c] === 1 ? rest : 1 - p
        const y = Number(target![at])
        dt[at] = byP(squared, planes[plane], planes[plane + 1], planes[plane + 2], y, 1 - y, p, q)
      }
    }
  }
}
