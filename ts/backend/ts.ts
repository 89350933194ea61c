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
import { BLOCK, fold, LANES, positionsOfBlock } from '../sum.js'
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
      lanes.fill(0)
      if (weight === undefined && gradOutput === undefined && !accumulate) {
        for (let i = 0; i < count; i++) lanes[i & (LANES - 1)] += values[i]
        if (dx !== undefined) for (let i = 0; i < count; i++) dx[start + i] = dxs[i] * factor
        if (targetGrad !== undefined) for (let i = 0; i < count; i++) targetGrad[start + i] = dts[i] * factor
        if (out !== undefined) for (let i = 0; i < count; i++) out[start + i] = values[i]
      } else {
        for (let i = 0; i < count; i++) {
          const w = weight === undefined ? 1 : weight[(start + i) % weight.length]
          const f = fround(w * (gradOutput === undefined ? factor : gradOutput[start + i]))
          const value = fround(values[i] * w)
          lanes[i & (LANES - 1)] += value
          if (dx !== undefined) dx[start + i] = accumulate ? dx[start + i] + fround(dxs[i] * f) : dxs[i] * f
          if (targetGrad !== undefined) targetGrad[start + i] = dts[i] * f
          if (out !== undefined) out[start + i] = value
        }
      }
      sum += fold(lanes)
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
        let exp = 0
        for (let i = first; i < last; i += inner) exp += Math.exp((x[i] - max) / temperature)
        const logSum = Math.log(exp)
        const own = sampleWeight === undefined ? 1 : sampleWeight[position]
        const factor = ((gradOutput === undefined ? scale : gradOutput[position]) * own) / temperature
        let value = 0
        // Σ t_c · slope(ln p_c), t_c the weighted target of a class.
        let slope = 0
        if (atOne) {
          const logP = (x[first + y * inner] - max) / temperature - logSum
          const w = weight === undefined ? 1 : weight[y]
          value = loss.value(logP, p0) * w
          slope = loss.slope(logP, p0) * w
        } else {
          for (let c = 0, i = first; c < classes; c++, i += inner) {
            const q = target === undefined ? (c === y ? 1 : 0) : target[i]
            const t = (weight === undefined ? 1 : weight[c]) * (keep * q + spread)
            // 0 · ∞ is 0 here: a class that cannot be and is not asked for costs nothing.
            if (t === 0) continue
            const logP = (x[i] - max) / temperature - logSum
            value += t * loss.value(logP, p0)
            slope += t * loss.slope(logP, p0)
          }
        }
        value *= own
        if (out !== undefined) out[position] = value
        lanes[(position - block) & (LANES - 1)] += value
        if (dx === undefined && targetGrad === undefined) continue
        for (let c = 0, i = first; c < classes; c++, i += inner) {
          const z = (x[i] - max) / temperature
          let g = slope * (Math.exp(z) / exp)
          if (atOne) {
            if (c === y) g -= slope
          } else {
            const w = weight === undefined ? 1 : weight[c]
            const t = w * (keep * (target === undefined ? (c === y ? 1 : 0) : target[i]) + spread)
            if (t !== 0) g -= t * loss.slope(z - logSum, p0)
            if (targetGrad !== undefined) targetGrad[i] = keep * w * loss.value(z - logSum, p0) * factor * temperature
          }
          if (dx !== undefined) dx[i] = accumulate ? dx[i] + g * factor : g * factor
        }
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
        for (let i = 0; i < count; i++) {
          if (kept[i] === 0) continue
          const p = probabilities[i]
          const y = targets[i]
          sums[PLANE * plane] += squared ? p * p : p
          sums[PLANE * plane + 1] += squared ? y * y : y
          sums[PLANE * plane + 2] += p * y
          if (part !== undefined) value += partValues[i]
        }
        if (keep === undefined) continue
        let at = indexOf(axis, sample, plane % classes, start)
        for (let i = 0; i < count; i++, at += step) {
          // Never 0, so that it has a sign.
          const small = Math.max(smalls[i], LEAST)
          keep[at] = x[at] < 0 ? -small : small
        }
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
            const p = probabilities[i]
            g = (a * targets[i] + k * p + b * (1 - targets[i])) * slopes[i]
            if (part !== undefined) g += scale * partSlopes[i]
          }
          dx[at] = accumulate ? dx[at] + g : g
        }
      }
    }
  },
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

/** Two softmaxes and their divergence. */
function distilled(
  x: Float32Array,
  classes: number,
  dx: Float32Array | undefined,
  scale: number,
  temperature: number,
  { inner, target, gradOutput, targetGrad, out, accumulate }: SoftmaxExtra,
): number {
  const t = target!
  let sum = 0
  for (let position = 0; position < x.length / classes; position++) {
    const first = firstScore(position, inner, classes)
    const last = first + classes * inner
    const maxX = largest(x, first, last, inner)
    const maxT = largest(t, first, last, inner)
    let expX = 0
    let expT = 0
    for (let i = first; i < last; i += inner) {
      expX += Math.exp((x[i] - maxX) / temperature)
      expT += Math.exp((t[i] - maxT) / temperature)
    }
    const logX = maxX / temperature + Math.log(expX)
    const logT = maxT / temperature + Math.log(expT)
    let kl = 0
    for (let i = first; i < last; i += inner) {
      const lnT = t[i] / temperature - logT
      const p = Math.exp(lnT)
      // What the teacher rules out costs nothing.
      if (p !== 0) kl += p * (lnT - (x[i] / temperature - logX))
    }
    const value = temperature * temperature * kl
    if (out !== undefined) out[position] = value
    sum += value
    if (dx === undefined && targetGrad === undefined) continue
    const factor = temperature * (gradOutput === undefined ? scale : gradOutput[position])
    for (let i = first; i < last; i += inner) {
      const lnX = x[i] / temperature - logX
      const lnT = t[i] / temperature - logT
      const p = Math.exp(lnT)
      if (targetGrad !== undefined) targetGrad[i] = p === 0 ? 0 : p * (lnT - lnX - kl) * factor
      if (dx === undefined) continue
      const g = (Math.exp(lnX) - p) * factor
      dx[i] = accumulate ? dx[i] + g : g
    }
  }
  return sum
}

function largest(x: Float32Array, first: number, last: number, step: number): number {
  let max = -Infinity
  for (let i = first; i < last; i += step) if (x[i] > max) max = x[i]
  return max
}

// Of one block of positions and one class: what a region loss and its part are made of.
const scores = new Float32Array(BLOCK)
const targets = new Float64Array(BLOCK)
const partTargets = new Float32Array(BLOCK)
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

/** Fills the arrays above. */
function activate(call: RegionCall, sample: number, c: number, start: number, count: number): void {
  const { x, target, labels, ignoreIndex, axis, activation, part } = call
  const { classes, positions, last } = axis
  const step = last ? classes : 1
  let at = indexOf(axis, sample, c, start)
  for (let i = 0; i < count; i++, at += step) {
    const label = labels.length === 0 ? -1 : labels[sample * positions + start + i]
    kept[i] = labels.length > 0 && label === ignoreIndex ? 0 : 1
    targets[i] = target === undefined ? (label === c ? 1 : 0) : target[at]
    scores[i] = x[at]
    if (activation === 'none') {
      probabilities[i] = x[at]
      slopes[i] = 1
    } else if (activation === 'kept') {
      const small = Math.abs(x[at])
      probabilities[i] = x[at] < 0 ? small : 1 - small
      slopes[i] = small * (1 - small)
    } else {
      const e = Math.exp(-Math.abs(x[at]))
      const large = 1 / (1 + e)
      probabilities[i] = x[at] < 0 ? e * large : large
      slopes[i] = e * large * large
      smalls[i] = e * large
    }
  }
  if (part === undefined) return
  auxs.fill(typeof part.aux === 'number' ? part.aux : part.aux[c], 0, count)
  partTargets.set(targets.subarray(0, count))
  const { kernel } = part.definition as PointwiseDefinition
  kernel(scores, partTargets, auxs, 0, count, part.p0, part.p1, values, dxs, undefined)
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
  let value = 0
  for (let sample = 0; sample < samples; sample++) {
    for (let position = 0; position < positions; position++) {
      const label = labels.length === 0 ? -1 : labels[sample * positions + position]
      if (labels.length > 0 && label === ignoreIndex) continue
      const first = indexOf(axis, sample, 0, position)
      const max = largest(x, first, first + classes * step, step)
      let exp = 0
      for (let c = 0; c < classes; c++) exp += Math.exp(x[first + c * step] - max)
      const logSum = Math.log(exp)
      for (let c = 0; c < classes; c++) {
        const z = x[first + c * step] - max
        const p = Math.exp(z) / exp
        const y = target === undefined ? (c === label ? 1 : 0) : target[first + c * step]
        const plane = PLANE * (sample * classes + c)
        sums[plane] += squared ? p * p : p
        sums[plane + 1] += squared ? y * y : y
        sums[plane + 2] += p * y
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * ((1 - smoothing) * y + smoothing / classes)
        if (t !== 0) value += t * (part.definition as SoftmaxDefinition).value(z - logSum, part.p0)
      }
    }
  }
  return value
}

/** With g_c the gradient by p_c it is p_c·(g_c − Σ g·p), and that of the part p_c·Σ s − s_c as in a softmax loss. */
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
  const p = new Float64Array(classes)
  const owns = new Float64Array(classes)
  for (let sample = 0; sample < samples; sample++) {
    for (let position = 0; position < positions; position++) {
      const first = indexOf(axis, sample, 0, position)
      const label = labels.length === 0 ? -1 : labels[sample * positions + position]
      if (labels.length > 0 && label === ignoreIndex) {
        if (!accumulate) for (let c = 0; c < classes; c++) dx[first + c * step] = 0
        continue
      }
      const max = largest(x, first, first + classes * step, step)
      let exp = 0
      for (let c = 0; c < classes; c++) exp += p[c] = Math.exp(x[first + c * step] - max)
      let mean = 0
      let slope = 0
      for (let c = 0; c < classes; c++) {
        const plane = PLANE * (sample * classes + c)
        p[c] /= exp
        const y = target === undefined ? (c === label ? 1 : 0) : target[first + c * step]
        g[c] = planes[plane] * y + planes[plane + 1] * p[c] + planes[plane + 2] * (1 - y)
        mean += g[c] * p[c]
        if (part === undefined) continue
        const t = (part.weight?.[c] ?? 1) * ((1 - smoothing) * y + smoothing / classes)
        owns[c] = 0
        if (t === 0) continue
        const own = t * (part.definition as SoftmaxDefinition).slope(x[first + c * step] - max - Math.log(exp), part.p0)
        slope += own
        owns[c] = own
      }
      for (let c = 0; c < classes; c++) {
        const at = first + c * step
        const by = p[c] * (g[c] - mean + scale * slope) - scale * owns[c]
        dx[at] = accumulate ? dx[at] + by : by
      }
    }
  }
}
