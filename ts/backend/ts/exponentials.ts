/**
 * The exponentials of a position, which all losses of a softmax have in common.
 *
 * A position has its scores `step` apart, from `first` to before `last`. The loops over them are one after the other: the largest score,
 * e^z with Σ e^z in the order of the classes, and the sum without the largest class, which is added up anew where that is nearly
 * certain, since a difference would have lost it.
 */

import { exp } from '../../math.js'

// Of one position, by class: e^((x − max)/T), and its target times the slope or, of a teacher, e^z too.
let scratch = { exps: new Float64Array(0), targetSlopes: new Float64Array(0) }

/** Memory for so many classes. */
export function scratchOf(classes: number): typeof scratch {
  if (scratch.exps.length !== classes) {
    scratch = { exps: new Float64Array(classes), targetSlopes: new Float64Array(classes) }
  }
  return scratch
}

/** Below it a sum of exponentials, of which the largest is 1, has lost too much of the others: see {@link restOf}. */
export const CERTAIN = 1 + 2 ** -16

/** Writes e^((x − max) · sharpness) of a position into `exps`; their sum. Divisions are slow, so callers multiply. */
export function exponentials(
  x: Float32Array,
  first: number,
  last: number,
  step: number,
  max: number,
  sharpness: number,
  exps: Float64Array,
): number {
  let sum = 0
  for (let i = first, c = 0; i < last; i += step, c++) {
    const e = exp((x[i] - max) * sharpness)
    exps[c] = e
    sum += e
  }
  return sum
}

/** The sum of the exponentials of a position without the one that is 1, which is nearly certain. */
export function restOf(exps: Float64Array): number {
  let rest = 0
  for (let c = 0; c < exps.length; c++) if (exps[c] !== 1) rest += exps[c]
  return rest
}

/** The largest score of a position. */
export function largest(x: Float32Array, first: number, last: number, step: number): number {
  let max = -Infinity
  for (let i = first; i < last; i += step) if (x[i] > max) max = x[i]
  return max
}

/** The smallest denominators make even a double ∞. */
export const bounded = (scale: number) => Math.max(-Number.MAX_VALUE, Math.min(scale, Number.MAX_VALUE))
