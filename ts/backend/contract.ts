/**
 * What a backend must do. Arguments are checked already, but for one thing: calls without `extra` must refuse a `dx` that shares
 * memory with the target, or with a part of `x`, since native sees that for nothing. A softmax call without `extra` has labels of
 * 32 bits, no mask and one label that is ignored.
 */

import type { PointwiseDefinition } from '../family/pointwise.js'
import type { Axis } from '../family/positions.js'
import type { SoftmaxDefinition } from '../family/softmax.js'
import type { Marks, NumberArray } from './marks.js'

/** A row of the crate's registry. Its position in the list is the number by which kernels are called. */
export interface RegistryRow {
  readonly name: string
  readonly family: string
  readonly params: readonly string[]
  /** Largest difference from the true value in units in the last place; 0 where all backends agree to the bit. */
  readonly ulp: number
}

/** Streams and outputs that most pointwise calls do without. */
export interface PointwiseExtra {
  /** Weight per element, cycled over the input. */
  weight: Float32Array | undefined
  /** Weight of each `sampleInner` neighbouring elements; where both are given both count. */
  sampleWeight: Float32Array | undefined
  sampleInner: number
  /** Which elements count. */
  marks: Marks
  /** Extra parameter per class: element i takes `aux[⌊i / auxInner⌋ mod aux.length]`. */
  aux: Float32Array | undefined
  auxInner: number
  /** Upstream gradient per element, in place of `scale`. */
  gradOutput: Float32Array | undefined
  /** Gradient by the target goes here. */
  targetGrad: Float32Array | undefined
  /** The loss of each element goes here. */
  out: Float32Array | undefined
  /** `dx` is added to; it is not the memory of `x` then. */
  accumulate: boolean
}

/** What a softmax call has beside rows of scores with class indices. */
export interface SoftmaxExtra {
  /** Positions whose scores for a class are neighbours; 1 where the classes are last. */
  inner: number
  /** In place of classes: a distribution, or the scores of a teacher. */
  target: Float32Array | undefined
  /** Weight per class. */
  weight: Float32Array | undefined
  /** In its place, in double precision, for the backend in TypeScript alone: products that are no floats. */
  exactWeight: Float64Array | undefined
  /** Weight of each `sampleInner` neighbouring positions. */
  sampleWeight: Float32Array | undefined
  sampleInner: number
  /** Upstream gradient per position, in place of `scale`. */
  gradOutput: Float32Array | undefined
  /** Gradient by the target goes here. */
  targetGrad: Float32Array | undefined
  /** The loss of each position goes here. */
  out: Float32Array | undefined
  /** `dx` is added to; it is not the memory of `x` then. */
  accumulate: boolean
}

/** Index of a position's score for class 0; those for the others are `inner` apart. */
export function firstScore(position: number, inner: number, classes: number): number {
  return Math.floor(position / inner) * inner * classes + (position % inner)
}

/** From scores to the probabilities of a region loss. */
export const activations = ['none', 'sigmoid', 'softmax'] as const
export type Activation = (typeof activations)[number]

/** As kernels know them: `kept` are scores that a pass of sums has left for the gradient. */
export const activationNumber = { none: 0, sigmoid: 1, softmax: 2, kept: 3 } as const

/** A call of the region kernels, which sum over all positions of a sample and a class. */
export interface RegionCall {
  /** Name of the loss, for errors. */
  readonly loss: string
  readonly x: Float32Array
  /** Target in the shape of `x`; without it the target is 1 at the labels. */
  readonly target: NumberArray | undefined
  /** Which positions count and, where there is no other target, their classes. */
  readonly marks: Marks
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

/** Numbers per plane, of the sums as of the gradient. */
export const PLANE = 3

/** A loss as bytecode: `ts/expression` makes it, every backend has an interpreter for it. */
export interface Program {
  /**
   * `plain` gradients are final: the factor `scale` is part of their uniforms, and the values are
   * summed by instructions. A `raw` program leaves unscaled slopes and the value in its outputs, block by block, and the backend
   * weighs, masks, scales, adds, stores and sums them as it does for every pointwise loss.
   */
  readonly kind: 'plain' | 'raw'
  /** Whether every operation is exact: all backends have the same bits then. */
  readonly exact: boolean
  /** Eight bytes per instruction: the operation, its operands d, a, b, c, e, f, and a 0. */
  readonly code: Uint8Array
  /** Operands are numbered from 0: registers, uniforms, inputs, outputs; together at most {@link OPERANDS}. */
  readonly registers: number
  /** How many uniforms, numbers that are the same for all rows. */
  readonly uniforms: number
  /** Columns of each input. Those of more than one are read by `load4` and `loadc` only. */
  readonly inputs: readonly number[]
  /** Columns of each gradient. */
  readonly grads: readonly number[]
  /** Whether there is a value: a `plain` program sums it then, a `raw` one has it as its last output. */
  readonly value: boolean
  /**
   * Columns of each output. Of a `plain` program these are the gradients, written by `store4` and `storec` where they have more than
   * one column. Those of a `raw` program have one column each: every column of every gradient in turn, then the value.
   */
  readonly outputs: readonly number[]
}

/** The most operands of a program. */
export const OPERANDS = 64

/** A call of a program. */
export interface ExpressionCall {
  /** Name of the loss, for errors. */
  readonly loss: string
  readonly program: Program
  /** Values of the uniforms. */
  readonly uniforms: Float32Array
  /** As many as the program says, of `rows` times their columns. */
  readonly inputs: readonly Float32Array[]
  /**
   * A gradient may be the memory of the input that it belongs to (the same start and length), never overlap another array. The
   * instructions of a `plain` program for such a call read no input after the output that covers it is written. A block that is
   * computed again in double precision needs its inputs as they were, though.
   */
  readonly grads: readonly Float32Array[]
  /** How many values. */
  readonly rows: number
  /** What only calls of a `raw` program have. */
  readonly raw: RawExtra | undefined
}

/** What becomes of the value and the slopes of each row: see {@link PointwiseExtra}, whose fields of the same name these are. */
export interface RawExtra {
  /** Upstream gradient over the denominator, in double precision; it may lie beyond the range of single precision. */
  readonly scale: number
  /** Weight per row, cycled over the rows. */
  readonly weight: Float32Array | undefined
  /** Weight of each `sampleInner` neighbouring rows; where both are given both count. */
  readonly sampleWeight: Float32Array | undefined
  readonly sampleInner: number
  /** Which rows count. */
  readonly marks: Marks
  /** Upstream gradient per row, in place of `scale`. */
  readonly gradOutput: Float32Array | undefined
  /** The weighted value of each row goes here. */
  readonly out: Float32Array | undefined
  /** The first gradient is added to; it is not the memory of an input then. The others are written. */
  readonly accumulate: boolean
}

/**
 * One implementation of all kernels. Functions return the sum of the values; `scale` is the upstream gradient over the
 * denominator, so that a mean needs no second pass.
 */
export interface Backend {
  readonly name: 'native' | 'wasm' | 'ts'
  /** Instruction set in use. */
  readonly instructionSet: string
  /** Threads that a large call may use, where there can be more than one. */
  readonly threads?: number
  setThreads?(count: number): void
  readonly version: string
  /** The crate's registry; empty for the TypeScript backend, which has the definitions themselves. */
  readonly registry: readonly RegistryRow[]

  pointwise(
    loss: PointwiseDefinition,
    x: Float32Array,
    t: NumberArray,
    dx: Float32Array | undefined,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    extra: PointwiseExtra | undefined,
  ): number

  /** Index of the first value that counts and is not in [low, high], NaN included, or −1. */
  firstOutside(values: NumberArray, low: number, high: number, marks: Marks): number

  /**
   * Total weight of the positions that count, or −1 − i where label i is no class; with 0 `classes` every label is one. A position
   * weighs as much as its class times its own weight, where they are given; `sampleInner` neighbours share one.
   */
  keptWeight(
    marks: Marks,
    positions: number,
    classes: number,
    weight: Float32Array | undefined,
    sampleWeight: Float32Array | undefined,
    sampleInner: number,
  ): number

  softmax(
    loss: SoftmaxDefinition,
    x: Float32Array,
    marks: Marks,
    classes: number,
    dx: Float32Array | undefined,
    scale: number,
    labelSmoothing: number,
    temperature: number,
    p0: number,
    extra: SoftmaxExtra | undefined,
  ): number

  /**
   * Adds Σ p·(1 − y), Σ (1 − p)·y and Σ p·y of each plane to `sums`, of a loss of squares Σ (p − y)², Σ y² and Σ p·y; the sum of
   * the part's values. With a sigmoid and no part it may leave in
   * `keep`, which may be `x`, what the gradient needs: ±σ(−|x|) with the sign of x, as scores of the activation `kept`.
   */
  regionSums(call: RegionCall, sums: Float64Array, keep: Float32Array | undefined): number

  /**
   * The gradient by `x`: that by p is a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p with a, k and b of each plane in
   * `planes`, that of the part is `scale` times its own. `accumulate` adds to `dx`, which is not the memory of `x` then.
   */
  regionGradient(call: RegionCall, planes: Float32Array, scale: number, dx: Float32Array, accumulate: boolean): void

  /** The gradient by the target, of a call without a part: p and y in each other's place. */
  regionTargetGradient(call: RegionCall, planes: Float32Array, dt: Float32Array): void

  /** Runs a program: the sum of its values, or 0 where it has none. Backends without an interpreter leave it to TypeScript. */
  expression?(call: ExpressionCall): number
}

/** Number of each loss by its name. */
export function opsOf(registry: readonly RegistryRow[]): ReadonlyMap<string, number> {
  return new Map(registry.map((row, op) => [row.name, op]))
}
