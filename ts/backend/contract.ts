/**
 * What a backend must do. Arguments are checked already, but for one thing: calls without `extra` must refuse a `dx` that shares
 * memory with the target, or with a part of `x`, since native sees that for nothing.
 */

import type { PointwiseDefinition } from '../family/pointwise.js'
import type { SoftmaxDefinition } from '../family/softmax.js'

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

/** Streams and outputs that most softmax calls do without. */
export interface SoftmaxExtra {
  /** Weight per class. */
  weight: Float32Array | undefined
  /** Upstream gradient per row, in place of `scale`. */
  gradOutput: Float32Array | undefined
  /** The loss of each row goes here. */
  out: Float32Array | undefined
}

/**
 * One implementation of all kernels. Functions return the sum of the values; `scale` is the upstream gradient over the
 * denominator, so that a mean needs no second pass.
 */
export interface Backend {
  readonly name: 'native' | 'wasm' | 'ts'
  /** Instruction set in use. */
  readonly instructionSet: string
  readonly version: string
  /** The crate's registry; empty for the TypeScript backend, which has the definitions themselves. */
  readonly registry: readonly RegistryRow[]

  pointwise(
    loss: PointwiseDefinition,
    x: Float32Array,
    t: Float32Array,
    dx: Float32Array | undefined,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    extra: PointwiseExtra | undefined,
  ): number

  /** Index of the first value that is not in [low, high], NaN included, or −1. */
  firstOutside(values: Float32Array, low: number, high: number): number

  /** Total weight of the labels other than `ignoreIndex`, or −1 − i where label i is no class. */
  keptWeight(labels: Int32Array, classes: number, ignoreIndex: number, weight: Float32Array | undefined): number

  softmax(
    loss: SoftmaxDefinition,
    x: Float32Array,
    labels: Int32Array,
    classes: number,
    dx: Float32Array | undefined,
    scale: number,
    ignoreIndex: number,
    labelSmoothing: number,
    temperature: number,
    p0: number,
    p1: number,
    extra: SoftmaxExtra | undefined,
  ): number
}

/** Number of each loss by its name. */
export function opsOf(registry: readonly RegistryRow[]): ReadonlyMap<string, number> {
  return new Map(registry.map((row, op) => [row.name, op]))
}
