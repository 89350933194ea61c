/** Losses of two or three rows: checks, the call, the reduction. */

import { backendFor } from '../../backend/load.js'
import { embeddingKind } from '../../call/embedding.js'
import { everything, type Marks, type NumberArray } from '../../call/marks.js'
import {
  agreedShape,
  attached,
  fitsShape,
  flag,
  floatTensor,
  gradBuffer,
  type Named,
  sameShape,
  separate,
  separateGrad,
  shapeOf,
  type Tensor,
  wrongValue,
} from '../../check.js'
import type { EmbeddingDefinition, Reduction } from '../../definition.js'
import type { Options } from '../../options.js'
import type { Mask } from '../arrays.js'
import type { Result, Wanted } from '../inside.js'
import {
  accumulates,
  arrayGradOutput,
  arraysOf,
  type CommonOptions,
  checkMeanBy,
  commonOptions,
  commonSettings,
  denominatorOf,
  emptyResult,
  meanByOf,
  type Settings,
  scalarGradOutput,
  targetGradBuffer,
  valuesBuffer,
} from '../loss.js'
import { paramOf } from '../pointwise/index.js'
import { areLabels, marksOf, maskOf, outside, sampleWeightOf, sharing, totalWeight } from '../positions.js'
import { makeSeveral, type NamedBuffers } from '../several.js'
import { checkSigns, isUnsigned } from '../signs.js'

/** Options of every loss of rows. */
export interface EmbeddingOptions<R extends Reduction = Reduction> extends CommonOptions<R> {
  /** `[N, D]`: N rows of D numbers, or `[N, d1, …, D]`. It is needed unless the first argument is a tensor. */
  shape?: readonly number[]
  /** Factor of value and gradient: one per row, or for the first axes of the rows. */
  sampleWeight?: Float32Array | readonly number[]
  /** One per row, or for the first axes: those of 0 give neither value nor gradient, whatever they hold. */
  mask?: Mask
  /** `'mean'` divides by the number of rows that count, `'count'` (default), or by the sum of their weights, `'weight'`. */
  meanBy?: 'count' | 'weight'
}

interface EmbeddingSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly mask: Tensor<NumberArray> | undefined
  readonly meanBy: 'count' | 'weight'
  /** Whether labels are 0 and 1. */
  readonly zeroOne: boolean
  /** Scalar parameters, in the order of the definition. */
  readonly params: readonly number[]
}

/** Makes the public loss. */
export function embedding<L>(definition: EmbeddingDefinition): L {
  const { name: loss, rows: names } = definition
  const [first, second, third] = names
  const gradNames = names.slice(1).map((name) => `${name}Grad`)
  const namesOfPlain = { grad: 'grad', input: first, target: second }
  const params = Object.entries(definition.params)

  function resolve(given: Options): EmbeddingSettings {
    const common = commonSettings(loss, given)
    return {
      ...common,
      shape: given.shape === undefined ? undefined : shapeOf(loss, 'shape', given.shape),
      sampleWeight: sampleWeightOf(loss, given.sampleWeight),
      mask: maskOf(loss, given.mask),
      meanBy: meanByOf(loss, given.meanBy ?? 'count', common.reduction, common.normalizer),
      zeroOne: given.zeroOne !== undefined && flag(loss, 'zeroOne', given.zeroOne),
      params: params.map((entry) => paramOf(loss, entry, given)),
    }
  }

  function run(
    wanted: Wanted,
    tensors: readonly Tensor<unknown>[],
    settings: EmbeddingSettings,
    buffers: NamedBuffers,
  ): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, first, tensors[0])
    const y = others(second, tensors[1], x)
    const z = third === undefined ? undefined : others(third, tensors[2], x)
    const shape = rowsOf(agreedShape(loss, settings.shape, inputShape, x.length))
    for (let k = 1; k < names.length; k++) {
      const own = tensors[k].shape
      if (own !== undefined) sameShape(loss, `shape of ${names[k]}`, own, shape)
    }
    const size = shape[shape.length - 1]
    const axes = shape.slice(0, -1)
    const rows = axes.reduce((product, length) => product * length, 1)
    const { sampleWeight, mask } = settings
    const marks: Marks = mask === undefined ? everything : marksOf(loss, undefined, [], mask, shape, () => axes)
    checkMeanBy(loss, settings.meanBy, 'a sampleWeight', sampleWeight)
    const sampleInner = sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, axes)
    const signs = definition.signs && signsOf(tensors[names.length], settings, axes, rows, marks)

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, rows)
    const dx = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const [dy, dz] = gradNames.map((name) => targetGradBuffer(loss, wanted, x.length, buffers.grads[name], name))
    const out = valuesBuffer(loss, buffers.out, wanted, settings, rows)
    const accumulate = accumulates(loss, buffers, wanted)
    const arrays = arraysOf(settings)
    // What most calls have is looked at without lists.
    const isPair = z === undefined && dy === undefined && signs === undefined
    if (isPair && out === undefined && gradOutput === undefined && arrays.length === 0) {
      separateGrad(loss, dx, x, y, accumulate, namesOfPlain)
    } else if (dx !== undefined || out !== undefined) {
      const written: Named[] = [
        ['grad', dx],
        [gradNames[0], dy],
        [gradNames[1], dz],
        ['out', out],
      ]
      const read: Named[] = [
        [first, x],
        [second, y],
        [third ?? '', z],
        ['target', signs],
        ['gradOutput', gradOutput],
      ]
      separate(loss, written, [...read, ...arrays], accumulate, { grad: first })
    }
    if (settings.validate) {
      const ofRows = marks === everything ? marks : { ...marks, maskInner: marks.maskInner * size }
      checkNumbers(first, x, ofRows)
      checkNumbers(second, y, ofRows)
      if (z !== undefined) checkNumbers(third!, z, ofRows)
    }

    const own = settings.meanBy === 'weight' ? sampleWeight : undefined
    const count = totalWeight(loss, marks, rows, 0, undefined, own, sampleInner)
    const denominator = denominatorOf(settings, count)
    const reported = settings.reduction === 'mean' ? denominator : count
    const complete = (result: Result): Result => {
      if (dy !== undefined) Object.assign(result, { [gradNames[0]]: dy })
      return dz === undefined ? result : Object.assign(result, { [gradNames[1]]: dz })
    }
    if (wanted.dry) return { value: Number.NaN, grad: dx, denominator: reported }
    if (rows === 0 || denominator === 0) {
      const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
      if (!accumulate) for (const other of [dy, dz]) other?.fill(0)
      out?.fill(0)
      return complete(emptyResult(nothing, out, dx, accumulate, reported, undefined))
    }
    const sum = backendFor('embedding', x.length).run({
      kind: embeddingKind,
      loss,
      definition,
      marks,
      x,
      y,
      z,
      size,
      signs,
      dx,
      dy,
      dz,
      scale: scalar / denominator,
      params: settings.params,
      sampleWeight,
      sampleInner,
      gradOutput,
      out,
      accumulate,
    })
    return complete({ value: out ?? sum / denominator, grad: dx, denominator: reported })
  }

  /** The rows of another argument than the first, x. */
  function others(name: string, tensor: Tensor<unknown>, x: Float32Array): Float32Array {
    const { data } = floatTensor(loss, name, tensor)
    if (data.length === x.length) return data
    throw wrongValue(loss, name, `a Float32Array of ${x.length} elements`, data)
  }

  /** The shape, which says how long a row is. */
  function rowsOf(shape: readonly number[] | undefined): readonly number[] {
    if (shape === undefined) {
      throw new RangeError(
        `${loss}: shape is needed where ${first} is no tensor, since it says how long a row is: [N, D]`,
      )
    }
    const size = shape.at(-1)
    if (size === undefined || (size === 0 && shape.slice(0, -1).every((length) => length > 0))) {
      throw new RangeError(`${loss}: shape must be [N, D] with at least one number per row, got [${shape}]`)
    }
    return shape
  }

  /** The labels of the rows. */
  function signsOf(
    target: Tensor<unknown>,
    { zeroOne }: EmbeddingSettings,
    axes: readonly number[],
    rows: number,
    marks: Marks,
  ): NumberArray {
    const { data } = areLabels(target.data) ? (target as Tensor<NumberArray>) : floatTensor(loss, 'target', target)
    attached(loss, 'target', data)
    fitsShape(loss, 'target', target)
    if (data.length !== rows) throw wrongValue(loss, 'target', `an array of ${rows} elements, one per row`, data)
    if (target.shape !== undefined) sameShape(loss, 'shape of target', target.shape, axes)
    checkSigns(loss, 'target', data, 'hard', zeroOne || isUnsigned(data), marks)
    return data
  }

  /** Refuses NaN in rows that count. */
  function checkNumbers(name: string, values: Float32Array, marks: Marks): void {
    const i = outside(values, -Infinity, Infinity, marks)
    if (i >= 0) throw wrongValue(loss, `${name}[${i}]`, 'a number', values[i])
  }

  return makeSeveral({
    definition,
    inputs: definition.signs ? [...names, 'target'] : names,
    gradNames,
    options: new Set<string>([
      ...commonOptions,
      ...['shape', 'sampleWeight', 'meanBy', 'mask'],
      ...params.map(([name]) => name),
      ...(definition.signs ? ['zeroOne'] : []),
      ...gradNames,
    ]),
    elsewhere(option) {
      if (option === 'weight') return 'a number of a row has no weight; the weight of a row is sampleWeight'
      return option === `${first}Grad` ? `the gradient by ${first} is grad` : undefined
    },
    resolve,
    run,
  }) as L
}
