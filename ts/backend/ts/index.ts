/**
 * The kernels in TypeScript, in the same blocks and the same order of summation. They compute in double precision and
 * round where a value is stored; losses of class `exact` round every step, and so have the bits of the others.
 */

import type { Call } from '../../call/index.js'
import { interpret } from '../../expression/interpret.js'
import { version } from '../../version.js'
import type { Backend } from '../contract.js'
import { embedding } from './embedding.js'
import { pointwise } from './pointwise.js'
import { region } from './region.js'
import { firstOutside, keptWeight } from './scan.js'
import { softmax } from './softmax.js'

/** The loop for each kind of call, at its place. */
const loops: readonly ((call: never) => number)[] = [
  pointwise,
  softmax,
  region,
  interpret,
  firstOutside,
  keptWeight,
  embedding,
]

/** The TypeScript backend: loads everywhere. */
export const tsBackend: Backend = {
  name: 'ts',
  instructionSet: 'none',
  version,
  description: { registry: [], numbers: [], calls: [] },
  run: (call) => (loops[call.kind.place] as (call: Call) => number)(call),
}
