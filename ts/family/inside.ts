/** What a public loss does not show, in a property of its own that no import of the package can name. */

import type { Options } from '../options.js'

/** What every loss is made of. */
export interface AnyDefinition {
  readonly family: string
  readonly name: string
}

/** Which results a verb wants. */
export interface Wanted {
  readonly value: boolean
  readonly grad: boolean
  /** All checks of a call, and nothing else. */
  readonly dry?: boolean
}

/** What `valueAndGrad` returns; the other verbs take their part of it. */
export interface Result {
  value: number | Float32Array
  grad: Float32Array | undefined
  /** What `'mean'` divides by; of a loss made of several only the parts have one. */
  denominator?: number
  targetGrad?: Float32Array
  /** Values of the parts of a loss made of several. */
  parts?: Record<string, number> | number[]
  /** What their means divide by; of a part that has parts itself, those of its parts. */
  denominators?: Denominators
}

type Denominators = Record<string, number> | (number | Denominators)[]

/** What a loss hides. */
export interface Inside {
  readonly definition: AnyDefinition
  /** Names of all options. */
  readonly options: ReadonlySet<string>
  readonly bound: Options
  /** A target with nothing in it that runs code of the caller, as the loss takes it again. */
  read(target: unknown): unknown
  call(wanted: Wanted, input: unknown, target: unknown, options: unknown, accumulate?: boolean): Result
}

const INSIDE = Symbol('inside')

interface Hiding {
  readonly [INSIDE]: Inside
}

/** The loss, frozen, with what it hides. */
export function hiding<L extends object>(loss: L, inside: Inside): L & Hiding {
  Object.defineProperty(loss, INSIDE, { value: inside })
  return Object.freeze(loss) as L & Hiding
}

/** What a loss hides; undefined where the value is no loss. */
export function insideOf(loss: unknown): Inside | undefined {
  return typeof loss === 'function' && Object.hasOwn(loss, INSIDE) ? (loss as unknown as Hiding)[INSIDE] : undefined
}

export const forward: Wanted = { value: true, grad: false }

/** Names of a loss's options. */
export function optionsOf(loss: unknown): ReadonlySet<string> | undefined {
  return insideOf(loss)?.options
}

/** A call whose gradient is added to what the option `grad` holds: for losses made of several. */
export function accumulated(loss: object, wanted: Wanted, input: unknown, target: unknown, options: Options): Result {
  return insideOf(loss)!.call(wanted, input, target, options, true)
}
