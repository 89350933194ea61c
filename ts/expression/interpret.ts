/**
 * The block interpreter in TypeScript. A register is a block of floats in the first-level cache, an instruction one loop over the block,
 * and the choice of the loop stands outside of it. Inputs and outputs are operands like registers, so that nothing is copied.
 *
 * For each unit of {@link BLOCK} rows:
 *
 * 1. each of its blocks of {@link ROWS} rows runs the instructions, one after the other. Outputs go to the caller's arrays, or to arrays
 *    of the unit where they go over inputs, or where weights and masks come in;
 * 2. with weights and masks, values are weighed and slopes become gradients ({@link finishRaw});
 * 3. what has left the range of single precision is computed again row by row in double;
 * 4. the values are summed as those of every other loss ({@link total}), and what was held back is stored.
 *
 * Units add up in double precision.
 */

import type { ExpressionCall, Program, RawExtra } from '../call/expression.js'
import { classesOf, everything, type Marks, NOTHING } from '../call/marks.js'
import { BLOCK, FOUR, isLarge, LANES, LARGE, total } from '../sum.js'
import { rowInDouble, slopes } from './double.js'
import { LOOPS, type Loop, type Machine, READING_BITS, type Step } from './loops.js'
import { expNonpositive, log1pUnit } from './math.js'
import { COLUMNS, LOGISTIC, NAMES, OPERATIONS, type OperationName, STEP, SUMS, type SumName } from './operations.js'

const { fround } = Math

/** Rows of a register. */
const ROWS = 256

/** Operand of the values that are summed, behind all that a program can name. */
const VALUES = 64

interface Instruction {
  readonly loop: Loop
  readonly step: Step
}

/** What the calls of a program have in common. */
interface Prepared {
  readonly instructions: readonly Instruction[]
  /** Whether some loop reads the bits of its operands. */
  readonly readsBits: boolean
  readonly machine: Machine
  /** The memory of the registers when the machine was made. */
  file: Float32Array
}

const prepared = new WeakMap<Program, Prepared>()

/** The loops of a program, and a machine whose registers are in place. */
function prepare(program: Program): Prepared {
  let made = prepared.get(program)
  if (made === undefined) {
    const instructions = decode(program)
    const readsBits = instructions.some(({ loop }) => READING_BITS.has(loop))
    made = { instructions, readsBits, machine: { floats: [], ints: [], at: [] }, file: NOTHING_YET }
    prepared.set(program, made)
  }
  const count = program.registers + program.uniforms
  if (registerFile.length < count * ROWS) {
    registerFile = new Float32Array(count * ROWS)
    registerBits = bits(registerFile)
  }
  if (made.file !== registerFile) {
    made.file = registerFile
    const { floats, ints, at } = made.machine
    for (let k = 0; k < count; k++) {
      floats[k] = registerFile
      ints[k] = registerBits
      at[k] = k * ROWS
    }
    for (let k = count; k < VALUES; k++) {
      floats[k] = NOTHING_YET
      ints[k] = NO_BITS
      at[k] = 0
    }
    floats[VALUES] = values
    ints[VALUES] = valueBits
    at[VALUES] = 0
  }
  return made
}

function decode({ code, registers, uniforms, inputs, outputs }: Program): readonly Instruction[] {
  const firstInput = registers + uniforms
  const widths = [...inputs, ...outputs]
  return Array.from({ length: code.length / STEP }, (_, k) => {
    const [number, d, a, b, c, e, f] = code.subarray(STEP * k, STEP * (k + 1))
    const name = NAMES.get(number)!
    const step = { d, a, b, c, e, f }
    if (name in OPERATIONS) return { loop: LOOPS[name as OperationName], step }
    if (name in SUMS) return { loop: LOOPS[SUMS[name as SumName].of], step: { ...step, d: VALUES } }
    if (number === LOGISTIC.logistic.code) return { loop: logistic, step }
    if (number === LOGISTIC.sigmoid.code) return { loop: sigmoid, step }
    if (number === LOGISTIC.softplus.code) return { loop: softplus, step }
    if (number === COLUMNS.load4.code) return { loop: load4, step }
    if (number === COLUMNS.store4.code) return { loop: store4, step }
    const width = widths[e - firstInput]
    return { loop: number === COLUMNS.loadc.code ? loadColumn(width) : storeColumn(width), step }
  })
}

// Where x is infinite, e is 0 and nothing is multiplied by x.
function logistic({ floats, at }: Machine, s: Step, n: number): void {
  const [P, Q, R, S, X] = [floats[s.d], floats[s.a], floats[s.b], floats[s.c], floats[s.e]]
  const [p, q, r, t, x0] = [at[s.d], at[s.a], at[s.b], at[s.c], at[s.e]]
  for (let k = 0; k < n; k++) {
    const x = X[x0 + k]
    const e = expNonpositive(-Math.abs(x))
    const large = 1 / (1 + e)
    const small = e * large
    const negative = Number(x < 0)
    const soft = log1pUnit(e)
    P[p + k] = negative * small + (1 - negative) * large
    Q[q + k] = negative * large + (1 - negative) * small
    R[r + k] = Math.max(x, 0) + soft
    S[t + k] = Math.max(-x, 0) + soft
  }
}

function sigmoid({ floats, at }: Machine, s: Step, n: number): void {
  const [P, Q, X] = [floats[s.d], floats[s.a], floats[s.e]]
  const [p, q, x0] = [at[s.d], at[s.a], at[s.e]]
  for (let k = 0; k < n; k++) {
    const x = X[x0 + k]
    const e = expNonpositive(-Math.abs(x))
    const large = 1 / (1 + e)
    const small = e * large
    const negative = Number(x < 0)
    P[p + k] = negative * small + (1 - negative) * large
    Q[q + k] = negative * large + (1 - negative) * small
  }
}

function softplus({ floats, at }: Machine, s: Step, n: number): void {
  const [R, S, X] = [floats[s.b], floats[s.c], floats[s.e]]
  const [r, t, x0] = [at[s.b], at[s.c], at[s.e]]
  for (let k = 0; k < n; k++) {
    const x = X[x0 + k]
    const soft = log1pUnit(expNonpositive(-Math.abs(x)))
    R[r + k] = Math.max(x, 0) + soft
    S[t + k] = Math.max(-x, 0) + soft
  }
}

function loadInto(D: Float32Array, d: number, from: Float32Array, first: number, width: number, n: number): void {
  for (let k = 0; k < n; k++) D[d + k] = from[first + k * width]
}

function storeFrom(A: Float32Array, a: number, to: Float32Array, first: number, width: number, n: number): void {
  for (let k = 0; k < n; k++) to[first + k * width] = A[a + k]
}

function load4({ floats, at }: Machine, { d, a, b, c, e }: Step, n: number): void {
  for (const [column, to] of [d, a, b, c].entries()) loadInto(floats[to], at[to], floats[e], 4 * at[e] + column, 4, n)
}

function store4({ floats, at }: Machine, { d, a, b, c, e }: Step, n: number): void {
  for (const [column, from] of [d, a, b, c].entries()) {
    storeFrom(floats[from], at[from], floats[e], 4 * at[e] + column, 4, n)
  }
}

const loadColumn =
  (width: number): Loop =>
  ({ floats, at }, { d, c, e }, n) =>
    loadInto(floats[d], at[d], floats[e], width * at[e] + c, width, n)

const storeColumn =
  (width: number): Loop =>
  ({ floats, at }, { a, c, e }, n) =>
    storeFrom(floats[a], at[a], floats[e], width * at[e] + c, width, n)

// The registers of all calls; outputs of one unit, where they are not written at once; and what one unit has for each row.
let registerFile = new Float32Array(16 * ROWS)
let outputFile = new Float32Array(0)
const values = new Float32Array(BLOCK)
const weights = new Float32Array(BLOCK)
const factors = new Float32Array(BLOCK)
const classNumbers = new Int32Array(BLOCK)

const bits = (array: Float32Array) => new Int32Array(array.buffer, array.byteOffset, array.length)
let registerBits = bits(registerFile)
const valueBits = bits(values)
// In the place of arrays between two calls: a machine keeps none of them alive.
const NOTHING_YET = new Float32Array(0)
const NO_BITS = new Int32Array(0)

/** Runs a program: see {@link Backend.expression}. */
export function interpret(call: ExpressionCall): number {
  const { program, uniforms, inputs, grads, rows, raw } = call
  const { instructions, readsBits, machine } = prepare(program)
  const { floats, ints, at } = machine
  const { registers, outputs } = program
  const firstInput = registers + uniforms.length
  const firstOutput = firstInput + inputs.length
  const most = Math.min(ROWS, rows)
  for (let k = registers; k < firstInput; k++) registerFile.fill(uniforms[k - registers], k * ROWS, k * ROWS + most)
  // Gradients over their inputs are kept back until the unit is surely done.
  const isStaged = raw !== undefined || isAnyOver(grads, inputs)
  const staged: readonly Float32Array[] = isStaged ? outputsOfUnit(outputs) : NONE
  for (let k = 0; k < inputs.length; k++) {
    floats[firstInput + k] = inputs[k]
    if (readsBits) ints[firstInput + k] = bits(inputs[k])
  }
  for (let k = 0; k < outputs.length; k++) {
    const output = isStaged ? staged[k] : grads[k]
    floats[firstOutput + k] = output
    if (readsBits) ints[firstOutput + k] = bits(output)
  }

  let sum = 0
  for (let unit = 0; unit < rows; unit += BLOCK) {
    const count = Math.min(BLOCK, rows - unit)
    for (let start = 0; start < count; start += ROWS) {
      for (let k = firstInput; k < firstOutput; k++) at[k] = unit + start
      for (let k = 0; k < outputs.length; k++) at[firstOutput + k] = isStaged ? start : unit + start
      at[VALUES] = start
      const n = Math.min(ROWS, count - start)
      for (let i = 0; i < instructions.length; i++) instructions[i].loop(machine, instructions[i].step, n)
    }
    sum += raw === undefined ? finishPlain(call, staged, unit, count) : finishRaw(call, raw, staged, unit, count)
  }
  for (let k = firstInput; k < firstOutput + outputs.length; k++) {
    floats[k] = NOTHING_YET
    ints[k] = NO_BITS
  }
  return sum
}

const NONE: readonly Float32Array[] = []

function isAnyOver(grads: readonly Float32Array[], inputs: readonly Float32Array[]): boolean {
  for (const grad of grads) {
    for (const input of inputs) if (isSameMemory(grad, input)) return true
  }
  return false
}

function isSameMemory(a: Float32Array, b: Float32Array): boolean {
  return a === b || (a.length > 0 && a.buffer === b.buffer && a.byteOffset === b.byteOffset)
}

/** Memory for each output of one unit. */
function outputsOfUnit(widths: readonly number[]): Float32Array[] {
  const length = widths.reduce((sum, width) => sum + width, 0) * BLOCK
  if (outputFile.length < length) outputFile = new Float32Array(length)
  let first = 0
  return widths.map((width) => {
    const start = first
    first += width * BLOCK
    return outputFile.subarray(start, first)
  })
}

/** Sums the values of a unit, and stores gradients that were kept back. */
function finishPlain(call: ExpressionCall, staged: readonly Float32Array[], unit: number, count: number): number {
  const { program, grads } = call
  const isStaged = staged.length > 0
  let probe = program.value ? sizeOf(values, 0, count) : 0
  grads.forEach((grad, k) => {
    const width = program.grads[k]
    const first = isStaged ? 0 : unit * width
    probe += 0 * sizeOf(isStaged ? staged[k] : grad, first, first + count * width)
  })
  let sumOfUnit = 0
  if (probe < LARGE / 4) {
    if (program.value) sumOfUnit = total(values, count)
  } else sumOfUnit = againPlain(call, staged, unit, count)
  if (isStaged) {
    grads.forEach((grad, k) => {
      const width = program.grads[k]
      grad.set(staged[k].subarray(0, count * width), unit * width)
    })
  }
  return sumOfUnit
}

/** Σ |x|, in double; NaN where one is NaN. Four sums, since each waits for the one before. */
function sizeOf(array: Float32Array, start: number, end: number): number {
  let [a, b, c, d] = [0, 0, 0, 0]
  let k = start
  for (; k + 4 <= end; k += 4) {
    a += Math.abs(array[k])
    b += Math.abs(array[k + 1])
    c += Math.abs(array[k + 2])
    d += Math.abs(array[k + 3])
  }
  for (; k < end; k++) a += Math.abs(array[k])
  return a + b + (c + d)
}

/** What has left the range of single precision in a unit, once more in double: gradients in place, and the sum of the values. */
function againPlain(call: ExpressionCall, staged: readonly Float32Array[], unit: number, count: number): number {
  const { program, uniforms, inputs, grads } = call
  values.fill(0, count, Math.ceil(count / FOUR) * FOUR)
  let apart = 0
  for (let four = 0; four < count; four += FOUR) {
    const isApart = program.value && isLarge(values, four)
    for (let vector = four; vector < Math.min(four + FOUR, count); vector += LANES) {
      let sumOfVector = 0
      for (let i = vector; i < Math.min(vector + LANES, count); i++) {
        const isLost = grads.some((grad, k) => {
          const width = program.grads[k]
          const [array, row] = staged.length > 0 ? [staged[k], i] : [grad, unit + i]
          return !array.subarray(row * width, (row + 1) * width).every(Number.isFinite)
        })
        if (!isApart && !isLost) continue
        sumOfVector += rowInDouble(program, uniforms, inputs, unit + i)
        let column = 0
        grads.forEach((grad, k) => {
          const width = program.grads[k]
          const [array, row] = staged.length > 0 ? [staged[k], i] : [grad, unit + i]
          for (let at = row * width; at < (row + 1) * width; at++, column++) {
            if (!Number.isFinite(array[at])) array[at] = slopes[column]
          }
        })
      }
      if (isApart) apart += sumOfVector
    }
    if (isApart) values.fill(0, four, four + FOUR)
  }
  return program.value ? total(values, count) + apart : 0
}

/** The smallest normal number. */
const LEAST = 2 ** -126

/** A factor by which what is below the normal numbers, and has lost digits or all of itself, shows in a result. */
const LIFT = 2 ** 24

/** Whether single precision holds the factor of the gradients with all its digits. */
const isSingle = (scale: number) => scale === 0 || (Math.abs(scale) >= LEAST && Math.abs(fround(scale)) < Infinity)

/** Whether a plain program may have the factor of the gradients among its uniforms. */
export const isPlainScale = (scale: number) => isSingle(scale) && Math.abs(scale) < LIFT

const lifts = (small: number, large: number) => small !== 0 && Math.abs(small) < LEAST && Math.abs(large) >= LIFT

/** Whether single precision has too few digits of one factor for what the other makes of it. */
const isDelicate = (a: number, b: number) => lifts(a, b) || lifts(b, a)

/** Weighs, masks, scales, stores and sums a unit of a raw program, whose slopes and values are in its outputs. */
function finishRaw(
  call: ExpressionCall,
  raw: RawExtra,
  outputs: readonly Float32Array[],
  unit: number,
  count: number,
): number {
  const { program, grads } = call
  const { gradOutput, out, accumulate } = raw
  const value = program.value ? outputs[outputs.length - 1] : undefined
  weigh(raw, call.marks, unit, count)
  // What counts for nothing is 0, whatever it is.
  for (let i = 0; i < count; i++) {
    if (classNumbers[i] !== NOTHING) continue
    for (const output of outputs) output[i] = 0
  }
  let probe = 0
  let isLifted = largest(weights, count) >= LIFT || (grads.length > 0 && largest(factors, count) >= LIFT)
  if (value !== undefined) {
    scaleBy(weights, value, count)
    values.set(value.subarray(0, count))
    probe += sizeOf(values, 0, count)
  }
  let first = 0
  grads.forEach((grad, k) => {
    const width = program.grads[k]
    for (let column = 0; column < width; column++) {
      const slope = outputs[first + column]
      if (largest(slope, count) >= LIFT) isLifted = true
      scaleBy(factors, slope, count)
      if (accumulate) addTo(slope, grad, unit * width + column, width, count)
      probe += 0 * sizeOf(slope, 0, count)
    }
    first += width
  })
  const isWide = gradOutput === undefined && grads.length > 0 && !isSingle(raw.scale)
  let sumOfUnit = 0
  if (!isWide && !isLifted && probe < LARGE / 4) {
    if (value !== undefined) sumOfUnit = total(values, count)
  } else sumOfUnit = againRaw(call, raw, outputs, unit, count, isWide, isLifted)
  if (out !== undefined && value !== undefined) out.set(value.subarray(0, count), unit)
  first = 0
  grads.forEach((grad, k) => {
    const width = program.grads[k]
    for (let column = 0; column < width; column++) {
      storeFrom(outputs[first + column], 0, grad, unit * width + column, width, count)
    }
    first += width
  })
  return sumOfUnit
}

/** Which rows of a unit count, the weight of each, and the factor of its gradients. */
function weigh(
  { weight, sampleWeight, sampleInner, gradOutput, scale }: RawExtra,
  marks: Marks,
  unit: number,
  count: number,
): void {
  classesOf(marks, unit, count, classNumbers)
  const factor = fround(scale)
  for (let i = 0; i < count; i++) {
    let w = weight === undefined ? 1 : weight[(unit + i) % weight.length]
    if (sampleWeight !== undefined) w = fround(w * sampleWeight[Math.floor((unit + i) / sampleInner)])
    const isCounted = marks === everything || classNumbers[i] !== NOTHING
    weights[i] = isCounted ? w : 0
    factors[i] = isCounted ? w * (gradOutput === undefined ? factor : gradOutput[unit + i]) : 0
  }
}

function scaleBy(by: Float32Array, array: Float32Array, count: number): void {
  for (let i = 0; i < count; i++) array[i] *= by[i]
}

/** The largest size; NaN is none. */
function largest(array: Float32Array, count: number): number {
  let most = 0
  for (let i = 0; i < count; i++) if (Math.abs(array[i]) > most) most = Math.abs(array[i])
  return most
}

function addTo(slope: Float32Array, grad: Float32Array, first: number, width: number, count: number): void {
  for (let i = 0; i < count; i++) slope[i] += grad[first + i * width]
}

/**
 * The same as {@link againPlain}, of values and slopes that have their weights. Where a large factor lifts what is below the normal
 * numbers, single precision has too few digits of it, and that is computed again too.
 */
function againRaw(
  call: ExpressionCall,
  raw: RawExtra,
  outputs: readonly Float32Array[],
  unit: number,
  count: number,
  isWide: boolean,
  isLifted: boolean,
): number {
  const { program, uniforms, inputs, grads } = call
  const { weight, sampleWeight, sampleInner, gradOutput, accumulate } = raw
  const value = program.value ? outputs[outputs.length - 1] : undefined
  const columns = program.value ? outputs.slice(0, -1) : outputs
  // Where each column goes.
  const places = grads.flatMap((grad, k) => {
    const width = program.grads[k]
    return Array.from({ length: width }, (_, at) => [grad, at, width] as const)
  })
  // The smallest denominators make even a double ∞.
  const scale = Math.max(-Number.MAX_VALUE, Math.min(raw.scale, Number.MAX_VALUE))
  values.fill(0, count, Math.ceil(count / FOUR) * FOUR)
  let lacking = 0
  for (let four = 0; four < count; four += FOUR) {
    const isApart = value !== undefined && isLarge(values, four)
    for (let vector = four; vector < Math.min(four + FOUR, count); vector += LANES) {
      let sumOfVector = 0
      for (let i = vector; i < Math.min(vector + LANES, count); i++) {
        const row = unit + i
        if (classNumbers[i] === NOTHING) continue
        const isLost = isWide || isLifted || columns.some((column) => !Number.isFinite(column[i]))
        if (!isApart && !isLost) continue
        let w = weight === undefined ? 1 : weight[row % weight.length]
        if (sampleWeight !== undefined) w *= sampleWeight[Math.floor(row / sampleInner)]
        const exact = rowInDouble(program, uniforms, inputs, row)
        if (value !== undefined) {
          const isLow = isDelicate(exact, w)
          if (isApart) sumOfVector += exact * w
          else if (isLow) sumOfVector += exact * w - value[i]
          if (isLow || !Number.isFinite(value[i])) value[i] = exact * w
        }
        const factor = w * (gradOutput === undefined ? scale : gradOutput[row])
        columns.forEach((column, k) => {
          if (!isWide && Number.isFinite(column[i]) && !isDelicate(slopes[k], factor)) return
          const [grad, at, width] = places[k]
          column[i] = (accumulate ? grad[row * width + at] : 0) + slopes[k] * factor
        })
      }
      lacking += sumOfVector
    }
    if (isApart) values.fill(0, four, four + FOUR)
  }
  return value === undefined ? 0 : total(values, count) + lacking
}
