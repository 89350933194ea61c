/**
 * Losses of the library that are expressions, each with its value and slopes in double precision: written by hand from the formulas of
 * their documentation, never from the expression.
 */

import * as library from '../../ts/index.js'
import { normal } from '../data.js'
import { type AnyLoss, loosely } from './losses.js'

type Random = () => number
/** The value of one row, then its slopes by all numbers of all inputs. */
export type Row = readonly [value: number, slopes: readonly number[]]

export interface LibraryCase {
  readonly loss: AnyLoss
  /** How many numbers of a row each input has. */
  readonly columns: readonly number[]
  /** What to ask for beside `grad`, in the order of the other inputs; undefined where there is no gradient by one. */
  readonly gradNames: readonly (string | undefined)[]
  /** Whether all backends have the same bits. */
  readonly exact: boolean
  /** Options to run with. */
  readonly options: readonly Readonly<Record<string, unknown>>[]
  /** Numbers of a row that has no kink near them. */
  draw(random: Random, options: Readonly<Record<string, unknown>>): number[]
  /** The loss of one row in double precision; what the gradient takes for a constant is that of `at`. */
  row(numbers: readonly number[], options: Readonly<Record<string, unknown>>, at?: readonly number[]): Row
  /** What may be lost, in units of the last place of the value and of the slopes. */
  readonly ulps: number
  /** What is lost of a result that is a difference of larger numbers, in parts of 1. */
  readonly cancelled?: number
}

const { fround } = Math
/** ln Γ(15) − ln Γ(15.5) + ½·ln 30π: Γ(15) is 14!, and Γ(15.5) is √π·(1/2)(3/2)…(29/2). */
const CONSTANT_OF_30 =
  Array.from({ length: 14 }, (_, k) => Math.log(k + 1)).reduce((sum, log) => sum + log) -
  Array.from({ length: 15 }, (_, k) => Math.log(k + 0.5)).reduce((sum, log) => sum + log) -
  0.5 * Math.log(Math.PI) +
  0.5 * Math.log(30 * Math.PI)
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x))
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
const number = (options: Readonly<Record<string, unknown>>, name: string, standard: number) =>
  fround((options[name] as number | undefined) ?? standard)

/** x and t that are not too near each other, for losses with a kink there. */
function apart(random: Random, scale: number): number[] {
  const t = normal(random, scale)
  const d = normal(random, scale)
  return [t + d + 0.02 * scale * Math.sign(d), t]
}
const symmetric = (value: number, slope: number): Row => [value, [slope, -slope]]
const both = { columns: [1, 1], gradNames: [undefined, 'targetGrad'] }

const of = (loss: unknown, more: Omit<LibraryCase, 'loss' | 'columns' | 'gradNames'> & Partial<LibraryCase>) => ({
  ...both,
  ...more,
  loss: loosely(loss),
})

const regression: readonly LibraryCase[] = [
  of(library.logCosh, {
    exact: false,
    options: [{}],
    ulps: 6,
    draw: (random) => apart(random, 10 ** (2 * random() - 1)),
    row([x, t]) {
      const d = x - t
      const a = Math.abs(d)
      // The series where the closed form would cancel in double precision too.
      const value = a < 0.05 ? d ** 2 / 2 - d ** 4 / 12 + d ** 6 / 45 : a + Math.log1p(Math.exp(-2 * a)) - Math.LN2
      return symmetric(value, Math.tanh(d))
    },
  }),
  of(library.quantile, {
    exact: true,
    options: [{}, { q: 0.9 }, { q: 0.01 }],
    ulps: 3,
    draw: (random) => apart(random, 3),
    row([x, t], options) {
      const q = number(options, 'q', 0.5)
      const e = t - x
      return symmetric(Math.max(q * e, (q - 1) * e), e > 0 ? -q : 1 - q)
    },
  }),
  of(library.expectile, {
    exact: true,
    options: [{}, { tau: 0.9 }, { tau: 0.01 }],
    ulps: 4,
    draw: (random) => apart(random, 3),
    row([x, t], options) {
      const tau = number(options, 'tau', 0.5)
      const e = t - x
      const w = e > 0 ? tau : 1 - tau
      return symmetric(w * e ** 2, -2 * w * e)
    },
  }),
  of(library.msle, {
    exact: false,
    options: [{}, { eps: 0 }, { eps: 0.5 }],
    ulps: 8,
    draw(random, { eps = 0 }) {
      const one = () => (eps as number) + 0.01 + 5 * random() ** 3
      // Some below the least number that counts.
      return [random() < 0.1 ? -1 : one(), random() < 0.1 ? -2 : one()]
    },
    row([x, t], options) {
      const eps = number(options, 'eps', 1e-7)
      const l = Math.log1p(Math.max(x, eps)) - Math.log1p(Math.max(t, eps))
      return [l ** 2, [x < eps ? 0 : (2 * l) / (1 + x), t < eps ? 0 : (-2 * l) / (1 + t)]]
    },
  }),
  of(library.mape, {
    exact: true,
    options: [{}, { eps: 0.5 }, { eps: 1e-30 }],
    ulps: 5,
    draw(random, { eps = 0 }) {
      const [x, t] = apart(random, 3)
      return Math.abs(Math.abs(t) - (eps as number)) < 0.01 ? [x + 0.1, t + 0.05] : [x, t]
    },
    row([x, t], options) {
      const eps = number(options, 'eps', 1e-7)
      const [d, m] = [x - t, Math.max(Math.abs(t), eps)]
      const slope = (100 * Math.sign(d)) / m
      const byTarget = Math.abs(t) >= eps ? (-100 * Math.sign(d) * x) / (t * m) : -slope
      return [(100 * Math.abs(d)) / m, [slope, byTarget]]
    },
  }),
  of(library.smape, {
    exact: true,
    options: [{}, { eps: 2 }, { eps: 1e-30 }],
    ulps: 8,
    draw(random, { eps = 0 }) {
      const [x, t] = apart(random, 3)
      return Math.abs(Math.abs(x) + Math.abs(t) - (eps as number)) < 0.05 ? [x + 0.2, t + 0.1] : [x, t]
    },
    row([x, t], options) {
      const eps = number(options, 'eps', 1e-7)
      const [d, s] = [x - t, Math.abs(x) + Math.abs(t)]
      const m = Math.max(s, eps)
      const turn = (z: number) => (s >= eps ? (Math.abs(d) * Math.sign(z)) / m : 0)
      // In double precision the rule of the quotient leaves digits enough, but for what is exactly 0.
      const clean = (slope: number) => (Math.abs(slope) < 1e-12 / m ? 0 : slope)
      const byInput = clean((200 * (Math.sign(d) - turn(x))) / m)
      return [(200 * Math.abs(d)) / m, [byInput, clean((200 * (-Math.sign(d) - turn(t))) / m)]]
    },
  }),
  of(library.charbonnier, {
    exact: true,
    options: [{}, { eps: 3 }, { eps: 1e-18 }],
    ulps: 4,
    draw: (random) => apart(random, 10 ** (2 * random() - 1)),
    row([x, t], options) {
      const r = Math.hypot(x - t, number(options, 'eps', 1e-3))
      return symmetric(r, (x - t) / r)
    },
  }),
  of(library.wing, {
    exact: false,
    options: [{}, { width: 0.5, curvature: 3 }, { width: 5, curvature: 0.5 }],
    ulps: 6,
    draw(random, { width = 10 }) {
      const [x, t] = apart(random, 8)
      return Math.abs(Math.abs(x - t) - (width as number)) < 0.05 ? [x + 0.2, t] : [x, t]
    },
    row([x, t], options) {
      const [w, e] = [number(options, 'width', 10), number(options, 'curvature', 2)]
      const a = Math.abs(x - t)
      if (a < w) return symmetric(w * Math.log1p(a / e), (Math.sign(x - t) * w) / (e + a))
      return symmetric(a - w + w * Math.log1p(w / e), Math.sign(x - t))
    },
  }),
  of(library.asymmetric, {
    exact: false,
    options: [
      {},
      { clip: 0 },
      { gammaNeg: 0, gammaPos: 0, clip: 0 },
      { gammaNeg: 0, gammaPos: 0 },
      { gammaNeg: 2.3, gammaPos: 0.7, clip: 0.2 },
      { gammaNeg: 0.5, gammaPos: 0.5, clip: 0.01 },
    ],
    ulps: 40,
    // Above the clip the probability less the clip is a difference.
    cancelled: 4e-7,
    draw(random, { clip = 0.05 }) {
      const x = normal(random, 3)
      const kink = clip === 0 ? -100 : Math.log((clip as number) / (1 - (clip as number)))
      return [Math.abs(x - kink) < 0.05 ? x + 0.2 : x, random() < 0.5 ? Number(random() < 0.5) : random()]
    },
    row([x, t], options) {
      const [up, down, m] = [
        number(options, 'gammaNeg', 4),
        number(options, 'gammaPos', 1),
        number(options, 'clip', 0.05),
      ]
      const [p, q] = [sigmoid(x), sigmoid(-x)]
      const r = Math.max(p - m, 0)
      const rest = q + Math.min(p, m)
      const w = m === 0 ? softplus(x) : -Math.log(rest)
      const positive = q ** down * softplus(-x)
      const negative = r ** up * w
      const hard = r === 0 ? 0 : r ** up * ((up * w * p * q) / r + (p * q) / rest)
      const slope = -t * q ** down * (down * p * softplus(-x) + q) + (1 - t) * hard
      return [t * positive + (1 - t) * negative, [slope, positive - negative]]
    },
  }),
]

const heavy: readonly LibraryCase[] = [
  of(library.robust, {
    // As it is by default; a logarithm, which other alphas need, is not.
    exact: true,
    options: [
      {},
      ...[2, 0, -2, -Infinity, 1.5, 0.5, -1, -8, 1e-4, -1e-4, 4].map((alpha) => ({ alpha })),
      { alpha: 1, scale: 0.25 },
      { alpha: 0, scale: 3 },
      { alpha: -Infinity, scale: 3 },
      { alpha: 0.7, scale: 0.25 },
    ],
    // Exponentials enlarge what a logarithm has lost.
    ulps: 24,
    // The exponential of a square has fewer digits the larger that is.
    draw: (random, { alpha }) => apart(random, alpha === -Infinity ? 0.7 : 10 ** (2 * random() - 1)),
    row([x, t], options) {
      const alpha = (options.alpha as number | undefined) ?? 1
      const c = number(options, 'scale', 1)
      const d = x - t
      const z = (d / c) ** 2
      if (alpha === 2) return symmetric(z / 2, d / c ** 2)
      if (alpha === 0) return symmetric(Math.log1p(z / 2), d / c ** 2 / (1 + z / 2))
      if (alpha === -Infinity) return symmetric(-Math.expm1(-z / 2), (d / c ** 2) * Math.exp(-z / 2))
      const b = Math.abs(alpha - 2)
      const log = Math.log1p(z / b)
      return symmetric((b / alpha) * Math.expm1((alpha / 2) * log), (d / c ** 2) * (z / b + 1) ** (alpha / 2 - 1))
    },
  }),
  of(library.studentTNll, {
    columns: [1, 1, 1],
    gradNames: [undefined, 'targetGrad', 'scaleGrad'],
    exact: false,
    options: [{}, { df: 1, full: true }, { df: 0.5 }, { df: 30, full: true }, { df: 2.5, eps: 0.5 }],
    ulps: 12,
    // A sum of logarithms, and one less a square.
    cancelled: 2e-6,
    draw(random, { eps = 0 }) {
      return [...apart(random, 3), (eps as number) + 0.2 + 2 * random()]
    },
    row([x, t, scale], options) {
      const df = (options.df as number | undefined) ?? 3
      const s = Math.max(scale, number(options, 'eps', 1e-6))
      const z = (x - t) / s
      const constant = { 1: Math.log(Math.PI), 30: CONSTANT_OF_30 }[df] ?? 0
      const value = ((df + 1) / 2) * Math.log1p(z ** 2 / df) + Math.log(s) + (options.full ? constant : 0)
      const slope = ((df + 1) * z) / ((df + z ** 2) * s)
      return [value, [slope, -slope, (df * (1 - z ** 2)) / ((df + z ** 2) * s)]]
    },
  }),
]

/** Columns of a box and of its target, whose corners have no coordinate in common; half of them overlap. */
function boxes(random: Random): number[] {
  const box = () => {
    const [x, y] = [3 * random(), 3 * random()]
    return [x, y, x + 0.2 + 2 * random(), y + 0.2 + 2 * random()].map(fround)
  }
  for (;;) {
    const [a, b] = [box(), box()]
    const isNear = a.some((u, k) => [b[k], b[(k + 2) % 4]].some((v) => Math.abs(u - v) < 0.01))
    if (!isNear) return [...a, ...b]
  }
}

/** The areas of the formulas, and how they move with each of the eight coordinates. */
function areas(all: readonly number[]) {
  const corner = (k: number) => all.slice(k, k + 4)
  const [a, b] = [corner(0), corner(4)]
  const inner = [0, 1].map((axis) => Math.min(a[axis + 2], b[axis + 2]) - Math.max(a[axis], b[axis]))
  const hull = [0, 1].map((axis) => Math.max(a[axis + 2], b[axis + 2]) - Math.min(a[axis], b[axis]))
  const side = (box: readonly number[], axis: number) => box[axis + 2] - box[axis]
  const overlaps = inner[0] > 0 && inner[1] > 0
  const I = overlaps ? inner[0] * inner[1] : 0
  const U = side(a, 0) * side(a, 1) + side(b, 0) * side(b, 1) - I
  const moves = all.map((own, k) => {
    const [box, other] = k < 4 ? [a, b] : [b, a]
    const axis = k % 2
    const isLow = k % 4 < 2
    const s = isLow ? -1 : 1
    const across = other[k % 4]
    // Share of the intersection: the larger low corner and the smaller high one move it.
    const i = own === across ? 0.5 : Number(own > across === isLow)
    const dI = overlaps ? s * i * inner[1 - axis] : 0
    const dA = s * side(box, 1 - axis)
    const dC = s * (1 - i)
    return { s, axis, dI, dU: dA - dI, dC, dH: dC * hull[1 - axis], box, sign: k < 4 ? 1 : -1 }
  })
  const centre = [0, 1].map((axis) => (a[axis] + a[axis + 2] - b[axis] - b[axis + 2]) / 2)
  return { a, b, side, I, U, hull, H: hull[0] * hull[1], centre, moves }
}

type Areas = ReturnType<typeof areas>
type Kind = 'iou' | 'giou' | 'diou' | 'ciou'

/** The factor of ciou that counts as a constant. */
function alphaAt(all: readonly number[], eps: number): number {
  const { a, b, side, I, U } = areas(all)
  const v = (4 / Math.PI ** 2) * (Math.atan(side(b, 0) / side(b, 1)) - Math.atan(side(a, 0) / side(a, 1))) ** 2
  return v / (1 - I / (U + eps) + v + eps)
}

function ofBoxes(kind: Kind, all: readonly number[], eps: number, at: readonly number[]): Row {
  const it: Areas = areas(all)
  const { I, U, H, hull, centre, moves } = it
  const miss = 1 - I / (U + eps)
  const slopeOfMiss = ({ dI, dU }: Areas['moves'][number]) => -(dI * (U + eps) - I * dU) / (U + eps) ** 2
  if (kind === 'iou') return [miss, moves.map(slopeOfMiss)]
  if (kind === 'giou') {
    const slope = (move: Areas['moves'][number]) =>
      slopeOfMiss(move) + ((move.dH - move.dU) * (H + eps) - (H - U) * move.dH) / (H + eps) ** 2
    return [miss + (H - U) / (H + eps), moves.map(slope)]
  }
  const D = hull[0] ** 2 + hull[1] ** 2 + eps
  const distance = centre[0] ** 2 + centre[1] ** 2
  const slopeOfDiou = (move: Areas['moves'][number]) => {
    const { axis, sign, dC } = move
    return slopeOfMiss(move) + (sign * centre[axis] * D - 2 * distance * hull[axis] * dC) / D ** 2
  }
  if (kind === 'diou') return [miss + distance / D, moves.map(slopeOfDiou)]
  const angle = (box: readonly number[]) => Math.atan(it.side(box, 0) / it.side(box, 1))
  const turn = angle(it.b) - angle(it.a)
  const v = (4 / Math.PI ** 2) * turn ** 2
  const alpha = alphaAt(at, eps)
  const slope = (move: Areas['moves'][number]) => {
    const [w, h] = [it.side(move.box, 0), it.side(move.box, 1)]
    const part = (move.axis === 0 ? -h : w) / (w ** 2 + h ** 2)
    return slopeOfDiou(move) + alpha * (8 / Math.PI ** 2) * turn * move.s * move.sign * part
  }
  return [miss + distance / D + alpha * v, moves.map(slope)]
}

/** Both boxes of a row, given by their corners, in a format. */
const inFormat = (format: unknown, all: readonly number[]): number[] =>
  [0, 4].flatMap((k) => {
    const [x, y, u, v] = all.slice(k, k + 4)
    if (format === 'xywh') return [x, y, u - x, v - y]
    return format === 'cxcywh' ? [(x + u) / 2, (y + v) / 2, u - x, v - y] : [x, y, u, v]
  })

/** The way back. */
const corners = (format: unknown, all: readonly number[]): readonly number[] =>
  [0, 4].flatMap((k) => {
    const [x, y, w, h] = all.slice(k, k + 4)
    if (format === 'xywh') return [x, y, x + w, y + h]
    return format === 'cxcywh' ? [x - w / 2, y - h / 2, x + w / 2, y + h / 2] : [x, y, w, h]
  })

/** Slopes by corners, as those by the numbers of a format. */
const byFormat = (format: unknown, slopes: readonly number[]): number[] =>
  [0, 4].flatMap((k) => {
    const [x, y, u, v] = slopes.slice(k, k + 4)
    if (format === 'xywh') return [x + u, y + v, u, v]
    return format === 'cxcywh' ? [x + u, y + v, (u - x) / 2, (v - y) / 2] : [x, y, u, v]
  })

const boxLosses = { iou: library.iou, giou: library.giou, diou: library.diou, ciou: library.ciou }
const boxCases = (['iou', 'giou', 'diou', 'ciou'] as const).map(
  (kind): LibraryCase => ({
    loss: loosely(boxLosses[kind]),
    columns: [4, 4],
    gradNames: [undefined, 'targetGrad'],
    exact: kind !== 'ciou',
    options: [{}, { eps: 0.5 }, { format: 'xywh' }, { format: 'cxcywh' }],
    ulps: 8,
    // One less a quotient, and slopes that are sums.
    cancelled: 2e-6,
    draw: (random, { format }) => inFormat(format, boxes(random)),
    row(numbers, options, at = numbers) {
      const { format } = options
      const [value, slopes] = ofBoxes(kind, corners(format, numbers), number(options, 'eps', 1e-7), corners(format, at))
      return [value, byFormat(format, slopes)]
    },
  }),
)

/** All losses of the library that are expressions, of which there is a formula here. */
export const libraryCases: readonly LibraryCase[] = [...regression, ...heavy, ...boxCases]
