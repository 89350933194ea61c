/** Losses of the library that are expressions: what their definitions say to draw, and calls with it. */

import type { EmbeddingDefinition, Param, WordParam } from '../ts/definition.js'
import { definitionOf } from '../ts/definitions.js'
import type { ExpressionDescription } from '../ts/expression/call.js'
import type { Draw } from '../ts/expression/inputs.js'
import * as library from '../ts/index.js'
import { filled, normal } from './data.js'
import type { Loose } from './everywhere.js'

export interface DrawnLoss {
  readonly name: string
  readonly definition: ExpressionDescription & { readonly draws: readonly Draw[] }
  readonly loss: DrawnCalls
}

/** A loss with any arguments. */
export interface DrawnCalls {
  (...args: unknown[]): number | Float32Array
  backward(...args: unknown[]): Float32Array
  valueAndGrad(...args: unknown[]): Readonly<Record<string, unknown>> & {
    readonly value: number | Float32Array
    readonly grad: Float32Array
  }
  with(options: unknown): DrawnCalls
}

/** All of them, found by their definitions. */
export const drawnLosses: readonly DrawnLoss[] = Object.entries(library).flatMap(([name, loss]) => {
  const definition = definitionOf(loss)
  if (definition?.family !== 'expression') return []
  return [{ name, definition: definition as DrawnLoss['definition'], loss: loss as unknown as DrawnCalls }]
})

/** Numbers of each kind, at a distance from the ends of their ranges, beyond which differences would look. */
const draws: Readonly<Record<Draw, (random: () => number) => number>> = {
  real: (random) => normal(random, 2),
  positive: (random) => 0.1 + 4 * random(),
  // Not 1, where Stirling's formula for ln t! begins with a step.
  count: (random) => [0, 0.5, 2, 3, 5, 8][Math.floor(6 * random())],
  probability: (random) => 0.01 + 0.98 * random(),
  logProbability: (random) => Math.log(0.01 + 0.98 * random()),
  sign: (random) => (random() < 0.5 ? -1 : 1),
  box: (random) => random(),
}

/** Arrays of so many rows for all inputs. */
export function argumentsOf(
  { inputs, draws: kinds }: DrawnLoss['definition'],
  rows: number,
  random: () => number,
): Float32Array[] {
  return inputs.map(({ columns }, k) => {
    const array = filled(rows * columns, () => draws[kinds[k]](random))
    // The second corner of a box is above the first.
    if (kinds[k] !== 'box') return array
    return array.map((x, i) => (i % 4 < 2 ? 4 * x : 4 * array[i - 2] + 0.2 + 4 * x))
  })
}

/** The arguments of a loss of rows, by name. */
export function rowsOf(
  { rows: names, signs }: EmbeddingDefinition,
  [rows, size]: readonly number[],
  random: () => number,
): Record<string, Float32Array> {
  const arrays = names.map((name) => [name, filled(rows * size, () => draws.real(random))] as const)
  const all = Object.fromEntries(arrays)
  return signs ? { ...all, target: filled(rows, () => draws.sign(random)) } : all
}

/** Options of every value that a definition says to try for its parameters, each alone. */
export function triedOptions(params: Readonly<Record<string, Param | WordParam>>): Record<string, unknown>[] {
  return Object.entries(params).flatMap(([name, param]): Record<string, unknown>[] => {
    if ('words' in param) return Object.keys(param.words).map((word) => ({ [name]: word }))
    if (!('samples' in param)) return [{ [name]: true }, { [name]: false }]
    return param.samples.map((value) => ({ [name]: value === param.none ? null : value }))
  })
}

/** Options that set one parameter to one of the values that its definition says to try, or none. */
export function samplesOf({ params }: DrawnLoss['definition']): Record<string, unknown>[] {
  const one = params
    .filter(({ name }) => name !== 'zeroOne')
    .flatMap(({ name, samples }) => samples.map((value) => ({ [name]: value })))
  return [{}, ...one]
}

/** Every combination of those of the true, false and words, with those of one number at a time. */
export function combinationsOf({ params }: DrawnLoss['definition']): Record<string, unknown>[] {
  const flags = params.filter(({ name, values }) => values !== undefined && name !== 'zeroOne')
  const all = flags.reduce<Record<string, unknown>[]>(
    (list, { name, samples }) => list.flatMap((one) => samples.map((value) => ({ ...one, [name]: value }))),
    [{}],
  )
  const numbers = params.filter(({ values }) => values === undefined)
  const one = numbers.flatMap(({ name, samples }) => samples.map((value) => ({ [name]: value })))
  return all.flatMap((flags) => [flags, ...one.map((number) => ({ ...flags, ...number }))])
}

/** Names in options and results of the gradients after the first. */
export function gradNames({ inputs }: DrawnLoss['definition']): string[] {
  return inputs.flatMap(({ grad, gradName }) => (grad && gradName !== 'grad' ? [gradName] : []))
}

/** A loss of several arrays as one of input and target, whose target is the list of the others. */
export function spreading(loss: unknown): Loose {
  const own = loss as Loose
  const call =
    (verb: (...args: unknown[]) => unknown) =>
    (input: unknown, target: unknown, options?: unknown): unknown =>
      verb(input, ...(target as unknown[]), options)
  return Object.assign(call(own), {
    backward: call(own.backward),
    valueAndGrad: call(own.valueAndGrad) as Loose['valueAndGrad'],
    with: (options: unknown) => spreading(own.with(options)),
  }) as Loose
}

/** Arguments of a loss of rows as an input and one target, which has what the other arguments have of each row one behind the other. */
export function gatheredOf(definition: EmbeddingDefinition, shape: readonly number[], random: () => number) {
  const [input, ...others] = Object.values(rowsOf(definition, shape, random))
  const [rows] = shape
  const width = others.reduce((sum, { length }) => sum + length / rows, 0)
  const target = new Float32Array(rows * width)
  let at = 0
  for (let row = 0; row < rows; row++) {
    for (const array of others) {
      const size = array.length / rows
      target.set(array.subarray(row * size, (row + 1) * size), at)
      at += size
    }
  }
  return { input, target }
}

/** A loss of rows as one of such an input and target, with so many numbers in a row. */
export function gathered(loss: unknown, { rows: names, signs }: EmbeddingDefinition, size: number): Loose {
  const sizes = [...names.slice(1).map(() => size), ...(signs ? [1] : [])]
  const width = sizes.reduce((sum, size) => sum + size, 0)
  const spread = (target: Float32Array): Float32Array[] =>
    sizes.map((size, k) => {
      const first = k * sizes[0]
      return filled((target.length / width) * size, (i) => target[Math.floor(i / size) * width + first + (i % size)])
    })
  const own = spreading(loss)
  const call =
    (verb: (...args: unknown[]) => unknown) =>
    (input: unknown, target: unknown, options?: unknown): unknown =>
      verb(input, spread(target as Float32Array), options)
  return Object.assign(call(own), {
    backward: call(own.backward),
    valueAndGrad: call(own.valueAndGrad) as Loose['valueAndGrad'],
    with: (options: unknown) => gathered((loss as Loose).with(options), { rows: names, signs } as never, size),
  }) as Loose
}
