/**
 * The losses in double precision, from their formulas alone: gradients are central differences of the formula, so that
 * no derivative of the library is its own witness.
 */

import type { PointwiseDefinition, SoftmaxDefinition } from '../ts/definition.js'
import type { RegionDefinition } from '../ts/family/region/index.js'

/** Values and derivatives before reduction, weights included. */
export interface Reference {
  readonly values: Float64Array
  readonly dx: Float64Array
  readonly dt: Float64Array
  /** Denominator of `mean`. */
  readonly count: number
}

/**
 * d(f)/d(x) by two central differences, whose errors of second order cancel. Where they disagree there is a kink between
 * them, or the end of what f is defined for, and they move closer to x.
 */
function derivative(f: (x: number) => number, x: number): number {
  for (let h = 1e-5 * Math.max(1, Math.abs(x)); ; h /= 10) {
    const far = (f(x + h) - f(x - h)) / (2 * h)
    const near = (f(x + h / 2) - f(x - h / 2)) / h
    if (Math.abs(far - near) <= 1e-8 * Math.max(1, Math.abs(far)) || h < 1e-8) return (4 * near - far) / 3
  }
}

/** Of each element, with its weight and its extra parameter. */
export function pointwiseReference(
  definition: PointwiseDefinition,
  x: Float32Array,
  t: Float32Array,
  weight: (i: number) => number,
  aux: (i: number) => number,
  params: readonly number[],
  count = x.length,
): Reference {
  const [p0 = 0, p1 = 0] = params
  const formula = definition.formula
  return {
    values: Float64Array.from(x, (x, i) => weight(i) * formula(x, t[i], aux(i), p0, p1)),
    dx: Float64Array.from(x, (x, i) => weight(i) * derivative((x) => formula(x, t[i], aux(i), p0, p1), x)),
    dt: Float64Array.from(t, (t, i) => weight(i) * derivative((t) => formula(x[i], t, aux(i), p0, p1), t)),
    count,
  }
}

/** Options of a softmax loss as numbers. */
export interface SoftmaxNumbers {
  /** Per class; alpha is the part of it that does not enter the denominator. */
  readonly weight?: readonly number[] | undefined
  readonly alpha?: readonly number[] | undefined
  /** Per position. */
  readonly sampleWeight?: ArrayLike<number> | undefined
  readonly mask?: ArrayLike<number> | undefined
  readonly ignoreIndex: number
  readonly labelSmoothing: number
  readonly temperature: number
  readonly gamma: number
}

/** How a loss over a class axis finds the scores of its positions. */
export interface Layout {
  readonly classes: number
  /** Positions whose scores for a class are neighbours; 1 where the classes are last. */
  readonly inner: number
}

/** Index of a score. */
export function scoreAt({ classes, inner }: Layout, position: number, c: number): number {
  return Math.floor(position / inner) * inner * classes + (position % inner) + c * inner
}

/** Position of a score. */
export function positionOf({ classes, inner }: Layout, i: number): number {
  return Math.floor(i / (inner * classes)) * inner + (i % inner)
}

/** The loss of one position as a function of its scores, of the weighted distribution t. */
export function softmaxValue(
  definition: SoftmaxDefinition,
  scores: readonly number[],
  target: readonly number[],
  { temperature, gamma }: SoftmaxNumbers,
): number {
  if (definition.kind === 'logProbabilities') return sumOf(scores.map((x, c) => target[c] && target[c] * -x))
  const logP = logSoftmax(scores, temperature)
  if (definition.kind === 'teacher') {
    const logT = logSoftmax(target, temperature)
    return temperature ** 2 * sumOf(logT.map((l, c) => Math.exp(l) * (l - logP[c])))
  }
  return sumOf(logP.map((l, c) => target[c] && target[c] * definition.value(l, gamma)))
}

/** t_c = w_c·α_c·((1 − ε)·q_c + ε/C). */
function weighted(q: readonly number[], { weight, alpha, labelSmoothing }: SoftmaxNumbers): number[] {
  const size = q.length
  return q.map((q, c) => {
    return (weight?.[c] ?? 1) * (alpha?.[c] ?? 1) * ((1 - labelSmoothing) * q + labelSmoothing / size)
  })
}

const sumOf = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)

function logSoftmax(scores: readonly number[], temperature: number): number[] {
  const z = scores.map((x) => x / temperature)
  const max = z.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const log = max + Math.log(z.reduce((sum, z) => sum + Math.exp(z - max), 0))
  return z.map((z) => z - log)
}

/** d(position)/d(score) by differences of the whole position: exact enough, but C passes over it. */
export function softmaxDifferences(
  definition: SoftmaxDefinition,
  scores: readonly number[],
  target: readonly number[],
  numbers: SoftmaxNumbers,
): number[] {
  return scores.map((x, c) => derivative((x) => softmaxValue(definition, scores.with(c, x), target, numbers), x))
}

/**
 * d(position)/d(score) by the chain rule from the difference of `value` by ln p; `reference.test.ts` holds it to
 * {@link softmaxDifferences}.
 */
export function softmaxGradient(
  definition: SoftmaxDefinition,
  scores: readonly number[],
  target: readonly number[],
  numbers: SoftmaxNumbers,
): number[] {
  if (definition.kind !== 'scores') return softmaxDifferences(definition, scores, target, numbers)
  const logP = logSoftmax(scores, numbers.temperature)
  const own = logP.map(
    (l, c) => target[c] && target[c] * -derivative((l) => definition.value(Math.min(l, 0), numbers.gamma), l),
  )
  const total = sumOf(own)
  return logP.map((l, c) => (Math.exp(l) * total - own[c]) / numbers.temperature)
}

/** Of each position. */
export function softmaxReference(
  definition: SoftmaxDefinition,
  x: Float32Array,
  target: Int32Array | Float32Array,
  layout: Layout,
  numbers: SoftmaxNumbers,
): Reference {
  const { classes } = layout
  const ones = Array.from({ length: classes }, () => 1)
  const full = { ...numbers, alpha: numbers.alpha ?? ones }
  const { ignoreIndex, mask, sampleWeight, labelSmoothing, weight } = full
  const positions = x.length / classes
  const values = new Float64Array(positions)
  const dx = new Float64Array(x.length)
  const dt = new Float64Array(x.length)
  let count = 0
  for (let position = 0; position < positions; position++) {
    const at = (c: number) => scoreAt(layout, position, c)
    const label = target instanceof Int32Array ? target[position] : undefined
    if (label === ignoreIndex || mask?.[position] === 0) continue
    const scores = ones.map((_, c) => x[at(c)])
    const q = ones.map((_, c) => (label === undefined ? target[at(c)] : label === c ? 1 : 0))
    count += label === undefined ? 1 : (weight?.[label] ?? 1)
    const own = sampleWeight?.[position] ?? 1
    const teacher = definition.kind === 'teacher'
    const t = teacher ? q : weighted(q, full)
    values[position] = own * softmaxValue(definition, scores, t, full)
    softmaxGradient(definition, scores, t, full).forEach((g, c) => {
      dx[at(c)] = own * g
    })
    if (label !== undefined) continue
    const logP = logSoftmax(scores, full.temperature)
    for (let c = 0; c < classes; c++) {
      dt[at(c)] = teacher
        ? derivative((t) => softmaxValue(definition, scores, q.with(c, t), full), q[c])
        : own * (1 - labelSmoothing) * (weight?.[c] ?? 1) * full.alpha[c] * definition.value(logP[c], full.gamma)
    }
  }
  return { values, dx, dt, count }
}

/** A call of a region loss as numbers. */
export interface RegionNumbers {
  readonly samples: number
  readonly positions: number
  readonly classes: number
  /** Whether the classes of a position are neighbours. */
  readonly last: boolean
  readonly activation: 'none' | 'sigmoid' | 'softmax'
  readonly numbers: Readonly<Record<string, number>>
  readonly squared: boolean
  readonly batch: boolean
  readonly firstClass: number
  readonly weight: readonly number[] | undefined
  /** 0 where a position counts for nothing. */
  readonly mask: ArrayLike<number> | undefined
}

/** Values of a region loss, weights included, and the gradients of Σ factor_i · value_i. */
export interface RegionReference {
  readonly values: number[]
  readonly dx: Float64Array
  readonly dy: Float64Array
  /** The sizes of the largest terms of both, since terms cancel. */
  readonly largest: number
  readonly largestY: number
  /** What the classes of a joint loss weigh, row by row. */
  readonly joint: (readonly number[])[]
}

/**
 * Through the loss's own slope; `region.test.ts` holds the gradients to differences of the values, for which a joint loss gets the
 * weights that count as constants.
 */
export function regionReference(
  definition: RegionDefinition,
  x: ArrayLike<number>,
  target: ArrayLike<number>,
  call: RegionNumbers,
  factor: (value: number) => number,
  constants?: RegionReference['joint'],
): RegionReference {
  const { samples, positions, classes, last, activation, numbers, squared, batch, firstClass, weight, mask } = call
  const at = (sample: number, position: number, c: number) =>
    last ? (sample * positions + position) * classes + c : (sample * classes + c) * positions + position
  const p = new Float64Array(x.length)
  for (let sample = 0; sample < samples; sample++) {
    for (let position = 0; position < positions; position++) {
      const scores = Array.from({ length: classes }, (_, c) => x[at(sample, position, c)])
      const max = Math.max(...scores)
      const sum = sumOf(scores.map((x) => Math.exp(x - max)))
      scores.forEach((x, c) => {
        const q = activation === 'none' ? x : 1 / (1 + Math.exp(-x))
        p[at(sample, position, c)] = activation === 'softmax' ? Math.exp(x - max) / sum : q
      })
    }
  }
  const kept = (sample: number, position: number) => mask === undefined || mask[sample * positions + position] !== 0
  const values: number[] = []
  const joint: number[][] = []
  const byP = new Float64Array(x.length)
  const dy = new Float64Array(x.length)
  let largestY = 0
  for (let row = 0; row < (batch ? 1 : samples); row++) {
    const [first, end] = batch ? [0, samples] : [row, row + 1]
    const planes = Array.from({ length: classes - firstClass }, (_, k) => {
      const c = firstClass + k
      const sums = { tp: 0, fp: 0, fn: 0 }
      for (let sample = first; sample < end; sample++) {
        for (let position = 0; position < positions; position++) {
          if (!kept(sample, position)) continue
          const i = at(sample, position, c)
          sums.tp += p[i] * target[i]
          sums.fp += squared ? (p[i] - target[i]) ** 2 : p[i] * (1 - target[i])
          sums.fn += squared ? 0 : (1 - p[i]) * target[i]
        }
      }
      return { c, sums, w: weight?.[c] ?? 1 }
    })
    if (definition.joint) {
      const targets = planes.map(({ sums }) => sums.tp + sums.fn)
      joint.push([...(constants?.[row] ?? definition.joint(targets, numbers).map((w, k) => w * planes[k].w))])
    }
    // Each value: its planes, their weights in its sums, and its own.
    const groups = definition.joint
      ? [{ own: planes, inside: joint[row], w: 1 }]
      : planes.map((plane) => ({ own: [plane], inside: [1], w: plane.w }))
    for (const { own, inside, w } of groups) {
      const total = (name: 'tp' | 'fp' | 'fn') => sumOf(own.map(({ sums }, k) => inside[k] * sums[name]))
      const sums = { tp: total('tp'), fp: total('fp'), fn: total('fn') }
      const [a, k, b] = definition.slope(sums, numbers, squared)
      const mirrored = definition.mirrored?.(numbers) ?? numbers
      const [aY, kY, bY] = definition.slope({ tp: sums.tp, fp: sums.fn, fn: sums.fp }, mirrored, squared)
      for (const [plane, { c }] of own.entries()) {
        const up = factor(values.length) * w * inside[plane]
        for (let sample = first; sample < end; sample++) {
          for (let position = 0; position < positions; position++) {
            const i = at(sample, position, c)
            byP[i] = up * (a * target[i] + k * (p[i] - target[i]) + b * (squared ? p[i] : 1 - target[i]))
            if (!kept(sample, position)) continue
            const terms = [aY * p[i], kY * (target[i] - p[i]), bY * (squared ? target[i] : 1 - p[i])].map(
              (term) => up * term,
            )
            dy[i] = sumOf(terms)
            largestY = Math.max(largestY, ...terms.map(Math.abs))
          }
        }
      }
      values.push(w * definition.value(sums, numbers))
    }
  }
  const dx = new Float64Array(x.length)
  let largest = 0
  for (let sample = 0; sample < samples; sample++) {
    for (let position = 0; position < positions; position++) {
      if (!kept(sample, position)) continue
      let mean = 0
      for (let c = 0; c < classes; c++) mean += byP[at(sample, position, c)] * p[at(sample, position, c)]
      for (let c = 0; c < classes; c++) {
        const i = at(sample, position, c)
        const slope = { none: byP[i], sigmoid: byP[i] * p[i] * (1 - p[i]), softmax: p[i] * (byP[i] - mean) }
        dx[i] = slope[activation]
        largest = Math.max(largest, Math.abs(activation === 'softmax' ? p[i] * byP[i] : dx[i]))
      }
    }
  }
  return { values, dx, dy, largest, largestY, joint }
}

/** Central difference, for what has a test of its own. */
export { derivative }
