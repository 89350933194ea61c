/** A call of a loss over a class axis. */

import type { SoftmaxDefinition } from '../definition.js'
import type { Axis } from './axis.js'
import {
  type AnyCall,
  type CallArray,
  type CallKind,
  CLASSES,
  LAST,
  OWN,
  POSITIONS,
  type Streams,
  writeMarks,
  writeStreams,
} from './call.js'

export interface SoftmaxCall extends AnyCall {
  readonly kind: typeof softmaxKind
  readonly definition: SoftmaxDefinition
  readonly x: Float32Array
  readonly axis: Axis
  /** Gradient by the scores; may be the memory of `x`. */
  readonly dx: Float32Array | undefined
  /** Upstream gradient over the denominator. */
  readonly scale: number
  readonly labelSmoothing: number
  readonly temperature: number
  readonly p0: number
  /** What rows of scores with class indices of 32 bits do without. */
  readonly extra: SoftmaxExtra | undefined
}

export interface SoftmaxExtra extends Streams {
  /** In place of classes: a distribution, or the scores of a teacher. */
  readonly target: Float32Array | undefined
  /** Weight per class. */
  readonly weight: Float32Array | undefined
  /** In its place, in double precision, for the backend in TypeScript alone: products that are no floats. */
  readonly exactWeight: Float64Array | undefined
  /** Gradient by the target goes here. */
  readonly targetGrad: Float32Array | undefined
}

const SCALE = OWN
const LABEL_SMOOTHING = OWN + 1
const TEMPERATURE = OWN + 2
const P0 = OWN + 3

export const softmaxKind: CallKind<SoftmaxCall> = {
  name: 'softmax',
  place: 1,
  axis: ({ axis }) => axis,
  bySample: false,
  scans: false,
  arrays: (call) => (call.extra === undefined ? [call.x, call.marks.labels, call.dx] : arraysWith(call, call.extra)),
  write({ axis, scale, labelSmoothing, temperature, p0, marks, extra }, numbers) {
    numbers[CLASSES] = axis.classes
    numbers[POSITIONS] = axis.positions
    numbers[LAST] = axis.last ? 1 : 0
    numbers[SCALE] = scale
    numbers[LABEL_SMOOTHING] = labelSmoothing
    numbers[TEMPERATURE] = temperature
    numbers[P0] = p0
    writeStreams(extra, numbers)
    writeMarks(marks, numbers)
  },
}

function arraysWith(
  { x, dx, marks }: SoftmaxCall,
  { target, weight, sampleWeight, gradOutput, targetGrad, out }: SoftmaxExtra,
): (CallArray | undefined)[] {
  return [x, marks.labels, dx, target, weight, sampleWeight, gradOutput, targetGrad, out, marks.mask]
}
