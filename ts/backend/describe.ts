/** What the crate says of itself: its losses, and its kinds of call with their arrays and numbers. */

import { OWN } from '../call/call.js'

/** A row of the crate's registry. Its position in the list is the number by which kernels are called. */
export interface RegistryRow {
  readonly name: string
  readonly family: string
  readonly params: readonly string[]
  /** Largest difference from the true value in units in the last place; 0 where all backends agree to the bit. */
  readonly ulp: number
}

/** A kind of call of the crate. */
export interface CallDescription {
  readonly name: string
  /** Names of the numbers that it has of its own, from {@link OWN} on. */
  readonly numbers: readonly string[]
  readonly arrays: readonly ArrayDescription[]
}

/** An array of a call, at its place: see `crate/core/src/call.rs`, whose words these are. */
export interface ArrayDescription {
  readonly name: string
  readonly role: 'input' | 'output' | 'total' | 'gradient' | 'further'
  readonly elements: 'floats' | 'doubles' | 'numbers' | 'labels' | 'mask' | 'bytes'
  readonly extent: 'scores' | 'positions' | 'shared' | 'cycled' | 'classes' | 'samples' | 'planes' | 'whole'
  /** Place of the number of neighbours that share an element, where some do; -1 elsewhere. */
  readonly inner: number
  /** Elements of a plane. */
  readonly each: number
}

/** The crate's losses, the names of the numbers that all calls have, and the kinds of call. */
export interface Description {
  readonly registry: readonly RegistryRow[]
  readonly numbers: readonly string[]
  readonly calls: readonly CallDescription[]
}

/** Reads the lines of `describe` in `crate/core/src/registry.rs`. */
export function described(text: string): Description {
  const registry: RegistryRow[] = []
  const calls: { name: string; numbers: string[]; arrays: ArrayDescription[] }[] = []
  let common: string[] = []
  for (const line of text.split('\n')) {
    const [what, ...words] = line.trim().split(' ')
    if (what === 'loss') {
      const [name, family, ulp, ...params] = words
      registry.push({ name, family, ulp: Number(ulp), params })
    } else if (what === 'numbers') common = words
    else if (what === 'call') calls.push({ name: words[0], numbers: words.slice(1), arrays: [] })
    else if (what === 'array') {
      const [name, role, elements, extent, detail = ''] = words
      const { numbers, arrays } = calls[calls.length - 1]
      const own = numbers.indexOf(detail)
      const inner = own < 0 ? common.indexOf(detail) : OWN + own
      const array = { name, role, elements, extent, inner, each: Number(detail) }
      arrays.push(array as ArrayDescription)
    }
  }
  return { registry, numbers: common, calls }
}

/** Finds the number of a loss. The map takes 15 ns, and most calls are of the same loss as the one before. */
export function opsOf(registry: readonly RegistryRow[]): (definition: { readonly name: string }) => number {
  const ops = new Map(registry.map((row, op) => [row.name, op]))
  let last: object | undefined
  let lastOp = 0
  return (definition) => {
    if (definition !== last) {
      last = definition
      lastOp = ops.get(definition.name)!
    }
    return lastOp
  }
}
