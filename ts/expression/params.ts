/** Parameters of a loss: numbers that cost nothing to change, and what a program is compiled for. */

import { describe, flag, word, wrongType, wrongValue } from '../check.js'

/** A number: its default, and what it must be. */
export interface NumberSpec {
  readonly default: number
  /** What it must be, in words for an error, such as `'a number > 0'`. */
  readonly expected?: string
  /** Whether a number is that. */
  holds?(value: number): boolean
  /**
   * Whether the function `loss` gets the number itself, so that it may branch on it or compute with `Math`. There is a program for each
   * value then, of which the last 16 are kept. Such a number may be ±∞ where `holds` says so. Default false.
   */
  readonly constant?: boolean
  /** Values that tests try. */
  readonly samples?: readonly number[]
}

/** True or false. The function `loss` gets it as it is, and a program is compiled for each. */
export interface FlagSpec {
  readonly default: boolean
}

/** One of some words. The function `loss` gets it as it is, and a program is compiled for each. */
export interface WordSpec {
  readonly default: string
  readonly words: readonly string[]
}

/** A parameter: its default, or that and what it must be. */
export type ParamSpec = number | boolean | NumberSpec | FlagSpec | WordSpec

/** What an option of a parameter may be. */
export type OptionOf<S extends ParamSpec> = S extends boolean | FlagSpec
  ? boolean
  : S extends { readonly words: readonly (infer W)[] }
    ? W
    : number

/** What the function `loss` gets for it, where `Value` is an expression. */
export type SymbolOf<S extends ParamSpec, Value> = S extends number
  ? Value
  : S extends NumberSpec
    ? S extends { readonly constant: true }
      ? number
      : Value
    : OptionOf<S>

/** A parameter whose definition has been checked. Programs know it as a number: true is 1, and a word its place in the list. */
export interface ParamOf {
  readonly name: string
  readonly default: number
  /** Whether a program is compiled for each value. */
  readonly constant: boolean
  /** All values, where they are few. */
  readonly values: readonly number[] | undefined
  /** Values of the option that tests try. */
  readonly samples: readonly unknown[]
  /** The number of an option, checked. */
  numberOf(given: unknown): number
  /** What the option is, and the function `loss` gets for a constant. */
  optionOf(value: number): number | boolean | string
}

const OF_NUMBERS: readonly string[] = ['default', 'expected', 'holds', 'constant', 'samples']
const OF_FLAGS: readonly string[] = ['default']
const OF_WORDS: readonly string[] = ['default', 'words']
const listed = (members: readonly string[]) => members.join(', ').replace(/, (\w+)$/, ' and $1')

/** Checks the definition of a parameter. */
export function paramOf(loss: string, name: string, spec: ParamSpec): ParamOf {
  const given = typeof spec === 'number' || typeof spec === 'boolean' ? { default: spec } : spec
  if (typeof given !== 'object' || given === null) {
    const expected = 'a number or { default, expected, holds }, true or false, or { default, words }'
    throw wrongType(loss, `params.${name}`, expected, spec)
  }
  const members = 'words' in given ? OF_WORDS : typeof given.default === 'boolean' ? OF_FLAGS : OF_NUMBERS
  const other = Object.keys(given).find((member) => !members.includes(member))
  if (other !== undefined) {
    throw new TypeError(`${loss}: params.${name} has ${listed(members)}, and not ${other}`)
  }
  if ('words' in given) return wordParam(loss, name, given)
  return typeof given.default === 'boolean'
    ? flagParam(loss, name, given.default)
    : numberParam(loss, name, given as NumberSpec)
}

function numberParam(loss: string, name: string, spec: NumberSpec): ParamOf {
  const { holds = Number.isFinite, constant = false, samples = [] } = spec
  const { expected = spec.holds === undefined ? 'a finite number' : 'a number for which its holds returns true' } = spec
  if (typeof holds !== 'function') throw wrongType(loss, `params.${name}.holds`, 'a function', holds)
  if (typeof expected !== 'string') throw wrongType(loss, `params.${name}.expected`, 'words', expected)
  flag(loss, `params.${name}.constant`, constant)
  const isRight = (value: number): boolean => {
    const answer: unknown = holds(value)
    if (typeof answer === 'boolean') return answer
    throw new TypeError(`${loss}: params.${name}.holds must return true or false, got ${describe(answer)}`)
  }
  const accepted = (parameter: string, given: unknown): number => {
    if (typeof given !== 'number') throw wrongType(loss, parameter, expected, given)
    const isInfinite = constant && (given === Infinity || given === -Infinity)
    if (!(isInfinite || Number.isFinite(given)) || !isRight(given)) throw wrongValue(loss, parameter, expected, given)
    // The program has the number as a 32-bit float, which must be right too. Code of the author runs once where the two are one.
    const rounded = Math.fround(given)
    if (rounded === given || (Number.isFinite(rounded) && isRight(rounded))) return given
    throw wrongValue(loss, parameter, `${expected} as a 32-bit float, which reaches from 1.4e-45 to 3.4e38`, given)
  }
  return {
    name,
    default: accepted(`params.${name}.default`, spec.default),
    constant,
    values: undefined,
    samples,
    numberOf: (given) => accepted(name, given),
    optionOf: (value) => value,
  }
}

/** Whether something is so. The loss need not say what the option means: `loss` branches on it. */
export function flagParam(loss: string, name: string, standard: boolean): ParamOf {
  return {
    name,
    default: Number(standard),
    constant: true,
    values: [0, 1],
    samples: [false, true],
    numberOf: (given) => Number(flag(loss, name, given)),
    optionOf: (value) => value === 1,
  }
}

function wordParam(loss: string, name: string, { default: standard, words }: WordSpec): ParamOf {
  if (!Array.isArray(words) || words.length === 0 || words.some((one) => typeof one !== 'string')) {
    throw wrongType(loss, `params.${name}.words`, 'a list of words', words)
  }
  const list: readonly string[] = [...words]
  return {
    name,
    default: list.indexOf(word(loss, `params.${name}.default`, standard, list)),
    constant: true,
    values: list.map((_, i) => i),
    samples: list,
    numberOf: (given) => list.indexOf(word(loss, name, given, list)),
    optionOf: (value) => list[value],
  }
}

/** The values of all parameters by name, as options say them. */
export function optionsOfParams(params: readonly ParamOf[], values: readonly number[]): Record<string, unknown> {
  return Object.fromEntries(params.map((param, k) => [param.name, param.optionOf(values[k])]))
}

/** Every combination of the values that are few, with the defaults of the others. */
export function combinationsOf(params: readonly ParamOf[]): number[][] {
  return params.reduce<number[][]>(
    (lists, param) => lists.flatMap((list) => (param.values ?? [param.default]).map((value) => [...list, value])),
    [[]],
  )
}
