/** What `npm run bench:peers` and its children agree on: the losses, a case, its data, what is printed of it. */

import { readFileSync } from 'node:fs'
import type { draws } from '../data.js'
import { type Timing, timed } from '../timing.js'

type Draw = keyof ReturnType<typeof draws>

/** A loss that is compared, by the name that fused-loss has for it. */
export interface PeerLoss {
  readonly name: string
  readonly input: Draw
  readonly target: Draw | 'label'
  /** Scores of a row, where there are rows. */
  readonly classes?: number
  /** Planes of the one sample, where there are planes. */
  readonly planes?: number
  /** Options of fused-loss beside shape and buffer. */
  readonly options?: Readonly<Record<string, unknown>>
  /** What tfjs has in `tf.losses`. The losses of the Python peers are in their scripts, which have all. */
  readonly tfjs?:
    | 'absoluteDifference'
    | 'huberLoss'
    | 'meanSquaredError'
    | 'sigmoidCrossEntropy'
    | 'softmaxCrossEntropy'
}

export const losses: readonly PeerLoss[] = [
  { name: 'mse', input: 'real', target: 'real', tfjs: 'meanSquaredError' },
  { name: 'l1', input: 'real', target: 'real', tfjs: 'absoluteDifference' },
  // With β = δ = 1 these are the same.
  { name: 'smoothL1', input: 'real', target: 'real', tfjs: 'huberLoss' },
  { name: 'huber', input: 'real', target: 'real', tfjs: 'huberLoss' },
  { name: 'bceWithLogits', input: 'real', target: 'probability', tfjs: 'sigmoidCrossEntropy' },
  { name: 'sigmoidFocal', input: 'real', target: 'probability' },
  { name: 'dice', input: 'real', target: 'probability', planes: 4, options: { activation: 'sigmoid' } },
  { name: 'crossEntropy', input: 'real', target: 'label', classes: 10, tfjs: 'softmaxCrossEntropy' },
  { name: 'crossEntropy', input: 'real', target: 'label', classes: 1000, tfjs: 'softmaxCrossEntropy' },
  { name: 'klDiv', input: 'logProbability', target: 'probability' },
  { name: 'nll', input: 'logProbability', target: 'label', classes: 10 },
]

// In milliseconds: V8 needs that long to compile what tfjs runs through.
const WARM_UP = 1000

/** One case, as a child gets it. */
export interface PeerCase {
  readonly loss: string
  /** Of the input: [elements], [rows, classes] or [samples, planes, positions]. */
  readonly shape: readonly number[]
  /** Whether the target is class indices. */
  readonly labels: boolean
  /** Files of little-endian single precision; labels are integers of 32 bits. */
  readonly input: string
  readonly target: string
  readonly seconds: number
}

/** What a child prints. */
export interface Answer extends Timing {
  /** The value, and the norm of the gradient. */
  readonly summary: readonly [number, number]
}

/** The case of a child in JavaScript, with its loss and its data. */
export function readCase() {
  const given: PeerCase = JSON.parse(process.argv[2])
  // A copy, since a small file may start at any byte of a buffer.
  const read = (file: string) => new Uint8Array(readFileSync(file)).buffer
  return {
    loss: losses.find(({ name }) => name === given.loss)!,
    shape: [...given.shape],
    input: new Float32Array(read(given.input)),
    target: given.labels ? new Int32Array(read(given.target)) : new Float32Array(read(given.target)),
    seconds: given.seconds,
  }
}

/** Times a call and prints it. */
export function answer(call: () => { readonly value: number; readonly grad: Float32Array }, seconds: number): void {
  const { timing, result } = timed(call, seconds, WARM_UP)
  const norm = Math.sqrt(result.grad.reduce((sum, slope) => sum + slope * slope, 0))
  console.log(JSON.stringify({ summary: [result.value, norm], ...timing } satisfies Answer))
}
