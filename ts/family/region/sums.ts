/** The sums of planes: what they say of the input, which precision they need, and the values of the loss. */

import { PLANE } from '../../call/region.js'
import type { RegionDefinition, Sums } from './definition.js'
import { type RegionSettings, SMALL } from './settings.js'
import { forLogits } from './target.js'

/** Products of so little may have lost what single precision does not hold, as sums of {@link SMALL} may. */
const SMALL_PRODUCT = 1e-30

/** The classes of each row as one plane. */
export interface Joint {
  /** Weight of each class of each row, as it enters the sums. */
  readonly weights: Float64Array
  /** Sums of each row. */
  readonly sums: Float64Array
}

/**
 * Whether what single precision does not hold of a plane shows, since nothing more is added to the denominator: then all of the
 * call is computed in double precision. Where there is no target it shows only if the call divides by the denominator of such a
 * plane all the same, as `dividesEmpty` says, or where nothing at all is left. Never of hard masks and predictions, whose sums are 0
 * or large. The weights of a joint loss lift a small target over any smoothing.
 */
export function needsDoublePrecision(
  definition: RegionDefinition,
  settings: RegionSettings,
  sums: Float64Array,
  rows: number,
  classes: number,
  dividesEmpty: boolean,
): boolean {
  const { includeBackground, numbers, unsmoothed } = settings
  for (let row = 0; row < rows; row++) {
    for (let c = includeBackground ? 0 : 1; c < classes; c++) {
      const at = PLANE * (row * classes + c)
      const { p, y } = ownSums(settings, sums, at)
      if (!unsmoothed && !(y > 0 && y < SMALL)) continue
      if (sums[at + 2] >= SMALL_PRODUCT || isEmpty(settings, sums, at)) continue
      if (p + y < SMALL && (y > 0 || dividesEmpty)) return true
      if (p > 0 && y > 0 && p * y < SMALL_PRODUCT) return true
      if (Number.isFinite(p + y) && !Number.isFinite(definition.value(sumsOfPlane(settings, sums, at), numbers)))
        return true
    }
  }
  return false
}

/** Whether a plane has a value of 0 because it has no target. */
export function isEmpty(settings: RegionSettings, sums: Float64Array, at: number): boolean {
  return settings.emptyClass !== undefined && ownSums(settings, sums, at).y === 0
}

/** What a loss is given of a plane; with `swapped`, p and y in each other's place. */
export function sumsOfPlane({ squared }: RegionSettings, sums: Float64Array, at: number, swapped = false): Sums {
  const tp = sums[at + 2]
  if (squared) return { tp, fp: sums[at], fn: 0 }
  return swapped ? { tp, fp: sums[at + 1], fn: sums[at] } : { tp, fp: sums[at], fn: sums[at + 1] }
}

/** Σ p and Σ y of a plane, or Σ p² and Σ y². That of p² may have lost what is small beside the other. */
export function ownSums({ squared }: RegionSettings, sums: Float64Array, at: number): { p: number; y: number } {
  const both = sums[at + 2]
  if (squared) return { p: Math.max(0, sums[at] + 2 * both - sums[at + 1]), y: sums[at + 1] }
  return { p: sums[at] + both, y: sums[at + 1] + both }
}

/** Sum of the values of the planes, or of the rows of a joint loss, how many count, and each into `out`, where it is given. */
export function reducePlanes(
  definition: RegionDefinition,
  settings: RegionSettings,
  planes: Float64Array,
  joint: Joint | undefined,
  rows: number,
  classes: number,
  out: Float32Array | undefined,
): { total: number; counted: number } {
  const { includeBackground, sampleWeight, numbers, emptyClass, meanBy } = settings
  const sums = joint?.sums ?? planes
  const first = joint === undefined && !includeBackground ? 1 : 0
  const end = joint === undefined ? classes : 1
  const weight = joint === undefined ? settings.weight : undefined
  let total = 0
  let counted = 0
  let plane = 0
  for (let row = 0; row < rows; row++) {
    for (let c = first; c < end; c++, plane++) {
      const at = PLANE * (row * end + c)
      const empty = isEmpty(settings, sums, at)
      const unweighted = empty ? 0 : definition.value(sumsOfPlane(settings, sums, at), numbers)
      const factor = (weight?.[c] ?? 1) * (sampleWeight?.[row] ?? 1)
      const value = factor === 1 ? unweighted : factor * unweighted
      if (!empty || emptyClass === 'zero') counted += meanBy === 'weight' ? factor : 1
      if (out !== undefined) out[plane] = value
      total += value
    }
  }
  return { total, counted }
}

/** Refuses sums that no probabilities in [0, 1] have: a look at three numbers of each plane, where one at each score costs a pass. */
export function assertSums(loss: string, sums: Float64Array, settings: RegionSettings): void {
  for (let at = 0; at < sums.length; at += PLANE) {
    const py = sums[at + 2]
    const { p, y } = ownSums(settings, sums, at)
    const beyond = !settings.squared && py > 1.00001 * y + 1e-6
    if (!(p < 0 || py < 0 || beyond)) continue
    const got = `Σ input·target = ${py} for Σ input = ${p} and Σ target = ${y}`
    throw new RangeError(
      `${loss}: input and target must be in [0, 1] with the activation 'none', got ${got}; ${forLogits}`,
    )
  }
}

/** Adds the sums of all samples into those of the first. */
export function addSamples(sums: Float64Array, samples: number, classes: number): void {
  for (let sample = 1; sample < samples; sample++) {
    for (let i = 0; i < PLANE * classes; i++) sums[i] += sums[PLANE * classes * sample + i]
  }
}
