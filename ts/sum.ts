/**
 * The one order of summation: lane j takes the elements ≡ j mod 16 of a block, the lanes fold 16 → 8 → 4 → 2 → 1 in
 * single precision, and block sums add in double precision. The same numbers stand in `crate/core/src/sum.rs`.
 */

const { fround } = Math

/** Elements of one block. */
export const BLOCK = 1024

/** Lanes of the virtual vector. A Float32Array rounds each sum to single precision as it is stored. */
export const LANES = 16

/** Sum of the 16 lanes, which it uses up. */
export function fold(lanes: Float32Array): number {
  for (let half = LANES >> 1; half > 0; half >>= 1) {
    for (let j = 0; j < half; j++) lanes[j] += lanes[j + half]
  }
  return lanes[0]
}

/** Scores of a row that is a block of its own. */
const LONG = 4096

/** Positions of a sample whose losses make one block. */
export function positionsOfBlock(classes: number, last: boolean): number {
  if (last && classes >= LONG) return 1
  return Math.max(LANES, 2 ** Math.ceil(Math.log2(Math.floor(BLOCK / classes))))
}

const lanes = new Float32Array(LANES)

/** Sum of the first values of a block; those after them are lost. Four lanes at a time: the loop around them costs more than they. */
export function total(values: Float32Array, count: number): number {
  values.fill(0, count, count + LANES)
  for (let j = 0; j < LANES; j += 4) {
    let [a, b, c, d] = [0, 0, 0, 0]
    for (let i = j; i < count; i += LANES) {
      a = fround(a + values[i])
      b = fround(b + values[i + 1])
      c = fround(c + values[i + 2])
      d = fround(d + values[i + 3])
    }
    lanes[j] = a
    lanes[j + 1] = b
    lanes[j + 2] = c
    lanes[j + 3] = d
  }
  return fold(lanes)
}
