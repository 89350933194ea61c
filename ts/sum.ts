/**
 * The one order of summation: lane j takes the elements ≡ j mod 16 of a block, by fours as `Fours` in `crate/core/src/sum.rs`
 * says, the lanes fold 16 → 8 → 4 → 2 → 1 in single precision, and block sums add in double precision. The same numbers stand
 * there.
 */

const { fround } = Math

/** Elements of one block. */
export const BLOCK = 1024

/** Lanes of the virtual vector. A Float32Array rounds each sum to single precision as it is stored. */
export const LANES = 16

/** Sum of the 16 lanes, which it uses up. */
function fold(lanes: Float32Array): number {
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
  const positions = Math.floor(BLOCK / classes)
  // Rounded up to a power of two.
  return positions <= LANES ? LANES : 1 << (32 - Math.clz32(positions - 1))
}

const lanes = new Float32Array(LANES)

/** No sum of a four counts in single precision that is as large, so that no sum of a block overflows. */
export const LARGE = 2 ** 117

/** Vectors of a four, and of four of those, in elements. */
export const FOUR = 4 * LANES
const SIXTEEN = 4 * FOUR

/** Whether the sum of a four is {@link LARGE}, ∞ or NaN in some lane: it does not count then, double precision is for it. */
export function isLarge(values: Float32Array, four: number): boolean {
  for (let i = four; i < four + LANES; i++) {
    const sum = fround(fround(fround(values[i] + values[i + 16]) + values[i + 32]) + values[i + 48])
    if (!(Math.abs(sum) < LARGE)) return true
  }
  return false
}

/** Sum of the first values of a block; those after them are lost. Two lanes at a time: their chains of additions overlap. */
export function total(values: Float32Array, count: number): number {
  values.fill(0, count, Math.ceil(count / FOUR) * FOUR)
  for (let j = 0; j < LANES; j += 2) {
    let [a, b] = [0, 0]
    for (let sixteen = j; sixteen < count; sixteen += SIXTEEN) {
      let [c, d] = [0, 0]
      const end = Math.min(sixteen + SIXTEEN, count)
      for (let i = sixteen; i < end; i += FOUR) {
        c = fround(c + fround(fround(fround(values[i] + values[i + 16]) + values[i + 32]) + values[i + 48]))
        d = fround(d + fround(fround(fround(values[i + 1] + values[i + 17]) + values[i + 33]) + values[i + 49]))
      }
      a = fround(a + c)
      b = fround(b + d)
    }
    lanes[j] = a
    lanes[j + 1] = b
  }
  return fold(lanes)
}
