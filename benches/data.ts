/** What the parent and its children agree on: the losses, the data of a case, the call that is timed. */

import { type CommonOptions, type Definition, definitionOf, type Loss, type ValueAndGrad } from '../ts/family/loss.js'
import * as library from '../ts/index.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, CommonOptions>

/** The size of a case. */
export interface Size {
  /** Elements of the input; for a softmax loss all its scores. */
  readonly elements: number
  /** Scores of a row; only a softmax loss has rows. */
  readonly classes?: number
}

/** The public losses by name, found by their definitions: a new one appears by itself. */
export const losses: ReadonlyMap<string, { loss: AnyLoss; definition: Definition }> = new Map(
  Object.values<unknown>(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    return definition === undefined ? [] : [[definition.name, { loss: loss as AnyLoss, definition }]]
  }),
)

/** Value and gradient of random data, into the same buffer with every call. */
export function prepare(name: string, { elements, classes = 1 }: Size): () => ValueAndGrad<'mean'> {
  const { loss, definition } = losses.get(name)!
  const uniform = generator(elements)
  // Box and Muller; 1 − u since u may be 0.
  const real = () => 3 * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  const draw = { real, probability: uniform, logProbability: () => Math.log(1 - uniform()) }

  const drawInput = definition.family === 'softmax' ? real : draw[definition.domain.input]
  const input = Float32Array.from({ length: elements }, drawInput)
  const target =
    definition.family === 'softmax'
      ? Int32Array.from({ length: elements / classes }, () => Math.floor(uniform() * classes))
      : Float32Array.from({ length: elements }, draw[definition.domain.target])
  const bound = loss.with({ grad: new Float32Array(elements) })
  return () => bound.valueAndGrad(input, target)
}

/** Mulberry32: the same numbers in [0, 1) in parent and child. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let hash = Math.imul(state ^ (state >>> 15), state | 1)
    hash ^= hash + Math.imul(hash ^ (hash >>> 7), hash | 61)
    return ((hash ^ (hash >>> 14)) >>> 0) / 2 ** 32
  }
}

/** By what two backends are compared: the value, and the norm of the gradient. */
export function summary({ value, grad }: ValueAndGrad<'mean'>): readonly number[] {
  return [value, Math.sqrt(grad.reduce((sum, slope) => sum + slope * slope, 0))]
}
