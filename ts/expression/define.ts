/** Losses as expressions: the definition and its checks, and the public loss. */

import { describe } from '../check.js'
import type { Reduction } from '../definition.js'
import {
  type CommonOptions,
  commonOptions,
  type Denominator,
  type Typed,
  type Value as ValueOf,
} from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'
import { makeSeveral } from '../family/several.js'
import type { Options } from '../options.js'
import { type ExpressionDescription, type ExpressionSettings, type InputOf, resolve, run } from './call.js'
import { leavesOf } from './compile.js'
import { dependsOn, gradientsOf } from './derivative.js'
import { explain } from './explain.js'
import { formulasOf } from './formula.js'
import { type Draw, type InputSpec, isSpec } from './inputs.js'
import { inGraph, inputNode, isOwn, mul, Node, param, sub, type Value } from './node.js'
import {
  combinationsOf,
  flagParam,
  type OptionOf,
  type ParamOf,
  type ParamSpec,
  paramOf,
  type SymbolOf,
} from './params.js'
import { Programs } from './programs.js'

export type { ParamSpec }

/** The inputs of a loss by name, in the order of its arguments. */
export type Inputs = Readonly<Record<string, InputSpec>>

/** The parameters of a loss by name. */
export type Params = Readonly<Record<string, ParamSpec>>

type Repeat<T, N extends number, List extends T[] = []> = List['length'] extends N ? List : Repeat<T, N, [...List, T]>

/** What the function `loss` gets for each input: an expression, or one per column. */
export type Symbols<I extends Inputs> = {
  readonly [K in keyof I]: I[K]['columns'] extends 1 ? Value : Readonly<Repeat<Value, I[K]['columns']>>
}

type Intersection<U> = (U extends unknown ? (one: U) => void : never) extends (all: infer A) => void ? A : never
type Last<U> = Intersection<U extends unknown ? () => U : never> extends () => infer L ? L : never
// As many arguments as there are names: their order does not matter to the types, which are all the same.
type Arguments<Name, One, List extends One[] = []> = [Name] extends [never]
  ? List
  : Arguments<Exclude<Name, Last<Name>>, One, [...List, One]>

/** The option of a loss of signs. */
type ZeroOne<I extends Inputs> = Int32Array extends Argument<I> ? { zeroOne?: boolean } : unknown

/** A gradient by what may be a number is one then. */
type GradOf<S extends InputSpec> =
  S extends InputSpec<number, boolean, infer A> ? (number extends A ? Float32Array | number : Float32Array) : never

/** What some argument may be: the order of names is none of types. */
type Argument<I extends Inputs> = {
  [K in keyof I]: I[K] extends InputSpec<number, boolean, infer A> ? A : never
}[keyof I]

/** The names of the inputs that have a gradient. */
type Differentiable<I extends Inputs> = {
  [K in keyof I & string]: I[K]['grad'] extends true ? K : never
}[keyof I & string]

/**
 * Options of a loss that is an expression: its parameters, and those of every pointwise loss. The gradient by the first input that has
 * one is `grad`; that by another, `variance` say, is asked for by `varianceGrad`, which is `true` or a buffer.
 */
export type ExpressionOptions<
  I extends Inputs,
  P extends Params,
  R extends Reduction = Reduction,
  Grad = boolean | Float32Array,
> = CommonOptions<R> &
  Pick<PointwiseOptions, 'shape' | 'weight' | 'sampleWeight' | 'meanBy' | 'mask'> & {
    [K in keyof P]?: OptionOf<P[K]>
  } & { [K in Differentiable<I> as `${K}Grad`]?: Grad } & ZeroOne<I>

/** Result of `valueAndGrad`: the gradients that options ask for are there by their names. */
export type ExpressionResult<I extends Inputs, R extends Reduction> = {
  value: ValueOf<R>
  grad: Float32Array
} & Denominator & { [K in Differentiable<I> as `${K}Grad`]?: GradOf<I[K]> }

/** A loss that is an expression. `D` is the reduction where the options name none. */
export interface ExpressionLoss<I extends Inputs, P extends Params, D extends Reduction = 'mean'>
  extends Typed<Arguments<keyof I, Argument<I>>, ExpressionOptions<I, P>, Denominator> {
  /** The value. */
  <R extends Reduction = D>(
    ...args: [...inputs: Arguments<keyof I, Argument<I>>, options?: ExpressionOptions<I, P, R>]
  ): ValueOf<R>
  /** d(value)/d(first input) · gradOutput, in `grad` or in a new array. */
  backward(
    ...args: [
      ...inputs: Arguments<keyof I, Argument<I>>,
      // There is one result, so that another gradient needs a buffer.
      options?: ExpressionOptions<I, P, Reduction, false | Float32Array>,
    ]
  ): Float32Array
  /** Both in one pass: what a training step calls. */
  valueAndGrad<R extends Reduction = D>(
    ...args: [...inputs: Arguments<keyof I, Argument<I>>, options?: ExpressionOptions<I, P, R>]
  ): ExpressionResult<I, R>
  /** The same loss with these options bound: they are checked here, once. */
  with<R extends Reduction = D>(options: ExpressionOptions<I, P, R>): ExpressionLoss<I, P, R>
  /** Value and derivatives as formulas. */
  toString(): string
  /** The program: its instructions, whether all backends have the same bits, and where an operation may leave the range. */
  explain(options?: ExpressionOptions<I, P>): string
  /** Name of the loss. */
  readonly name: string
}

/** What {@link defineLoss} takes. */
export interface ExpressionDefinition<I extends Inputs, P extends Params> {
  readonly name: string
  readonly inputs: I
  readonly params?: P & { readonly [K in keyof P]: ParamSpec }
  /**
   * The loss of one row, of what the builders make. It is called when the loss is defined, once for each combination of the parameters
   * that are true or false or words, which come as they are so that it may branch on them, and once for each value of a constant.
   */
  loss(inputs: Symbols<I>, params: { readonly [K in keyof P]: SymbolOf<P[K], Value> }): Value
}

/** A loss of this library: what tests and benches draw for each input is beside its definition. */
export interface LibraryDefinition<I extends Inputs, P extends Params> extends ExpressionDefinition<I, P> {
  readonly draws: { readonly [K in keyof I]: Draw }
}

/**
 * Makes a loss of one expression: its gradients are derived, and value and gradients computed in one pass, on every backend, without
 * code that is generated at run time.
 *
 * The function `loss` describes the loss of one row by builders such as `mul` and `exp`, which stand for operators. It runs when
 * the loss is defined, so that a branch on data is `where` and not `if`.
 *
 * @throws TypeError or RangeError where the definition is wrong: a name is unknown or taken, the result does not depend on an input
 *   with a gradient, or the loss needs more memory than a program has
 * @example
 * import { defineLoss } from 'fused-loss'
 * import { div, fixed, input, mul, sqrt, square, sub, add } from 'fused-loss/expression'
 *
 * const pseudoHuber = defineLoss({
 *   name: 'pseudoHuber',
 *   inputs: { input, target: fixed },
 *   params: { delta: { default: 1, expected: 'a number > 0', holds: (delta) => delta > 0 } },
 *   loss: ({ input, target }, { delta }) =>
 *     mul(square(delta), sub(sqrt(add(square(div(sub(input, target), delta)), 1)), 1)),
 * })
 * const x = Float32Array.of(3, 0)
 * const t = Float32Array.of(3, 0.75)
 * pseudoHuber(x, t, { reduction: 'none' }) // → [0, 0.25]
 * pseudoHuber.backward(x, t, { reduction: 'sum' })[0] // → 0
 */
export function defineLoss<const I extends Inputs, const P extends Params = Record<never, never>>(
  definition: ExpressionDefinition<I, P>,
): ExpressionLoss<I, P> {
  const description = describeLoss(definition as unknown as ExpressionDefinition<Inputs, Params>)
  checkExpression(description)
  return makeExpression(description, {}) as unknown as ExpressionLoss<I, P>
}

/**
 * The same for a loss of this library, of the type `L`. It compiles nothing before the first call, so that an import costs nothing;
 * tests run {@link checkExpression} over all of them.
 */
export function expressionLoss<L, const I extends Inputs = Inputs, const P extends Params = Record<never, never>>(
  definition: LibraryDefinition<I, P>,
): L {
  const { draws, ...described } = definition
  const description = describeLoss(described as unknown as ExpressionDefinition<Inputs, Params>)
  return makeExpression({ ...description, draws: Object.values(draws) }, {}) as L
}

const fail = (loss: string, message: string): never => {
  throw new TypeError(`${loss}: ${message}`)
}

/** Names of options that are none of a definition. */
const PER_CALL = ['shape', 'weight', 'sampleWeight', 'meanBy', 'mask'] as const
/** The option of a loss of signs. */
const ZERO_ONE = 'zeroOne'
const RESERVED: ReadonlySet<string> = new Set<string>([...commonOptions, ...PER_CALL])
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/

/** Whether any object has a member of this name, which an option that is left out would be taken for. */
const isInherited = (name: string): boolean => name in Object.prototype

/** Checks a definition, and says what calls need to know. */
function describeLoss(definition: ExpressionDefinition<Inputs, Params>): ExpressionDescription {
  if (typeof definition !== 'object' || definition === null) {
    throw new TypeError(`defineLoss: the definition must be an object, got ${describe(definition)}`)
  }
  const { name } = definition
  if (typeof name !== 'string' || !/^[^\p{C}\p{Z}]+( [^\p{C}\p{Z}]+)*$/u.test(name)) {
    throw new TypeError(`defineLoss: name must be a word, got ${describe(name)}`)
  }
  for (const key of Object.keys(definition)) {
    if (!['name', 'inputs', 'params', 'loss'].includes(key)) {
      fail(name, `a definition has name, inputs, params and loss, and not ${key}`)
    }
  }
  if (typeof definition.loss !== 'function') {
    fail(name, `loss must be a function of inputs and params, got ${describe(definition.loss)}`)
  }
  const inputs = inputsOf(name, definition.inputs)
  const params = paramsOf(name, definition.params ?? {}, inputs)
  const constants = params.flatMap(({ constant }, k) => (constant ? [k] : []))
  const build = (values: ReadonlyMap<number, number>) => resultOf(definition, inputs, params, values)
  const programs = new Programs(name, build, inputs, constants)
  const signs = inputs.findIndex((input) => input.signs !== undefined)
  return { family: 'expression', name, inputs, params, programs, signs, draws: undefined }
}

function inputsOf(loss: string, given: unknown): InputOf[] {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    fail(loss, `inputs must be an object of input, fixed, rows(n) or fixedRows(n) by name, got ${describe(given)}`)
  }
  let hasGrad = false
  const inputs = Object.entries(given as object).map(([name, spec], k): InputOf => {
    if (!IDENTIFIER.test(name)) fail(loss, `the input ${JSON.stringify(name)} must have a name that is a word`)
    if (isInherited(name)) fail(loss, `the input ${name} must have another name, since every object has that`)
    if (!isSpec(spec)) fail(loss, `inputs.${name} must be input, fixed, rows(n) or fixedRows(n), got ${describe(spec)}`)
    const gradName = (spec as InputSpec).grad && !hasGrad ? 'grad' : `${name}Grad`
    hasGrad ||= (spec as InputSpec).grad
    const { columns, grad, ranges, signs, spreads } = spec as InputSpec
    if (spreads && (k === 0 || gradName === 'grad')) {
      fail(loss, `${name} cannot be broadcast, since the first input and the one of grad have a number per row`)
    }
    return { name, gradName, columns, grad, ranges: ranges ?? [], signs, spreads: spreads === true }
  })
  if (!hasGrad) fail(loss, 'inputs must have at least one with a gradient: input, or rows(n)')
  if (inputs.filter(({ signs }) => signs !== undefined).length > 1)
    fail(loss, 'there may be at most one input of signs')
  if (inputs.length > 16) fail(loss, `there may be at most 16 inputs, got ${inputs.length}`)
  for (const { name, gradName } of inputs) {
    if (gradName !== 'grad' && RESERVED.has(gradName))
      fail(loss, `the input ${name} must have another name, since ${gradName} is an option`)
  }
  return inputs
}

function paramsOf(loss: string, given: Params, inputs: readonly InputOf[]): ParamOf[] {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    fail(loss, `params must be an object of parameters by name, got ${describe(given)}`)
  }
  const hasSigns = inputs.some(({ signs }) => signs !== undefined)
  const options = hasSigns ? [...RESERVED, ZERO_ONE] : [...RESERVED]
  /** What has this name already. */
  const taken = (name: string): string | undefined => {
    if (isInherited(name)) return 'every object has that'
    if (inputs.some((input) => input.name === name)) return 'that is an input'
    if (inputs.some((input) => input.gradName === name || `${input.name}Grad` === name))
      return 'that is the option of a gradient'
    return options.includes(name) ? `that is an option of the loss, as ${options.join(', ')} are` : undefined
  }
  const params = Object.entries(given).map(([name, spec]) => {
    if (!IDENTIFIER.test(name)) fail(loss, `the parameter ${JSON.stringify(name)} must have a name that is a word`)
    const why = taken(name)
    if (why !== undefined) fail(loss, `the parameter ${name} must have another name, since ${why}`)
    return paramOf(loss, name, spec)
  })
  const all = hasSigns ? [...params, flagParam(loss, ZERO_ONE, false)] : params
  const combinations = all.reduce((count, { values }) => count * (values?.length ?? 1), 1)
  if (combinations > MOST_COMBINATIONS) {
    fail(loss, `params that are true, false or words may have ${MOST_COMBINATIONS} combinations, got ${combinations}`)
  }
  return all
}

/** Each is compiled where a loss is defined. */
const MOST_COMBINATIONS = 32

/** An object that refuses names that it does not have: `undefined` would be found much later. */
function strict<T>(loss: string, what: string, entries: readonly (readonly [string, T])[]): Record<string, T> {
  const known = new Map(entries)
  return new Proxy(Object.fromEntries(entries), {
    get(_, name) {
      if (typeof name === 'symbol') return undefined
      if (known.has(name)) return known.get(name)
      const names = [...known.keys()].join(', ')
      return fail(loss, `there is no ${what} ${name}; ${names === '' ? 'there are none' : `there are ${names}`}`)
    },
  })
}

/** Runs the function of a definition in the graph in use. */
function resultOf(
  definition: ExpressionDefinition<Inputs, Params>,
  inputs: readonly InputOf[],
  params: readonly ParamOf[],
  constants: ReadonlyMap<number, number>,
): Value {
  const { name: loss } = definition
  const zeroOne = params.findIndex(({ name }) => name === ZERO_ONE && inputs.some(({ signs }) => signs !== undefined))
  const symbols = inputs.map(({ name, columns, signs }, k): [string, Value | readonly Value[]] => {
    if (columns > 1) return [name, leavesOf(k, columns)]
    // Labels of 0 and 1 become signs in the program.
    const isBits = signs !== undefined && constants.get(zeroOne) === 1
    return [name, isBits ? sub(mul(2, inputNode(k)), 1) : inputNode(k)]
  })
  const passed = params.filter((_, k) => k !== zeroOne)
  const numbers = passed.map((one, k): [string, Value | number | boolean | string] => [
    one.name,
    one.constant ? one.optionOf(constants.get(k)!) : param(k),
  ])
  const result: unknown = definition.loss(
    strict(loss, 'input', symbols) as Symbols<Inputs>,
    strict(loss, 'parameter', numbers) as { readonly [name: string]: never },
  )
  if (!(result instanceof Node)) {
    return fail(loss, `the function loss must return an expression, got ${describe(result)}`)
  }
  if (!isOwn(result)) {
    fail(loss, 'the function loss must return an expression that it has built, got one of another definition')
  }
  if (result.type !== 'number') {
    fail(loss, 'the function loss must return a number, got a condition; where makes one of it')
  }
  return result as Value
}

/** A whole number that is too large for a program of its own. */
const WHOLE = 1e6

/** Refuses a loss that has no derivative by an input, or no room in a program, whatever its constants are. */
export function checkExpression({ name: loss, inputs, params, programs }: ExpressionDescription): void {
  const combinations = combinationsOf(params)
  inputs.forEach(({ name, columns, grad }, k) => {
    const depends = (values: readonly number[]) =>
      inGraph(loss, () => {
        const value = programs.expression(values)
        return leavesOf(k, columns).some((leaf) => dependsOn(value, leaf))
      })
    if (!grad || combinations.some(depends)) return
    const fixed = columns === 1 ? 'fixed' : `fixedRows(${columns})`
    fail(
      loss,
      `the loss does not depend on ${name} in a way that has a derivative; an input without a gradient is ${fixed}`,
    )
  })
  const grads = inputs.flatMap(({ grad }, k) => (grad ? [k] : []))
  for (const values of combinations) {
    const exponents = programs.exponentsOf(values)
    // NaN is no exponent that is worth a program of its own: the one for all others needs room too.
    const all = (exponent: number) => values.map((value, k) => (exponents.includes(k) ? exponent : value))
    const others = exponents.length === 0 ? [] : [all(Number.NaN)]
    // So do those for whole numbers, odd and even, that are no products.
    if (programs.hasPowers(values)) others.push(all(WHOLE), all(WHOLE + 1))
    for (const kind of ['plain', 'raw'] as const) {
      for (const tried of [values, ...others]) {
        programs.roomy({ kind, grads, value: true, inPlace: false }, tried)
      }
    }
  }
}

/** The public loss, with options bound. */
function makeExpression(description: ExpressionDescription, bound: Options): object {
  const { inputs } = description
  const gradNames = inputs.flatMap(({ grad, gradName }) => (grad && gradName !== 'grad' ? [gradName] : []))
  const params = description.params.map((param) => param.name)
  const first = inputs.find(({ gradName }) => gradName === 'grad')!
  return makeSeveral(
    {
      definition: description,
      inputs: inputs.map(({ name }) => name),
      gradNames,
      options: new Set<string>([...commonOptions, ...PER_CALL, ...params, ...gradNames]),
      elsewhere(option) {
        if (option === `${first.name}Grad`) return `the gradient by ${first.name} is grad`
        if (option === 'ignoreIndex') return 'targets are floats here, so that rows are left out by mask'
        const input = inputs.find(({ name }) => option === `${name}Grad`)
        return input && `${input.name} is an input without a gradient`
      },
      resolve: (options) => resolve(description, options),
      run: (wanted, tensors, settings, buffers) => run(description, wanted, tensors, settings, buffers),
      verbs: (bound, read) => ({
        toString: () => inFormulas(description, bound),
        explain: (given: unknown = {}) => explain(description, ...read(given)),
      }),
    },
    bound,
  )
}

/** The loss and its derivatives, as they are before a program is made of them. */
function inFormulas({ name, inputs, params, programs }: ExpressionDescription, settings: ExpressionSettings): string {
  return inGraph(name, () => {
    const value = programs.expression(settings.params)
    const leaves = inputs.flatMap(({ name, columns, grad }, k) => {
      if (!grad) return []
      return leavesOf(k, columns).map((leaf, c) => ({ name: columns === 1 ? name : `${name}[${c}]`, leaf }))
    })
    const slopes = gradientsOf(
      value,
      leaves.map(({ leaf }) => leaf),
    )
    const roots = leaves.map(({ name }, k) => [`d/d${name}`, slopes[k]] as const)
    const names = { inputs: inputs.map((input) => input.name), params: params.map((param) => param.name) }
    const defaults = params.map(({ name, optionOf }, k) => `, ${name} = ${optionOf(settings.params[k])}`).join('')
    return [`${name}(${names.inputs.join(', ')}${defaults})`, ...formulasOf([['value', value], ...roots], names)].join(
      '\n  ',
    )
  })
}
