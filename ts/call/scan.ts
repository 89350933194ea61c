/** Calls that look at numbers before a loss is computed. */

import { rowOf } from './axis.js'
import { type AnyCall, type CallKind, CLASSES, OWN, POSITIONS, SAMPLE_INNER, writeMarks } from './call.js'
import type { NumberArray } from './marks.js'

/** Asks for the index of the first value that counts and is not in [low, high], NaN included; −1 if there is none. */
export interface OutsideCall extends AnyCall {
  readonly kind: typeof outsideKind
  readonly values: NumberArray
  readonly low: number
  readonly high: number
}

/**
 * Asks for the total weight of the positions that count, or −1 − i where label i is no class; with 0 `classes` every label is one. A
 * position weighs as much as its class times its own weight, where they are given; `sampleInner` neighbours share one.
 */
export interface WeightCall extends AnyCall {
  readonly kind: typeof weightKind
  readonly positions: number
  readonly classes: number
  readonly weight: Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly sampleInner: number
}

const LOW = OWN
const HIGH = OWN + 1

export const outsideKind: CallKind<OutsideCall> = {
  name: 'firstOutside',
  place: 4,
  axis: ({ values }) => rowOf(values.length),
  bySample: false,
  scans: true,
  arrays: ({ values, marks }) => [values, marks.labels, marks.mask],
  write({ low, high, marks }, numbers) {
    numbers[LOW] = low
    numbers[HIGH] = high
    writeMarks(marks, numbers)
  },
}

export const weightKind: CallKind<WeightCall> = {
  name: 'keptWeight',
  place: 5,
  axis: ({ positions }) => rowOf(positions),
  bySample: false,
  scans: true,
  arrays: ({ marks, weight, sampleWeight }) => [marks.labels, marks.mask, weight, sampleWeight],
  write({ positions, classes, sampleInner, marks }, numbers) {
    numbers[POSITIONS] = positions
    numbers[CLASSES] = classes
    numbers[SAMPLE_INNER] = sampleInner
    writeMarks(marks, numbers)
  },
}
