/** The options of a loss of planes, checked as far as they do not depend on the arrays. */

import type { NumberArray } from '../../call/marks.js'
import { describe, flag, isRecord, number, shapeOf, smallWeights, type Tensor, word, wrongType } from '../../check.js'
import type { Param, PointwiseDefinition, SoftmaxDefinition, WordParam } from '../../definition.js'
import { commonSettings, meanByOf, type Settings } from '../loss.js'
import { auxOf, paramOf } from '../pointwise/index.js'
import { classAxisOf, ignoredOf, maskOf, sampleWeightOf } from '../positions.js'
import { alphaOf, labelSmoothingOf } from '../softmax/index.js'
import type { Activation, Numbers, RegionDefinition } from './definition.js'

/** Sums of so little may have lost what single precision does not hold. */
export const SMALL = 1e-15

/** The checked options of a loss of planes. */
export interface RegionSettings extends Settings {
  readonly shape: readonly number[] | undefined
  readonly classAxis: 1 | -1 | null
  readonly activation: Activation
  readonly numbers: Numbers
  /** Whether smoothing adds next to nothing to the denominator. */
  readonly unsmoothed: boolean
  readonly squared: boolean
  readonly batch: boolean
  readonly includeBackground: boolean
  readonly weight: Float32Array | undefined
  readonly sampleWeight: Float32Array | undefined
  readonly meanBy: 'count' | 'weight'
  readonly mask: Tensor<NumberArray> | undefined
  readonly ignored: readonly number[] | undefined
  readonly emptyClass: 'zero' | 'skip' | undefined
  readonly regionWeight: number
  readonly part: PartSettings | undefined
  /** What the means of the parts divide by instead, by their names. */
  readonly normalizers: Readonly<Record<string, number>>
}

/** The checked options of the loss beside it. */
export interface PartSettings {
  readonly name: string
  readonly definition: PointwiseDefinition | SoftmaxDefinition
  readonly weight: number
  readonly p0: number
  readonly p1: number
  readonly aux: number | Float32Array
  readonly auxName: string | undefined
  readonly alpha: number | Float32Array | undefined
  readonly labelSmoothing: number
}

/** Names of the options of every loss of planes beside those of all losses. */
export const planeOptions = [
  'shape',
  'classAxis',
  'smoothNr',
  'smoothDr',
  'batch',
  'includeBackground',
  'weight',
  'sampleWeight',
  'meanBy',
  'mask',
  'ignoreIndex',
  'emptyClass',
]

const smoothing: Param = { default: 1e-5, expected: 'a number ≥ 0', holds: (n) => n >= 0, samples: [0, 1] }

/** The option `normalizer` of a loss with parts: a number for each part, by its name. */
export function normalizersOf(
  loss: string,
  given: unknown,
  parts: readonly string[],
  reduction: unknown = 'mean',
): Readonly<Record<string, number>> {
  if (given === undefined) return {}
  const names = parts.join(', ')
  if (!isRecord(given)) throw wrongType(loss, 'normalizer', `an object of ${names}`, given)
  if (reduction !== 'mean') {
    throw new RangeError(`${loss}: normalizer needs the reduction 'mean', got ${describe(reduction)}`)
  }
  const normalizers: Record<string, number> = {}
  for (const [part, value] of Object.entries(given)) {
    if (!parts.includes(part)) throw new TypeError(`${loss}: normalizer has no ${part}; there are ${names}`)
    if (value !== undefined) normalizers[part] = number(loss, `normalizer.${part}`, value, 'a number > 0', (n) => n > 0)
  }
  return normalizers
}

/** Checks the options of the part that do not depend on the arrays. */
export function partSettings(
  loss: string,
  name: string,
  definition: PointwiseDefinition | SoftmaxDefinition,
  weight: number,
  given: Readonly<Record<string, unknown>>,
): PartSettings {
  const params = Object.entries(definition.params)
  const { labelSmoothing, alpha } = given
  const aux = definition.family === 'pointwise' ? definition.aux : undefined
  const isSoftmax = definition.family === 'softmax'
  return {
    name,
    definition,
    weight,
    p0: paramOf(loss, params[0], given),
    p1: paramOf(loss, params[1], given),
    aux: aux === undefined ? 0 : auxOf(loss, aux.name, given[aux.name], aux.default),
    auxName: aux?.name,
    alpha: isSoftmax ? alphaOf(loss, alpha) : undefined,
    labelSmoothing: isSoftmax ? labelSmoothingOf(loss, labelSmoothing) : 0,
  }
}

/** The scalar parameters of a loss, those of smoothing among them. */
export function numbersOf(
  loss: string,
  params: Readonly<Record<string, Param | WordParam>>,
  given: Readonly<Record<string, unknown>>,
): Numbers {
  const all: Readonly<Record<string, Param | WordParam>> = { smoothNr: smoothing, smoothDr: smoothing, ...params }
  return Object.fromEntries(Object.entries(all).map((entry) => [entry[0], paramOf(loss, entry, given)]))
}

/** Checks the options that do not depend on the arrays. */
export function regionSettings(
  loss: string,
  { params }: RegionDefinition,
  given: Readonly<Record<string, unknown>>,
  activation: Activation,
  regionWeight: number,
  part: PartSettings | undefined,
  normalizers: Readonly<Record<string, number>> = {},
): RegionSettings {
  const { shape, classAxis, weight, mask, ignoreIndex, emptyClass, meanBy = 'count' } = given
  const { reduction, emptyMean, normalizer, validate } = commonSettings(loss, given)
  const sampleWeight = sampleWeightOf(loss, given.sampleWeight)
  if (sampleWeight !== undefined && given.batch === true) {
    throw new RangeError(`${loss}: sampleWeight needs batch: false, since no sample has a value of its own otherwise`)
  }
  const flagOf = (name: string, otherwise: boolean) => {
    return given[name] === undefined ? otherwise : flag(loss, name, given[name])
  }
  const numbers = numbersOf(loss, params, given)
  return {
    reduction,
    emptyMean,
    normalizer,
    validate,
    shape: shape === undefined ? undefined : shapeOf(loss, 'shape', shape),
    classAxis: classAxis === null ? null : classAxisOf(loss, classAxis, '1, -1 or null'),
    activation,
    numbers,
    unsmoothed: numbers.smoothDr < SMALL,
    squared: flagOf('squaredPred', false),
    batch: flagOf('batch', false),
    includeBackground: flagOf('includeBackground', true),
    weight: weight === undefined ? undefined : smallWeights(loss, 'weight', weight),
    sampleWeight,
    meanBy: meanByOf(loss, meanBy, reduction, normalizer),
    mask: maskOf(loss, mask),
    ignored: ignoreIndex === undefined ? undefined : ignoredOf(loss, ignoreIndex),
    emptyClass: emptyClass === undefined ? undefined : word(loss, 'emptyClass', emptyClass, ['zero', 'skip'] as const),
    regionWeight,
    part,
    normalizers,
  }
}
