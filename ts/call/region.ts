/** A pass of a region loss, which sums over all positions of a sample and a class. */

import type { PointwiseDefinition, SoftmaxDefinition } from '../definition.js'
import type { Axis } from './axis.js'
import { ACCUMULATE, type AnyCall, type CallKind, CLASSES, LAST, OWN, POSITIONS, writeMarks } from './call.js'
import type { NumberArray } from './marks.js'

/** From scores to the probabilities of a region loss. */
export const activations = ['none', 'sigmoid', 'softmax'] as const
export type Activation = (typeof activations)[number]

/** As kernels know them: `kept` are scores that a pass of sums has left for the gradient. */
const activationNumber = { none: 0, sigmoid: 1, softmax: 2, kept: 3 } as const

/** Numbers of a plane, of the sums as of the gradient. */
export const PLANE = 3

/** What the passes of a call have in common. */
export interface RegionArrays extends AnyCall {
  readonly kind: typeof regionKind
  readonly x: Float32Array
  /** Target in the shape of `x`; without it the target is 1 at the labels. */
  readonly target: NumberArray | undefined
  readonly axis: Axis
  readonly activation: Activation | 'kept'
  /** Whether p and y are squared in their own sums. */
  readonly squared: boolean
  /** Another loss of the same scores, computed in the same passes. */
  readonly part: RegionPart | undefined
}

/** A loss that a region loss takes along. */
export interface RegionPart {
  readonly definition: PointwiseDefinition | SoftmaxDefinition
  readonly p0: number
  readonly p1: number
  /** Extra parameter: a number, or one per class. */
  readonly aux: number | Float32Array
  /** Weight per class. */
  readonly weight: Float32Array | undefined
  /** Weight per sample. */
  readonly sampleWeight: Float32Array | undefined
  readonly labelSmoothing: number
}

export interface RegionCall extends RegionArrays {
  /**
   * Of a pass of sums: Σ p·(1 − y), Σ (1 − p)·y and Σ p·y of each plane are added to it, of a loss of squares Σ (p − y)², Σ y² and
   * Σ p·y; the result is the sum of the part's values.
   */
  readonly sums: Float64Array | undefined
  /**
   * Of the other passes: the gradient by p is a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p with a, k and b of each plane.
   * Only the backend in TypeScript takes them in double precision.
   */
  readonly planes: Float32Array | Float64Array | undefined
  /**
   * The gradient by `x`, or what a pass of sums with a sigmoid and no part leaves for it: ±σ(−|x|) with the sign of x, as scores of the
   * activation `kept`. May be the memory of `x`.
   */
  readonly dx: Float32Array | undefined
  /** The gradient by the target, of a call without a part: p and y in each other's place. */
  readonly dt: Float32Array | undefined
  /** Factor of the part's gradient. */
  readonly scale: number
  /** `dx` is added to; it is not the memory of `x` then. */
  readonly accumulate: boolean
}

const ACTIVATION = OWN
const SQUARED = OWN + 1
const PART = OWN + 2
const SCALE = OWN + 3
const AUX_VALUE = OWN + 4
const P0 = OWN + 5
const P1 = OWN + 6
const LABEL_SMOOTHING = OWN + 7

export const regionKind: CallKind<RegionCall> = {
  name: 'region',
  place: 2,
  axis: ({ axis }) => axis,
  bySample: true,
  scans: false,
  arrays({ x, target, marks, sums, planes, dx, dt, part }) {
    const { labels, mask } = marks
    const auxs = typeof part?.aux === 'object' ? part.aux : undefined
    const weight = part?.weight
    const sampleWeight = part?.sampleWeight
    if (auxs === undefined && weight === undefined && sampleWeight === undefined && mask === undefined) {
      return [x, target, labels, sums, planes, dx, dt]
    }
    return [x, target, labels, sums, planes, dx, dt, auxs, weight, sampleWeight, mask]
  },
  write({ axis, activation, squared, part, scale, accumulate, marks }, numbers) {
    numbers[CLASSES] = axis.classes
    numbers[POSITIONS] = axis.positions
    numbers[LAST] = axis.last ? 1 : 0
    numbers[ACCUMULATE] = accumulate ? 1 : 0
    numbers[ACTIVATION] = activationNumber[activation]
    numbers[SQUARED] = squared ? 1 : 0
    numbers[PART] = part === undefined ? 0 : 1
    writeMarks(marks, numbers)
    if (part === undefined) return
    numbers[SCALE] = scale
    numbers[AUX_VALUE] = typeof part.aux === 'number' ? part.aux : 0
    numbers[P0] = part.p0
    numbers[P1] = part.p1
    numbers[LABEL_SMOOTHING] = part.labelSmoothing
  },
}

/** A pass that adds to sums; without a part it may leave in `keep`, which may be `x`, what the gradient needs. */
export function sumsPass(arrays: RegionArrays, sums: Float64Array, keep: Float32Array | undefined): RegionCall {
  return pass(arrays, sums, undefined, keep, undefined, 0, false)
}

/** A pass that writes the gradient by `x`, or adds it. */
export function gradientPass(
  arrays: RegionArrays,
  planes: Float32Array | Float64Array,
  scale: number,
  dx: Float32Array,
  accumulate: boolean,
): RegionCall {
  return pass(arrays, undefined, planes, dx, undefined, scale, accumulate)
}

/** A pass that writes the gradient by the target. */
export function targetGradientPass(
  arrays: RegionArrays,
  planes: Float32Array | Float64Array,
  dt: Float32Array,
): RegionCall {
  return pass(arrays, undefined, planes, undefined, dt, 0, false)
}

/** Field by field: to spread an object and add to it takes V8 longer than a small kernel. */
function pass(
  { kind, loss, definition, marks, x, target, axis, activation, squared, part }: RegionArrays,
  sums: Float64Array | undefined,
  planes: Float32Array | Float64Array | undefined,
  dx: Float32Array | undefined,
  dt: Float32Array | undefined,
  scale: number,
  accumulate: boolean,
): RegionCall {
  return {
    kind,
    loss,
    definition,
    marks,
    x,
    target,
    axis,
    activation,
    squared,
    part,
    sums,
    planes,
    dx,
    dt,
    scale,
    accumulate,
  }
}
