/** A call of a loss that is an expression: checks, the program, the reduction. */

import { runExpression } from '../backend/load.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from '../backend/marks.js'
import {
  agreedShape,
  attached,
  floatTensor,
  gradBuffer,
  type Named,
  sameShape,
  separate,
  shapeOf,
  single,
  smallArray,
  type Tensor,
  wrongValue,
} from '../check.js'
import {
  accumulates,
  arrayGradOutput,
  arraysOf,
  type Buffers,
  checkMeanBy,
  commonSettings,
  denominatorOf,
  emptyResult,
  meanByOf,
  type Options,
  type Result,
  type Settings,
  scalarGradOutput,
  targetGradBuffer,
  valuesBuffer,
  type Wanted,
} from '../family/loss.js'
import { checkWeight, weightOf } from '../family/pointwise.js'
import { marksOf, maskOf, sampleWeightOf, sharing, totalWeight } from '../family/positions.js'
import { BLOCK } from '../sum.js'
import type { InputSpec } from './inputs.js'
import { isSingle } from './interpret.js'
import { type Programs, plainUniforms } from './programs.js'
import { evaluateUniforms } from './uniforms.js'

/** An input, and what its gradient is called in options and results. */
export interface InputOf extends InputSpec {
  readonly name: string
  readonly gradName: string
}

/** A parameter whose definition has been checked. */
export interface ParamOf {
  readonly name: string
  readonly default: number
  readonly expected: string
  holds(value: number): boolean
}

/** What a call needs of a loss. */
export interface Description {
  readonly name: string
  readonly inputs: readonly InputOf[]
  readonly params: readonly ParamOf[]
  readonly programs: Programs
}

/** Options that hold from call to call. */
export interface ExpressionSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly weight: Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly mask: Tensor<NumberArray> | undefined
  readonly meanBy: 'count' | 'weight'
  readonly weightSum: number
  /** Values of the parameters, in order. */
  readonly params: readonly number[]
}

/** Options of one call, with the buffers of the other gradients by their names. */
export interface ExpressionBuffers extends Buffers {
  readonly grads: Readonly<Record<string, boolean | Float32Array | undefined>>
}

/** Checks the options that do not depend on the arrays. */
export function resolve({ name: loss, params }: Description, given: Options): ExpressionSettings {
  const { shape, weight, sampleWeight, mask, meanBy = 'count' } = given
  const common = commonSettings(loss, given)
  const weights = weight === undefined ? undefined : smallArray(loss, 'weight', weight)
  return {
    ...common,
    shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
    weight: weights,
    sampleWeight: sampleWeightOf(loss, sampleWeight),
    mask: maskOf(loss, mask),
    meanBy: meanByOf(loss, meanBy, common.reduction, common.normalizer),
    weightSum: meanBy === 'weight' && weights !== undefined ? weights.reduce((sum, w) => sum + w, 0) : 0,
    params: params.map((param) => {
      const value = given[param.name]
      return value === undefined ? param.default : single(loss, param.name, value, param.expected, param.holds)
    }),
  }
}

/** Runs a call: nothing is written before all checks are done. */
export function run(
  description: Description,
  wanted: Wanted,
  args: readonly unknown[],
  settings: ExpressionSettings,
  buffers: ExpressionBuffers,
): Result {
  const { name: loss, inputs } = description
  const { arrays, rows, shape } = arraysOfCall(description, args, settings)
  const { weight, sampleWeight, mask, reduction } = settings
  const marks: Marks =
    mask === undefined ? everything : marksOf(loss, undefined, [], mask, shape, () => shape ?? [rows])
  checkMeanBy(loss, settings.meanBy, 'a weight or a sampleWeight', weight, sampleWeight)
  const scalar = scalarGradOutput(loss, buffers.gradOutput)
  const grads = gradsOf(description, wanted, buffers, rows)
  const accumulate = accumulates(loss, buffers, wanted)
  const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, rows)
  const out = valuesBuffer(loss, buffers.out, wanted, settings, rows)
  checkWeight(loss, weight, rows, shape)
  const sampleInner = sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, shape ?? [rows])
  if (mask !== undefined) attached(loss, 'mask', mask.data)
  checkOverlaps(description, arrays, grads, out, gradOutput, settings, accumulate)
  if (settings.validate) checkNumbers(description, arrays, rows, marks)

  const { weightSum } = settings
  const count =
    settings.meanBy === 'count'
      ? totalWeight(loss, marks, rows)
      : weightOf(loss, { weight, sampleWeight, sampleInner, marks }, weightSum, rows)
  const denominator = denominatorOf(settings, count)
  const reported = reduction === 'mean' ? denominator : count
  const others = Object.fromEntries(
    grads.flatMap(({ input, array }) => (input.gradName === 'grad' ? [] : [[input.gradName, array]])),
  )
  const grad = grads.length === 0 ? undefined : grads[0].array
  if (rows === 0 || denominator === 0) {
    const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
    for (const { array } of grads.slice(1)) array.fill(0)
    if (out !== undefined) out.fill(0)
    return { ...emptyResult(nothing, out, grad, accumulate, reported, undefined), ...others }
  }
  const isRaw =
    weight !== undefined ||
    sampleWeight !== undefined ||
    marks !== everything ||
    gradOutput !== undefined ||
    out !== undefined ||
    accumulate
  const scale = scalar / denominator
  const program = {
    grads: grads.map(({ index }) => index),
    value: wanted.value,
    inPlace: grads.some(({ index, array }) => isOver(array, arrays[index])),
  }
  const call = { loss, inputs: arrays, grads: grads.map(({ array }) => array), rows }
  const { programs } = description
  let sum: number | undefined
  if (!isRaw && (grads.length === 0 || isSingle(scale))) {
    const plain = programs.of({ ...program, kind: 'plain' }, settings.params)
    const uniforms = plain && plainUniforms(plain, settings.params, grads.length === 0 ? 1 : scale)
    if (uniforms !== undefined) sum = runExpression({ ...call, program: plain!.program, uniforms, raw: undefined })
  }
  if (sum === undefined) {
    // There is room for it with all gradients, which the definition has made sure of.
    const raw = programs.of({ ...program, kind: 'raw', inPlace: false }, settings.params)!
    const uniforms = evaluateUniforms(raw.uniforms, settings.params, 1)
    const extra = { scale, weight, sampleWeight, sampleInner, marks, gradOutput, out, accumulate }
    sum = runExpression({ ...call, program: raw.program, uniforms, raw: extra })
  }
  const value = out ?? sum / denominator
  return inputs.length === 0 ? { value, grad } : { value, grad, denominator: reported, ...others }
}

const isOver = (grad: Float32Array, input: Float32Array) =>
  grad === input || (grad.buffer === input.buffer && grad.byteOffset === input.byteOffset)

/** The arrays of a call, how many values they have, and the shape of these, where one says it. */
function arraysOfCall(
  { name: loss, inputs }: Description,
  args: readonly unknown[],
  settings: ExpressionSettings,
): { arrays: Float32Array[]; rows: number; shape: readonly number[] | undefined } {
  const tensors = inputs.map(({ name }, k) => floatTensor(loss, name, args[k]))
  const [{ columns }] = inputs
  const { length } = tensors[0].data
  if (length % columns !== 0) {
    throw wrongValue(loss, inputs[0].name, `a Float32Array of rows of ${columns}`, tensors[0].data)
  }
  const rows = length / columns
  const shapes = tensors.map((tensor, k) => shapeOfRows(loss, inputs[k], tensor.shape))
  const shape = agreedShape(loss, settings.shape, shapes[0], rows)
  for (let k = 1; k < inputs.length; k++) {
    const { name, columns } = inputs[k]
    if (tensors[k].data.length !== rows * columns) {
      throw wrongValue(loss, name, `a Float32Array of ${rows * columns} elements`, tensors[k].data)
    }
    const own = shapes[k]
    if (own !== undefined && shape !== undefined) sameShape(loss, `shape of ${name}`, own, shape)
  }
  return { arrays: tensors.map(({ data }) => data), rows, shape }
}

/** The shape of the values of a tensor, whose last axis is that of the columns. */
function shapeOfRows(
  loss: string,
  { name, columns }: InputOf,
  shape: readonly number[] | undefined,
): readonly number[] | undefined {
  if (shape === undefined || columns === 1) return shape
  if (shape.at(-1) === columns) return shape.slice(0, -1)
  throw new RangeError(`${loss}: the last axis of ${name} must have ${columns} elements, got the shape [${shape}]`)
}

interface Grad {
  readonly input: InputOf
  readonly index: number
  readonly array: Float32Array
}

/** The gradients that are wanted: always that by the first input that has one, the others where an option asks for them. */
function gradsOf(
  { name: loss, inputs }: Description,
  wanted: Wanted,
  buffers: ExpressionBuffers,
  rows: number,
): Grad[] {
  if (!wanted.grad) return []
  return inputs.flatMap((input, index) => {
    if (!input.grad) return []
    const { gradName } = input
    const length = rows * input.columns
    const array =
      gradName === 'grad'
        ? gradBuffer(loss, buffers.grad, length)
        : targetGradBuffer(loss, wanted, length, buffers.grads[gradName], gradName)
    return array === undefined ? [] : [{ input, index, array }]
  })
}

/** Refuses outputs that share memory with each other or with what is read, but for gradients over their own inputs. */
function checkOverlaps(
  { name: loss, inputs }: Description,
  arrays: readonly Float32Array[],
  grads: readonly Grad[],
  out: Float32Array | undefined,
  gradOutput: Float32Array | undefined,
  settings: ExpressionSettings,
  accumulate: boolean,
): void {
  if (grads.length === 0 && out === undefined) return
  if (accumulate && isOver(grads[0].array, arrays[grads[0].index])) {
    const name = grads[0].input.name
    throw new RangeError(`${loss}: grad must not be ${name} with accumulate, since the gradient is added to it`)
  }
  const written: Named[] = grads.map(({ input, array }) => [input.gradName, array])
  const read: Named[] = inputs.map(({ name }, k) => [name, arrays[k]])
  const inputOf = Object.fromEntries(grads.map(({ input }) => [input.gradName, input.name]))
  separate(loss, [...written, ['out', out]], [...read, ['gradOutput', gradOutput], ...arraysOf(settings)], inputOf)
}

const classNumbers = new Int32Array(BLOCK)

/** Refuses NaN in rows that count. */
function checkNumbers(
  { name: loss, inputs }: Description,
  arrays: readonly Float32Array[],
  rows: number,
  marks: Marks,
): void {
  for (let first = 0; first < rows; first += BLOCK) {
    const count = Math.min(BLOCK, rows - first)
    classesOf(marks, first, count, classNumbers)
    inputs.forEach(({ name, columns }, k) => {
      for (let i = first * columns; i < (first + count) * columns; i++) {
        if (!Number.isNaN(arrays[k][i]) || classNumbers[Math.floor(i / columns) - first] === NOTHING) continue
        throw wrongValue(loss, `${name}[${i}]`, 'a number', arrays[k][i])
      }
    })
  }
}
