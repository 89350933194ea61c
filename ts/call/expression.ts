/** A call of a program: a loss as bytecode. */

import { rowOf } from './axis.js'
import {
  type AnyCall,
  type CallKind,
  GRADS,
  INPUTS,
  OWN,
  POSITIONS,
  type Rest,
  type Streams,
  writeMarks,
  writeStreams,
} from './call.js'

/** A loss as bytecode: `ts/expression` makes it, every backend has an interpreter for it. */
export interface Program {
  /**
   * `plain` gradients are final: the factor `scale` is part of their uniforms, and the values are
   * summed by instructions. A `raw` program leaves unscaled slopes and the value in its outputs, block by block, and the backend
   * weighs, masks, scales, adds, stores and sums them as it does for every pointwise loss.
   */
  readonly kind: 'plain' | 'raw'
  /** Whether every operation is exact: all backends have the same bits then. */
  readonly exact: boolean
  /** Eight bytes per instruction: the operation, its operands d, a, b, c, e, f, and a 0. */
  readonly code: Uint8Array
  /** Operands are numbered from 0: registers, uniforms, inputs, outputs; together at most {@link OPERANDS}. */
  readonly registers: number
  /** How many uniforms, numbers that are the same for all rows. */
  readonly uniforms: number
  /** Columns of each input. Those of more than one are read by `load4` and `loadc` only. */
  readonly inputs: readonly number[]
  /** Columns of each gradient. */
  readonly grads: readonly number[]
  /** Whether there is a value: a `plain` program sums it then, a `raw` one has it as its last output. */
  readonly value: boolean
  /**
   * Columns of each output. Of a `plain` program these are the gradients, written by `store4` and `storec` where they have more than
   * one column. Those of a `raw` program have one column each: every column of every gradient in turn, then the value.
   */
  readonly outputs: readonly number[]
}

/** The most operands of a program. */
export const OPERANDS = 64

export interface ExpressionCall extends AnyCall, Rest {
  readonly kind: typeof expressionKind
  readonly definition: undefined
  readonly program: Program
  /** Values of the uniforms. */
  readonly uniforms: Float32Array
  /** As many as the program says, of `rows` times their columns. */
  readonly inputs: readonly Float32Array[]
  /**
   * A gradient may be the memory of the input that it belongs to (the same start and length), never overlap another array. The
   * instructions of a `plain` program for such a call read no input after the output that covers it is written. A block that is
   * computed again in double precision needs its inputs as they were, though.
   */
  readonly grads: readonly Float32Array[]
  /** How many values. */
  readonly rows: number
  /** What only calls of a `raw` program have; others have every row count. */
  readonly raw: RawExtra | undefined
}

/** What becomes of the value and the slopes of each row, as of those of a pointwise loss. */
export interface RawExtra extends Streams {
  /** Upstream gradient over the denominator, in double precision; it may lie beyond the range of single precision. */
  readonly scale: number
  /** Weight per row, cycled over the rows. */
  readonly weight: Float32Array | undefined
}

const REGISTERS = OWN
const IS_RAW = OWN + 1
const HAS_VALUE = OWN + 2
const SCALE = OWN + 3

export const expressionKind: CallKind<ExpressionCall> = {
  name: 'expression',
  place: 3,
  axis: ({ rows }) => rowOf(rows),
  bySample: false,
  scans: false,
  arrays({ program, uniforms, marks, raw }) {
    if (raw === undefined) return [program.code, uniforms]
    const { weight, sampleWeight, gradOutput, out } = raw
    return [program.code, uniforms, weight, sampleWeight, gradOutput, out, marks.labels, marks.mask]
  },
  rest: (call) => call,
  write({ program, inputs, grads, rows, marks, raw }, numbers) {
    numbers[POSITIONS] = rows
    numbers[INPUTS] = inputs.length
    numbers[GRADS] = grads.length
    numbers[REGISTERS] = program.registers
    numbers[IS_RAW] = raw === undefined ? 0 : 1
    numbers[HAS_VALUE] = program.value ? 1 : 0
    writeStreams(raw, numbers)
    if (raw === undefined) return
    numbers[SCALE] = raw.scale
    writeMarks(marks, numbers)
  },
}
