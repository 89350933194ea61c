/** Arrays for the sums and the coefficients of planes. */

import { PLANE } from '../../call/region.js'

// Numbers of a few planes stay from call to call: to make an array for them takes longer than a small plane.
const FEW = 1024 * PLANE
let sums = new Float64Array(0)
let coefficients = new Float32Array(0)

/** Zeros for the sums of as many planes. */
export function scratchSums(length: number): Float64Array {
  if (sums.length === length) return sums.fill(0)
  const made = new Float64Array(length)
  if (length <= FEW) sums = made
  return made
}

/** Room for the coefficients of as many planes, whatever it holds. */
export function scratchCoefficients(length: number): Float32Array {
  if (coefficients.length === length) return coefficients
  const made = new Float32Array(length)
  if (length <= FEW) coefficients = made
  return made
}
