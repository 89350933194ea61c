/**
 * The kernels in TypeScript, in the same blocks and the same order of summation. They compute in double precision and
 * round where a value is stored; losses of class `exact` round every step, and so have the bits of the others.
 *
 * A loss gives a loop over a block, not a function of one element: a callback per element turns megamorphic as soon as
 * several losses are in use, which is 2.5 times slower (measured).
 */

import { separateGrad } from '../check.js'
import type { PointwiseDefinition } from '../family/pointwise.js'
import type { Axis } from '../family/positions.js'
import type { SoftmaxDefinition } from '../family/softmax.js'
import { exp } from '../math.js'
import { BLOCK, fold, LANES, positionsOfBlock, total } from '../sum.js'
import { version } from '../version.js'
import { type Backend, firstScore, PLANE, type RegionCall, type SoftmaxExtra } from './contract.js'

const { fround } = Math

/** Smallest normal number. */
const LEAST = 2 ** -126

// Of one block: what the loss gives, and its extra parameter.
const values = new Float32Array(BLOCK)
const dxs = new Float32Array(BLOCK)
const dts = new Float32Array(BLOCK)
const auxs = new Float32Array(BLOCK)
const lanes = new Float32Array(LANES)

/** See {@link Backend.firstOutside}; short arrays are scanned here whatever the backend. */
export function firstOutside(values: Float32Array, low: number, high: number): number {
  for (let i = 0; i < values.length; i++) if (!(values[i] >= low && values[i] <= high)) return i
  return -1
}

/** See {@link Backend.keptWeight}; short label arrays are scanned here whatever the backend. */
export function keptWeight(
  labels: Int32Array,
  classes: number,
  ignoreIndex: number,
  weight: Float32Array | undefined,
): number {
  let total = 0
  for (let i = 0; i < labels.length; i++) {
    const y = labels[i]
    if (y === ignoreIndex) continue
    if (y < 0 || y >= classes) return -1 - i
    total += weight === undefined ? 1 : weight[y]
  }
  return total
}

/** The TypeScript backend: loads everywhere. */
export const tsBackend: Backend = {
  name: 'ts',
  instructionSet: 'none',
  version,
  registry: [],
  firstOutside,
  keptWeight,

  pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
    if (extra === undefined) separateGrad(loss.name, dx, x, t)
    const factor = fround(scale)
    const weight = extra?.weight
    const gradOutput = extra?.gradOutput
    const targetGrad = extra?.targetGrad
    const out = extra?.out
    const accumulate = extra?.accumulate === true
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
      loss.kernel(x, t, auxs, start, count, p0, p1, values, dxs, dt)
      if (weight === undefined && gradOutput === undefined && !accumulate) {
        if (dx !== undefined) scaled(dxs, factor, dx, start, count)
        if (targetGrad !== undefined) scaled(dts, factor, targetGrad, start, count)
        if (out !== undefined) scaled(values, 1, out, start, count)
      } else {
        for (let i = 0; i < count; i++) {
          const w = weight === undefined ? 1 : weight[(start + i) % weight.length]
          const f = fround(w * (gradOutput === undefined ? factor : gradOutput[start + i]))
          values[i] *= w
          if (dx !== undefined) dx[start + i] = accumulate ? dx[start + i] + fround(dxs[i] * f) : dxs[i] * f
          if (targetGrad !== undefined) targetGrad[start + i] = dts[i] * f
          if (out !== undefined) out[start + i] = values[i]
        }
      }
      sum += total(values, count)
    }
    return sum
  },

  softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, p0, extra) {
    if (extra === undefined) separateGrad(loss.name, dx, x, labels)
    if (loss.kind === 'logProbabilities') return picked(loss, x, labels, classes, dx, scale, ignoreIndex, extra!)
    if (loss.kind === 'teacher') return distilled(x, classes, dx, scale, temperature, extra!)
    const { inner, target, weight, sampleWeight, gradOutput, targetGrad, out, accumulate } = extra ?? plain
    const positions = target === undefined ? labels.length : target.length / classes
    const keep = 1 - labelSmoothing
    const spread = labelSmoothing / classes
    const atOne = target === undefined && labelSmoothing === 0
    const size = positionsOfBlock(classes, inner === 1)
    const sharpness = 1 / temperature
    const { exps, owns } = scratchOf(classes)
    owns.fill(0)
    let sum = 0
    for (let block = 0; block < positions; block += size) {
      const end = Math.min(positions, block + size)
      lanes.fill(0)
      for (let position = block; position < end; position++) {
        const first = firstScore(position, inner, classes)
        const last = first + classes * inner
        const y = labels.length === 0 ? -1 : labels[position]
        // The labels were checked; one that another thread changed since must still not reach past its position.
        const ignored =
          target === undefined ? y === ignoreIndex || y < 0 || y >= classes : labels.length > 0 && y === ignoreIndex
        if (ignored) {
          if (dx !== undefined && !accumulate) for (let i = first; i < last; i += inner) dx[i] = 0
          if (targetGrad !== undefined) for (let i = first; i < last; i += inner) targetGrad[i] = 0
          if (out !== undefined) out[position] = 0
          continue
        }
        const max = largest(x, first, last, inner)
        const rest = exponentials(x, first, last, inner, max, sharpness, exps)
        const whole = 1 + rest
        const logSum = Math.log1p(rest)
        const alone = aloneOf(whole)
        const own = sampleWeight === undefined ? 1 : sampleWeight[position]
        const factor = ((gradOutput === undefined ? scale : gradOutput[position]) * own) / temperature
        let value = 0
        // Σ t_c · slope(ln p_c), t_c the weighted target of a class; each term stays in `owns`. The same without a class that
        // stands alone.
        let slope = 0
        let others = 0
        if (atOne) {
          const logP = (x[first + y * inner] - max) * sharpness - logSum
          const w = weight === undefined ? 1 : weight[y]
          value = loss.value(logP, p0) * w
          slope = loss.slope(logP, p0) * w
          owns[y] = slope
          if (exps[y] !== alone) others = slope
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
            if (exps[c] !== alone) others += owns[c]
          }
        }
        value *= own
        if (out !== undefined) out[position] = value
        lanes[(position - block) & (LANES - 1)] += value
        if (dx !== undefined) {
          // p_c·Σ s − s_c; at a class that is nearly certain the sum of the others' s less (1 − p_c)·Σ s, of which nothing is lost.
          const share = slope / whole
          const certain = others - share * rest
          for (let c = 0, i = first; c < classes; c++, i += inner) {
            const g = (exps[c] === alone ? certain : share * exps[c] - owns[c]) * factor
            dx[i] = accumulate ? dx[i] + g : g
          }
        }
        if (atOne) owns[y] = 0
      }
      sum += fold(lanes)
    }
    return sum
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
    const { axis, activation, part } = call
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
            g = (a * y + k * probabilities[i] + b * (1 - y)) * slopes[i]
            if (part !== undefined) g += scale * partSlopes[i]
          }
          dx[at] = accumulate ? dx[at] + g : g
        }
      }
    }
  },
}

/** A function of its own: V8 compiles it for the arrays at hand, within a long one the loop takes twice the time. */
function scaled(from: Float32Array, factor: number, to: Float32Array, start: number, count: number): void {
  for (let i = 0; i < count; i++) to[start + i] = from[i] * factor
}

const plain: SoftmaxExtra = {
  inner: 1,
  target: undefined,
  weight: undefined,
  sampleWeight: undefined,
  gradOutput: undefined,
  targetGrad: undefined,
  out: undefined,
  accumulate: false,
}

/** Input that is ln p already. All values before the first gradient, which may be written over the input. */
function picked(
  loss: SoftmaxDefinition,
  x: Float32Array,
  labels: Int32Array,
  classes: number,
  dx: Float32Array | undefined,
  scale: number,
  ignoreIndex: number,
  { inner, weight, sampleWeight, gradOutput, out, accumulate }: SoftmaxExtra,
): number {
  const at = (position: number) => firstScore(position, inner, classes) + labels[position] * inner
  const weightOf = (position: number) => {
    const y = labels[position]
    if (y === ignoreIndex || y < 0 || y >= classes) return 0
    return fround((weight === undefined ? 1 : weight[y]) * (sampleWeight === undefined ? 1 : sampleWeight[position]))
  }
  const size = positionsOfBlock(classes, inner === 1)
  let sum = 0
  // By blocks of positions of a sample, as the other backends add them.
  for (let first = 0; first < labels.length; ) {
    const left = inner === 1 ? labels.length - first : inner - (first % inner)
    const end = first + Math.min(size, left)
    lanes.fill(0)
    for (let position = first; position < end; position++) {
      const w = weightOf(position)
      // ∞ · 0 of a position that counts for nothing is 0.
      const value = w === 0 ? 0 : fround(w * loss.value(x[at(position)], 0))
      if (out !== undefined) out[position] = value
      lanes[(position - first) & (LANES - 1)] += value
    }
    sum += fold(lanes)
    first = end
  }
  if (dx === undefined) return sum
  if (!accumulate) dx.fill(0)
  for (let position = 0; position < labels.length; position++) {
    const w = weightOf(position)
    if (w !== 0) dx[at(position)] -= fround(w * fround(gradOutput === undefined ? scale : gradOutput[position]))
  }
  return sum
}

/** Polynomial of {@link secondOrder}, lowest power first; `crate/core/src/math/exp.rs` has the same. */
const G = [0.5, -0.16666667, 0.041666735, -0.008333339, 0.0013885397, -0.00019838102, 2.5358513e-5, -2.8062802e-6]

/** (e^−u − 1 + u)/u² for u in [−1, 1]: e^−u − 1 is −u·(1 − u·this). */
function secondOrder(u: number): number {
  return G[0] + u * (G[1] + u * (G[2] + u * (G[3] + u * (G[4] + u * (G[5] + u * (G[6] + u * G[7]))))))
}

/**
 * Two softmaxes and their divergence, from the difference of the scores as `crate/core/src/family/softmax/teacher.rs` has it:
 * the logarithms of two softmaxes that are nearly the same have no digit of it.
 */
function distilled(
  x: Float32Array,
  classes: number,
  dx: Float32Array | undefined,
  scale: number,
  temperature: number,
  { inner, target, gradOutput, targetGrad, out, accumulate }: SoftmaxExtra,
): number {
  const t = target!
  const { exps, owns: expsT } = scratchOf(classes)
  const sharpness = 1 / temperature
  let sum = 0
  for (let position = 0; position < x.length / classes; position++) {
    const first = firstScore(position, inner, classes)
    const last = first + classes * inner
    const maxX = largest(x, first, last, inner)
    const maxT = largest(t, first, last, inner)
    const expX = 1 + exponentials(x, first, last, inner, maxX, sharpness, exps)
    const expT = 1 + exponentials(t, first, last, inner, maxT, sharpness, expsT)
    let top = first
    while (top < last - inner && t[top] !== maxT) top += inner
    // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
    const from = Math.max(x[top], -Number.MAX_VALUE) - t[top]
    const shareX = 1 / expX
    const shareT = 1 / expT
    // p/t at that class.
    const ratio = expX / (expT * exp((x[top] - maxX) * sharpness))
    // With d_c the difference past that of this class, Σ T·t·(e^(d/T) − 1) and Σ t·d.
    let shift = 0
    let mean = 0
    for (let c = 0, i = first; c < classes; c++, i += inner) {
      const p = expsT[c] * shareT
      const d = x[i] - t[i] - from
      const v = d * sharpness
      // A p that is 0 may be one too small for a number, and its p·e^(d/T) is none the less the student's.
      const near = p !== 0 && Math.abs(v) <= 1
      shift += near ? p * d * (1 + v * secondOrder(-v)) : (exps[c] * shareX * ratio - p) * temperature
      // What the teacher rules out costs nothing.
      if (p !== 0) mean += p * d
    }
    // T·ln Σ t·e^(d/T). That of a small sum is exact; the other has errors that the divergence sees in second order only.
    const small = shift * sharpness
    if (!(Math.abs(small) < 0.25)) {
      shift = temperature * (Math.log(expX) - Math.log(expT)) - (x[top] - maxX)
    } else if (small !== 0) shift *= Math.log1p(small) / small
    let value = 0
    const factor = gradOutput === undefined ? scale : gradOutput[position]
    for (let c = 0, i = first; c < classes; c++, i += inner) {
      const p = expsT[c] * shareT
      const apart = (exps[c] * shareX - p) * temperature
      const d = x[i] - t[i] - from
      const gap = shift - d
      const u = gap * sharpness
      let byStudent = apart
      if (p === 0) value += apart * temperature
      else if (Math.abs(u) <= 1) {
        const g = secondOrder(u)
        value += p * gap * gap * g
        byStudent = -p * gap * (1 - u * g)
      } else value += (apart + p * gap) * temperature
      if (targetGrad !== undefined) targetGrad[i] = p === 0 ? 0 : p * (mean - d) * factor
      if (dx === undefined) continue
      const g = byStudent * factor
      dx[i] = accumulate ? dx[i] + g : g
    }
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

/**
 * Writes e^((x − max) · sharpness) of a position into `exps`; their sum without one of the largest, which keeps its digits
 * where that is nearly certain. Divisions are slow, so callers multiply.
 */
function exponentials(
  x: Float32Array,
  first: number,
  last: number,
  step: number,
  max: number,
  sharpness: number,
  exps: Float64Array,
): number {
  let rest = 0
  let tops = 0
  for (let i = first, c = 0; i < last; i += step, c++) {
    // The largest have exactly 1. No branch on it, since where it is cannot be guessed.
    const top = Number(x[i] === max)
    const e = exp((x[i] - max) * sharpness)
    exps[c] = e
    rest += e - top
    tops += top
  }
  return rest + (tops - 1)
}

/**
 * e^z of a class that no other comes near, or what that of no class is. 1 − p of such a class is rest/whole; where there is
 * none, every p is at most ½, and 1 − p loses nothing.
 */
function aloneOf(whole: number): number {
  return whole < 2 ? 1 : 2
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

function gather(from: Float32Array, first: number, step: number, to: Float32Array, count: number): void {
  for (let i = 0, at = first; i < count; i++, at += step) to[i] = from[at]
}

/** Adds what {@link activate} has filled in to the three sums of a plane. */
function addUp(sums: Float64Array, plane: number, squared: boolean, count: number): void {
  let ofP = sums[plane]
  let ofY = sums[plane + 1]
  let ofBoth = sums[plane + 2]
  for (let i = 0; i < count; i++) {
    if (kept[i] === 0) continue
    const p = probabilities[i]
    const y = targets[i]
    ofP += squared ? p * p : p
    ofY += squared ? y * y : y
    ofBoth += p * y
  }
  sums[plane] = ofP
  sums[plane + 1] = ofY
  sums[plane + 2] = ofBoth
}

/** Fills the arrays above. */
function activate(call: RegionCall, sample: number, c: number, start: number, count: number): void {
  const { x, target, labels, ignoreIndex, axis, activation, part } = call
  const { classes, positions, last } = axis
  const step = last ? classes : 1
  const first = indexOf(axis, sample, c, start)
  const own = sample * positions + start
  gather(x, first, step, scores, count)
  if (target !== undefined) gather(target, first, step, targets, count)
  else for (let i = 0; i < count; i++) targets[i] = Number(labels[own + i] === c)
  if (labels.length === 0) kept.fill(1, 0, count)
  else for (let i = 0; i < count; i++) kept[i] = Number(labels[own + i] !== ignoreIndex)
  for (let i = 0; i < count; i++) {
    const xi = scores[i]
    // Factors of 0 and 1 in place of a branch on the sign, as in bceWithLogits.
    const below = Number(xi < 0)
    const above = 1 - below
    if (activation === 'none') {
      probabilities[i] = xi
      slopes[i] = 1
    } else if (activation === 'kept') {
      const small = Math.abs(xi)
      probabilities[i] = below * small + above * (1 - small)
      slopes[i] = small * (1 - small)
    } else {
      const e = exp(-Math.abs(xi))
      const large = 1 / (1 + e)
      probabilities[i] = (above + below * e) * large
      slopes[i] = e * large * large
      smalls[i] = e * large
    }
  }
  if (part === undefined) return
  auxs.fill(typeof part.aux === 'number' ? part.aux : part.aux[c], 0, count)
  const { kernel } = part.definition as PointwiseDefinition
  kernel(scores, targets, auxs, 0, count, part.p0, part.p1, values, dxs, undefined)
  const w = part.weight === undefined ? 1 : part.weight[c]
  for (let i = 0; i < count; i++) {
    partValues[i] = w * values[i]
    partSlopes[i] = w * dxs[i]
  }
}

/** The sums where a position's probabilities depend on all its scores. */
function sumsOfSoftmax(call: RegionCall, sums: Float64Array): number {
  const { x, target, labels, ignoreIndex, axis, squared, part } = call
  const { samples, classes, positions, last } = axis
  const step = last ? 1 : positions
  const smoothing = part?.labelSmoothing ?? 0
  const { exps } = scratchOf(classes)
  let value = 0
  for (let sample = 0; sample < samples; sample++) {
    const firstPlane = PLANE * classes * sample
    for (let position = 0; position < positions; position++) {
      const label = labels.length === 0 ? -1 : labels[sample * positions + position]
      if (labels.length > 0 && label === ignoreIndex) continue
      const first = indexOf(axis, sample, 0, position)
      const max = largest(x, first, first + classes * step, step)
      const rest = exponentials(x, first, first + classes * step, step, max, 1, exps)
      const share = 1 / (1 + rest)
      const logSum = part === undefined ? 0 : Math.log1p(rest)
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        const p = exps[c] * share
        const y = target === undefined ? Number(c === label) : target[at]
        sums[plane] += squared ? p * p : p
        sums[plane + 1] += squared ? y * y : y
        sums[plane + 2] += p * y
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * ((1 - smoothing) * y + smoothing / classes)
        if (t !== 0) value += t * (part.definition as SoftmaxDefinition).value(x[at] - max - logSum, part.p0)
      }
    }
  }
  return value
}

/**
 * With g_c the gradient by p_c it is p_c·(g_c − Σ g·p), and that of the part p_c·Σ s − s_c as in a softmax loss. At a class that
 * is nearly certain both are written with 1 − p_c and the sums over the other classes, of which nothing is lost.
 */
function throughSoftmax(
  { x, target, labels, ignoreIndex, axis, part }: RegionCall,
  planes: Float32Array,
  scale: number,
  dx: Float32Array,
  accumulate: boolean,
): void {
  const { samples, classes, positions, last } = axis
  const step = last ? 1 : positions
  const smoothing = part?.labelSmoothing ?? 0
  const g = new Float64Array(classes)
  const { exps: p, owns } = scratchOf(classes)
  owns.fill(0)
  for (let sample = 0; sample < samples; sample++) {
    const firstPlane = PLANE * classes * sample
    for (let position = 0; position < positions; position++) {
      const first = indexOf(axis, sample, 0, position)
      const label = labels.length === 0 ? -1 : labels[sample * positions + position]
      if (labels.length > 0 && label === ignoreIndex) {
        if (!accumulate) for (let c = 0; c < classes; c++) dx[first + c * step] = 0
        continue
      }
      const max = largest(x, first, first + classes * step, step)
      const rest = exponentials(x, first, first + classes * step, step, max, 1, p)
      const whole = 1 + rest
      const share = 1 / whole
      const logSum = part === undefined ? 0 : Math.log1p(rest)
      const alone = aloneOf(whole) * share
      let mean = 0
      let slope = 0
      let otherMean = 0
      let otherSlope = 0
      for (let c = 0, at = first, plane = firstPlane; c < classes; c++, at += step, plane += PLANE) {
        p[c] *= share
        const y = target === undefined ? Number(c === label) : target[at]
        g[c] = planes[plane] * y + planes[plane + 1] * p[c] + planes[plane + 2] * (1 - y)
        mean += g[c] * p[c]
        if (p[c] !== alone) otherMean += g[c] * p[c]
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * ((1 - smoothing) * y + smoothing / classes)
        owns[c] = 0
        if (t === 0) continue
        const own = t * (part.definition as SoftmaxDefinition).slope(x[at] - max - logSum, part.p0)
        slope += own
        owns[c] = own
        if (p[c] !== alone) otherSlope += own
      }
      for (let c = 0, at = first; c < classes; c++, at += step) {
        const by =
          p[c] === alone
            ? p[c] * (rest * share * g[c] - otherMean) + scale * (otherSlope - rest * share * slope)
            : p[c] * (g[c] - mean + scale * slope) - scale * owns[c]
        dx[at] = accumulate ? dx[at] + by : by
      }
    }
  }
}
