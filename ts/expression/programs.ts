/** The programs of one loss, compiled when a call first needs them. */

import { OPERANDS } from '../call/expression.js'
import { type Compiled, compile, type Wanted } from './compile.js'
import type { InputTraits } from './inputs.js'
import { inDefinition, isNotNegative, type Node, rebuilt, type Value } from './node.js'
import { evaluateUniforms } from './uniforms.js'

/** For how many sets of constants programs are kept. */
const MOST_CACHED = 16

/** For how many sets expressions are kept: more than there are combinations of true, false and words. */
const MOST_BUILT = 64

/** Exponents that are worth a program of their own: the whole and half numbers up to this. */
const LARGEST = 8

/** Builds the expression of a loss in the graph in use, of the values of its constants; other parameters have a value per call. */
export type Build = (constants: ReadonlyMap<number, number>) => Value

/** What the function of a definition has made for some constants. */
interface Built {
  readonly root: Value
  /** Numbers of the parameters of which exponents are made; the constants are none of them. */
  readonly exponents: readonly number[]
  /** Powers of what may be negative, with exponents that are computed of parameters. */
  readonly powers: readonly Value[]
}

export interface Ready extends Compiled {
  /** Places of the uniforms that depend on the factor of the gradients. */
  readonly scaled: readonly number[]
  /** The values of the last call: those of a training step are the same from call to call. */
  last:
    | {
        readonly params: readonly number[]
        readonly scale: number
        readonly values: Float32Array
        readonly held: boolean
      }
    | undefined
}

/** The programs of a loss. */
export class Programs {
  // The last one used is the last in the map.
  readonly #cached = new Map<string, Map<number, Ready>>()
  readonly #built = new Map<string, Built>()
  // Those of a training step are the same from call to call.
  #last: { readonly params: readonly number[]; readonly programs: Map<number, Ready> } | undefined

  /** `constants` are the numbers of the parameters whose values each have a program of their own. */
  constructor(
    readonly loss: string,
    readonly build: Build,
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
    const [{ root }, constants, odd] = [this.#builtOf(params), this.#constantsOf(params), this.#oddOf(params)]
    const compiled = compile(this.loss, () => rebuilt(root, constants, odd), this.inputs, wanted)
    const hasScale = scales()
    const scaled = compiled.uniforms.flatMap((node, k) => (hasScale(node) ? [k] : []))
    return { ...compiled, scaled, last: undefined }
  }

  /** The expression of a loss with these constants, in the graph in use. */
  expression(params: readonly number[]): Value {
    return rebuilt(this.#builtOf(params).root, new Map())
  }

  /** Runs the function of the definition for these constants, unless it has run: no call should. */
  prepare(params: readonly number[]): void {
    this.#builtOf(params)
  }

  /** The parameters of which exponents are made. */
  exponentsOf(params: readonly number[]): readonly number[] {
    return this.#builtOf(params).exponents
  }

  /** Whether programs differ by whether exponents are odd, even, or no whole numbers. */
  hasPowers(params: readonly number[]): boolean {
    return this.#builtOf(params).powers.length > 0
  }

  #builtOf(params: readonly number[]): Built {
    const key = this.constants.map((k) => params[k]).join()
    let built = this.#built.get(key)
    if (built === undefined) {
      const chosen = new Map(this.constants.map((k) => [k, params[k]]))
      const root = inDefinition(this.loss, () => this.build(chosen))
      built = { root, ...exponentsIn(root) }
      const [first] = this.#built.keys()
      if (this.#built.size >= MOST_BUILT) this.#built.delete(first)
      this.#built.set(key, built)
    }
    return built
  }

  #of(params: readonly number[]): Map<number, Ready> {
    if (this.#last?.params === params) return this.#last.programs
    const odd = this.#oddOf(params)
    const key = `${[...this.#constantsOf(params)]} ${this.#builtOf(params).powers.map((power) => odd.get(power))}`
    let programs = this.#cached.get(key)
    if (programs === undefined) {
      programs = new Map()
      const [first] = this.#cached.keys()
      if (this.#cached.size >= MOST_CACHED) this.#cached.delete(first)
    } else this.#cached.delete(key)
    this.#cached.set(key, programs)
    this.#last = { params, programs }
    return programs
  }

  /**
   * What a program is compiled for: the constants, and of the exponents each that is worth it: a square is one product, but x^2.1 is no
   * faster as a constant.
   */
  #constantsOf(params: readonly number[]): ReadonlyMap<number, number> {
    const isWorth = (exponent: number) => Number.isInteger(2 * exponent) && Math.abs(exponent) <= LARGEST
    const exponents = this.exponentsOf(params).filter((k) => isWorth(params[k]))
    return new Map([...this.constants, ...exponents].map((k) => [k, params[k]]))
  }

  /** Of the powers of what may be negative those whose exponents are whole numbers with these parameters, and whether they are odd. */
  #oddOf(params: readonly number[]): ReadonlyMap<Node, boolean> {
    const odd = new Map<Node, boolean>()
    for (const power of this.#builtOf(params).powers) {
      const [exponent] = evaluateUniforms([power.args[1]], params, 1).values
      if (Number.isInteger(exponent)) odd.set(power, exponent % 2 !== 0)
    }
    return odd
  }
}

/** Numbers of the parameters of which an exponent is made, and the powers of what may be negative. */
function exponentsIn(value: Value): Omit<Built, 'root'> {
  const found = new Set<number>()
  const powers: Value[] = []
  const [seen, within] = [new Set<Node>(), new Set<Node>()]
  const params = (node: Node): void => {
    if (within.has(node)) return
    within.add(node)
    if (node.kind === 'param') found.add(node.value)
    node.args.forEach(params)
    node.conditions.forEach(params)
  }
  const walk = (node: Node): void => {
    if (seen.has(node)) return
    seen.add(node)
    if (node.kind === 'pow' && node.args[1].uniform) {
      const [base, exponent] = node.args
      params(exponent)
      if (exponent.kind !== 'const' && !isNotNegative(base)) powers.push(node as Value)
    }
    node.args.forEach(walk)
    node.conditions.forEach(walk)
  }
  walk(value)
  return { exponents: [...found].sort((a, b) => a - b), powers }
}

/** A function that says whether a uniform depends on the factor of the gradients; it looks at each node once. */
function scales(): (node: Node) => boolean {
  const known = new Map<Node, boolean>()
  const hasScale = (node: Node): boolean => {
    let isScaled = known.get(node)
    if (isScaled === undefined) {
      isScaled = node.kind === 'scale' || node.args.some(hasScale) || node.conditions.some(hasScale)
      known.set(node, isScaled)
    }
    return isScaled
  }
  return hasScale
}

function keyOf({ kind, value, inPlace, grads, apart }: Wanted): number {
  let key = (kind === 'raw' ? 1 : 0) + (value ? 2 : 0) + (inPlace ? 4 : 0) + (apart ? 8 : 0)
  for (const input of grads) key += 2 ** (input + 4)
  return key
}

const LEAST = 2 ** -126

/** The values of the uniforms of a call. */
export function uniformsOf(ready: Ready, params: readonly number[], scale: number): Float32Array {
  // The array is that of settings, which do not change. A factor of −0 is not the one of 0: it is the sign of what is written.
  if (ready.last?.params !== params || !Object.is(ready.last.scale, scale)) {
    ready.last = { params, scale, ...evaluateUniforms(ready.uniforms, params, scale) }
  }
  return ready.last.values
}

/**
 * The same of a plain program; undefined where the factor of the gradients leaves single precision in one of them, so that a raw program
 * must take it.
 */
export function plainUniforms(ready: Ready, params: readonly number[], scale: number): Float32Array | undefined {
  const values = uniformsOf(ready, params, scale)
  if (!ready.last!.held) return undefined
  for (const k of ready.scaled) {
    const size = Math.abs(values[k])
    if (!(size < Infinity) || (size < LEAST && scale !== 0 && size !== 0)) return undefined
  }
  return values
}
