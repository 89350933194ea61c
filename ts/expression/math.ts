/** Functions of one element for the interpreter, with errors far below what a Float32Array keeps. */

import { exp as anyNonpositive, log1p as log1pUnit } from '../math.js'

export { log1pUnit }

/** Below this e^x is no normal number, and the other backends have 0 for it. */
const LEAST = -126.5 * Math.LN2

/** e^x for x ≤ 0; 0 where that is below the normal numbers: what a logarithm of it needs is computed again in double then. */
export function expNonpositive(x: number): number {
  return x < LEAST ? 0 : anyNonpositive(x)
}

/** From here on the reciprocal of a power would leave the table of {@link expNonpositive}. */
const FAR = 120

/** e^x */
export function exp(x: number): number {
  // Sums and selections of both sides would take longer than the rare branch.
  if (x > FAR) return Math.exp(x)
  const e = anyNonpositive(-Math.abs(x))
  return x > 0 ? 1 / e : e
}

/** 1 − e^−|x| of x and e^−|x|, by its series where that would cancel. */
export function oneMinusTail(x: number, e: number): number {
  const a = Math.abs(x)
  return a < 0.35 ? a - a * a * (0.5 - a * (1 / 6 - a * (1 / 24 - a * (1 / 120 - a / 720)))) : 1 - e
}

/** x^y, where a negative x counts as 0; 1 for x = 1 and an infinite y too, as everywhere but in JavaScript. */
export function pow(x: number, y: number): number {
  return Number.isNaN(x) || (x === 1 && Math.abs(y) === Infinity) ? x : Math.max(x, 0) ** y
}
