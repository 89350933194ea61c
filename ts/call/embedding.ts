/** A call of a loss of pairs of rows. */

import type { EmbeddingDefinition } from '../definition.js'
import {
  type AnyCall,
  type CallKind,
  CLASSES,
  LAST,
  OWN,
  POSITIONS,
  type Streams,
  writeMarks,
  writeStreams,
} from './call.js'
import type { NumberArray } from './marks.js'

export interface EmbeddingCall extends AnyCall, Streams {
  readonly kind: typeof embeddingKind
  readonly definition: EmbeddingDefinition
  readonly x: Float32Array
  readonly y: Float32Array
  /** Numbers of a row. */
  readonly size: number
  /** Labels of the pairs: what is above 0 is positive. */
  readonly signs: NumberArray | undefined
  /** Gradient by `x`; may be the memory of that. */
  readonly dx: Float32Array | undefined
  /** Gradient by `y`. */
  readonly dy: Float32Array | undefined
  /** Upstream gradient over the denominator. */
  readonly scale: number
  readonly p0: number
  readonly p1: number
}

const SCALE = OWN
const P0 = OWN + 1
const P1 = OWN + 2

export const embeddingKind: CallKind<EmbeddingCall> = {
  name: 'embedding',
  place: 6,
  axis: ({ x, size }) => ({ samples: 1, classes: size, positions: x.length / size, last: true }),
  bySample: false,
  scans: false,
  arrays({ x, y, dx, dy, signs, sampleWeight, gradOutput, out, marks }) {
    return [x, y, dx, dy, signs, sampleWeight, gradOutput, out, marks.labels, marks.mask]
  },
  write(call, numbers) {
    const { x, size, scale, p0, p1, marks } = call
    numbers[CLASSES] = size
    numbers[POSITIONS] = x.length / size
    numbers[LAST] = 1
    numbers[SCALE] = scale
    numbers[P0] = p0
    numbers[P1] = p1
    writeStreams(call, numbers)
    writeMarks(marks, numbers)
  },
}
