/** What an input of a loss is. */

import { describe } from '../check.js'
import type { Floats, Labels } from '../family/arrays.js'
import type { SignKind } from '../family/signs.js'

/** Where the numbers of an input must be. */
export interface InputRange {
  /** The least and the largest 32-bit float within. */
  readonly low: number
  readonly high: number
  /** In words, for an error. */
  readonly expected: string
  /** What to do about a number outside. */
  readonly hint: string
  /** Whether only calls with `validate: true` look. */
  readonly validate: boolean
  /** Whether calls with these parameters look. */
  when(params: Readonly<Record<string, unknown>>): boolean
}

/** Options of {@link InputSpec.within}. */
export interface WithinOptions {
  /** Whether the ends themselves are outside. Default false. */
  readonly open?: boolean
  /** Whether only calls with `validate: true` look. Default false: every call does, before anything is written. */
  readonly validate?: boolean
  /** What the caller is to do about a number outside, such as `'clamp it to 0'`. It ends the message of the error. */
  readonly hint?: string
  /** Whether calls with these parameters look; by default all do. */
  when?(params: Readonly<Record<string, unknown>>): boolean
}

/** What an input of a loss is, without the ways to change it. */
export interface InputTraits<Columns extends number = number, Grad extends boolean = boolean> {
  readonly columns: Columns
  readonly grad: Grad
  readonly ranges?: readonly InputRange[]
  readonly signs?: SignKind | undefined
  /** Whether it may also be a number, or one per row of the last axis. */
  readonly spreads?: boolean
}

/**
 * An array of one number, or of `columns` numbers, per row; `grad` says whether there is a gradient by it, and `Argument` what calls
 * take for it.
 */
export interface InputSpec<Columns extends number = number, Grad extends boolean = boolean, Argument = unknown>
  extends InputTraits<Columns, Grad> {
  /** Of types only. */
  readonly argument?: Argument
  /**
   * The same, whose numbers must be from `low` to `high`: any other is a RangeError that names it, before anything is written. NaN
   * passes and reaches the result, unless the call validates.
   */
  within(low: number, high: number, options?: WithinOptions): InputSpec<Columns, Grad, Argument>
  /**
   * The same, in whose place calls may give one number, or one for each row of the last axis of the shape. The gradient by it is the
   * sum over what it stands for.
   */
  broadcast(): InputSpec<Columns, Grad, Argument | number>
}

const { fround } = Math

/** The next 32-bit float above a finite one. */
function next(float: number): number {
  if (float === 0) return 2 ** -149
  const bits = new Int32Array(Float32Array.of(float).buffer)
  bits[0] += float > 0 ? 1 : -1
  return new Float32Array(bits.buffer)[0]
}

/** The least 32-bit float that is not below `low`, or where the end is open that is above it. */
function floatFrom(low: number, open: boolean): number {
  if (!Number.isFinite(low)) return low
  const float = fround(low)
  return float < low || (open && float === low) ? next(float) : float
}

function rangeOf(low: number, high: number, options: WithinOptions): InputRange {
  for (const [name, end] of Object.entries({ low, high })) {
    if (typeof end !== 'number') throw new TypeError(`within: ${name} must be a number, got ${describe(end)}`)
  }
  if (!(low < high)) throw new RangeError(`within: low must be below high, got ${low} and ${high}`)
  const other = Object.keys(options).find((name) => !['open', 'validate', 'hint', 'when'].includes(name))
  if (other !== undefined)
    throw new TypeError(`within: the options are open, validate, hint and when, and not ${other}`)
  const { open = false, validate = false, hint = '', when = () => true } = options
  if (typeof when !== 'function') throw new TypeError(`within: when must be a function, got ${describe(when)}`)
  let expected = open ? `in (${low}, ${high})` : `in [${low}, ${high}]`
  if (high === Infinity) expected = open ? `> ${low}` : `≥ ${low}`
  else if (low === -Infinity) expected = open ? `< ${high}` : `≤ ${high}`
  const asked = (params: Readonly<Record<string, unknown>>): boolean => {
    const answer: unknown = when(params)
    if (typeof answer === 'boolean') return answer
    throw new TypeError(`within: when must return true or false, got ${describe(answer)}`)
  }
  const ends = { low: floatFrom(low, open), high: -floatFrom(-high, open) }
  return Object.freeze({ ...ends, expected, hint, validate, when: asked })
}

class Spec<Columns extends number, Grad extends boolean> implements InputSpec<Columns, Grad, never> {
  readonly columns: Columns
  readonly grad: Grad
  readonly ranges: readonly InputRange[]
  readonly signs: SignKind | undefined
  readonly spreads: boolean

  constructor({ columns, grad, ranges = [], signs, spreads = false }: InputTraits<Columns, Grad>) {
    this.columns = columns
    this.grad = grad
    this.ranges = ranges
    this.signs = signs
    this.spreads = spreads
    Object.freeze(this)
  }

  within(low: number, high: number, options: WithinOptions = {}): InputSpec<Columns, Grad, never> {
    return new Spec<Columns, Grad>({ ...this, ranges: [...this.ranges, rangeOf(low, high, options)] })
  }

  broadcast(): InputSpec<Columns, Grad, never> {
    if (this.columns !== 1 || this.signs !== undefined) {
      throw new TypeError('broadcast: only an input of one number per row can be broadcast')
    }
    return new Spec<Columns, Grad>({ ...this, spreads: true })
  }
}

const spec = <Columns extends number, Grad extends boolean, Argument = Floats>(
  columns: Columns,
  grad: Grad,
  signs?: SignKind,
): InputSpec<Columns, Grad, Argument> => new Spec<Columns, Grad>({ columns, grad, signs })

/** One number per row, with a gradient. */
export const input: InputSpec<1, true, Floats> = /* @__PURE__ */ spec(1, true)
/** One number per row, without a gradient, such as a target. */
export const fixed: InputSpec<1, false, Floats> = /* @__PURE__ */ spec(1, false)

/**
 * Labels of two classes, −1 and 1; the loss has the option `zeroOne` then. With `zeroOne: true` the labels of a call are 0 and 1, as
 * they always are in an array of unsigned integers; the function `loss` gets −1 and 1 all the same. Integers of any type are accepted.
 *
 * Other labels are a RangeError that names the first of them. So are, without `zeroOne`, floats that are all 0 or 1: to take the 0 of
 * such labels for a sign is a mistake that nothing else would show.
 */
export const signs: InputSpec<1, false, Floats | Labels> = /* @__PURE__ */ spec(1, false, 'hard')
/** As {@link signs}, and numbers between −1 and 1, or with `zeroOne` between 0 and 1, are labels too. */
export const softSigns: InputSpec<1, false, Floats | Labels> = /* @__PURE__ */ spec(1, false, 'soft')
/** As {@link signs}, with a gradient, and any number is a label. */
export const anySigns: InputSpec<1, true, Floats | Labels> = /* @__PURE__ */ spec(1, true, 'any')

/** The most columns of a row. */
const MOST_COLUMNS = 16

/** Rows of several numbers, such as boxes [N, 4], with a gradient. They come as that many columns. */
export function rows<const Columns extends number>(columns: Columns): InputSpec<Columns, true, Floats> {
  return spec(checkedColumns('rows', columns), true)
}

/** Rows of several numbers without a gradient. */
export function fixedRows<const Columns extends number>(columns: Columns): InputSpec<Columns, false, Floats> {
  return spec(checkedColumns('fixedRows', columns), false)
}

function checkedColumns<Columns extends number>(name: string, columns: Columns): Columns {
  if (typeof columns !== 'number') throw new TypeError(`${name}: columns must be a number, got ${describe(columns)}`)
  if (isColumns(columns)) return columns
  throw new RangeError(`${name}: columns must be an integer from 2 to ${MOST_COLUMNS}, got ${columns}`)
}

const isColumns = (columns: number) => Number.isInteger(columns) && columns >= 2 && columns <= MOST_COLUMNS

/** Whether a value of a definition is one of the above. */
export function isSpec(value: unknown): value is InputSpec {
  return value instanceof Spec
}

/** What the numbers of an input are in tests and benches. */
export type Draw = 'real' | 'positive' | 'count' | 'probability' | 'logProbability' | 'sign' | 'box'
