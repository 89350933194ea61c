/** What a backend must do. */

import type { Call } from '../call/index.js'
import type { Description } from './describe.js'

/** One implementation of all kernels. */
export interface Backend {
  readonly name: 'native' | 'wasm' | 'ts'
  /** Instruction set in use. */
  readonly instructionSet: string
  /** Threads that a large call may use, where there can be more than one. */
  readonly threads?: number
  setThreads?(count: number): void
  readonly version: string
  /** The crate's losses and kinds of call; none for the TypeScript backend, which has the definitions themselves. */
  readonly description: Description
  /**
   * Makes a call, whose arguments are checked already but for one thing: a pointwise or softmax call without `extra` must refuse a `dx`
   * that shares memory with the target, or with a part of `x`, since native sees that for nothing. The result is what the kind of call
   * says: most often the sum of the values.
   */
  run(call: Call): number
}
