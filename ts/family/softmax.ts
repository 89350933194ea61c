/** Losses of the softmax over a row of class scores: checks, the call, the reduction. */

import type { SoftmaxExtra } from '../backend/contract.js'
import { active } from '../backend/load.js'
import { keptWeight } from '../backend/ts.js'
import {
  agreedShape,
  attached,
  floatTensor,
  gradBuffer,
  kindOf,
  number,
  separate,
  separateGrad,
  shapeOf,
  smallWeights,
  type TensorLike,
  unwrap,
  wrongType,
  wrongValue,
} from '../check.js'
import {
  arrayGradOutput,
  type Buffers,
  type CommonOptions,
  commonOptions,
  commonSettings,
  denominatorOf,
  emptyResult,
  type Loss,
  makeLoss,
  type Result,
  result,
  type Settings,
  scalarGradOutput,
  valuesBuffer,
  type Wanted,
} from './loss.js'
import type { Floats } from './pointwise.js'

/** Class indices. */
export type LabelArray = Int32Array | Uint8Array | Uint16Array | Uint32Array | BigInt64Array

/** Class indices, or a tensor of them. */
export type Labels = LabelArray | TensorLike<LabelArray>

/** Options of every softmax loss. */
export interface SoftmaxOptions extends CommonOptions {
  /** `[N, C]`; without it C is the length of the input over that of the target. */
  shape?: readonly number[]
  /** One per class, finite and not negative. */
  weight?: Float32Array | readonly number[]
  /** Rows with this target give neither value nor gradient, whatever they hold. Default −100. */
  ignoreIndex?: number
  /** ε in [0, 1]: the target is 1 − ε at the label and ε/C everywhere. Default 0. */
  labelSmoothing?: number
  /** T > 0: the scores are divided by it. Default 1. */
  temperature?: number
}

/** What a softmax loss is made of. */
export interface SoftmaxDefinition {
  readonly family: 'softmax'
  readonly name: string
  /** The loss as a function of ln p_y, in double precision. */
  value(logP: number): number
  /** −d(loss)/d(ln p_y). */
  slope(logP: number): number
}

interface SoftmaxSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly weight: Float32Array | undefined
  readonly ignoreIndex: number
  readonly labelSmoothing: number
  readonly temperature: number
}

/** Neither it nor its inverse leaves the range of single precision. */
const invertible = (t: number) =>
  Math.fround(t) > 0 && Math.fround(1 / t) > 0 && Math.fround(1 / t) < Infinity && Math.fround(t) < Infinity

/** A scan of so few labels costs less in TypeScript than the call of a backend. */
const SHORT = 256

const options: ReadonlySet<string> = new Set([
  ...commonOptions,
  'shape',
  'weight',
  'ignoreIndex',
  'labelSmoothing',
  'temperature',
])

/** Makes the public loss. */
export function softmax<Options extends SoftmaxOptions>(definition: SoftmaxDefinition): Loss<Floats, Labels, Options> {
  const loss = definition.name

  function resolve(given: Readonly<Record<string, unknown>>): SoftmaxSettings {
    const { shape, weight, ignoreIndex = -100, labelSmoothing = 0, temperature = 1 } = given
    const { reduction, emptyMean, normalizer } = commonSettings(loss, given)
    return {
      reduction,
      emptyMean,
      normalizer,
      shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
      weight: weight === undefined ? undefined : smallWeights(loss, 'weight', weight),
      ignoreIndex: number(loss, 'ignoreIndex', ignoreIndex, 'a 32-bit integer', (i) => i === (i | 0)),
      labelSmoothing: number(loss, 'labelSmoothing', labelSmoothing, 'in [0, 1]', (e) => e >= 0 && e <= 1),
      temperature: number(loss, 'temperature', temperature, '> 0, with an inverse in single precision', invertible),
    }
  }

  function run(wanted: Wanted, input: unknown, target: unknown, settings: SoftmaxSettings, buffers: Buffers): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    const given = unwrap(loss, 'target', target).data
    const labels = int32Labels(loss, given)
    const rows = labels.length
    const shape = agreedShape(loss, settings.shape, inputShape, x.length)
    const classes = classesOf(x.length, rows, shape)
    const { weight, ignoreIndex } = settings
    if (weight !== undefined && weight.length !== classes && rows > 0) {
      throw wrongValue(loss, 'weight', `an array of ${classes}, one per class`, weight)
    }

    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const gradOutput = arrayGradOutput(loss, buffers.gradOutput, settings, rows)
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const out = valuesBuffer(loss, buffers.out, wanted, settings, rows)
    const extra: SoftmaxExtra | undefined =
      weight === undefined && gradOutput === undefined && out === undefined ? undefined : { weight, gradOutput, out }
    if (extra !== undefined || given !== labels) {
      // A backend would see the labels' copy.
      separate(
        loss,
        [
          ['grad', grad],
          ['out', out],
        ],
        [
          ['input', x],
          ['target', given as LabelArray],
          ['weight', weight],
          ['gradOutput', gradOutput],
        ],
      )
    }

    const scan = rows <= SHORT ? keptWeight : active.keptWeight
    const kept = scan(labels, classes, ignoreIndex, weight)
    if (kept < 0) {
      const i = -1 - kept
      const expected = `a class index in [0, ${classes}) or ignoreIndex (${ignoreIndex})`
      throw wrongValue(loss, `target[${i}]`, expected, (given as LabelArray)[i])
    }
    const denominator = denominatorOf(settings, kept)
    if (rows === 0 || denominator === 0) {
      // No backend is called that would refuse it.
      separateGrad(loss, grad, x, given as LabelArray)
      return emptyResult(settings, out, grad, undefined)
    }
    const sum = active.softmax(
      definition,
      x,
      labels,
      classes,
      grad,
      scalar / denominator,
      ignoreIndex,
      settings.labelSmoothing,
      settings.temperature,
      0,
      0,
      extra,
    )
    return result(out ?? sum / denominator, grad, undefined)
  }

  function classesOf(scores: number, rows: number, shape: readonly number[] | undefined): number {
    if (shape !== undefined) {
      if (shape.length !== 2) throw new RangeError(`${loss}: shape must be [N, C], got [${shape}]`)
      if (shape[0] !== rows) {
        throw new RangeError(`${loss}: target must have ${shape[0]} elements, one per row of the input, got ${rows}`)
      }
      if (rows > 0 && shape[1] === 0)
        throw new RangeError(`${loss}: shape must have at least one class, got [${shape}]`)
      return shape[1]
    }
    const classes = rows === 0 ? 0 : scores / rows
    if (!Number.isInteger(classes) || (classes === 0 && rows > 0) || (rows === 0 && scores > 0)) {
      throw new RangeError(`${loss}: input must have a whole number of scores per target, got ${scores} for ${rows}`)
    }
    return classes
  }

  return makeLoss({ definition, options, resolve, run })
}

let scratch = new Int32Array(0)

/** Labels of any integer type as Int32Array: kernels know one type. Those of another type are copied, once a call. */
function int32Labels(loss: string, value: unknown): Int32Array {
  const kind = kindOf(value)
  if (kind === 'Int32Array') return attached(loss, 'target', value as Int32Array)
  if (kind !== 'Uint8Array' && kind !== 'Uint16Array' && kind !== 'Uint32Array' && kind !== 'BigInt64Array') {
    throw wrongType(
      loss,
      'target',
      'class indices in an Int32Array, Uint8Array, Uint16Array, Uint32Array or BigInt64Array',
      value,
    )
  }
  const labels = attached(loss, 'target', value as Exclude<LabelArray, Int32Array>)
  if (scratch.length < labels.length) scratch = new Int32Array(labels.length)
  for (let i = 0; i < labels.length; i++) {
    const label = Number(labels[i])
    // A label that does not fit would wrap around to a legal one.
    if (label !== (label | 0)) throw wrongValue(loss, `target[${i}]`, 'a class index', labels[i])
    scratch[i] = label
  }
  return scratch.subarray(0, labels.length)
}
