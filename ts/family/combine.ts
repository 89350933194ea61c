/** Weighted sums of any losses of the same input and target. */

import { floatTensor, number, separate, wrongType } from '../check.js'
import {
  accumulated,
  type CommonOptions,
  definitionOf,
  type Loss,
  makeLoss,
  optionsOf,
  type Result,
  type Settings,
  scalarGradOutput,
  type Wanted,
} from './loss.js'

/** What a sum of losses is made of. */
export interface CombinedDefinition {
  readonly family: 'combined'
  readonly name: string
  readonly parts: readonly Part[]
}

interface Part {
  readonly loss: AnyLoss
  readonly weight: number
}

// biome-ignore lint/suspicious/noExplicitAny: a loss of any input, target and options.
type AnyLoss = Loss<any, any, any, any, any>

/** A loss with its weight, 1 where there is none, and options. */
export type PartOf<L extends AnyLoss = AnyLoss> = readonly [
  loss: L,
  weight?: number,
  options?: Readonly<Record<string, unknown>>,
]

interface CombinedSettings extends Settings {
  /** The losses of the parts, with the options of the whole bound. */
  readonly losses: readonly AnyLoss[]
}

const own = new Set(['gradOutput', 'grad', 'out', 'targetGrad'])
const together = { value: true, grad: true }
const dry = { value: false, grad: true, dry: true }

/**
 * A weighted sum of losses of the same input and target, itself a loss: Σ weight · loss(input, target, options).
 *
 * The gradient of each part is added into the one buffer, without a temporary of the size of the input. `valueAndGrad` has the
 * unweighted value of each part in `parts`. Options that all parts have may be given to the whole and go to each; `grad` must
 * not be the input, which every part reads.
 *
 * @param parts a loss each, with a weight (default 1) and its options
 * @returns a loss with the verbs of any other; its reduction is `'mean'` or `'sum'`
 * @throws TypeError where a part is no loss or an option unknown, RangeError where a weight or a reduction cannot be
 * @example
 * import { combine, l1, mse } from 'fused-loss'
 *
 * const loss = combine([[mse, 0.5], [l1, 2]])
 * const { value, grad, parts } = loss.valueAndGrad(Float32Array.of(1, 3), Float32Array.of(0, 0), { reduction: 'sum' })
 * value // → 13
 * grad // → [3, 5]
 * parts // → [10, 4]
 */
export function combine<const P extends readonly PartOf[]>(
  parts: P,
): Loss<
  Parameters<P[0][0]>[0],
  Parameters<P[0][0]>[1],
  CommonOptions<'mean' | 'sum'> & Readonly<Record<string, unknown>>,
  'mean',
  { parts: number[] }
> {
  const name = 'combine'
  if (!Array.isArray(parts) || parts.length === 0)
    throw wrongType(name, 'parts', 'a list of [loss, weight, options]', parts)
  const definition: CombinedDefinition = { family: 'combined', name, parts: parts.map(partOf) }
  const [first, ...rest] = definition.parts.map(({ loss }) => optionsOf(loss)!)
  const shared = [...first].filter((option) => !own.has(option) && rest.every((options) => options.has(option)))
  return makeLoss({
    definition,
    options: new Set([...shared, 'gradOutput', 'grad']),
    resolve(given): CombinedSettings {
      if (given.reduction === 'none') {
        throw new RangeError(
          `${name}: reduction must be 'mean' or 'sum', since the parts may have values of different shapes`,
        )
      }
      const passed = Object.fromEntries(Object.entries(given).filter(([option]) => !own.has(option)))
      const losses = definition.parts.map(({ loss }) => loss.with(passed))
      return { reduction: 'mean', emptyMean: 'nan', normalizer: undefined, losses }
    },
    run(wanted, input, target, { losses }, buffers): Result {
      const scalar = scalarGradOutput(name, buffers.gradOutput)
      if (Number.isNaN(scalar)) throw wrongType(name, 'gradOutput', 'a number', buffers.gradOutput)
      const { data: x } = floatTensor(name, 'input', input)
      if (!wanted.grad) return { value: totalOf(losses.map((loss) => loss(input, target) as number)), grad: undefined }
      const grad = buffers.grad ?? new Float32Array(x.length)
      const call = (wanted: Wanted) =>
        losses.map((loss, i) => {
          const gradOutput = scalar * definition.parts[i].weight
          return accumulated(loss, wanted, input, target, { grad, gradOutput }).value as number
        })
      // All checks of all parts before the first writes.
      call(dry)
      separate(name, [['the gradient buffer', grad]], [['input', x]])
      grad.fill(0)
      const values = call(together)
      return { value: totalOf(values), grad, parts: values }
    },
  })

  function totalOf(values: readonly number[]): number {
    return values.reduce((sum, value, i) => sum + definition.parts[i].weight * value, 0)
  }
}

function partOf(part: unknown, i: number): Part {
  const [loss, weight = 1, options = {}] = Array.isArray(part) ? part : []
  if (definitionOf(loss) === undefined) throw wrongType('combine', `parts[${i}]`, '[loss, weight, options]', loss)
  const bound = (loss as AnyLoss).with(options)
  if (options.reduction === 'none') {
    throw new RangeError(`combine: parts[${i}] must have the reduction 'mean' or 'sum', got 'none'`)
  }
  for (const name of own) {
    if (options[name] !== undefined) throw new TypeError(`combine: parts[${i}] must leave ${name} to the whole`)
  }
  return { loss: bound, weight: number('combine', `the weight of parts[${i}]`, weight, 'a finite number', () => true) }
}
