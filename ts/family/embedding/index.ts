/** Losses of pairs of rows: checks, the call, the reduction. */

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

/** Options of every loss of pairs of rows. */
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
  readonly p0: number
  readonly p1: number
}

/** Makes the public loss. */
export function embedding<L>(definition: EmbeddingDefinition): L {
  const { name: loss, rows: names } = definition
  const [first, second] = names
  const gradName = `${second}Grad`
  const gradNames = { grad: 'grad', input: first, target: second }
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
      p0: paramOf(loss, params[0], given),
      p1: paramOf(loss, params[1], given),
    }
  }

  function run(
    wanted: Wanted,
    tensors: readonly Tensor<unknown>[],
    settings: EmbeddingSettings,
    buffers: NamedBuffers,
  ): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, first, tensors[0])
    const { data: y, shape: otherShape } = floatTensor(loss, second, tensors[1])
    if (y.length !== x.length) throw wrongValue(loss, second, `a Float32Array of ${x.length} elements`, y)
    const shape = rowsOf(agreedShape(loss, settings.shape, inputShape, x.length))
    if (otherShape !== undefined) sameShape(loss, `shape of ${second}`, otherShape, shape)
    const size = shape[shape.length - 1]
    const axes = shape.slice(0, -1)
    const rows = axes.reduce((product, length) => product * length, 1)
    const { sampleWeight, mask } = settings
    const marks: Marks = mask === undefined ? everything : marksOf(loss, undefined, [], mask, shape, () => axes)
    checkMeanBy(loss, settings.meanBy, 'a sampleWeight', sampleWeight)
    const sampleInner = sampleWeight === undefined ? 1 : sharing(loss, 'sampleWeight', sampleWeight, axes)
    const signs = definition.signs && signsOf(tensors[2], settings, axes, rows, marks)

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, rows)
    const dx = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const given = buffers.grads[gradName]
    const dy = targetGradBuffer(loss, wanted, x.length, given, gradName)
    const out = valuesBuffer(loss, buffers.out, wanted, settings, rows)
    const accumulate = accumulates(loss, buffers, wanted, [gradName, given])
    const others = arraysOf(settings)
    // What most calls have is looked at without lists.
    const isPlain = dy === undefined && out === undefined && gradOutput === undefined && signs === undefined
    if (isPlain && others.length === 0) separateGrad(loss, dx, x, y, accumulate, gradNames)
    else if (dx !== undefined || out !== undefined) {
      const written: Named[] = [
        ['grad', dx],
        [gradName, dy],
        ['out', out],
      ]
      const read: Named[] = [
        [first, x],
        [second, y],
        ['target', signs],
        ['gradOutput', gradOutput],
      ]
      separate(loss, written, [...read, ...others], accumulate, { grad: first })
    }
    if (settings.validate) {
      const ofRows = marks === everything ? marks : { ...marks, maskInner: marks.maskInner * size }
      checkNumbers(first, x, ofRows)
      checkNumbers(second, y, ofRows)
    }

    const own = settings.meanBy === 'weight' ? sampleWeight : undefined
    const count = totalWeight(loss, marks, rows, 0, undefined, own, sampleInner)
    const denominator = denominatorOf(settings, count)
    const reported = settings.reduction === 'mean' ? denominator : count
    const complete = (result: Result): Result => (dy === undefined ? result : Object.assign(result, { [gradName]: dy }))
    if (wanted.dry) return { value: Number.NaN, grad: dx, denominator: reported }
    if (rows === 0 || denominator === 0) {
      const nothing = denominator === 0 ? settings : ({ ...settings, emptyMean: 'zero' } as const)
      dy?.fill(0)
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
      size,
      signs,
      dx,
      dy,
      scale: scalar / denominator,
      p0: settings.p0,
      p1: settings.p1,
      sampleWeight,
      sampleInner,
      gradOutput,
      out,
      accumulate,
    })
    return complete({ value: out ?? sum / denominator, grad: dx, denominator: reported })
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

  /** The labels of the pairs. */
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
    gradNames: [gradName],
    options: new Set<string>([
      ...commonOptions,
      ...['shape', 'sampleWeight', 'meanBy', 'mask'],
      ...params.map(([name]) => name),
      ...(definition.signs ? ['zeroOne'] : []),
      gradName,
    ]),
    elsewhere(option) {
      if (option === 'weight') return 'a number of a row has no weight; the weight of a row is sampleWeight'
      return option === `${first}Grad` ? `the gradient by ${first} is grad` : undefined
    },
    resolve,
    run,
  }) as L
}
