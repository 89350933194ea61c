/**
 * Times one case and prints what it took. Each case has a process of its own: what V8 learns from one case slows down
 * others.
 */

import { active, type BackendInfo, use } from '../ts/backend/load.js'
import type { NativeBackend } from '../ts/backend/native.js'
import { loadWasm } from '../ts/backend/wasm.js'
import { prepare, prepareKernel, type Size, summary, type Verb } from './data.js'
import { timed } from './timing.js'

/** One case, as a child gets it; the environment forces the backend. */
export interface Case extends Size {
  readonly loss: string
  /** `fused` where none is given. */
  readonly verb?: Verb
  readonly backend: BackendInfo['name']
  readonly instructionSet: string
  readonly seconds: number
  /** The kernel alone, as the facade calls it. */
  readonly kernel?: boolean
  /** Summary of what the TypeScript backend gives. */
  readonly expected: readonly number[]
}

const TOLERANCE = 1e-5

const given: Case = JSON.parse(process.argv[2])
if (active.name !== given.backend) throw new Error(`loaded ${active.name} in place of ${given.backend}`)
if (active.instructionSet !== given.instructionSet) {
  if (active.name === 'wasm') use(loadWasm(given.instructionSet))
  else (active as NativeBackend).pin(given.instructionSet)
}

const call = given.kernel ? prepareKernel(given.loss, given) : prepare(given.loss, given, given.verb)
check(call())
const { timing, result } = timed(call, given.seconds)
check(result)
console.log(JSON.stringify(timing))

function check(result: ReturnType<typeof call>): void {
  const got = summary(result)
  const holds = given.expected.every((n, i) => Number.isFinite(n) && Math.abs(got[i] - n) <= TOLERANCE * Math.abs(n))
  if (!holds) throw new Error(`value and norm of the gradient are ${got}, in TypeScript ${given.expected}`)
}
