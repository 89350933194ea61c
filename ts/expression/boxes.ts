/** What losses of boxes have in common: two boxes per row, each of four columns. */

import { rows } from './inputs.js'
import {
  add,
  atan,
  custom,
  div,
  eq,
  lt,
  max,
  min,
  mul,
  mulsign,
  neg,
  type Operand,
  sign,
  square,
  sub,
  type Value,
  where,
} from './node.js'

/** What the four numbers of a box are: two corners, the low one and the sides, or the centre and the sides. */
export type BoxFormat = 'xyxy' | 'xywh' | 'cxcywh'
const BOX_FORMATS: readonly BoxFormat[] = ['xyxy', 'xywh', 'cxcywh']

/** Of a loss of boxes all but its name and formula. */
export const OF_BOXES = {
  inputs: { input: rows(4), target: rows(4) },
  params: {
    format: { default: 'xyxy', words: BOX_FORMATS },
    eps: { default: 1e-7, expected: 'a number ≥ 0', holds: (eps: number) => eps >= 0, samples: [0.5] },
  },
  draws: { input: 'box', target: 'box' },
} as const

/** The columns of a box. */
type Columns = readonly [Value, Value, Value, Value]

/** The corners of a box along both axes, and its sides, which are negative where the corners are the wrong way round. */
interface Box {
  readonly low: readonly [x: Value, y: Value]
  readonly high: readonly [x: Value, y: Value]
  readonly sides: readonly [width: Value, height: Value]
}

function boxOf(format: BoxFormat, [a, b, c, d]: Columns): Box {
  if (format === 'xyxy') return { low: [a, b], high: [c, d], sides: [sub(c, a), sub(d, b)] }
  if (format === 'xywh') return { low: [a, b], high: [add(a, c), add(b, d)], sides: [c, d] }
  const [halfWidth, halfHeight] = [mul(0.5, c), mul(0.5, d)]
  return { low: [sub(a, halfWidth), sub(b, halfHeight)], high: [add(a, halfWidth), add(b, halfHeight)], sides: [c, d] }
}

/** The smaller and the larger one of two coordinates. */
interface Pair {
  readonly low: Value
  readonly high: Value
  /** a − b */
  readonly apart: Value
}

/**
 * The smaller and the larger one of two. Each of the two has half of the slope at a tie, as in PyTorch: then the gradient of a box that
 * is its target is 0.
 */
function ordered(a: Value, b: Value): Pair {
  const apart = sub(a, b)
  const half = mul(0.5, sign(apart))
  const [more, less] = [add(0.5, half), sub(0.5, half)]
  return { low: custom(min(a, b), [a, less], [b, more]), high: custom(max(a, b), [a, more], [b, less]), apart }
}

/** What two boxes have in common, and what surrounds them. */
export interface Geometry {
  /** Area of the intersection; 0 where the boxes do not overlap in both directions. */
  readonly inner: Value
  /** Area of the union. */
  readonly union: Value
  /** Width and height of the smallest box around both. */
  readonly hull: readonly [width: Value, height: Value]
  /** Squared distance of the centres. */
  readonly distance: Value
  /** Widths and heights of both boxes. */
  readonly sides: readonly [width: Value, height: Value, otherWidth: Value, otherHeight: Value]
}

/** The geometry of two boxes, symmetric in them. */
export function geometryOf(format: BoxFormat, input: Columns, target: Columns): Geometry {
  const [box, other] = [boxOf(format, input), boxOf(format, target)]
  const [left, top] = [ordered(box.low[0], other.low[0]), ordered(box.low[1], other.low[1])]
  const [right, bottom] = [ordered(box.high[0], other.high[0]), ordered(box.high[1], other.high[1])]
  const inner = mul(positive(sub(right.low, left.high)), positive(sub(bottom.low, top.high)))
  return {
    inner,
    union: sub(add(mul(...box.sides), mul(...other.sides)), inner),
    hull: [sub(right.high, left.low), sub(bottom.high, top.low)],
    // Of differences, which have all their digits where the boxes are near each other and far from the origin.
    distance: mul(0.25, add(square(add(left.apart, right.apart)), square(add(top.apart, bottom.apart)))),
    sides: [...box.sides, ...other.sides],
  }
}

/** x where it is positive, otherwise 0; NaN stays NaN. */
const positive = (x: Value): Value => max(x, 0)

/** 1 − the intersection over the union. */
export const missOf = ({ inner, union }: Geometry, eps: Operand): Value => sub(1, div(inner, add(union, eps)))

/** The squared distance of the centres over the squared diagonal of what surrounds both. */
export function separationOf({ distance, hull: [width, height] }: Geometry, eps: Operand): Value {
  return div(distance, add(add(square(width), square(height)), eps))
}

/** atan of width over height of the second box, less that of the first. */
export function turnOf({ sides: [w, h, u, v] }: Geometry): Value {
  // As one angle, which keeps its digits where the two are nearly equal. A box without width and height has none, and 0/0 is 0 here.
  const [product, across, along] = [mul(v, h), sub(mul(u, h), mul(w, v)), add(mul(v, h), mul(u, w))]
  const within = atan(where(eq(across, 0), 0, div(across, along)))
  // Sides of different signs have angles that may be more than a right angle apart, beyond what an atan gives.
  const isBeyond = lt(mul(along, product), 0)
  const turn = add(within, where(isBeyond, mulsign(Math.PI, mul(u, v)), 0))
  const [x, y] = slopesOf(w, h)
  const [z, q] = slopesOf(u, v)
  return custom(turn, [w, neg(x)], [h, neg(y)], [u, z], [v, q])
}

/** The slopes of atan(w/h) by both; 0 where both are 0. */
function slopesOf(w: Value, h: Value): [Value, Value] {
  const size = add(square(w), square(h))
  const divisor = where(eq(size, 0), 1, size)
  return [div(h, divisor), neg(div(w, divisor))]
}
