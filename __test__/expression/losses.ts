/** Losses as users write them, each with its formula in double precision and numbers that it is for. */

import * as e from '../../ts/expression/index.js'
import { normal } from '../data.js'

const { abs, add, clamp, custom, div, exp, le, log, log1p, logSigmoid, lt, max, min, mul, neg, pow, sigmoid } = e
const { defineLoss, fixed, fixedRows, input, rows, softplus, sqrt, square, sub, tanh, where, xlogy } = e

type Draw = (random: () => number) => number

const real: Draw = (random) => normal(random, 2)
const binary: Draw = (random) => Number(random() < 0.5)
const soft: Draw = (random) => random()
const side: Draw = (random) => (random() < 0.5 ? 1 : -1)
const positive: Draw = (random) => 0.1 + 2 * random()
const count: Draw = (random) => Math.floor(random() * 10)
const logp: Draw = (random) => normal(random, 0.4) - 2

/** A loss that can be called with any arguments. */
export interface AnyLoss {
  (...args: unknown[]): number | Float32Array
  backward(...args: unknown[]): Float32Array
  valueAndGrad(...args: unknown[]): { value: number | Float32Array; grad: Float32Array; [name: string]: unknown }
  with(options: unknown): AnyLoss
  explain(options?: unknown): string
  readonly name: string
}
/** The same loss with looser types. */
export const loosely = (loss: unknown) => loss as AnyLoss

export interface Case {
  readonly loss: AnyLoss
  readonly columns: readonly number[]
  /** Numbers of the inputs that have a gradient. */
  readonly grads: readonly number[]
  readonly draws: readonly Draw[]
  /** Whether all backends have the same bits. */
  readonly exact: boolean
  /** The loss of one row, of all numbers of all inputs and the default parameters. */
  formula(...numbers: number[]): number
}

const sigmoidOf = (x: number) => 1 / (1 + Math.exp(-x))
const softplusOf = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))
const bce = (x: e.Value, t: e.Value) => neg(add(mul(t, logSigmoid(x)), mul(sub(1, t), logSigmoid(neg(x)))))
const bceOf = (x: number, t: number) => t * softplusOf(-x) + (1 - t) * softplusOf(x)

export const mse = defineLoss({
  name: 'mse',
  inputs: { input, target: input },
  loss: ({ input, target }) => square(sub(input, target)),
})

export const huber = defineLoss({
  name: 'huber',
  inputs: { input, target: input },
  params: { delta: { default: 1, expected: 'a number > 0', holds: (delta) => delta > 0 } },
  loss({ input, target }, { delta }) {
    const difference = sub(input, target)
    const size = abs(difference)
    return where(le(size, delta), mul(0.5, square(difference)), mul(delta, sub(size, mul(0.5, delta))))
  },
})

export const bceWithLogits = defineLoss({
  name: 'bceWithLogits',
  inputs: { input, target: input },
  loss: ({ input, target }) => bce(input, target),
})

export const sigmoidFocal = defineLoss({
  name: 'sigmoidFocal',
  inputs: { input, target: fixed },
  params: { alpha: 0.25, gamma: { default: 2, expected: 'a number ≥ 0', holds: (gamma) => gamma >= 0 } },
  loss({ input, target }, { alpha, gamma }) {
    const miss = add(mul(target, sigmoid(neg(input))), mul(sub(1, target), sigmoid(input)))
    const balance = add(mul(alpha, target), mul(sub(1, alpha), sub(1, target)))
    return mul(balance, mul(pow(miss, gamma), bce(input, target)))
  },
})

/** ln cosh, near 0 by way of tanh since the other form cancels; its derivative is tanh and not that of the branches. */
export const logCosh = defineLoss({
  name: 'logCosh',
  inputs: { input, target: fixed },
  loss({ input, target }) {
    const x = sub(input, target)
    const t = tanh(x)
    const size = abs(x)
    const near = mul(-0.5, log1p(neg(square(t))))
    const far = sub(add(size, softplus(mul(-2, size))), Math.LN2)
    return custom(where(lt(size, 1), near, far), [x, t])
  },
})

export const quantile = defineLoss({
  name: 'quantile',
  inputs: { input, target: fixed },
  params: { q: 0.9 },
  loss({ input, target }, { q }) {
    const rest = sub(target, input)
    return max(mul(q, rest), mul(sub(q, 1), rest))
  },
})

export const poissonNll = defineLoss({
  name: 'poissonNll',
  inputs: { input, target: fixed },
  loss: ({ input, target }) => sub(exp(input), mul(target, input)),
})

export const gaussianNll = defineLoss({
  name: 'gaussianNll',
  inputs: { mean: input, variance: input, target: fixed },
  params: { eps: 1e-6 },
  loss({ mean, variance, target }, { eps }) {
    const v = max(variance, eps)
    return mul(0.5, add(log(v), div(square(sub(mean, target)), v)))
  },
})

export const hinge = defineLoss({
  name: 'hinge',
  inputs: { input, target: fixed },
  params: { margin: 1 },
  loss: ({ input, target }, { margin }) => max(0, sub(margin, mul(target, input))),
})

export const softMargin = defineLoss({
  name: 'softMargin',
  inputs: { input, target: fixed },
  loss: ({ input, target }) => softplus(neg(mul(target, input))),
})

/** γ₊ = 1, γ₋ = 4 and a shift of 0.05, as published. */
export const asymmetric = defineLoss({
  name: 'asymmetric',
  inputs: { input, target: fixed },
  params: { shift: 0.05 },
  loss({ input, target }, { shift }) {
    const p = sigmoid(input)
    const q = sigmoid(neg(input))
    const easy = mul(target, mul(q, logSigmoid(input)))
    const m = max(sub(p, shift), 0)
    const hard = mul(sub(1, target), mul(pow(m, 4), log(min(1, add(q, shift)))))
    return neg(add(easy, hard))
  },
})

export const ppo = defineLoss({
  name: 'ppo',
  inputs: { logp: input, oldLogp: fixed, advantage: fixed },
  params: { clip: { default: 0.2, expected: 'a number in (0, 1)', holds: (clip) => clip > 0 && clip < 1 } },
  loss({ logp, oldLogp, advantage }, { clip }) {
    const ratio = exp(sub(logp, oldLogp))
    return neg(min(mul(ratio, advantage), mul(clamp(ratio, sub(1, clip), add(1, clip)), advantage)))
  },
})

export const entropy = defineLoss({
  name: 'entropy',
  inputs: { p: input },
  loss: ({ p }) => neg(add(xlogy(p, p), xlogy(sub(1, p), sub(1, p)))),
})

export const tripletMargin = defineLoss({
  name: 'tripletMargin',
  inputs: { anchor: rows(3), positive: rows(3), negative: rows(3) },
  params: { margin: 1 },
  loss({ anchor, positive, negative }, { margin }) {
    const distance = (a: readonly e.Value[], b: readonly e.Value[]) =>
      sqrt(a.map((x, column) => square(sub(x, b[column]))).reduce(add))
    return max(sub(add(distance(anchor, positive), margin), distance(anchor, negative)), 0)
  },
})

export const giou = defineLoss({
  name: 'giou',
  inputs: { boxes: rows(4), target: fixedRows(4) },
  params: { eps: 1e-7 },
  loss({ boxes: [x0, y0, x1, y1], target: [u0, v0, u1, v1] }, { eps }) {
    const inner = mul(max(0, sub(min(x1, u1), max(x0, u0))), max(0, sub(min(y1, v1), max(y0, v0))))
    const area = (a: e.Value, b: e.Value, c: e.Value, d: e.Value) => mul(sub(c, a), sub(d, b))
    const union = sub(add(area(x0, y0, x1, y1), area(u0, v0, u1, v1)), inner)
    const hull = mul(sub(max(x1, u1), min(x0, u0)), sub(max(y1, v1), min(y0, v0)))
    return add(sub(1, div(inner, add(union, eps))), div(sub(hull, union), add(hull, eps)))
  },
})

/** Low corners and sizes of a box, as corners: see {@link numbersOf}. */
const box: Draw = (random) => random()

export const cases: readonly Case[] = [
  {
    loss: loosely(mse),
    columns: [1, 1],
    grads: [0, 1],
    draws: [real, real],
    exact: true,
    formula: (x, t) => (x - t) ** 2,
  },
  {
    loss: loosely(huber),
    columns: [1, 1],
    grads: [0, 1],
    draws: [real, real],
    exact: true,
    formula: (x, t) => (Math.abs(x - t) <= 1 ? (x - t) ** 2 / 2 : Math.abs(x - t) - 0.5),
  },
  { loss: loosely(bceWithLogits), columns: [1, 1], grads: [0, 1], draws: [real, soft], exact: false, formula: bceOf },
  {
    loss: loosely(sigmoidFocal),
    columns: [1, 1],
    grads: [0],
    draws: [real, binary],
    exact: false,
    formula(x, t) {
      const miss = t * sigmoidOf(-x) + (1 - t) * sigmoidOf(x)
      return (0.25 * t + 0.75 * (1 - t)) * miss ** 2 * bceOf(x, t)
    },
  },
  {
    loss: loosely(logCosh),
    columns: [1, 1],
    grads: [0],
    draws: [real, real],
    exact: false,
    formula: (x, t) => Math.abs(x - t) + Math.log1p(Math.exp(-2 * Math.abs(x - t))) - Math.LN2,
  },
  {
    loss: loosely(quantile),
    columns: [1, 1],
    grads: [0],
    draws: [real, real],
    exact: true,
    formula: (x, t) => Math.max(0.9 * (t - x), -0.1 * (t - x)),
  },
  {
    loss: loosely(poissonNll),
    columns: [1, 1],
    grads: [0],
    draws: [real, count],
    exact: false,
    formula: (x, t) => Math.exp(x) - t * x,
  },
  {
    loss: loosely(gaussianNll),
    columns: [1, 1, 1],
    grads: [0, 1],
    draws: [real, positive, real],
    exact: false,
    formula: (mean, v, t) => (Math.log(v) + (mean - t) ** 2 / v) / 2,
  },
  {
    loss: loosely(hinge),
    columns: [1, 1],
    grads: [0],
    draws: [real, side],
    exact: true,
    formula: (x, t) => Math.max(0, 1 - t * x),
  },
  {
    loss: loosely(softMargin),
    columns: [1, 1],
    grads: [0],
    draws: [real, side],
    exact: false,
    formula: (x, t) => softplusOf(-t * x),
  },
  {
    loss: loosely(asymmetric),
    columns: [1, 1],
    grads: [0],
    draws: [real, binary],
    exact: false,
    formula(x, t) {
      const m = Math.max(sigmoidOf(x) - 0.05, 0)
      return t * sigmoidOf(-x) * softplusOf(-x) - (1 - t) * m ** 4 * Math.log(Math.min(1, sigmoidOf(-x) + 0.05))
    },
  },
  {
    loss: loosely(ppo),
    columns: [1, 1, 1],
    grads: [0],
    draws: [logp, logp, real],
    exact: false,
    formula(now, old, advantage) {
      const ratio = Math.exp(now - old)
      return -Math.min(ratio * advantage, Math.min(Math.max(ratio, 0.8), 1.2) * advantage)
    },
  },
  {
    loss: loosely(entropy),
    columns: [1],
    grads: [0],
    draws: [(random) => 0.01 + 0.98 * random()],
    exact: false,
    formula: (p) => -(p * Math.log(p) + (1 - p) * Math.log(1 - p)),
  },
  {
    loss: loosely(tripletMargin),
    columns: [3, 3, 3],
    grads: [0, 1, 2],
    draws: [real, real, real],
    exact: true,
    formula(...all) {
      const [a, p, n] = [all.slice(0, 3), all.slice(3, 6), all.slice(6)]
      const distance = (b: number[]) => Math.hypot(...a.map((x, k) => x - b[k]))
      return Math.max(distance(p) + 1 - distance(n), 0)
    },
  },
  {
    loss: loosely(giou),
    columns: [4, 4],
    grads: [0],
    draws: [box, box],
    exact: true,
    formula(x0, y0, x1, y1, u0, v0, u1, v1) {
      const inner = Math.max(0, Math.min(x1, u1) - Math.max(x0, u0)) * Math.max(0, Math.min(y1, v1) - Math.max(y0, v0))
      const union = (x1 - x0) * (y1 - y0) + (u1 - u0) * (v1 - v0) - inner
      const hull = (Math.max(x1, u1) - Math.min(x0, u0)) * (Math.max(y1, v1) - Math.min(y0, v0))
      return 1 - inner / (union + 1e-7) + (hull - union) / (hull + 1e-7)
    },
  },
]

/** Arrays of so many rows for a case. */
export function arraysOf({ columns, draws }: Case, length: number, random: () => number): Float32Array[] {
  return columns.map((width, k) => {
    const array = Float32Array.from({ length: length * width }, () => draws[k](random))
    if (draws[k] !== box) return array
    // The high corner of a box is above the low one.
    for (let i = 0; i < array.length; i++) array[i] = i % 4 < 2 ? 4 * array[i] : array[i - 2] + 0.1 + 4 * array[i]
    return array
  })
}

/** All numbers of one row. */
export function numbersOf({ columns }: Case, arrays: readonly Float32Array[], row: number): number[] {
  return arrays.flatMap((array, k) => Array.from(array.subarray(row * columns[k], (row + 1) * columns[k])))
}

/** The names of all gradients in the result of a case; all but the first have to be asked for. */
export function gradNames({ grads }: Case, names: readonly string[]): string[] {
  return grads.map((k, i) => (i === 0 ? 'grad' : `${names[k]}Grad`))
}

/** The names of the arguments, read from what the loss says of itself. */
export function argumentsOf({ loss, columns }: Case): string[] {
  return /\(([^)]*)\)/.exec(String(loss))![1].split(', ').slice(0, columns.length)
}
