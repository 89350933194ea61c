/** Everything that can compute a loss on this machine: the backends, and native once per instruction set. */

import type { Backend } from '../ts/backend/contract.js'
import { load, use } from '../ts/backend/load.js'

export interface Platform {
  readonly name: string
  readonly backend: Backend
  /** Puts it in use. */
  activate(): void
}

/** The combinations that there are at all; those that this machine lacks are named, never silently passed. */
const known = ['native avx512', 'native avx2', 'native neon', 'native scalar', 'wasm simd128', 'ts']

export const platforms: Platform[] = []
export const missing: { name: string; reason: string }[] = []

try {
  const native = load('native')
  for (const set of native.instructionSets) {
    platforms.push({
      name: `native ${set}`,
      backend: native,
      activate() {
        native.pin(set)
        use(native)
      },
    })
  }
} catch (error) {
  missing.push({ name: 'native', reason: (error as Error).message })
}
try {
  const wasm = load('wasm')
  platforms.push({ name: 'wasm simd128', backend: wasm, activate: () => use(wasm) })
} catch (error) {
  missing.push({ name: 'wasm simd128', reason: (error as Error).message })
}
const ts = load('ts')
platforms.push({ name: 'ts', backend: ts, activate: () => use(ts) })

for (const name of known) {
  if (platforms.some((platform) => platform.name === name)) continue
  if (missing.every(({ name: other }) => !name.startsWith(other))) {
    missing.push({ name, reason: 'this machine does not have that instruction set' })
  }
}

/** The crate's registry, of whichever backend has it. */
export const registry = platforms[0].backend.registry
