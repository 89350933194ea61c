/** Seeded data, and arrays that notice a write outside. */

import type { Values } from '../ts/definition.js'

/** A generator of numbers in [0, 1) that repeats (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** An array of values of `draw`. */
export function filled(length: number, draw: (i: number) => number): Float32Array {
  const array = new Float32Array(length)
  // `from` takes several times as long.
  for (let i = 0; i < length; i++) array[i] = draw(i)
  return array
}

/** Normally distributed. */
export function normal(random: () => number, deviation: number): number {
  return deviation * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

/** A number of a kind, not too near to an end of its domain: references look to both sides of it. */
export function drawn(random: () => number, kind: Values): number {
  if (kind === 'real') return normal(random, 4)
  const probability = 0.001 + 0.998 * random()
  return kind === 'probability' ? probability : Math.log(probability)
}

const GUARD = 20
const sentinel = 12345.5

/** A copy of `values` that starts `offset` elements behind an aligned address, between sentinels. */
export function guarded(values: ArrayLike<number>, offset: number): Float32Array {
  const memory = new Float32Array(values.length + offset + 2 * GUARD).fill(sentinel)
  const view = memory.subarray(GUARD + offset, GUARD + offset + values.length)
  view.set(values)
  return view
}

/** Whether the sentinels around a guarded array are still there. */
export function intact(view: Float32Array): boolean {
  const memory = new Float32Array(view.buffer)
  const first = view.byteOffset / 4
  for (let i = 0; i < memory.length; i++) {
    if ((i < first || i >= first + view.length) && memory[i] !== sentinel) return false
  }
  return true
}

/** Whether two values of a loss are, numbers or arrays; the assertion `deepEqual` takes long for arrays. */
export function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Float32Array && b instanceof Float32Array) return sameBits(a, b)
  return typeof a === 'number' && Object.is(a, b)
}

/** What is computed once for each key, and then kept. */
export function once<K, V>(compute: (key: K) => V): (key: K) => V {
  const kept = new Map<K, V>()
  return (key) => {
    if (!kept.has(key)) kept.set(key, compute(key))
    return kept.get(key)!
  }
}

/** Whether two arrays are equal, −0 and 0 apart. */
export function sameBits(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (!Object.is(a[i], b[i])) return false
  return true
}
