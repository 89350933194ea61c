/** A program run an instruction at a time over whole arrays, straight from the table of operations: slow, and easy to believe. */

import type { Program } from '../../ts/call/expression.js'
import {
  COLUMNS,
  LOGISTIC,
  type LogisticName,
  logistic,
  NAMES,
  OPERATIONS,
  type OperationName,
  SUMS,
  type SumName,
} from '../../ts/expression/operations.js'

const { fround } = Math

/** Writes the outputs; the values that are summed. A register that is read before it is written, or a bad operand, throws. */
export function simulate(
  { code, registers, inputs: widths, outputs: outputWidths }: Program,
  uniforms: Float32Array,
  inputs: readonly Float32Array[],
  outputs: readonly Float32Array[],
  rows: number,
): Float32Array | undefined {
  const firstInput = registers + uniforms.length
  const firstOutput = firstInput + inputs.length
  const operands: (Float32Array | undefined)[] = [
    ...new Array<undefined>(registers).fill(undefined),
    ...Array.from(uniforms, (uniform) => new Float32Array(rows).fill(uniform)),
    ...inputs.map((input, k) => (widths[k] === 1 ? input : undefined)),
    ...outputs.map(() => undefined),
  ]
  const read = (operand: number): Float32Array => {
    const array = operands[operand]
    if (array === undefined) throw new Error(`operand ${operand} is read and was not written`)
    return array
  }
  const write = (operand: number): Float32Array => {
    const isOutput = operand >= firstOutput && outputWidths[operand - firstOutput] === 1
    if (operand >= registers && !isOutput) throw new Error(`operand ${operand} is written`)
    const array = isOutput ? outputs[operand - firstOutput] : (operands[operand] ?? new Float32Array(rows))
    operands[operand] = array
    return array
  }
  let values: Float32Array | undefined
  for (let i = 0; i < code.length; i += 8) {
    const name = NAMES.get(code[i])
    const [d, a, b, c, e, f, zero] = code.subarray(i + 1, i + 8)
    if (name === undefined || zero !== 0) throw new Error(`no instruction ${code.subarray(i, i + 8)}`)
    const isSum = name in SUMS
    if (name in OPERATIONS || isSum) {
      const { operands: count, formula } = OPERATIONS[isSum ? SUMS[name as SumName].of : (name as OperationName)]
      const from = [a, b, c, e, f].slice(0, count).map(read)
      if (isSum && values !== undefined) throw new Error('two sums')
      if (isSum) values = new Float32Array(rows)
      const to = isSum ? values! : write(d)
      for (let k = 0; k < rows; k++) {
        const [x0, x1, x2, x3, x4] = from.map((array) => array[k])
        to[k] = formula(fround, x0, x1, x2, x3, x4)
      }
    } else if (name in LOGISTIC) {
      const results = Array.from(read(e), logistic)
      for (const [k, to] of [d, a, b, c].entries()) {
        const isResult = LOGISTIC[name as LogisticName].results.includes(k as never)
        // What is no result may be anything, also where it was something before.
        for (let row = 0, array = write(to); row < rows; row++) array[row] = isResult ? results[row][k] : Number.NaN
      }
    } else if (name === 'load4' || name === 'loadc') {
      const input = e - firstInput
      const columns = name === 'load4' ? [0, 1, 2, 3] : [c]
      for (const [k, column] of columns.entries()) {
        const to = write([d, a, b, c][k])
        for (let row = 0; row < rows; row++) to[row] = inputs[input][row * widths[input] + column]
      }
    } else {
      const output = e - firstOutput
      const columns = code[i] === COLUMNS.store4.code ? [0, 1, 2, 3] : [c]
      for (const [k, column] of columns.entries()) {
        const from = read(name === 'store4' ? [d, a, b, c][k] : a)
        for (let row = 0; row < rows; row++) outputs[output][row * outputWidths[output] + column] = from[row]
      }
    }
  }
  return values
}
