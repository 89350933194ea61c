/**
 * The kernels in TypeScript, in the same blocks and the same order of summation. They compute in double precision and
 * round where a value is stored; losses of class `exact` round every step, and so have the bits of the others.
 *
 * A loss gives a loop over a block, not a function of one element: a callback per element turns megamorphic as soon as
 * several losses are in use, which is 2.5 times slower (measured).
 */

import { separateGrad } from '../check.js'
import { BLOCK, fold, LANES, ROWS } from '../sum.js'
import { version } from '../version.js'
import type { Backend } from './contract.js'

const { fround } = Math

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

  softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, _p0, _p1, extra) {
    if (extra === undefined) separateGrad(loss.name, dx, x, labels)
    const weight = extra?.weight
    const gradOutput = extra?.gradOutput
    const out = extra?.out
    const spread = labelSmoothing / classes
    let totalWeight = classes
    if (weight !== undefined) totalWeight = weight.reduce((a, w) => a + w, 0)
    let sum = 0
    for (let block = 0; block < labels.length; block += ROWS) {
      const end = Math.min(labels.length, block + ROWS)
      lanes.fill(0)
      for (let row = block; row < end; row++) {
        const y = labels[row]
        const first = row * classes
        // The labels were checked; one that another thread changed since must still not reach past the row.
        if (y === ignoreIndex || y < 0 || y >= classes) {
          dx?.fill(0, first, first + classes)
          if (out !== undefined) out[row] = 0
          continue
        }
        let max = -Infinity
        for (let c = 0; c < classes; c++) if (x[first + c] > max) max = x[first + c]
        let exp = 0
        for (let c = 0; c < classes; c++) exp += Math.exp((x[first + c] - max) / temperature)
        const logSum = Math.log(exp)
        const logP = (x[first + y] - max) / temperature - logSum
        const w = (1 - labelSmoothing) * (weight === undefined ? 1 : weight[y])
        let value = loss.value(logP) * w
        if (labelSmoothing > 0) {
          for (let c = 0; c < classes; c++) {
            const log = logSum - (x[first + c] - max) / temperature
            value += spread * (weight === undefined ? 1 : weight[c]) * log
          }
        }
        if (out !== undefined) out[row] = value
        lanes[(row - block) & (LANES - 1)] += value
        if (dx === undefined) continue
        const factor = (gradOutput === undefined ? scale : gradOutput[row]) / temperature
        const atLabel = loss.slope(logP) * w * factor
        const all = (atLabel + spread * totalWeight * factor) / exp
        const evenly = spread * factor
        for (let c = 0; c < classes; c++) {
          const p = all * Math.exp((x[first + c] - max) / temperature)
          const off = labelSmoothing > 0 ? evenly * (weight === undefined ? 1 : weight[c]) : 0
          dx[first + c] = p - off - (c === y ? atLabel : 0)
        }
      }
      sum += fold(lanes)
    }
    return sum
  },
}
