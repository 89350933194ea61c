/** Weighted sums of any losses of the same input. */

import { type DynamicTensor, floatTensor, gradBuffer, isRecord, number, separate, wrongType } from '../check.js'
import { nearest, readProperties } from '../options.js'
import { accumulated, forward, insideOf, optionsOf, type Result, type Wanted } from './inside.js'
import {
  accumulates,
  type Denominator,
  type Family,
  type Loss,
  type LossOptions,
  makeLoss,
  type Settings,
  scalarGradOutput,
  type Typed,
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
  /** Factor of the gradient alone. */
  readonly gradOutput: number
  /** Name of its target among those of a call, or the target itself; undefined where it is the target of a call. */
  readonly target: unknown
}

// biome-ignore lint/suspicious/noExplicitAny: a loss of any input, target and options.
type AnyLoss = Loss<any, any, any, any, any>

/** A loss of any number of arrays, of which the first is the input; those after it are its target. */
// biome-ignore lint/suspicious/noExplicitAny: a loss of any arrays and options.
type ListLoss = Typed<any, any, any> & { backward(...args: never[]): Float32Array; readonly name: string }

type PartLoss = AnyLoss | ListLoss

/** A loss with its weight, 1 where there is none, and options. */
export type PartOf<L extends PartLoss = PartLoss> = readonly [
  loss: L,
  weight?: number,
  options?: Readonly<Record<string, unknown>>,
]

/** Options of a part: those of its loss without what belongs to the whole. */
export type PartOptions<L extends PartLoss> = Omit<
  OptionsOf<L>,
  'reduction' | 'gradOutput' | 'grad' | 'out' | `${string}Grad`
> & {
  reduction?: Exclude<OptionsOf<L>['reduction'], 'none' | undefined>
  /** Factor of this part's gradient alone. Default 1. */
  gradOutput?: number
  /** Name of its target among those of a call, or the target itself, which each call reads anew. */
  target?: string | TargetOf<L>
}

/** What `combine` makes of parts. */
export type CombinedLoss<P extends readonly PartOf[]> = Loss<
  InputOf<LossOf<P[0]>>,
  Targets<P>,
  CombinedOptions<P>,
  'mean',
  {
    /** The value of each part, without its weight. */
    parts: number[]
    /** What the mean of each part divides by; of a part with parts of its own, what each of those does. */
    denominators: Denominators<P>
  }
>

/** What the parts have as `denominator` or, where they have parts of their own, as `denominators`. */
type Denominators<P extends readonly PartOf[]> = { -readonly [I in keyof P]: DenominatorOf<LossOf<P[I]>> }

type DenominatorOf<L> =
  MoreOf<L> extends infer More
    ? More extends Denominator
      ? number
      : More extends { denominators: infer D }
        ? D
        : unknown
    : never

type LossOf<Part> = Part extends readonly [infer L extends PartLoss, ...unknown[]] ? L : never
/** What a {@link ListLoss} says of itself; unknown of any other. */
type TypesOf<L> = L extends Typed<infer A, infer O, infer M> ? { arrays: A; options: O; more: M } : unknown
/** The one array after the first, or the list of them. */
type Rest<Arrays> = Arrays extends readonly [unknown]
  ? unknown
  : Arrays extends readonly [unknown, infer Target]
    ? Target
    : Arrays extends readonly [unknown, ...infer Targets]
      ? Readonly<Targets>
      : never
// biome-ignore-start lint/suspicious/noExplicitAny: what is not asked for.
// What a list loss says comes first: one of three arrays could be called as a loss of two, whose options are the third.
type InputOf<L> =
  TypesOf<L> extends { arrays: readonly [infer Input, ...unknown[]] }
    ? Input
    : L extends Loss<infer Input, any, any, any, any>
      ? Input
      : never
type TargetOf<L> =
  TypesOf<L> extends { arrays: infer Arrays extends readonly unknown[] }
    ? Rest<Arrays>
    : L extends Loss<any, infer Target, any, any, any>
      ? Target
      : never
type MoreOf<L> =
  TypesOf<L> extends { arrays: readonly unknown[]; more: infer More }
    ? More
    : L extends Loss<any, any, any, any, infer More>
      ? More
      : never
type OptionsOf<L> =
  TypesOf<L> extends { arrays: readonly unknown[]; options: infer O extends LossOptions }
    ? O
    : L extends Loss<any, any, infer O, any, any>
      ? O
      : never
// biome-ignore-end lint/suspicious/noExplicitAny: what is not asked for.

/** What the option `target` of a part names; true where it has the target of a call, false where it has its own. */
type NameOf<Part> = Part extends readonly [unknown, unknown, { readonly target: infer T }]
  ? T extends string
    ? T
    : false
  : true

/** What two sets of kinds of targets have in common. */
type Common<A, B> = unknown extends A ? B : Extract<A, B> | Extract<B, A>

/** The kinds of targets that all parts with this name take. */
type Agreed<P extends readonly unknown[], Name, T = unknown> = P extends readonly [infer Head, ...infer Tail]
  ? Agreed<Tail, Name, NameOf<Head> extends Name ? Common<T, TargetOf<LossOf<Head>>> : T>
  : T

type Names<P extends readonly unknown[]> = Extract<NameOf<P[number]>, string>

/** True where a part has the target of the call, never where none has. */
type Unnamed<P extends readonly unknown[]> = Extract<NameOf<P[number]>, true>

/** The target of a call: one for all parts, or an object of one for each name. */
type Targets<P extends readonly unknown[]> = number extends P['length']
  ? // biome-ignore lint/suspicious/noExplicitAny: of a list that the compiler does not know.
    any
  : [Names<P>] extends [never]
    ? [Unnamed<P>] extends [never]
      ? undefined
      : Agreed<P, true>
    : { readonly [Name in Names<P>]: Agreed<P, Name> }

/** Options that all parts have. */
type Shared<P extends readonly unknown[]> = P extends readonly [infer Head, ...infer Tail]
  ? Tail extends readonly []
    ? OptionsOf<LossOf<Head>>
    : Both<OptionsOf<LossOf<Head>>, Shared<Tail>>
  : Readonly<Record<string, unknown>>

type Both<A, B> = { [Name in keyof A & keyof B]?: Exclude<A[Name] & B[Name], undefined> }

/** Options of the whole. */
type CombinedOptions<P extends readonly unknown[]> = {
  reduction?: 'mean' | 'sum'
  /** Upstream gradient. Default 1. */
  gradOutput?: number
  /** The gradient is written here and nothing is allocated. It must not be the input, which every part reads. */
  grad?: Float32Array
  /** Whether the gradient is added to what `grad` holds. Default false. */
  accumulate?: boolean
} & Omit<Shared<P>, 'reduction' | 'gradOutput' | 'grad' | 'accumulate' | 'out' | `${string}Grad`>

/**
 * The parts as they may be written, by their losses. They are inferred from the branch that is never taken: an intersection with
 * what was given would make `never` of what is wrong, of which the compiler could say nothing.
 */
type Checked<P extends readonly unknown[]> = [P] extends [never]
  ? P
  : [Complaint<P>] extends [never]
    ? { readonly [I in keyof P]: CheckedPart<P[I]> }
    : Complaint<P>

type CheckedPart<Part> = Part extends readonly [infer L extends PartLoss, infer W, unknown]
  ? readonly [L, W, PartOptions<L>]
  : Part

/** What the compiler says in place of parts whose targets cannot be. */
type Complaint<P extends readonly unknown[]> = number extends P['length']
  ? never
  : true extends Disagree<P, true> | { [Name in Names<P>]: Disagree<P, Name> }[Names<P>]
    ? 'These parts share a target that no kind of array can be: give each a name for its own, as { target: "labels" }'
    : [Names<P>] extends [never]
      ? never
      : [Unnamed<P>] extends [never]
        ? never
        : 'Where a part names its target, each must name its own: { target: "labels" }'

/** True where the parts with this name have no kind of target in common. */
type Disagree<P extends readonly unknown[], Name> = [Exclude<Agreed<P, Name>, DynamicTensor>] extends [never]
  ? true
  : false

interface CombinedSettings extends Settings {
  /** The losses of the parts, with the options of the whole bound. */
  readonly losses: readonly AnyLoss[]
}

const dry: Wanted = { value: false, grad: true, dry: true }

/** What a part leaves to the whole. */
const buffers: ReadonlySet<string> = new Set(['grad', 'out', 'accumulate'])
/** So too a gradient by another array than the input, such as `targetGrad`. */
const isBuffer = (option: string) => buffers.has(option) || option.endsWith('Grad')
const isOwn = (option: string) => option === 'gradOutput' || isBuffer(option)

/** The targets of the parts of a call, as each part takes its own again. */
class PartTargets {
  constructor(readonly list: readonly unknown[]) {}
}

/**
 * A weighted sum of losses of the same input, itself a loss: Σ weight · loss(input, target, options).
 *
 * The gradient of each part is added into the one buffer, without a temporary of the size of the input. `valueAndGrad` has the
 * unweighted value of each part in `parts` and what its mean divides by in `denominators`. Options that all parts have may be given to the whole and go to each; `grad` must
 * not be the input, which every part reads. A part may be a loss with bound options, or a sum itself; its `gradOutput` is a
 * factor of its gradient alone. To a buffer that a part has bound for another gradient, such as `targetGrad`, every call adds.
 *
 * All parts have the target of the call, unless their option `target` names them: then a call takes an object with a target for
 * each name, such as `{ labels, teacher }`. Where that option is an array or a tensor, it is the part's target in every call, and
 * is read anew in each.
 *
 * The target of a part with more than two arrays, such as `gaussianNll`, is the list of those after the input: `[target, variance]`.
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
 * @example
 * import { combine, crossEntropy, distillation } from 'fused-loss'
 *
 * const criterion = combine([
 *   [crossEntropy, 0.3, { target: 'labels' }],
 *   [distillation, 0.7, { target: 'teacher', temperature: 4 }],
 * ])
 * const logits = Float32Array.of(2, 1, 0, 0, 1, 2)
 * const labels = Int32Array.of(0, 2)
 * const { value, grad } = criterion.valueAndGrad(logits, { labels, teacher: logits }, { shape: [2, 3] })
 * Math.abs(value - 0.3 * crossEntropy(logits, labels)) < 1e-7 // → true
 * grad.length // → 6
 */
export function combine<const P extends readonly PartOf[]>(parts: Checked<P>): CombinedLoss<P> {
  const name = 'combine'
  if (!Array.isArray(parts) || parts.length === 0)
    throw wrongType(name, 'parts', 'a list of [loss, weight, options]', parts)
  const definition: CombinedDefinition = { family: 'combined', name, parts: parts.map(partOf) }
  const optionNames = definition.parts.map(({ loss }) => optionsOf(loss)!)
  const [first, ...rest] = optionNames
  const shared = [...first].filter((option) => !isOwn(option) && rest.every((options) => options.has(option)))
  const targetOf = targetsOf(definition.parts)
  const family: Family<CombinedSettings, PartTargets> = {
    definition,
    options: new Set([...shared, 'gradOutput', 'grad', 'accumulate']),
    elsewhere(option) {
      const i = isOwn(option) ? -1 : optionNames.findIndex((options) => options.has(option))
      return i < 0 ? undefined : `give it to the parts that have it, as parts[${i}], ${definition.parts[i].loss.name}`
    },
    resolve(given): CombinedSettings {
      if (given.reduction === 'none') {
        throw new RangeError(
          `${name}: reduction must be 'mean' or 'sum', since the parts may have values of different shapes`,
        )
      }
      const passed = Object.fromEntries(Object.entries(given).filter(([option]) => !isOwn(option)))
      const losses = definition.parts.map(({ loss }) => loss.with(passed))
      return { reduction: 'mean', emptyMean: 'nan', normalizer: undefined, validate: false, losses }
    },
    read(target) {
      if (target instanceof PartTargets) return target
      return new PartTargets(
        targetOf(target).map((partTarget, i) => insideOf(definition.parts[i].loss)!.read(partTarget)),
      )
    },
    run(wanted, input, { list: targets }, { losses }, buffers): Result {
      const scalar = scalarGradOutput(name, buffers.gradOutput)
      if (Number.isNaN(scalar)) throw wrongType(name, 'gradOutput', 'a number', buffers.gradOutput)
      const { data: x } = floatTensor(name, 'input', input)
      if (!wanted.grad) {
        return {
          value: totalOf(
            losses.map((loss, i) => insideOf(loss)!.call(forward, input, targets[i], undefined).value as number),
          ),
          grad: undefined,
        }
      }
      const grad = gradBuffer(name, buffers.grad, x.length)
      const call = (wanted: Wanted) =>
        losses.map((loss, i) => {
          const { weight, gradOutput } = definition.parts[i]
          const options = { grad, gradOutput: scalar * weight * gradOutput }
          return accumulated(loss, wanted, input, targets[i], options)
        })
      // All checks of all parts before the first writes.
      separate(name, [['the gradient buffer', grad]], [['input', x]])
      call(dry)
      if (wanted.dry) return { value: Number.NaN, grad }
      // A sum that is a part itself adds to what the other parts have written.
      if (!accumulates(name, buffers, wanted)) grad.fill(0)
      const results = call(wanted)
      const values = results.map(({ value }) => value as number)
      const denominators = results.map(({ denominator, denominators }) => denominator ?? denominators!)
      return { value: totalOf(values), grad, parts: values, denominators }
    },
  }
  return makeLoss(family)

  function totalOf(values: readonly number[]): number {
    return values.reduce((sum, value, i) => sum + definition.parts[i].weight * value, 0)
  }
}

function partOf(part: unknown, i: number): Part {
  const [loss, weight = 1, options = {}] = Array.isArray(part) ? part : []
  if (insideOf(loss) === undefined) {
    throw wrongType('combine', `parts[${i}]`, '[loss, weight, options]', Array.isArray(part) ? loss : part)
  }
  const names = new Set([...optionsOf(loss)!, 'target'])
  // The target stays as it is given: each call reads it anew.
  const { target, ...rest } = readProperties(loss.name, options, names)
  const bound = (loss as AnyLoss).with(rest)
  const all = insideOf(bound)!.bound
  if (all.reduction === 'none') {
    throw new RangeError(`combine: parts[${i}] must have the reduction 'mean' or 'sum', got 'none'`)
  }
  for (const name in all) {
    if (isBuffer(name) && all[name] !== undefined)
      throw new TypeError(`combine: parts[${i}] must leave ${name} to the whole`)
  }
  const gradOutput = scalarGradOutput('combine', all.gradOutput as number)
  if (Number.isNaN(gradOutput)) throw wrongType('combine', `gradOutput of parts[${i}]`, 'a number', all.gradOutput)
  const finite = (n: number) => Number.isFinite(Math.fround(n))
  number('combine', `the weight of parts[${i}]`, weight, 'a finite number', finite)
  return { loss: bound, weight, gradOutput, target }
}

/** How the targets of the parts come out of that of a call, of which each name is read once. */
function targetsOf(parts: readonly Part[]): (given: unknown) => readonly unknown[] {
  const names = new Set(parts.flatMap(({ target }) => (typeof target === 'string' ? [target] : [])))
  const unnamed = parts.findIndex(({ target }) => target === undefined)
  if (names.size > 0 && unnamed >= 0) {
    throw new TypeError(`combine: parts[${unnamed}] must name its target, since other parts do: { target: 'labels' }`)
  }
  if (names.size === 0) return (given) => parts.map(({ target }) => target ?? given)
  return (given) => {
    const list = [...names].join(', ')
    if (!isRecord(given)) throw wrongType('combine', 'target', `an object { ${list} }`, given)
    for (const name in given) {
      if (names.has(name)) continue
      const close = nearest(name, names)
      const guess = close === undefined ? `there are ${list}` : `did you mean ${close}?`
      throw new TypeError(`combine: no part names the target ${name}; ${guess}`)
    }
    const targets: Record<string, unknown> = Object.fromEntries([...names].map((name) => [name, given[name]]))
    for (const name of names) {
      if (targets[name] === undefined) {
        const i = parts.findIndex(({ target }) => target === name)
        throw new TypeError(`combine: target.${name} must be given, for parts[${i}], ${parts[i].loss.name}`)
      }
    }
    return parts.map(({ target }) => (typeof target === 'string' ? targets[target] : target))
  }
}
