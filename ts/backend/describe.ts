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

const ROLES = ['input', 'output', 'total', 'gradient', 'further'] as const
const ELEMENTS = ['floats', 'doubles', 'numbers', 'labels', 'mask', 'bytes'] as const
const EXTENTS = ['scores', 'positions', 'shared', 'cycled', 'classes', 'samples', 'planes', 'whole'] as const

/** An array of a call, at its place: see `crate/core/src/call.rs`, whose words these are. */
export interface ArrayDescription {
  readonly name: string
  readonly role: (typeof ROLES)[number]
  readonly elements: (typeof ELEMENTS)[number]
  readonly extent: (typeof EXTENTS)[number]
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
      const kind = { role: oneOf(ROLES, role), elements: oneOf(ELEMENTS, elements), extent: oneOf(EXTENTS, extent) }
      arrays.push({ name, ...kind, inner, each: Number(detail) })
    }
  }
  return { registry, numbers: common, calls }
}

/** The word of a list, and not the equal one of a text: V8 compares words of the source by their addresses. */
function oneOf<W extends string>(words: readonly W[], word: string): W {
  const found = words.find((known) => known === word)
  if (found === undefined) throw new Error(`the crate says ${word}, which is none of ${words}`)
  return found
}

/** Finds the number of a loss. Most calls are of the same loss as the one before, which a comparison finds sooner than the map. */
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
