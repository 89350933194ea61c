/** A call of a loss of planes: the checks of its arrays, the two passes of the backend, the reduction. */

import { backendFor } from '../../backend/load.js'
import { tsBackend } from '../../backend/ts/index.js'
import { gradientPass, PLANE, type RegionArrays, sumsPass } from '../../call/region.js'
import { agreedShape, float32Of, floatTensor, gradBuffer } from '../../check.js'
import type { Result } from '../inside.js'
import {
  accumulates,
  addTo,
  arrayGradOutput,
  checkMeanBy,
  denominatorOf,
  emptyResult,
  type Family,
  result,
  scalarGradOutput,
  separateCall,
  targetGradBuffer,
  valuesBuffer,
  writtenTargetGrad,
} from '../loss.js'
import { checkClassWeight } from '../positions.js'
import type { Activation, RegionDefinition } from './definition.js'
import { coefficientsInDouble, fillCoefficients, LARGE, writeTargetGradient } from './gradient.js'
import { joinClasses } from './joint.js'
import { assertPart, callOf, partCount } from './part.js'
import { scratchCoefficients, scratchSums } from './scratch.js'
import type { RegionSettings } from './settings.js'
import { addSamples, assertSums, needsDoublePrecision, reducePlanes } from './sums.js'
import { assertRanges, regionAxis, targetOf } from './target.js'

/**
 * The run of a loss of planes: `choices` are the activations it has, and with `foreground` its part leaves the background out where
 * the region does.
 */
export function runOf(
  loss: string,
  definition: RegionDefinition,
  choices: readonly Activation[],
  foreground = false,
): Family<RegionSettings>['run'] {
  return function run(wanted, input, target, settings, buffers): Result {
    const { data: x, shape: inputShape } = floatTensor(loss, 'input', input)
    // As in `pointwise.ts`, functions are called where a call has what they are for.
    const hasShape = settings.shape !== undefined || inputShape !== undefined
    const shape = hasShape ? agreedShape(loss, settings.shape, inputShape, x.length) : undefined
    const axis = regionAxis(loss, x.length, shape, settings.classAxis)
    const { samples, classes, positions } = axis
    const { weight, sampleWeight, includeBackground, part } = settings
    const isJoint = definition.joint !== undefined
    // Weights of classes that have one value together are none of values.
    if (settings.meanBy === 'weight') {
      if (isJoint) checkMeanBy(loss, settings.meanBy, 'a sampleWeight', sampleWeight)
      else checkMeanBy(loss, settings.meanBy, 'a weight or a sampleWeight', weight, sampleWeight)
    }
    const count = samples * positions
    if (weight !== undefined && count > 0) checkClassWeight(loss, 'weight', weight, classes)
    if (!includeBackground && classes < 2 && count > 0) {
      throw new RangeError(`${loss}: includeBackground: false needs at least two classes, got ${classes}`)
    }
    if (part !== undefined && count > 0) assertPart(loss, part, classes)
    if (sampleWeight !== undefined && count > 0) float32Of(loss, 'sampleWeight', samples, sampleWeight)
    const given = targetOf(loss, target, x.length, axis, shape, settings)
    if (settings.activation === 'softmax' && classes < 2 && count > 0) throw softmaxOfOneClass(loss, shape, choices)

    const rows = settings.batch ? 1 : samples
    const firstClass = includeBackground ? 0 : 1
    const values = isJoint ? rows : rows * (classes - firstClass)
    const scalar = scalarGradOutput(loss, buffers.gradOutput)
    const isArray = typeof buffers.gradOutput === 'object'
    const gradOutput = isArray ? arrayGradOutput(loss, buffers.gradOutput, settings, values) : undefined
    const grad = wanted.grad ? gradBuffer(loss, buffers.grad, x.length) : undefined
    const hasValues = settings.reduction === 'none' || buffers.out !== undefined
    const out = hasValues ? valuesBuffer(loss, buffers.out, wanted, settings, values) : undefined
    const hasOther = buffers.targetGrad !== undefined
    const targetGrad = hasOther ? targetGradBuffer(loss, wanted, x.length, buffers.targetGrad) : undefined
    if (targetGrad !== undefined && given.values === undefined) {
      throw new TypeError(`${loss}: targetGrad needs a target with a value per score, got class indices`)
    }
    const accumulate = accumulates(loss, buffers, wanted)
    separateCall(loss, { grad, out, targetGrad }, x, given.array, settings, buffers, accumulate)
    if (settings.validate) assertRanges(loss, x, given, axis, settings.activation)
    if (wanted.dry) return result(Number.NaN, grad, Number.NaN, targetGrad)
    if (x.length === 0) {
      const nothing = emptyResult(settings, out, grad, accumulate, settings.normalizer ?? 0, targetGrad)
      if (part === undefined) return nothing
      const ofParts = (value: number) => ({ [part.name]: value, dice: value })
      const { value } = nothing
      return { value, grad, parts: ofParts(value as number), denominators: ofParts(0) }
    }

    const call = callOf(loss, x, given, axis, settings, foreground)
    const sums = scratchSums(samples * classes * PLANE)
    const { unsmoothed } = settings
    // What depends on the denominator even where no target is.
    const dividesEmpty = unsmoothed && (settings.numbers.smoothNr > 0 || targetGrad !== undefined)
    // The gradient's buffer holds the sigmoids meanwhile, so that they are computed once. They are at least 2^−126 there, which
    // shows where nothing else is in the denominator.
    const isSigmoid = part === undefined && settings.activation === 'sigmoid'
    const keepsSigmoids = grad !== undefined && !accumulate && isSigmoid && !dividesEmpty
    let kernels = backendFor('region', x.length)
    let partSum = kernels.run(sumsPass(call, sums, keepsSigmoids ? grad : undefined))
    if (settings.activation === 'none') assertSums(loss, sums, settings)
    if (settings.batch) addSamples(sums, samples, classes)
    const rest: RegionArrays = keepsSigmoids ? { ...call, x: grad, activation: 'kept' } : call
    if ((unsmoothed || isJoint) && needsDoublePrecision(definition, settings, sums, rows, classes, dividesEmpty)) {
      kernels = tsBackend
      partSum = kernels.run(sumsPass(rest, sums.fill(0), undefined))
      if (settings.batch) addSamples(sums, samples, classes)
    }
    const joint = isJoint
      ? joinClasses(definition, settings, sums, rows, classes, given.values === undefined)
      : undefined
    const { total, counted } = reducePlanes(definition, settings, sums, joint, rows, classes, out)
    const denominator = denominatorOf(settings, settings.normalizers.dice ?? counted)
    const reported = settings.reduction === 'mean' ? denominator : counted
    const nothing = settings.emptyMean === 'nan' ? Number.NaN : 0
    const regionValue = denominator === 0 ? nothing : total / denominator
    const partCounted = part === undefined ? 1 : partCount(loss, given, axis, settings, foreground)
    const partDenominator = denominatorOf(settings, settings.normalizers[part?.name ?? ''] ?? partCounted)
    if (grad !== undefined) {
      const factor = denominator === 0 ? 0 : (scalar * settings.regionWeight) / denominator
      const scale = part === undefined || partDenominator === 0 ? 0 : (scalar * part.weight) / partDenominator
      const planes = { definition, settings, sums, joint, rows, axis, factor, gradOutput }
      const coefficients = scratchCoefficients(sums.length)
      // Before the other gradient, which may be written over what both are computed from.
      const written = writtenTargetGrad(targetGrad, buffers, accumulate)
      if (written !== undefined) writeTargetGradient(kernels, rest, planes, coefficients, written)
      const fits = fillCoefficients(coefficients, planes, false) && !(Math.abs(scale) > LARGE)
      if (fits) kernels.run(gradientPass(rest, coefficients, scale, grad, accumulate))
      else tsBackend.run(gradientPass(rest, coefficientsInDouble(planes, false), scale, grad, accumulate))
      addTo(targetGrad, written)
    }
    if (part === undefined) return result(out ?? regionValue, grad, reported, targetGrad)
    const partValue = partDenominator === 0 ? nothing : partSum / partDenominator
    const value = settings.regionWeight * regionValue + part.weight * partValue
    const ofPart = settings.reduction === 'mean' ? partDenominator : partCounted
    return {
      value,
      grad,
      parts: { [part.name]: partValue, dice: regionValue },
      denominators: { [part.name]: ofPart, dice: reported },
    }
  }
}

/** A softmax over one class: its gradient would be 0 everywhere. */
function softmaxOfOneClass(
  loss: string,
  shape: readonly number[] | undefined,
  choices: readonly Activation[],
): RangeError {
  const other = choices.includes('sigmoid') ? "the activation 'sigmoid'" : "bceDice, which has a 'sigmoid'"
  const missing = shape === undefined ? 'give shape: [N, C, …], or ' : ''
  const why = 'a softmax needs at least two classes, got 1, whose probability is always 1'
  return new RangeError(`${loss}: ${why}; ${missing}use ${other}`)
}
