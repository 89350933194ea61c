/** The programs of one loss, compiled when a call first needs them. */

import { OPERANDS } from '../backend/contract.js'
import { type Compiled, compile, type Wanted } from './compile.js'
import type { InputSpec } from './inputs.js'
import type { Value } from './node.js'
import { evaluateUniforms, hasScale } from './uniforms.js'

/** How many sets of constant exponents are kept. */
const MOST_KEPT = 16

/** Exponents that are worth a program of their own: the whole and half numbers up to this. */
const LARGEST = 8

/** Builds the expression of a loss: parameters that are given are constants, the others have a value per call. */
export type Trace = (constants: ReadonlyMap<number, number>) => Value

export interface Ready extends Compiled {
  /** Places of the uniforms that depend on the factor of the gradients. */
  readonly scaled: readonly number[]
  /** The values of the last call: those of a training step are the same from call to call. */
  last: { readonly params: readonly number[]; readonly scale: number; readonly values: Float32Array } | undefined
}

/** The programs of a loss; `exponents` are the numbers of the parameters of which exponents are made. */
export class Programs {
  readonly #all = new Map<number, Ready>()
  // Where exponents are constants. The last one used is the last in the map.
  readonly #kept = new Map<string, Map<number, Ready>>()

  constructor(
    readonly loss: string,
    readonly trace: Trace,
    readonly inputs: readonly InputSpec[],
    readonly exponents: readonly number[],
  ) {}

  /** The program for a call, or undefined where interpreters have no room for it. */
  of(wanted: Wanted, params: readonly number[]): Ready | undefined {
    const programs = this.#of(params)
    const key = keyOf(wanted)
    let ready = programs.get(key)
    if (ready === undefined) {
      ready = this.compile(wanted, params)
      programs.set(key, ready)
    }
    return ready.operands <= OPERANDS ? ready : undefined
  }

  /** Compiles a program, and does not keep it. */
  compile(wanted: Wanted, params: readonly number[]): Ready {
    const constants = this.#constants(params)
    const compiled = compile(this.loss, () => this.trace(constants), this.inputs, wanted)
    const scaled = compiled.uniforms.flatMap((node, k) => (hasScale(node) ? [k] : []))
    return { ...compiled, scaled, last: undefined }
  }

  #of(params: readonly number[]): Map<number, Ready> {
    if (this.exponents.length === 0) return this.#all
    const key = [...this.#constants(params).values()].join()
    let programs = this.#kept.get(key)
    if (programs === undefined) {
      programs = new Map()
      const [first] = this.#kept.keys()
      if (this.#kept.size >= MOST_KEPT) this.#kept.delete(first)
    } else this.#kept.delete(key)
    this.#kept.set(key, programs)
    return programs
  }

  /** The exponents as constants, if all of them are worth it: a square is one product, but x^2.1 is no faster as a constant. */
  #constants(params: readonly number[]): ReadonlyMap<number, number> {
    const isWorth = (exponent: number) => Number.isInteger(2 * exponent) && Math.abs(exponent) <= LARGEST
    if (!this.exponents.every((k) => isWorth(params[k]))) return new Map()
    return new Map(this.exponents.map((k) => [k, params[k]]))
  }
}

function keyOf({ kind, value, inPlace, grads }: Wanted): number {
  let key = (kind === 'raw' ? 1 : 0) + (value ? 2 : 0) + (inPlace ? 4 : 0)
  for (const input of grads) key += 2 ** (input + 3)
  return key
}

const LEAST = 2 ** -126

/** The values of the uniforms of a call. */
export function uniformsOf(ready: Ready, params: readonly number[], scale: number): Float32Array {
  // The array is that of settings, which do not change.
  if (ready.last?.params !== params || ready.last.scale !== scale) {
    ready.last = { params, scale, values: evaluateUniforms(ready.uniforms, params, scale) }
  }
  return ready.last.values
}

/**
 * The same of a plain program; undefined where the factor of the gradients leaves single precision in one of them, so that a raw program
 * must take it.
 */
export function plainUniforms(ready: Ready, params: readonly number[], scale: number): Float32Array | undefined {
  const values = uniformsOf(ready, params, scale)
  for (const k of ready.scaled) {
    const size = Math.abs(values[k])
    if (!(size < Infinity) || (size < LEAST && scale !== 0 && size !== 0)) return undefined
  }
  return values
}
