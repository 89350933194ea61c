/** Labels of two classes: −1 and 1, or in their place 0 and 1. */

import { classesOf, everything, type LabelArray, type Marks, NOTHING } from '../call/marks.js'
import { kindOf, wrongValue } from '../check.js'
import { BLOCK } from '../sum.js'
import { outside } from './positions.js'

/** Labels of two classes: −1 and 1 alone, any number between them too, or any number at all. */
export type SignKind = 'hard' | 'soft' | 'any'

/** An array that has no −1: its labels are 0 and 1. */
export function isUnsigned(array: ArrayBufferView): boolean {
  const kind = kindOf(array)!
  return kind.startsWith('Uint') || kind === 'BigUint64Array'
}

/** The numbers of any array as floats: the array itself, where it has floats. */
export function floatsOf(array: Float32Array | LabelArray): Float32Array {
  switch (kindOf(array)) {
    case 'Float32Array':
      return array as Float32Array
    case 'BigInt64Array':
    case 'BigUint64Array':
      return Float32Array.from(array as BigInt64Array, Number)
    default:
      // No callback per element: this is a copy in the engine.
      return new Float32Array(array as Int32Array)
  }
}

const classNumbers = new Int32Array(BLOCK)

/** Labels that are looked at first. */
const FEW = 16

/** Index of the first label that counts and is neither `low` nor 1; −1 if there is none. */
function firstOther(labels: Float32Array | LabelArray, low: number, marks: Marks): number {
  if (marks === everything && kindOf(labels) === 'Float32Array') {
    const floats = labels as Float32Array
    // The first block is short: where labels are of another kind, one of the first says so.
    for (let first = 0, end = 0; first < floats.length; first = end) {
      end = Math.min(floats.length, first + (first === 0 ? FEW : BLOCK))
      // Without a branch for each label, of which a processor foresees but half: this takes a fifth of the time.
      let others = 0
      for (let i = first; i < end; i++) others |= Number((floats[i] - low) * (floats[i] - 1) !== 0)
      if (others === 0) continue
      for (let i = first; i < end; i++) if (floats[i] !== low && floats[i] !== 1) return i
    }
    return -1
  }
  for (let first = 0; first < labels.length; first += BLOCK) {
    const count = Math.min(labels.length - first, BLOCK)
    classesOf(marks, first, count, classNumbers)
    for (let i = 0; i < count; i++) {
      const label = Number(labels[first + i])
      if (label !== low && label !== 1 && classNumbers[i] !== NOTHING) return first + i
    }
  }
  return -1
}

/** Index of the first 0 that counts; −1 if there is none. */
function firstZero(labels: Float32Array, marks: Marks): number {
  const place = new Int32Array(1)
  return labels.findIndex((label, i) => {
    if (label !== 0) return false
    classesOf(marks, i, 1, place)
    return place[0] !== NOTHING
  })
}

const ZERO_ONE = 'for labels of 0 and 1 give zeroOne: true'

/** Refuses labels that are none. Of `any` kind all floats are labels; integers are hard labels whatever the kind. */
export function checkSigns(
  loss: string,
  name: string,
  labels: Float32Array | LabelArray,
  kind: SignKind,
  isBits: boolean,
  marks: Marks,
): void {
  const low = isBits ? 0 : -1
  const isFloats = kindOf(labels) === 'Float32Array'
  if (kind === 'hard' || !isFloats) {
    const i = firstOther(labels, low, marks)
    if (i < 0) return
    const way = !isBits && Number(labels[i]) === 0 ? ZERO_ONE : ''
    throw wrongValue(loss, `${name}[${i}]`, `${low} or 1`, labels[i], way)
  }
  if (kind === 'soft') {
    const i = outside(labels, low, 1, marks)
    if (i >= 0) throw wrongValue(loss, `${name}[${i}]`, `in [${low}, 1]`, labels[i])
  }
  if (isBits || firstOther(labels, 0, marks) >= 0) return
  const i = firstZero(labels as Float32Array, marks)
  if (i >= 0) throw wrongValue(loss, `${name}[${i}]`, '-1 or 1 where all labels are 0 or 1', 0, ZERO_ONE)
}
