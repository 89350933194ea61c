/**
 * Losses of pairs of rows, in double precision and in the order of `crate/core/src/family/embedding/rows.rs`.
 *
 * The pairs go by units, whose labels are read at once. For each pair, a pass over both rows gives their products, element i in lane
 * i mod 8; the lanes fold 8 → 4 → 2 → 1; the formula of the loss makes the value and the factors of the rows of them; and a second pass
 * writes the gradients, that by the second row first, since that by the first may be written over its row. Values add up in the order
 * of the rows, and units in that of the call. Nothing is computed again.
 */

import type { EmbeddingCall } from '../../call/embedding.js'
import { classesOf, NOTHING } from '../../call/marks.js'
import { BLOCK, positionsOfBlock } from '../../sum.js'

const { fround } = Math

/** Lanes of the sums: element i of a row belongs to lane i mod 8. */
const WIDTH = 8

/** So large a factor stands for all larger ones: all that is not 0 is too large for a float then, and 0 stays 0. */
const LARGEST = 1e150

/** Of one block: which pairs count. */
const classNumbers = new Int32Array(BLOCK)

// The lanes of the products.
const xxs = new Float64Array(WIDTH)
const xys = new Float64Array(WIDTH)
const yys = new Float64Array(WIDTH)

/** See {@link EmbeddingCall}. */
export function embedding(call: EmbeddingCall): number {
  const { definition, x, y, size, signs, dx, dy, p0, p1, marks, accumulate } = call
  const { sampleWeight, sampleInner, gradOutput, out } = call
  const scale = Math.max(-LARGEST, Math.min(call.scale, LARGEST))
  const rows = x.length / size
  const unit = positionsOfBlock(size, true)
  let total = 0
  for (let block = 0; block < rows; block += unit) {
    const end = Math.min(rows, block + unit)
    classesOf(marks, block, end - block, classNumbers)
    let sum = 0
    for (let row = block; row < end; row++) {
      const first = row * size
      if (classNumbers[row - block] === NOTHING) {
        if (out !== undefined) out[row] = 0
        if (dy !== undefined) gradient(dy, y, x, first, size, 0, 0, false)
        if (dx !== undefined) gradient(dx, x, y, first, size, 0, 0, accumulate)
        continue
      }
      products(x, y, first, size)
      const positive = signs === undefined || Number(signs[row]) > 0
      const pair = definition.formula(fold(xxs), fold(xys), fold(yys), positive, p0, p1)
      const weight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor(row / sampleInner)]
      const factor = weight * (gradOutput === undefined ? scale : gradOutput[row])
      const value = pair.value * weight
      if (out !== undefined) out[row] = value
      const xy = pair.xy * factor
      // First that by y: the other may go over x.
      if (dy !== undefined) gradient(dy, y, x, first, size, pair.yy * factor, xy, false)
      if (dx !== undefined) gradient(dx, x, y, first, size, pair.xx * factor, xy, accumulate)
      sum += value
    }
    total += sum
  }
  return total
}

/** The products of two rows, by lanes. Two lanes at a time: their chains of additions overlap. */
function products(x: Float32Array, y: Float32Array, first: number, size: number): void {
  const last = first + size
  for (let j = 0; j < WIDTH; j += 2) {
    let [xxa, xya, yya] = [0, 0, 0]
    let [xxb, xyb, yyb] = [0, 0, 0]
    let i = first + j
    for (; i + 1 < last; i += WIDTH) {
      const xa = x[i]
      const ya = y[i]
      const xb = x[i + 1]
      const yb = y[i + 1]
      xxa += xa * xa
      xya += xa * ya
      yya += ya * ya
      xxb += xb * xb
      xyb += xb * yb
      yyb += yb * yb
    }
    if (i < last) {
      xxa += x[i] * x[i]
      xya += x[i] * y[i]
      yya += y[i] * y[i]
    }
    xxs[j] = xxa
    xys[j] = xya
    yys[j] = yya
    xxs[j + 1] = xxb
    xys[j + 1] = xyb
    yys[j + 1] = yyb
  }
}

/** Sum of the lanes. */
function fold(lanes: Float64Array): number {
  for (let half = WIDTH >> 1; half > 0; half >>= 1) for (let j = 0; j < half; j++) lanes[j] += lanes[j + half]
  return lanes[0]
}

/** Writes a·x + b·y of a row, or adds it to what is there; `to` may be `x`. Where both factors are 0 it is 0, and not −0. */
function gradient(
  to: Float32Array,
  x: Float32Array,
  y: Float32Array,
  first: number,
  size: number,
  a: number,
  b: number,
  accumulate: boolean,
): void {
  const last = first + size
  if (a === 0 && b === 0) {
    if (!accumulate) to.fill(0, first, last)
  } else if (accumulate) {
    for (let i = first; i < last; i++) to[i] += fround(a * x[i] + b * y[i])
  } else {
    for (let i = first; i < last; i++) to[i] = a * x[i] + b * y[i]
  }
}
