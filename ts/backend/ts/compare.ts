/** Two rows compared, in double precision and in the order of `crate/core/src/family/embedding/compare.rs`. */

import type { Measure } from '../../definition.js'

/** Lanes of the sums: element i of a row belongs to lane i mod 8. */
const WIDTH = 8

/** What comes of two rows x and y. */
export interface Compared {
  value: number
  /**
   * Of a cosine: its derivative by x is `xx`·x + `xy`·y, and that by y `yy`·y + `xy`·x. Of a norm with the differences u: `xx`·φ(u) and
   * −`yy`·φ(u), with its own φ.
   */
  xx: number
  xy: number
  yy: number
  /** Of a norm by powers, what differences are divided by. */
  most: number
}

// The lanes of the sums.
const xxs = new Float64Array(WIDTH)
const xys = new Float64Array(WIDTH)
const yys = new Float64Array(WIDTH)

/** Compares two rows of so many numbers from `first` on. */
export function compare(
  into: Compared,
  measure: Measure,
  x: Float32Array,
  y: Float32Array,
  first: number,
  size: number,
): void {
  if (measure.kind === 'cosine') {
    products(x, y, first, size)
    cosine(into, sumOf(xxs), sumOf(xys), sumOf(yys), measure.least, measure.added)
  } else distance(into, measure.p, measure.kind === 'square', measure.eps, x, y, first, size)
}

/** Of no comparison. */
export function clear(into: Compared): void {
  into.value = 0
  into.xx = 0
  into.xy = 0
  into.yy = 0
  into.most = Infinity
}

function cosine(into: Compared, xx: number, xy: number, yy: number, least: number, added: number): void {
  // NaN of one row shows, though the other is 0.
  if ((Math.sqrt(xx) <= least || Math.sqrt(yy) <= least) && !Number.isNaN(xy)) {
    clear(into)
    return
  }
  const x = xx + added
  const y = yy + added
  const norms = Math.sqrt(x) * Math.sqrt(y)
  const value = Math.max(-1, Math.min(xy / norms, 1))
  into.value = value
  into.xx = -value / x
  into.xy = 1 / norms
  into.yy = -value / y
}

function distance(
  into: Compared,
  p: number,
  isSquare: boolean,
  eps: number,
  x: Float32Array,
  y: Float32Array,
  first: number,
  size: number,
): void {
  clear(into)
  let [value, slope] = [0, 1]
  if (p === 2) {
    squares(x, y, first, size, eps)
    const sum = sumOf(xxs)
    value = isSquare ? sum : Math.sqrt(sum)
    slope = isSquare ? 2 : 1 / value
  } else if (p === 1) value = fold(x, y, first, size, eps, add, add)
  else {
    value = fold(x, y, first, size, eps, Math.max, Math.max)
    if (value > 0 && value < Infinity) {
      const most = value
      into.most = most
      const sum = fold(x, y, first, size, eps, (lane, u) => lane + power(u / most, p), add)
      slope = p === Infinity ? 1 / sum : sum ** (1 / p - 1)
      if (p !== Infinity) value = most * sum ** (1 / p)
    }
  }
  // There is no direction from a row to itself, nor to one at no finite distance.
  if (value === 0) slope = 0
  else if (!(value < Infinity)) slope = Number.NaN
  into.value = value
  into.xx = slope
  into.yy = slope
}

/** The products of two rows, by lanes. Two lanes at a time: their chains of additions overlap. */
function products(x: Float32Array, y: Float32Array, first: number, size: number): void {
  const last = first + size
  for (let j = 0; j < WIDTH; j += 2) {
    let [xxa, xya, yya] = [0, 0, 0]
    let [xxb, xyb, yyb] = [0, 0, 0]
    let i = first + j
    for (; i + 1 < last; i += WIDTH) {
      const xa = x[i]
      const ya = y[i]
      const xb = x[i + 1]
      const yb = y[i + 1]
      xxa += xa * xa
      xya += xa * ya
      yya += ya * ya
      xxb += xb * xb
      xyb += xb * yb
      yyb += yb * yb
    }
    if (i < last) {
      xxa += x[i] * x[i]
      xya += x[i] * y[i]
      yya += y[i] * y[i]
    }
    xxs[j] = xxa
    xys[j] = xya
    yys[j] = yya
    xxs[j + 1] = xxb
    xys[j + 1] = xyb
    yys[j + 1] = yyb
  }
}

/** The squares of the differences of two rows, by lanes, as the products. */
function squares(x: Float32Array, y: Float32Array, first: number, size: number, eps: number): void {
  const last = first + size
  for (let j = 0; j < WIDTH; j += 2) {
    let [a, b] = [0, 0]
    let i = first + j
    for (; i + 1 < last; i += WIDTH) {
      const u = x[i] - y[i] + eps
      const v = x[i + 1] - y[i + 1] + eps
      a += u * u
      b += v * v
    }
    if (i < last) {
      const u = x[i] - y[i] + eps
      a += u * u
    }
    xxs[j] = a
    xxs[j + 1] = b
  }
}

type Two = (a: number, b: number) => number

/** Whatever else is made of the absolute differences of two rows. */
function fold(x: Float32Array, y: Float32Array, first: number, size: number, eps: number, one: Two, all: Two): number {
  xxs.fill(0)
  for (let i = 0; i < size; i++) {
    const lane = i % WIDTH
    xxs[lane] = one(xxs[lane], Math.abs(x[first + i] - y[first + i] + eps))
  }
  return join(xxs, all)
}

/** The sum of all lanes. */
function sumOf(lanes: Float64Array): number {
  for (let half = WIDTH >> 1; half > 0; half >>= 1) for (let j = 0; j < half; j++) lanes[j] += lanes[j + half]
  return lanes[0]
}

/** All lanes in one. */
function join(lanes: Float64Array, two: Two): number {
  for (let half = WIDTH >> 1; half > 0; half >>= 1)
    for (let j = 0; j < half; j++) lanes[j] = two(lanes[j], lanes[j + half])
  return lanes[0]
}

const add: Two = (a, b) => a + b

/** xᵖ for x in [0, 1] */
export function power(x: number, p: number): number {
  return p === Infinity ? Number(x === 1) : x ** p
}
