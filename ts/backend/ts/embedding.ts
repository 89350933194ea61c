/**
 * Losses of two or three rows, in double precision and in the order of `crate/core/src/family/embedding/rows.rs`.
 *
 * The rows go by units, whose labels are read at once. A pass over two rows gives each comparison, element i in lane i mod 8; the
 * lanes fold 8 → 4 → 2 → 1; the formula of the loss makes the value and its derivatives of them; and a pass for each gradient writes
 * it. Values add up in the order of the rows, and units in that of the call. Nothing is computed again.
 */

import type { EmbeddingCall } from '../../call/embedding.js'
import { classesOf, NOTHING } from '../../call/marks.js'
import type { Measure } from '../../definition.js'
import { BLOCK, positionsOfBlock } from '../../sum.js'
import { type Compared, clear, compare, power } from './compare.js'

const { fround } = Math

/** So large a factor stands for all larger ones: all that is not 0 is too large for a float then, and 0 stays 0. */
const LARGEST = 1e150

/** Of one block: which rows count. */
const classNumbers = new Int32Array(BLOCK)

const none = (): Compared => ({ value: 0, xx: 0, xy: 0, yy: 0, most: Infinity })
/** What comes of the first row and the second, the first and the third, the second and the third. */
const xy = none()
const xz = none()
const yz = none()

/** See {@link EmbeddingCall}. */
export function embedding(call: EmbeddingCall): number {
  const { definition, x, y, z, size, signs, dx, dy, dz, params, marks, accumulate } = call
  const { sampleWeight, sampleInner, gradOutput, out } = call
  const scale = Math.max(-LARGEST, Math.min(call.scale, LARGEST))
  const measure = definition.measure(params)
  const pairs = definition.pairs(params)
  const rows = x.length / size
  const unit = positionsOfBlock(size, true)
  clear(xz)
  clear(yz)
  let total = 0
  for (let block = 0; block < rows; block += unit) {
    const end = Math.min(rows, block + unit)
    classesOf(marks, block, end - block, classNumbers)
    let sum = 0
    for (let row = block; row < end; row++) {
      const first = row * size
      const last = first + size
      let value = 0
      if (classNumbers[row - block] === NOTHING) {
        clear(xy)
        clear(xz)
        clear(yz)
      } else {
        compare(xy, measure, x, y, first, size)
        if (pairs > 1) compare(xz, measure, x, z!, first, size)
        if (pairs > 2) compare(yz, measure, y, z!, first, size)
        const positive = signs === undefined || Number(signs[row]) > 0
        const given = definition.formula(xy.value, xz.value, yz.value, positive, params)
        const weight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(row / sampleInner)]
        const factor = weight * (gradOutput === undefined ? scale : gradOutput[row])
        value = given.value * weight
        times(xy, given.xy, factor)
        if (pairs > 1) times(xz, given.xz, factor)
        if (pairs > 2) times(yz, given.yz, factor)
      }
      if (out !== undefined) out[row] = value
      sum += value
      // Last that by the first row: it may go over it.
      if (z === undefined && measure.kind === 'cosine') {
        if (dy !== undefined) ofTwo(dy, y, x, first, last, xy.yy, xy.xy, accumulate)
        if (dx !== undefined) ofTwo(dx, x, y, first, last, xy.xx, xy.xy, accumulate)
        continue
      }
      if (dz !== undefined) gradient(dz, measure, z!, x, y, first, last, xz, false, yz, false, accumulate)
      if (dy !== undefined) gradient(dy, measure, y, x, z ?? x, first, last, xy, false, yz, true, accumulate)
      if (dx !== undefined) gradient(dx, measure, x, y, z ?? y, first, last, xy, true, xz, true, accumulate)
    }
    total += sum
  }
  return total
}

/** The derivatives times that of the loss, and times a factor. A comparison without influence leaves nothing, not even NaN. */
function times(compared: Compared, slope: number, factor: number): void {
  compared.xx = (slope === 0 ? 0 : compared.xx * slope) * factor
  compared.xy = (slope === 0 ? 0 : compared.xy * slope) * factor
  compared.yy = (slope === 0 ? 0 : compared.yy * slope) * factor
}

/**
 * Writes the gradient by a row x, or adds it to what is there, from what came of comparing it with y and z;
 * `isFirst` and `isFirstToo` say whether it is the first row of these. `to` may be `x`.
 */
function gradient(
  to: Float32Array,
  measure: Measure,
  x: Float32Array,
  y: Float32Array,
  z: Float32Array,
  first: number,
  last: number,
  withY: Compared,
  isFirst: boolean,
  withZ: Compared,
  isFirstToo: boolean,
  accumulate: boolean,
): void {
  const a = isFirst ? withY.xx : withY.yy
  const b = isFirstToo ? withZ.xx : withZ.yy
  if (a === 0 && b === 0 && withY.xy === 0 && withZ.xy === 0) {
    clearRow(to, first, last, accumulate)
  } else if (measure.kind === 'cosine') {
    ofThree(to, x, y, z, first, last, a + b, withY.xy, withZ.xy, accumulate)
  } else {
    const { p, eps } = measure
    // With the sign that makes a difference the negative of that by the other row.
    const [e, f] = [isFirst ? eps : -eps, isFirstToo ? eps : -eps]
    if (p === 2) straight(to, x, y, z, first, last, a, b, e, f, accumulate)
    else bent(to, x, y, z, first, last, a, b, e, f, accumulate, p, withY.most, withZ.most)
  }
}

/** Where all factors are 0 the gradient is 0 whatever the rows hold, and not −0. */
function clearRow(to: Float32Array, first: number, last: number, accumulate: boolean): void {
  if (!accumulate) to.fill(0, first, last)
}

/** a·x + b·y */
function ofTwo(
  to: Float32Array,
  x: Float32Array,
  y: Float32Array,
  first: number,
  last: number,
  a: number,
  b: number,
  accumulate: boolean,
): void {
  if (a === 0 && b === 0) clearRow(to, first, last, accumulate)
  else if (accumulate) for (let i = first; i < last; i++) to[i] += fround(a * x[i] + b * y[i])
  else for (let i = first; i < last; i++) to[i] = a * x[i] + b * y[i]
}

/** a·x + b·y + c·z */
function ofThree(
  to: Float32Array,
  x: Float32Array,
  y: Float32Array,
  z: Float32Array,
  first: number,
  last: number,
  a: number,
  b: number,
  c: number,
  accumulate: boolean,
): void {
  for (let i = first; i < last; i++) {
    const slope = a * x[i] + b * y[i] + c * z[i]
    to[i] = accumulate ? to[i] + fround(slope) : slope
  }
}

/** a·u + b·v with the differences u of x and y, and v of x and z. */
function straight(
  to: Float32Array,
  x: Float32Array,
  y: Float32Array,
  z: Float32Array,
  first: number,
  last: number,
  a: number,
  b: number,
  e: number,
  f: number,
  accumulate: boolean,
): void {
  for (let i = first; i < last; i++) {
    const slope = a * (x[i] - y[i] + e) + b * (x[i] - z[i] + f)
    to[i] = accumulate ? to[i] + fround(slope) : slope
  }
}

/** The same of signs and powers of the differences. */
function bent(
  to: Float32Array,
  x: Float32Array,
  y: Float32Array,
  z: Float32Array,
  first: number,
  last: number,
  a: number,
  b: number,
  e: number,
  f: number,
  accumulate: boolean,
  p: number,
  mostOfY: number,
  mostOfZ: number,
): void {
  for (let i = first; i < last; i++) {
    const slope = a * phi(x[i] - y[i] + e, p, mostOfY) + b * phi(x[i] - z[i] + f, p, mostOfZ)
    to[i] = accumulate ? to[i] + fround(slope) : slope
  }
}

/** The sign of u, times (|u|/most)^(p − 1). */
function phi(u: number, p: number, most: number): number {
  const sign = u > 0 ? 1 : u < 0 ? -1 : u
  return p === 1 ? sign : sign * power(Math.abs(u) / most, p - 1)
}
