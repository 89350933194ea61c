/** Numbers for the arguments of a call by its form, and calls of the losses of the library that are expressions. */

import type { ExpressionDescription } from '../ts/expression/call.js'
import type { Draw } from '../ts/expression/inputs.js'
import { type Argument, type Form, lengthOf } from '../ts/family/draw.js'
import { filled, normal } from './data.js'
import type { Loose } from './everywhere.js'
import { lossesOf } from './losses.js'

/** Numbers of each kind, at a distance from the ends of their ranges, beyond which differences would look. */
const numbers: Readonly<Record<Draw, (random: () => number) => number>> = {
  real: (random) => normal(random, 2),
  positive: (random) => 0.1 + 4 * random(),
  // Not 1, where Stirling's formula for ln t! begins with a step.
  count: (random) => [0, 0.5, 2, 3, 5, 8][Math.floor(6 * random())],
  probability: (random) => 0.01 + 0.98 * random(),
  logProbability: (random) => Math.log(0.01 + 0.98 * random()),
  sign: (random) => (random() < 0.5 ? -1 : 1),
  box: (random) => random(),
}

/** The arguments of a call of this shape, whose second axis is that of classes, if there is one. */
export function argumentsOf(form: Form, shape: readonly number[], random: () => number): (Float32Array | Int32Array)[] {
  return form.inputs.map((input) => argumentOf(form, input, shape, random))
}

function argumentOf(
  form: Form,
  { kind, extent, columns }: Argument,
  shape: readonly number[],
  random: () => number,
): Float32Array | Int32Array {
  const length = lengthOf(form, extent, shape) * columns
  if (kind === 'label') return Int32Array.from({ length }, () => Math.floor(random() * shape[1]))
  if (kind === 'share') return sharesOf(shape, random)
  const array = filled(length, () => numbers[kind](random))
  // The second corner of a box is above the first.
  if (kind !== 'box') return array
  return array.map((x, i) => (i % 4 < 2 ? 4 * x : 4 * array[i - 2] + 0.2 + 4 * x))
}

/** A distribution of the classes for each position. */
function sharesOf([samples, classes, ...rest]: readonly number[], random: () => number): Float32Array {
  const inner = rest.reduce((product, length) => product * length, 1)
  const shares = filled(samples * classes * inner, () => numbers.probability(random))
  const sums = new Float64Array(samples * inner)
  const positionOf = (i: number) => Math.floor(i / (classes * inner)) * inner + (i % inner)
  shares.forEach((share, i) => {
    sums[positionOf(i)] += share
  })
  return shares.map((share, i) => share / sums[positionOf(i)])
}

export interface DrawnLoss {
  readonly name: string
  readonly definition: ExpressionDescription & { readonly draws: readonly Draw[] }
  readonly form: Form
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

/** The losses of the library that are expressions. */
export const drawnLosses: readonly DrawnLoss[] = lossesOf('expression').map(({ name, definition, loss, forms }) => {
  return {
    name,
    definition: definition as DrawnLoss['definition'],
    form: forms[0],
    loss: loss as unknown as DrawnCalls,
  }
})

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

/** A loss of any arrays as one of input and target, whose target is the list of the others. */
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
