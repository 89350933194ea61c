/** The choice of the backend: native, then WebAssembly, then TypeScript, once, when the package is imported. */

import { version } from '../version.js'
import type { Backend } from './contract.js'
import { loadNative } from './native.js'
import { tsBackend } from './ts.js'
import { loadWasm } from './wasm.js'

const loaders = { native: loadNative, wasm: loadWasm, ts: () => tsBackend }

type Name = keyof typeof loaders

/** What {@link backend} reports. */
export interface BackendInfo {
  readonly name: Name
  /** `avx512`, `avx2`, `neon`, `scalar` for native, `simd128` for wasm, `none` for TypeScript. */
  readonly instructionSet: string
  readonly version: string
  /** The faster backends that did not load, and why. */
  readonly skipped: readonly { readonly name: Name; readonly reason: string }[]
}

const skipped: { name: Name; reason: string }[] = []

/** Loads one backend, or throws with the reason why it cannot be. */
export function load<N extends Name>(name: N): ReturnType<(typeof loaders)[N]> {
  const loaded = loaders[name]()
  if (loaded.version !== version) {
    throw new Error(`is version ${loaded.version}, but fused-loss is ${version}`)
  }
  return loaded as ReturnType<(typeof loaders)[N]>
}

function choose(): Backend {
  const forced = process.env.FUSED_LOSS_BACKEND
  if (forced) {
    if (!Object.hasOwn(loaders, forced)) {
      throw new RangeError(`FUSED_LOSS_BACKEND must be one of ${Object.keys(loaders).join(', ')}, got ${forced}`)
    }
    try {
      return load(forced as Name)
    } catch (error) {
      throw new Error(`FUSED_LOSS_BACKEND=${forced}, but that backend does not load: ${(error as Error).message}`)
    }
  }
  for (const name of ['native', 'wasm'] as const) {
    try {
      return load(name)
    } catch (error) {
      // Further lines of a message list modules and paths.
      skipped.push({ name, reason: (error as Error).message.split('\n')[0] })
    }
  }
  return tsBackend
}

/** The backend in use. */
export let active: Backend = choose()

/** Puts another backend in use: for tests and benches, which compare them in one process. */
export function use(other: Backend): void {
  active = other
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
  const { name, instructionSet, version } = active
  return { name, instructionSet, version, skipped: skipped.map((skip) => ({ ...skip })) }
}
