/** A call of a loss of two or three rows. */

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
  readonly z: Float32Array | undefined
  /** Numbers of a row. */
  readonly size: number
  /** Labels: what is above 0 is positive. */
  readonly signs: NumberArray | undefined
  /** Gradient by `x`; may be the memory of that. */
  readonly dx: Float32Array | undefined
  /** Gradient by `y`. */
  readonly dy: Float32Array | undefined
  /** Gradient by `z`. */
  readonly dz: Float32Array | undefined
  /** Upstream gradient over the denominator. */
  readonly scale: number
  readonly params: readonly number[]
}

const SCALE = OWN
const PARAMS = OWN + 1

export const embeddingKind: CallKind<EmbeddingCall> = {
  name: 'embedding',
  place: 6,
  axis: ({ x, size }) => ({ samples: 1, classes: size, positions: x.length / size, last: true }),
  bySample: false,
  scans: false,
  arrays({ x, y, z, dx, dy, dz, signs, sampleWeight, gradOutput, out, marks }) {
    const some = [x, y, dx, dy, signs, sampleWeight, gradOutput, out, marks.labels, marks.mask]
    return z === undefined ? some : [...some, z, dz]
  },
  write(call, numbers) {
    const { x, size, scale, params, marks } = call
    numbers[CLASSES] = size
    numbers[POSITIONS] = x.length / size
    numbers[LAST] = 1
    numbers[SCALE] = scale
    for (let k = 0; k < params.length; k++) numbers[PARAMS + k] = params[k]
    writeStreams(call, numbers)
    writeMarks(marks, numbers)
  },
}
