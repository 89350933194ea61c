/** What `npm run bench:peers` and its children agree on: a case, its data, what is printed of it. */

import { readFileSync } from 'node:fs'
import { type Timing, timed } from '../timing.js'

// In milliseconds: V8 needs that long to compile what tfjs runs through.
const WARM_UP = 1000

/** One case, as a child gets it. */
export interface PeerCase {
  readonly loss: string
  /** The arguments of the loss, in the order that fused-loss has. */
  readonly inputs: readonly PeerInput[]
  /** Options of fused-loss beside buffers. Others have theirs in their tables. */
  readonly options: Readonly<Record<string, unknown>>
  readonly seconds: number
}

/** An array of a case. */
export interface PeerInput {
  /** A file of little-endian single precision, or where they are class indices of integers of 32 bits. */
  readonly file: string
  /** Of the first one: [elements], [rows, classes], [samples, planes, positions] or [rows, columns]. */
  readonly shape: readonly number[]
  readonly labels: boolean
  /** Set where the gradient by it is computed, which fused-loss gives by this name. */
  readonly gradName?: string
}

/** What a child prints. */
export interface Answer extends Timing {
  /** The value, and the norm of all gradients. */
  readonly summary: readonly [number, number]
  /** How long the first call took, where something is compiled in it. */
  readonly firstSeconds?: number
}

/** What the child of another library prints when it is asked for `losses` in place of a case. */
export interface Introduction {
  /** By name: the library, and what it stands on. */
  readonly versions: Readonly<Record<string, string>>
  /** Names of the losses that it has. */
  readonly losses: readonly string[]
  /** Those among them that are composed of what it has. */
  readonly composed: readonly string[]
}

/** The case of a child in JavaScript, and its arrays. */
export function readCase() {
  const given: PeerCase = JSON.parse(process.argv[2])
  const arrays = given.inputs.map(({ file, labels }) => {
    // A copy, since a small file may start at any byte of a buffer.
    const { buffer } = new Uint8Array(readFileSync(file))
    return labels ? new Int32Array(buffer) : new Float32Array(buffer)
  })
  return { given, arrays }
}

/** Times a call and prints it; `numbers` makes the value and the gradients of its result. */
export function answer<T>(
  { seconds }: PeerCase,
  call: () => T,
  numbers: (result: T) => { readonly value: number; readonly grads: readonly Float32Array[] },
): void {
  const { timing, result } = timed(call, seconds, WARM_UP)
  const { value, grads } = numbers(result)
  const squares = grads.map((grad) => grad.reduce((sum, slope) => sum + slope * slope, 0))
  const norm = Math.sqrt(squares.reduce((sum, square) => sum + square))
  console.log(JSON.stringify({ summary: [value, norm], ...timing } satisfies Answer))
}
