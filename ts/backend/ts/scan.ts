/**
 * Looks at numbers before a loss is computed; short arrays are looked at here whatever the backend.
 *
 * Both go by blocks of 1,024, whose labels and masks are read at once, and leave at the first value that is outside, or label that is no
 * class. Weights add up in double precision, in the order of the positions. What most calls have, an array without labels or plain labels
 * without weights, goes in one loop over the array, without a copy.
 */

import { classesOf, everything, NOTHING } from '../../call/marks.js'
import type { OutsideCall, WeightCall } from '../../call/scan.js'
import { BLOCK } from '../../sum.js'

/** Of one block: which elements count, as classes. */
const classNumbers = new Int32Array(BLOCK)

/** Index of the first value that counts and is not in [low, high], NaN included, or −1. */
export function firstOutside({ values, low, high, marks }: OutsideCall): number {
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

/** Total weight of the positions that count, or −1 − i where label i is no class. */
export function keptWeight({ marks, positions, classes, weight, sampleWeight, sampleInner }: WeightCall): number {
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
      const positionWeight = sampleWeight === undefined ? 1 : sampleWeight[Math.floor((first + i) / sampleInner)]
      total += weight === undefined ? positionWeight : weight[y] * positionWeight
    }
  }
  return total
}

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
