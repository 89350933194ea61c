/** The programs of one loss, compiled when a call first needs them. */

import { OPERANDS } from '../backend/contract.js'
import { type Compiled, compile, type Wanted } from './compile.js'
import type { InputTraits } from './inputs.js'
import { inGraph, type Node, type Value } from './node.js'
import { evaluateUniforms, hasScale } from './uniforms.js'

/** How many sets of constants are kept. */
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

/** The programs of a loss. */
export class Programs {
  // The last one used is the last in the map.
  readonly #kept = new Map<string, Map<number, Ready>>()
  // Of each choice of the constants, the parameters of which exponents are made.
  readonly #exponents = new Map<string, readonly number[]>()
  // Those of a training step are the same from call to call.
  #last: { readonly params: readonly number[]; readonly programs: Map<number, Ready> } | undefined

  /** `constants` are the numbers of the parameters whose values each have a program of their own. */
  constructor(
    readonly loss: string,
    readonly trace: Trace,
    readonly inputs: readonly InputTraits[],
    readonly constants: readonly number[],
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

  /** The same, where there must be room. */
  roomy(wanted: Wanted, params: readonly number[]): Ready {
    const ready = this.of(wanted, params)
    if (ready !== undefined) return ready
    const { operands } = this.compile(wanted, params)
    throw new RangeError(
      `${this.loss}: the loss needs ${operands} registers, numbers, inputs and gradients at a time, and there is room for ` +
        `${OPERANDS}; make it of several losses, or give it fewer columns`,
    )
  }

  /** Compiles a program, and does not keep it. */
  compile(wanted: Wanted, params: readonly number[]): Ready {
    const constants = this.constantsOf(params)
    const compiled = compile(this.loss, () => this.trace(constants), this.inputs, wanted)
    const scaled = compiled.uniforms.flatMap((node, k) => (hasScale(node) ? [k] : []))
    return { ...compiled, scaled, last: undefined }
  }

  /** The expression of a loss with these constants, in the graph in use. */
  expression(params: readonly number[]): Value {
    return this.trace(this.#chosen(params))
  }

  #chosen(params: readonly number[]): ReadonlyMap<number, number> {
    return new Map(this.constants.map((k) => [k, params[k]]))
  }

  /** The parameters of which exponents are made; the constants are none of them. */
  exponentsOf(params: readonly number[]): readonly number[] {
    const chosen = this.#chosen(params)
    const key = [...chosen.values()].join()
    let exponents = this.#exponents.get(key)
    if (exponents === undefined) {
      exponents = inGraph(this.loss, () => exponentsIn(this.trace(chosen)))
      if (this.#exponents.size >= MOST_KEPT) this.#exponents.clear()
      this.#exponents.set(key, exponents)
    }
    return exponents
  }

  #of(params: readonly number[]): Map<number, Ready> {
    if (this.#last?.params === params) return this.#last.programs
    const key = [...this.constantsOf(params)].join()
    let programs = this.#kept.get(key)
    if (programs === undefined) {
      programs = new Map()
      const [first] = this.#kept.keys()
      if (this.#kept.size >= MOST_KEPT) this.#kept.delete(first)
    } else this.#kept.delete(key)
    this.#kept.set(key, programs)
    this.#last = { params, programs }
    return programs
  }

  /**
   * What the expression is built for: the constants, and the exponents if all of them are worth it: a square is one product, but
   * x^2.1 is no faster as a constant.
   */
  constantsOf(params: readonly number[]): ReadonlyMap<number, number> {
    const isWorth = (exponent: number) => Number.isInteger(2 * exponent) && Math.abs(exponent) <= LARGEST
    const exponents = this.exponentsOf(params)
    const all = exponents.every((k) => isWorth(params[k])) ? [...this.constants, ...exponents] : this.constants
    return new Map(all.map((k) => [k, params[k]]))
  }
}

/** Numbers of the parameters of which an exponent is made. */
function exponentsIn(value: Value): number[] {
  const found = new Set<number>()
  const seen = new Set<Node>()
  const params = (node: Node): void => {
    if (node.kind === 'param') found.add(node.value)
    node.args.forEach(params)
  }
  const walk = (node: Node): void => {
    if (seen.has(node)) return
    seen.add(node)
    if (node.kind === 'pow' && node.args[1].uniform) params(node.args[1])
    node.args.forEach(walk)
    node.conditions.forEach(walk)
  }
  walk(value)
  return [...found].sort((a, b) => a - b)
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
