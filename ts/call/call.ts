/**
 * What calls of kernels are made of. A kind of call lists its arrays and writes its numbers in the order that
 * `crate/core/src/call.rs` and the `call.rs` of each family have; `__test__/call.test.ts` compares them. Backends know nothing else
 * of a call.
 */

import type { Axis } from './axis.js'
import { everything, type Marks, type NumberArray } from './marks.js'

/** How many numbers a block has. */
export const NUMBERS = 41

// Places of the numbers that mean the same in every call.
export const SUM = 0
export const CALL = 1
export const LOSS = 2
export const TYPES = 3
export const THREADS = 4
export const SPLIT_ALL = 5
export const INPUTS = 6
export const GRADS = 7
export const CLASSES = 8
export const POSITIONS = 9
export const LAST = 10
export const SAMPLE_INNER = 11
export const MASK_INNER = 12
export const ACCUMULATE = 13
export const IGNORED = 14

/** Arrays of a call that have places, at most. */
export const PLACES = 13

/** Labels that a call can ignore, at most. */
export const MOST_IGNORED = 10

/** The first number that a call names itself. */
export const OWN = IGNORED + 1 + MOST_IGNORED

/** An array of a call. */
export type CallArray = NumberArray | Float64Array

/** What every call has. */
export interface AnyCall {
  /** Name of the loss, for errors. */
  readonly loss: string
  /** The loss whose kernel it is, if it is one with a row in the crate's registry. */
  readonly definition: { readonly name: string } | undefined
  /** Which positions count, and their classes. */
  readonly marks: Marks
}

/** What a call may have for each of its values: those of elements, positions or rows. */
export interface Streams {
  /** Weight of each `sampleInner` neighbouring values. Where there are other weights too, both count. */
  readonly sampleWeight: Float32Array | undefined
  readonly sampleInner: number
  /** Upstream gradient of each, in place of `scale`. */
  readonly gradOutput: Float32Array | undefined
  /** Each goes here, weighted. */
  readonly out: Float32Array | undefined
  /** The gradient is added to what is there; it is not the memory of the input then. */
  readonly accumulate: boolean
}

/** Arrays of which a call has any number. */
export interface Rest {
  readonly inputs: readonly Float32Array[]
  readonly grads: readonly Float32Array[]
}

/** A kind of call. */
export interface CallKind<C extends AnyCall> {
  readonly name: string
  /** Its place among the kinds of the crate. */
  readonly place: number
  /** Where the numbers of its arrays lie: backends that copy go through it piece by piece. */
  axis(call: C): Axis
  /** Whether what is summed is of one sample each, so that no piece has more than one. */
  readonly bySample: boolean
  /** Whether it looks for something, and has no sum. */
  readonly scans: boolean
  /** Its arrays, in the order of their places. */
  arrays(call: C): readonly (CallArray | undefined)[]
  /** Arrays that have no place of their own: what is read, and what is written. */
  rest?(call: C): Rest
  /** Writes its numbers. What only matters beside an array may be left as it was where that is not given. */
  write(call: C, numbers: Float64Array): void
}

/** Writes what the arrays of each value need beside them. */
export function writeStreams(streams: Streams | undefined, numbers: Float64Array): void {
  numbers[ACCUMULATE] = streams?.accumulate ? 1 : 0
  if (streams !== undefined) numbers[SAMPLE_INNER] = streams.sampleInner
}

/** Writes what is ignored, and how many positions share a value of the mask. */
export function writeMarks(marks: Marks, numbers: Float64Array): void {
  if (marks === everything) return
  const { ignored, maskInner } = marks
  numbers[MASK_INNER] = maskInner
  numbers[IGNORED] = ignored.length
  for (let i = 0; i < ignored.length; i++) numbers[IGNORED + 1 + i] = ignored[i]
}
