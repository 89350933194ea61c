/** Everything that can compute a loss on this machine: the backends, once per instruction set, and native once with threads. */

import { setFlagsFromString } from 'node:v8'
import type { Backend } from '../ts/backend/contract.js'
import type { RegistryRow } from '../ts/backend/describe.js'
import { load, use } from '../ts/backend/load.js'
import { loadWasm, wasmSets } from '../ts/backend/wasm.js'

export interface Platform {
  readonly name: string
  readonly backend: Backend
  /** Puts it in use. */
  activate(): void
}

/** How many the platform with threads has; as many as FUSED_LOSS_THREADS says, to try others. */
const THREADS = Number(process.env.FUSED_LOSS_THREADS || 3)

/** The combinations that there are at all; those that this machine lacks are named, never silently passed. */
const known = [
  'native avx512',
  'native avx2',
  'native neon',
  'native scalar',
  `native ${THREADS} threads`,
  'wasm relaxed-simd',
  'wasm simd128',
  'ts',
]

export const platforms: Platform[] = []
export const missing: { name: string; reason: string }[] = []

// With a backend forced, the tests are of that one.
const forced = process.env.FUSED_LOSS_BACKEND
const wanted = (name: string) => {
  if (forced && forced !== name) throw new Error(`FUSED_LOSS_BACKEND forces ${forced}`)
}

try {
  wanted('native')
  const native = load('native')
  const add = (name: string, set: string, threads: number) =>
    platforms.push({
      name: `native ${name}`,
      backend: native,
      activate() {
        native.pin(set)
        native.setThreads(threads)
        // Also what would be too small for threads.
        native.splitAll(threads > 1)
        use(native)
      },
    })
  for (const set of native.instructionSets) add(set, set, 1)
  add(`${THREADS} threads`, native.instructionSets[0], THREADS)
} catch (error) {
  missing.push({ name: 'native', reason: (error as Error).message })
}
try {
  wanted('wasm')
  // Node 20 has relaxed SIMD behind a flag.
  if (wasmSets().length === 1) setFlagsFromString('--experimental-wasm-relaxed-simd')
  for (const set of wasmSets()) {
    const wasm = loadWasm(set)
    platforms.push({ name: `wasm ${set}`, backend: wasm, activate: () => use(wasm) })
  }
} catch (error) {
  missing.push({ name: 'wasm', reason: (error as Error).message })
}
try {
  wanted('ts')
  const ts = load('ts')
  platforms.push({ name: 'ts', backend: ts, activate: () => use(ts) })
} catch (error) {
  missing.push({ name: 'ts', reason: (error as Error).message })
}

for (const name of known) {
  if (platforms.some((platform) => platform.name === name)) continue
  if (missing.every(({ name: other }) => !name.startsWith(other))) {
    missing.push({ name, reason: 'this machine does not have that instruction set' })
  }
}

/** The crate's registry, of whichever backend loads that has it. */
export const registry = registryOf()

function registryOf(): readonly RegistryRow[] {
  for (const name of ['native', 'wasm'] as const) {
    try {
      return load(name).description.registry
    } catch {}
  }
  return []
}
