/** Parameters of a loss: numbers that cost nothing to change, and what a program is compiled for. */

import { flag, single, word, wrongType, wrongValue } from '../check.js'

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

/** Checks the definition of a parameter. */
export function paramOf(loss: string, name: string, spec: ParamSpec): ParamOf {
  const own = typeof spec === 'number' || typeof spec === 'boolean' ? { default: spec } : spec
  if (typeof own !== 'object' || own === null) {
    const expected = 'a number or { default, expected, holds }, true or false, or { default, words }'
    throw wrongType(loss, `params.${name}`, expected, spec)
  }
  if ('words' in own) return wordParam(loss, name, own)
  return typeof own.default === 'boolean'
    ? flagParam(loss, name, own.default)
    : numberParam(loss, name, own as NumberSpec)
}

function numberParam(loss: string, name: string, spec: NumberSpec): ParamOf {
  const { expected = 'a finite number', holds = Number.isFinite, constant = false, samples = [] } = spec
  if (typeof holds !== 'function') throw wrongType(loss, `params.${name}.holds`, 'a function', holds)
  if (typeof expected !== 'string') throw wrongType(loss, `params.${name}.expected`, 'words', expected)
  flag(loss, `params.${name}.constant`, constant)
  const check = (parameter: string, given: unknown): number => {
    const isInfinite = constant && (given === Infinity || given === -Infinity)
    if (!isInfinite) return single(loss, parameter, given, expected, (value) => holds(value))
    if (holds(given)) return given
    throw wrongValue(loss, parameter, expected, given)
  }
  return {
    name,
    default: check(`params.${name}.default`, spec.default),
    constant,
    values: undefined,
    samples,
    numberOf: (given) => check(name, given),
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
