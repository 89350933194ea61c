/** A call of a loss of one input element and one target element. */

import type { PointwiseDefinition } from '../definition.js'
import { rowOf } from './axis.js'
import { type AnyCall, type CallArray, type CallKind, OWN, type Streams, writeMarks, writeStreams } from './call.js'
import type { NumberArray } from './marks.js'

export interface PointwiseCall extends AnyCall {
  readonly kind: typeof pointwiseKind
  readonly definition: PointwiseDefinition
  readonly x: Float32Array
  readonly t: NumberArray
  /** Gradient by the input; may be the memory of `x`. */
  readonly dx: Float32Array | undefined
  /** Upstream gradient over the denominator, so that a mean needs no second pass. */
  readonly scale: number
  readonly p0: number
  readonly p1: number
  /** Extra parameter, or one per class: element i takes `aux[⌊i / auxInner⌋ mod aux.length]`. */
  readonly aux: number | Float32Array
  /** Streams and outputs that most calls do without. */
  readonly extra: PointwiseExtra | undefined
}

export interface PointwiseExtra extends Streams {
  readonly auxInner: number
  /** Weight per element, cycled over the input. */
  readonly weight: Float32Array | undefined
  /** Gradient by the target goes here. */
  readonly targetGrad: Float32Array | undefined
}

const SCALE = OWN
const AUX_VALUE = OWN + 1
const AUX_INNER = OWN + 2
const P0 = OWN + 3
const P1 = OWN + 4

export const pointwiseKind: CallKind<PointwiseCall> = {
  name: 'pointwise',
  place: 0,
  axis: ({ x }) => rowOf(x.length),
  bySample: false,
  scans: false,
  arrays: (call) => (call.extra === undefined ? [call.x, call.t, call.dx] : arraysWith(call, call.extra)),
  write({ scale, aux, p0, p1, marks, extra }, numbers) {
    numbers[SCALE] = scale
    numbers[P0] = p0
    numbers[P1] = p1
    numbers[AUX_VALUE] = typeof aux === 'number' ? aux : 0
    writeStreams(extra, numbers)
    if (extra === undefined) return
    numbers[AUX_INNER] = extra.auxInner
    writeMarks(marks, numbers)
  },
}

function arraysWith(
  { x, t, dx, aux, marks }: PointwiseCall,
  { weight, sampleWeight, gradOutput, targetGrad, out }: PointwiseExtra,
): (CallArray | undefined)[] {
  const auxs = typeof aux === 'number' ? undefined : aux
  return [x, t, dx, weight, sampleWeight, auxs, gradOutput, targetGrad, out, marks.labels, marks.mask]
}
