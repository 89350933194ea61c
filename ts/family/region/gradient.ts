/** The coefficients by which predictions and targets enter the gradients, in the precision that they need. */

import type { Backend } from '../../backend/contract.js'
import { tsBackend } from '../../backend/ts/index.js'
import type { Axis } from '../../call/axis.js'
import { PLANE, type RegionArrays, targetGradientPass } from '../../call/region.js'
import type { RegionDefinition } from './definition.js'
import type { RegionSettings } from './settings.js'
import type { Joint } from './sums.js'
import { isEmpty, ownSums, sumsOfPlane } from './sums.js'

/** The most that numbers of a plane may be in single precision, so that no sum of their products leaves it. */
export const LARGE = 2 ** 100

const NONE = new Float64Array(0)

/** What the gradients of all planes are made of. */
interface PlaneGradients {
  readonly definition: RegionDefinition
  readonly settings: RegionSettings
  readonly sums: Float64Array
  readonly joint: Joint | undefined
  readonly rows: number
  readonly axis: Axis
  readonly factor: number
  readonly gradOutput: Float32Array | undefined
}

/** Writes the numbers by which p and y enter a gradient; whether single precision holds them. */
export function fillCoefficients(
  coefficients: Float32Array | Float64Array,
  { definition, settings, sums, joint, rows, axis, factor, gradOutput }: PlaneGradients,
  byTarget: boolean,
): boolean {
  const { samples, classes } = axis
  const { includeBackground, weight, sampleWeight, squared } = settings
  const numbers = (byTarget && definition.mirrored?.(settings.numbers)) || settings.numbers
  // Of classes with one value for all, many have the very same slope.
  const isShifted = joint !== undefined && settings.activation === 'softmax' && !byTarget
  const ofClasses = isShifted ? new Float64Array(PLANE * classes) : NONE
  let fits = true
  coefficients.fill(0)
  let plane = 0
  for (let row = 0; row < rows; row++) {
    for (let c = includeBackground ? 0 : 1; c < classes; c++, plane++) {
      const at = PLANE * (row * classes + c)
      const ofClass = joint === undefined ? (weight?.[c] ?? 1) : joint.weights[at / PLANE]
      const up = (gradOutput?.[joint === undefined ? plane : row] ?? factor) * ofClass * (sampleWeight?.[row] ?? 1)
      if (up === 0 || isEmpty(settings, sums, at)) continue
      const of = joint === undefined ? at : PLANE * row
      const slope = definition.slope(sumsOfPlane(settings, joint?.sums ?? sums, of, byTarget), numbers, squared)
      const { p, y } = ownSums(settings, sums, at)
      // What a is a factor of may be 0 everywhere: then it need not be more than single precision holds.
      const isUnused = (byTarget ? p : y) === 0 && sums[at + 2] === 0
      const a = isUnused && Math.abs(up * slope[0]) > LARGE ? 0 : up * slope[0]
      const k = up * slope[1]
      const b = up * slope[2]
      if (Math.max(Math.abs(a), Math.abs(k), Math.abs(b)) > LARGE) fits = false
      if (isShifted) {
        ofClasses.set([a, k, b], PLANE * c)
        continue
      }
      for (let sample = row; sample < samples; sample += rows) {
        const to = PLANE * (sample * classes + c)
        coefficients[to] = a
        coefficients[to + 1] = k
        coefficients[to + 2] = b
      }
    }
    if (!isShifted) continue
    shiftCommon(ofClasses)
    for (let sample = row; sample < samples; sample += rows) coefficients.set(ofClasses, PLANE * sample * classes)
    ofClasses.fill(0)
  }
  return fits
}

/**
 * Takes the median b of the classes from every a and b. Through a softmax, p_c·(g_c − Σ g·p), what all g have in common has no effect;
 * but where g is nearly the same for two classes and a third one has hardly any probability, the difference would keep no digit of it.
 */
function shiftCommon(ofClasses: Float64Array): void {
  const slopes = Float64Array.from({ length: ofClasses.length / PLANE }, (_, c) => ofClasses[PLANE * c + 2]).sort()
  const common = slopes[slopes.length >> 1]
  if (!Number.isFinite(common)) return
  for (let at = 0; at < ofClasses.length; at += PLANE) {
    ofClasses[at] -= common
    ofClasses[at + 2] -= common
  }
}

/** The gradient by the target. */
export function writeTargetGradient(
  kernels: Backend,
  call: RegionArrays,
  planes: PlaneGradients,
  coefficients: Float32Array,
  targetGrad: Float32Array,
): void {
  if (fillCoefficients(coefficients, planes, true)) kernels.run(targetGradientPass(call, coefficients, targetGrad))
  else tsBackend.run(targetGradientPass(call, coefficientsInDouble(planes, true), targetGrad))
}

/** The coefficients where single precision does not hold them. */
export function coefficientsInDouble(planes: PlaneGradients, byTarget: boolean): Float64Array {
  const coefficients = new Float64Array(planes.sums.length)
  fillCoefficients(coefficients, planes, byTarget)
  return coefficients
}
