/** One row of a program in double precision, for what leaves the range of single precision. Nothing is rounded. */

import type { Program } from '../call/expression.js'
import {
  COLUMNS,
  LOGISTIC,
  type LogisticName,
  logistic,
  NAMES,
  OPERATIONS,
  type OperationName,
  STEP,
  SUMS,
  type SumName,
} from './operations.js'

const asItIs = (value: number) => value

// The operands of one row, and the column of each gradient in turn.
const operands = new Float64Array(64)
/** The gradients of the last row, every column of each in turn; unscaled where the program is raw. */
export const slopes = new Float64Array(64)

/**
 * Runs a program for one row, of which `inputs` have the numbers from `row` times their columns on. Its value; the gradients are left
 * in {@link slopes}.
 */
export function rowInDouble(
  { kind, code, registers, inputs: widths, outputs, value }: Program,
  uniforms: Float32Array,
  inputs: readonly Float32Array[],
  row: number,
): number {
  const firstInput = registers + uniforms.length
  const firstOutput = firstInput + inputs.length
  operands.set(uniforms, registers)
  inputs.forEach((input, k) => {
    if (widths[k] === 1) operands[firstInput + k] = input[row]
  })
  const firstColumn: number[] = []
  let columns = 0
  for (const width of outputs) {
    firstColumn.push(columns)
    columns += width
  }
  let sum = 0
  for (let i = 0; i < code.length; i += STEP) {
    const name = NAMES.get(code[i])!
    const [d, a, b, c, e, f] = code.subarray(i + 1, i + 7)
    const four = [d, a, b, c]
    const run = (operation: OperationName, f0: number) =>
      OPERATIONS[operation].formula(asItIs, operands[a], operands[b], operands[c], operands[e], f0)
    // What is below the normal numbers of single precision is not 0 here.
    if (name === 'tail') operands[d] = Math.exp(-Math.abs(operands[a]))
    else if (name in OPERATIONS) operands[d] = run(name as OperationName, operands[f])
    else if (name in SUMS) sum += run(SUMS[name as SumName].of, operands[f])
    else if (name in LOGISTIC) {
      const results = logistic(operands[e])
      for (const result of LOGISTIC[name as LogisticName].results) operands[four[result]] = results[result]
    } else if (code[i] === COLUMNS.load4.code) {
      four.forEach((to, column) => {
        operands[to] = inputs[e - firstInput][4 * row + column]
      })
    } else if (code[i] === COLUMNS.loadc.code) {
      operands[d] = inputs[e - firstInput][widths[e - firstInput] * row + c]
    } else if (code[i] === COLUMNS.store4.code) {
      four.forEach((from, column) => {
        slopes[firstColumn[e - firstOutput] + column] = operands[from]
      })
    } else {
      slopes[firstColumn[e - firstOutput] + c] = operands[a]
    }
  }
  outputs.forEach((width, k) => {
    if (width === 1) slopes[firstColumn[k]] = operands[firstOutput + k]
  })

  return kind === 'raw' && value ? operands[firstOutput + outputs.length - 1] : sum
}
