/** A call of a loss that is an expression: checks, the program, the reduction. */

import { backendFor } from '../backend/load.js'
import { type ExpressionCall, expressionKind, type Program, type RawExtra } from '../call/expression.js'
import { classesOf, everything, type LabelArray, type Marks, NOTHING, type NumberArray } from '../call/marks.js'
import {
  agreedShape,
  attached,
  fitsShape,
  floatTensor,
  gradBuffer,
  type Named,
  sameShape,
  separate,
  separateGrad,
  shapeOf,
  smallArray,
  type Tensor,
  wrongValue,
} from '../check.js'
import type { Result, Wanted } from '../family/inside.js'
import {
  accumulates,
  arrayGradOutput,
  arraysOf,
  checkMeanBy,
  commonSettings,
  denominatorOf,
  emptyResult,
  meanByOf,
  type Settings,
  scalarGradOutput,
  targetGradBuffer,
  valuesBuffer,
} from '../family/loss.js'
import { checkWeight, weightOf } from '../family/pointwise/index.js'
import { areLabels, marksOf, maskOf, outside, sampleWeightOf, sharing, totalWeight } from '../family/positions.js'
import type { NamedBuffers } from '../family/several.js'
import { checkSigns, floatsOf, isUnsigned } from '../family/signs.js'
import type { Options } from '../options.js'
import { BLOCK } from '../sum.js'
import type { Wanted as ProgramOf } from './compile.js'
import type { Draw, InputRange, InputTraits } from './inputs.js'
import { isPlainScale } from './interpret.js'
import { optionsOfParams, type ParamOf } from './params.js'
import { type Programs, plainUniforms, uniformsOf } from './programs.js'
import { type Spread, spreadOf, totals, totalsBuffer } from './spread.js'

/** An input, and what its gradient is called in options and results. */
export interface InputOf extends InputTraits {
  readonly name: string
  readonly gradName: string
  readonly ranges: readonly InputRange[]
}

/** What a loss that is an expression is made of. */
export interface ExpressionDescription {
  readonly family: 'expression'
  readonly name: string
  readonly inputs: readonly InputOf[]
  readonly params: readonly ParamOf[]
  readonly programs: Programs
  /** Number of the input that is labels of two classes; −1 if there is none. */
  readonly signs: number
  /** What tests and benches draw for each input of a loss of this library. */
  readonly draws: readonly Draw[] | undefined
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
  /** The same where labels are 0 and 1: the last of the parameters of a loss of signs says so. */
  readonly paramsOfBits: readonly number[]
  /** Where the numbers of inputs must be, with these options. */
  readonly ranges: readonly (readonly [input: number, range: InputRange])[]
}

/** Checks the options that do not depend on the arrays. */
export function resolve(
  { name: loss, inputs, params, programs }: ExpressionDescription,
  given: Options,
): ExpressionSettings {
  const { shape, weight, sampleWeight, mask, meanBy = 'count' } = given
  const common = commonSettings(loss, given)
  // `holds`, `when` and the function of a definition are its author's, and run before any array of a call is looked at.
  const values = params.map((param) => {
    const value = given[param.name]
    return value === undefined ? param.default : param.numberOf(value)
  })
  const ranges = rangesOf(inputs, optionsOfParams(params, values), common.validate)
  if (Object.keys(given).length > 0) programs.prepare(values)
  const weights = weight === undefined ? undefined : smallArray(loss, 'weight', weight)
  return {
    ...common,
    shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
    weight: weights,
    sampleWeight: sampleWeightOf(loss, sampleWeight),
    mask: maskOf(loss, mask),
    meanBy: meanByOf(loss, meanBy, common.reduction, common.normalizer),
    weightSum: meanBy === 'weight' && weights !== undefined ? weights.reduce((sum, w) => sum + w, 0) : 0,
    params: values,
    paramsOfBits: values.length > 0 ? values.with(-1, 1) : values,
    ranges,
  }
}

/** The ranges that calls with these parameters look at. */
function rangesOf(
  inputs: readonly InputOf[],
  params: Readonly<Record<string, unknown>>,
  validate: boolean,
): (readonly [input: number, range: InputRange])[] {
  return inputs.flatMap(({ ranges }, k) =>
    ranges.filter((range) => (validate || !range.validate) && range.when(params)).map((range) => [k, range] as const),
  )
}

/** Runs a call: nothing is written before all checks are done. */
export function run(
  description: ExpressionDescription,
  wanted: Wanted,
  tensors: readonly Tensor<unknown>[],
  settings: ExpressionSettings,
  buffers: NamedBuffers,
): Result {
  const { name: loss } = description
  const { given, all, spreads, rows, shape } = arraysOfCall(description, tensors, settings)
  const { weight, sampleWeight, mask, reduction } = settings
  const marks: Marks =
    mask === undefined ? everything : marksOf(loss, undefined, [], mask, shape, () => shape ?? [rows])
  // As in `pointwise.ts`, functions are called where a call has what they are for.
  const { meanBy } = settings
  if (meanBy === 'weight') checkMeanBy(loss, meanBy, 'a weight or a sampleWeight', weight, sampleWeight)
  const scalar = scalarGradOutput(loss, buffers.gradOutput)
  const grads = gradsOf(description, wanted, buffers, given, spreads, rows)
  const accumulate = accumulates(loss, buffers, wanted)
  const isArray = typeof buffers.gradOutput === 'object'
  const gradOutput = isArray ? arrayGradOutput(loss, buffers.gradOutput, settings, rows) : undefined
  const hasValues = reduction === 'none' || buffers.out !== undefined
  const out = hasValues ? valuesBuffer(loss, buffers.out, wanted, settings, rows) : undefined
  if (weight !== undefined) checkWeight(loss, weight, rows, shape)
  const sampleInner = sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, shape ?? [rows])
  if (mask !== undefined) attached(loss, 'mask', mask.data)
  checkOverlaps(description, given, grads, out, gradOutput, settings, accumulate)
  for (const [input, range] of settings.ranges) checkRange(description, all, spreads, marks, input, range)
  if (settings.validate) checkNumbers(description, all, rows, marks)
  const params = description.signs < 0 ? settings.params : signsOf(description, all, settings, marks)

  const { weightSum } = settings
  const count =
    meanBy === 'count'
      ? totalWeight(loss, marks, rows)
      : weightOf(loss, { weight, sampleWeight, sampleInner }, marks, weightSum, rows)
  const denominator = denominatorOf(settings, count)
  const reported = reduction === 'mean' ? denominator : count
  const grad = grads.length === 0 ? undefined : grads[0].array
  /** With the gradients that options ask for. */
  const complete = (result: Result): Result => {
    for (let k = 1; k < grads.length; k++) {
      const { input, array, spread, own } = grads[k]
      Object.assign(result, { [input.gradName]: spread === undefined ? array : totals(array, spread, own, accumulate) })
    }
    return result
  }
  if (wanted.dry) return { value: Number.NaN, grad, denominator: reported }
  if (rows === 0 || denominator === 0) {
    const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
    if (!accumulate) for (const { array } of grads.slice(1)) array.fill(0)
    if (out !== undefined) out.fill(0)
    return complete(emptyResult(nothing, out, grad, accumulate, reported, undefined))
  }
  // Of the other inputs all are floats.
  const arrays = (description.signs < 0 ? all : all.map(floatsOf)) as readonly Float32Array[]
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
  const kernels = backendFor('expression', rows)
  const callOf = (program: Program, uniforms: Float32Array, raw: RawExtra | undefined): ExpressionCall => ({
    kind: expressionKind,
    loss,
    definition: undefined,
    marks,
    program,
    uniforms,
    inputs: arrays,
    grads: buffersOfGrads,
    rows,
    raw,
  })
  let sum: number | undefined
  if (!isRaw && (grads.length === 0 || isPlainScale(scale))) {
    const plain = programs.of({ kind: 'plain', grads: indices, value: wanted.value, inPlace }, params)
    const uniforms = plain && plainUniforms(plain, params, grads.length === 0 ? 1 : scale)
    if (uniforms !== undefined) {
      const { program } = plain!
      sum = kernels.run(callOf(program, uniforms, undefined))
    }
  }
  if (sum === undefined) {
    const { ready, uniforms } = rawOf(
      programs,
      { kind: 'raw', grads: indices, value: wanted.value, inPlace: false },
      params,
    )
    const raw = { scale, weight, sampleWeight, sampleInner, gradOutput, out, accumulate }
    sum = kernels.run(callOf(ready.program, uniforms, raw))
  }
  return complete({ value: out ?? sum / denominator, grad, denominator: reported })
}

/** The raw program for a call. Its uniform factors are apart only where the product of some leaves single precision. */
function rawOf(programs: Programs, wanted: ProgramOf, params: readonly number[]) {
  const ready = programs.roomy(wanted, params)
  const uniforms = uniformsOf(ready, params, 1)
  if (ready.last!.held) return { ready, uniforms }
  const apart = programs.roomy({ ...wanted, apart: true }, params)
  return { ready: apart, uniforms: uniformsOf(apart, params, 1) }
}

const isOver = (grad: Float32Array, input: Float32Array) =>
  grad === input || (grad.buffer === input.buffer && grad.byteOffset === input.byteOffset)

interface Arrays {
  /** As they were given. */
  readonly given: readonly (Float32Array | LabelArray)[]
  /** With one number per element. */
  readonly all: readonly (Float32Array | LabelArray)[]
  /** Of the inputs that were given with fewer numbers. */
  readonly spreads: readonly (Spread | undefined)[] | undefined
  readonly rows: number
  readonly shape: readonly number[] | undefined
}

/** The arrays of a call, how many values they have, and the shape of these, where one says it. */
function arraysOfCall(
  { name: loss, inputs }: ExpressionDescription,
  tensors: readonly Tensor<unknown>[],
  settings: ExpressionSettings,
): Arrays {
  const given: (Float32Array | LabelArray)[] = []
  let all = given
  let spreads: (Spread | undefined)[] | undefined
  let rows = 0
  let shape: readonly number[] | undefined
  for (let k = 0; k < inputs.length; k++) {
    const { name, columns, signs } = inputs[k]
    if (inputs[k].spreads) {
      const { given: own, spread } = spreadOf(loss, name, tensors[k], rows, shape)
      if (spread !== undefined) {
        if (all === given) all = [...given]
        spreads ??= []
        spreads[k] = spread
      }
      given.push(own)
      if (all !== given) all.push(spread?.array ?? own)
      continue
    }
    const tensor = signs === undefined ? floatTensor(loss, name, tensors[k]) : signTensor(loss, name, tensors[k])
    const own = shapeOfRows(loss, inputs[k], tensor.shape)
    const { data } = tensor
    if (k === 0) {
      if (data.length % columns !== 0) throw wrongValue(loss, name, `a Float32Array of rows of ${columns}`, data)
      rows = data.length / columns
      if (
        columns > 1 &&
        settings.shape !== undefined &&
        settings.shape.reduce((size, length) => size * length, 1) !== rows
      ) {
        throw new RangeError(
          `${loss}: shape must have the product ${rows}, the number of rows, without the axis of the ${columns} columns, ` +
            `got [${settings.shape}]`,
        )
      }
      shape = agreedShape(loss, settings.shape, own, rows)
    } else if (data.length !== rows * columns) {
      throw wrongValue(loss, name, `a Float32Array of ${rows * columns} elements`, data)
    } else if (own !== undefined && shape !== undefined) sameShape(loss, `shape of ${name}`, own, shape)
    given.push(data)
    if (all !== given) all.push(data)
  }
  return { given, all, spreads, rows, shape }
}

/** Labels may be integers. */
function signTensor(loss: string, name: string, tensor: Tensor<unknown>): Tensor<Float32Array | LabelArray> {
  const { data } = tensor
  if (!areLabels(data)) return floatTensor(loss, name, tensor)
  attached(loss, name, data)
  fitsShape(loss, name, tensor)
  return tensor as Tensor<LabelArray>
}

/** Refuses labels that are none; the parameters of the program for those that there are. */
function signsOf(
  { name: loss, inputs, signs }: ExpressionDescription,
  arrays: readonly (Float32Array | LabelArray)[],
  { params, paramsOfBits }: ExpressionSettings,
  marks: Marks,
): readonly number[] {
  const isBits = params[params.length - 1] === 1 || isUnsigned(arrays[signs])
  checkSigns(loss, inputs[signs].name, arrays[signs], inputs[signs].signs!, isBits, marks)
  return isBits ? paramsOfBits : params
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
  /** What the program writes. */
  readonly array: Float32Array
  /** Where the caller's input has fewer numbers than the program's. */
  readonly spread: Spread | undefined
  /** What the caller gets; undefined where that is a number. */
  readonly own: Float32Array | undefined
}

/** The gradients that are wanted: always that by the first input that has one, the others where an option asks for them. */
function gradsOf(
  { name: loss, inputs }: ExpressionDescription,
  wanted: Wanted,
  buffers: NamedBuffers,
  given: readonly ArrayLike<unknown>[],
  spreads: Arrays['spreads'],
  rows: number,
): Grad[] {
  const grads: Grad[] = []
  if (!wanted.grad) return grads
  for (let index = 0; index < inputs.length; index++) {
    const input = inputs[index]
    if (!input.grad) continue
    const { gradName } = input
    const length = rows * input.columns
    const spread = spreads?.[index]
    if (gradName === 'grad') {
      const array = gradBuffer(loss, buffers.grad, length)
      grads.push({ input, index, array, spread, own: array })
    } else if (spread === undefined) {
      const array = targetGradBuffer(loss, wanted, length, buffers.grads[gradName], gradName)
      if (array !== undefined) grads.push({ input, index, array, spread, own: array })
    } else {
      const option = buffers.grads[gradName]
      if (option === undefined || option === false) continue
      if (option === true && !wanted.value) targetGradBuffer(loss, wanted, 0, option, gradName)
      const own = totalsBuffer(loss, gradName, spread, given[index].length, option)
      grads.push({ input, index, array: new Float32Array(length), spread, own })
    }
  }
  return grads
}

/** Refuses outputs that share memory with each other or with what is read, but for gradients over their own inputs. */
function checkOverlaps(
  { name: loss, inputs }: ExpressionDescription,
  given: readonly (Float32Array | LabelArray)[],
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
    separateGrad(loss, array, given[index] as Float32Array, given[1 - index], accumulate, names)
    return
  }
  const written: Named[] = grads.map(({ input, own }) => [input.gradName, own])
  const read: Named[] = inputs.map(({ name }, k) => [name, given[k]])
  const inputOf = Object.fromEntries(grads.map(({ input }) => [input.gradName, input.name]))
  separate(loss, [...written, ['out', out]], [...read, ['gradOutput', gradOutput], ...others], accumulate, inputOf)
}

const classNumbers = new Int32Array(BLOCK)

/** Refuses NaN in rows that count. */
function checkNumbers(
  { name: loss, inputs }: ExpressionDescription,
  arrays: readonly (Float32Array | LabelArray)[],
  rows: number,
  marks: Marks,
): void {
  for (let k = 0; k < inputs.length; k++) {
    const { name, columns } = inputs[k]
    const i = firstOf(arrays[k], 0, rows, columns, marks, Number.isNaN)
    if (i >= 0) throw wrongValue(loss, `${name}[${i}]`, 'a number', arrays[k][i])
  }
}

/** Index of the first number from row `from` on that counts and of which `holds` is true; −1 if there is none. */
function firstOf(
  array: Float32Array | LabelArray,
  from: number,
  rows: number,
  columns: number,
  marks: Marks,
  holds: (value: number) => boolean,
): number {
  for (let first = from; first < rows; first += BLOCK) {
    const count = Math.min(BLOCK, rows - first)
    classesOf(marks, first, count, classNumbers)
    for (let i = first * columns; i < (first + count) * columns; i++) {
      if (holds(array[i] as number) && classNumbers[Math.floor(i / columns) - first] !== NOTHING) return i
    }
  }
  return -1
}

/** Refuses numbers outside of a range in rows that count. NaN is none of them. */
function checkRange(
  { name: loss, inputs }: ExpressionDescription,
  arrays: readonly (Float32Array | LabelArray)[],
  spreads: Arrays['spreads'],
  marks: Marks,
  input: number,
  { low, high, expected, hint }: InputRange,
): void {
  const { name, columns } = inputs[input]
  const array = arrays[input]
  const ofColumns = columns === 1 || marks === everything ? marks : { ...marks, maskInner: marks.maskInner * columns }
  let i = outside(array, low, high, ofColumns)
  // The scan takes NaN for one. It is rare, and what follows it is looked at here.
  if (i >= 0 && Number.isNaN(array[i])) {
    const rows = array.length / columns
    i = firstOf(array, Math.floor(i / columns), rows, columns, marks, (value) => value < low || value > high)
  }
  if (i < 0) return
  const spread = spreads?.[input]
  const at = spread === undefined ? `[${i}]` : spread.isNumber ? '' : `[${Math.floor(i / spread.inner)}]`
  throw wrongValue(loss, `${name}${at}`, expected, array[i], hint)
}
