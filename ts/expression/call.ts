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
  separateGrad,
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
  checkMeanBy,
  commonSettings,
  denominatorOf,
  emptyResult,
  meanByOf,
  type Result,
  type Settings,
  scalarGradOutput,
  targetGradBuffer,
  valuesBuffer,
  type Wanted,
} from '../family/loss.js'
import { checkWeight, weightOf } from '../family/pointwise.js'
import { marksOf, maskOf, sampleWeightOf, sharing, totalWeight } from '../family/positions.js'
import type { Buffers, Options } from '../options.js'
import { BLOCK } from '../sum.js'
import type { InputSpec } from './inputs.js'
import { isSingle } from './interpret.js'
import { type Programs, plainUniforms, uniformsOf } from './programs.js'

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
  tensors: readonly Tensor<unknown>[],
  settings: ExpressionSettings,
  buffers: ExpressionBuffers,
): Result {
  const { name: loss } = description
  const { arrays, rows, shape } = arraysOfCall(description, tensors, settings)
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
  const grad = grads.length === 0 ? undefined : grads[0].array
  /** With the gradients that options ask for. */
  const all = (result: Result): Result => {
    for (let k = 1; k < grads.length; k++) Object.assign(result, { [grads[k].input.gradName]: grads[k].array })
    return result
  }
  if (rows === 0 || denominator === 0) {
    const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
    for (const { array } of grads.slice(1)) array.fill(0)
    if (out !== undefined) out.fill(0)
    return all(emptyResult(nothing, out, grad, accumulate, reported, undefined))
  }
  const isRaw =
    weight !== undefined ||
    sampleWeight !== undefined ||
    marks !== everything ||
    gradOutput !== undefined ||
    out !== undefined ||
    accumulate
  const scale = scalar / denominator
  const { programs } = description
  const indices: number[] = []
  const buffersOfGrads: Float32Array[] = []
  let inPlace = false
  for (const { index, array } of grads) {
    indices.push(index)
    buffersOfGrads.push(array)
    inPlace ||= isOver(array, arrays[index])
  }
  const { params } = settings
  let sum: number | undefined
  if (!isRaw && (grads.length === 0 || isSingle(scale))) {
    const plain = programs.of({ kind: 'plain', grads: indices, value: wanted.value, inPlace }, params)
    const uniforms = plain && plainUniforms(plain, params, grads.length === 0 ? 1 : scale)
    if (uniforms !== undefined) {
      const { program } = plain!
      sum = runExpression({ loss, program, uniforms, inputs: arrays, grads: buffersOfGrads, rows, raw: undefined })
    }
  }
  if (sum === undefined) {
    // There is room for it with all gradients, which the definition has made sure of.
    const ready = programs.of({ kind: 'raw', grads: indices, value: wanted.value, inPlace: false }, params)!
    const uniforms = uniformsOf(ready, params, 1)
    const raw = { scale, weight, sampleWeight, sampleInner, marks, gradOutput, out, accumulate }
    const { program } = ready
    sum = runExpression({ loss, program, uniforms, inputs: arrays, grads: buffersOfGrads, rows, raw })
  }
  return all({ value: out ?? sum / denominator, grad, denominator: reported })
}

const isOver = (grad: Float32Array, input: Float32Array) =>
  grad === input || (grad.buffer === input.buffer && grad.byteOffset === input.byteOffset)

/** The arrays of a call, how many values they have, and the shape of these, where one says it. */
function arraysOfCall(
  { name: loss, inputs }: Description,
  tensors: readonly Tensor<unknown>[],
  settings: ExpressionSettings,
): { arrays: Float32Array[]; rows: number; shape: readonly number[] | undefined } {
  const arrays: Float32Array[] = []
  let rows = 0
  let shape: readonly number[] | undefined
  for (let k = 0; k < inputs.length; k++) {
    const { name, columns } = inputs[k]
    const tensor = floatTensor(loss, name, tensors[k])
    const own = shapeOfRows(loss, inputs[k], tensor.shape)
    const { data } = tensor
    if (k === 0) {
      if (data.length % columns !== 0) throw wrongValue(loss, name, `a Float32Array of rows of ${columns}`, data)
      rows = data.length / columns
      shape = agreedShape(loss, settings.shape, own, rows)
    } else if (data.length !== rows * columns) {
      throw wrongValue(loss, name, `a Float32Array of ${rows * columns} elements`, data)
    } else if (own !== undefined && shape !== undefined) sameShape(loss, `shape of ${name}`, own, shape)
    arrays.push(data)
  }
  return { arrays, rows, shape }
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
  const grads: Grad[] = []
  if (!wanted.grad) return grads
  for (let index = 0; index < inputs.length; index++) {
    const input = inputs[index]
    if (!input.grad) continue
    const { gradName } = input
    const length = rows * input.columns
    const array =
      gradName === 'grad'
        ? gradBuffer(loss, buffers.grad, length)
        : targetGradBuffer(loss, wanted, length, buffers.grads[gradName], gradName)
    if (array !== undefined) grads.push({ input, index, array })
  }
  return grads
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
  const others = arraysOf(settings)
  // What most calls have: one gradient, which is new or the first input, and nothing else.
  if (grads.length === 1 && out === undefined && gradOutput === undefined && others.length === 0 && inputs.length < 3) {
    const [{ input, index, array }] = grads
    const names = { grad: 'grad', input: input.name, target: inputs[1 - index]?.name ?? '' }
    separateGrad(loss, array, arrays[index], arrays[1 - index], accumulate, names)
    return
  }
  const written: Named[] = grads.map(({ input, array }) => [input.gradName, array])
  const read: Named[] = inputs.map(({ name }, k) => [name, arrays[k]])
  const inputOf = Object.fromEntries(grads.map(({ input }) => [input.gradName, input.name]))
  separate(loss, [...written, ['out', out]], [...read, ['gradOutput', gradOutput], ...others], accumulate, inputOf)
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
