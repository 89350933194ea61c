/** The choice of the backend: native, then WebAssembly, then TypeScript, once, when the package is imported. */

import { version } from '../version.js'
import type { Backend } from './contract.js'
import { loadNative } from './native.js'
import { tsBackend } from './ts/index.js'
import { loadWasm, wasmSets } from './wasm.js'

const loaders = { native: loadNative, wasm: loadWasm, ts: () => tsBackend }

type Name = keyof typeof loaders

/** What {@link backend} reports. */
export interface BackendInfo {
  readonly name: Name
  /** `avx512`, `avx2`, `neon`, `scalar` for native, `relaxed-simd` or `simd128` for wasm, `none` for TypeScript. */
  readonly instructionSet: string
  readonly version: string
  /** How many threads a large call may use; 1 for wasm and TypeScript. */
  readonly threads: number
  /** The faster backends that did not load, and why; `wasm` also where only the faster of its two modules did not. */
  readonly skipped: readonly { readonly name: Name; readonly reason: string }[]
}

/** More than this helps no loss. */
export const MOST_THREADS = 256

const skipped: { name: Name; reason: string }[] = []

/**
 * Loads one backend, or throws with the reason why it cannot be. Of the modules of WebAssembly it is the first that loads;
 * `failed` gets the reasons of those before.
 */
export function load<N extends Name>(name: N, failed: string[] = []): ReturnType<(typeof loaders)[N]> {
  const sets = name === 'wasm' ? wasmSets() : [undefined]
  for (const set of sets) {
    try {
      const loaded = loaders[name](set)
      if (loaded.version === version) return loaded as ReturnType<(typeof loaders)[N]>
      throw new Error(`is version ${loaded.version}, but fused-loss is ${version}`)
    } catch (error) {
      // Further lines of a message list modules and paths.
      const reason = (error as Error).message.split('\n')[0]
      failed.push(set === undefined ? reason : `${set}: ${reason}`)
    }
  }
  throw new Error(failed.join('; '))
}

/** The same, and what failed is told by {@link backend}. */
function loadAndTell(name: Name): Backend {
  const failed: string[] = []
  try {
    return load(name, failed)
  } finally {
    if (failed.length > 0) skipped.push({ name, reason: failed.join('; ') })
  }
}

/**
 * Elements below which a family's calls stay in TypeScript, since there the way to a backend takes longer than the work.
 * `npm run bench:cutoffs` measures them.
 */
const CUTOFFS = {
  native: { pointwise: 0, softmax: 16, region: 48, expression: 0, embedding: 48 },
  wasm: { pointwise: 128, softmax: 128, region: 128, expression: 32, embedding: 192 },
  ts: { pointwise: 0, softmax: 0, region: 0, expression: 0, embedding: 0 },
}

type Family = keyof (typeof CUTOFFS)['ts']

function choose(): Backend {
  const forced = process.env.FUSED_LOSS_BACKEND
  if (forced) {
    if (!Object.hasOwn(loaders, forced)) {
      throw new RangeError(`FUSED_LOSS_BACKEND must be one of ${Object.keys(loaders).join(', ')}, got ${forced}`)
    }
    try {
      return loadAndTell(forced as Name)
    } catch (error) {
      throw new Error(`FUSED_LOSS_BACKEND=${forced}, but that backend does not load: ${(error as Error).message}`)
    }
  }
  for (const name of ['native', 'wasm'] as const) {
    try {
      return loadAndTell(name)
    } catch {}
  }
  return tsBackend
}

/** The backend in use. */
export let active: Backend = choose()

// A forced backend does everything.
let cutoffs = CUTOFFS[process.env.FUSED_LOSS_BACKEND ? 'ts' : active.name]

/** The backend for a call with so many elements. */
export function backendFor(family: Family, elements: number): Backend {
  return elements < cutoffs[family] ? tsBackend : active
}

/** Puts another backend in use, for all calls or `bySize`: for tests and benches, which compare them in one process. */
export function use(other: Backend, bySize = false): void {
  active = other
  cutoffs = CUTOFFS[bySize ? other.name : 'ts']
}

/**
 * Reports which implementation computes the losses.
 *
 * The environment variable `FUSED_LOSS_BACKEND` (`native`, `wasm` or `ts`) forces one when the package is imported.
 *
 * @returns its name, instruction set and version, and why faster ones were skipped
 * @example
 * import { backend } from 'fused-loss'
 *
 * const { name, instructionSet, skipped } = backend()
 * console.log(`${name} (${instructionSet})`, skipped) // for example: native (avx2) []
 */
export function backend(): BackendInfo {
  const { name, instructionSet, version, threads = 1 } = active
  return { name, instructionSet, version, threads, skipped: skipped.map((skip) => ({ ...skip })) }
}

/**
 * Sets how many threads a large call may use, in the thread of Node that calls this. At first they are all cores that the
 * process may use, or as many as the environment variable `FUSED_LOSS_THREADS` says. Results have the same bits for every number.
 *
 * Only the native backend has threads, and only for calls of some 100 µs and more; elsewhere this changes nothing.
 *
 * @param count 1 to 256
 * @throws TypeError or RangeError where `count` is no such integer
 * @example
 * import { setThreads } from 'fused-loss'
 *
 * setThreads(1) // leaves the other cores alone
 */
export function setThreads(count: number): void {
  if (typeof count !== 'number') throw new TypeError(`setThreads: count must be a number, got ${typeof count}`)
  if (!isThreads(count))
    throw new RangeError(`setThreads: count must be an integer from 1 to ${MOST_THREADS}, got ${count}`)
  active.setThreads?.(count)
}

function isThreads(count: number): boolean {
  return Number.isInteger(count) && count >= 1 && count <= MOST_THREADS
}

function threadsOfEnvironment(): void {
  const given = process.env.FUSED_LOSS_THREADS
  if (!given) return
  if (!isThreads(Number(given))) {
    throw new RangeError(`FUSED_LOSS_THREADS must be an integer from 1 to ${MOST_THREADS}, got ${given}`)
  }
  active.setThreads?.(Number(given))
}

threadsOfEnvironment()
