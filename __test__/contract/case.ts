/** What the contract checks of a call. */

import type { BatchReduction } from '../../ts/definition.js'
import type { Reference } from '../reference.js'

/** Arguments of a call, and what must come out. */
export interface Case {
  readonly title: string
  readonly input: Float32Array
  readonly target: Float32Array | Int32Array
  readonly options: Record<string, unknown>
  readonly reference: Reference
  /** The only reduction that has these options. */
  readonly only?: BatchReduction | undefined
  /** What rounding counts by where terms of the value cancel. */
  readonly valueUnit: (i: number) => number
  /** How large terms of the gradient are for arguments of about 1. */
  readonly slope: (i: number) => number
  /** Number of the value that an element of the gradient belongs to. */
  readonly positionOf: (i: number) => number
  readonly offersTargetGrad: boolean
  /** The size of terms of the gradient that cancel, before a factor of the call; 0 where none do. */
  readonly cancelling: number
}

/** Around every boundary of blocks and vectors. */
export const LENGTHS = [...Array(67).keys(), 1023, 1024, 1025, 4097, 100_003]
