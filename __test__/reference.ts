/**
 * The losses in double precision, from their formulas alone: gradients are central differences of the formula, so that
 * no derivative of the library is its own witness.
 */

import type { PointwiseDefinition } from '../ts/family/pointwise.js'
import type { SoftmaxDefinition } from '../ts/family/softmax.js'

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
 * them, and they move closer to x.
 */
function derivative(f: (x: number) => number, x: number): number {
  for (let h = 1e-5 * Math.max(1, Math.abs(x)); ; h /= 10) {
    const far = (f(x + h) - f(x - h)) / (2 * h)
    const near = (f(x + h / 2) - f(x - h / 2)) / h
    if (!(Math.abs(far - near) > 1e-8 * Math.max(1, Math.abs(far))) || h < 1e-8) return (4 * near - far) / 3
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
  readonly weight: readonly number[] | undefined
  readonly ignoreIndex: number
  readonly labelSmoothing: number
  readonly temperature: number
}

/** The loss of one row as a function of its scores. */
export function softmaxRow(
  definition: SoftmaxDefinition,
  scores: readonly number[],
  y: number,
  { weight, labelSmoothing, temperature }: SoftmaxNumbers,
): number {
  const logP = logSoftmax(scores, temperature)
  const w = (c: number) => weight?.[c] ?? 1
  let value = (1 - labelSmoothing) * w(y) * definition.value(logP[y])
  const spread = labelSmoothing / scores.length
  if (spread > 0) value -= spread * logP.reduce((sum, l, c) => sum + w(c) * l, 0)
  return value
}

function logSoftmax(scores: readonly number[], temperature: number): number[] {
  const z = scores.map((x) => x / temperature)
  const max = z.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  const log = max + Math.log(z.reduce((sum, z) => sum + Math.exp(z - max), 0))
  return z.map((z) => z - log)
}

/** d(row)/d(score) by differences of the whole row: exact enough, but C passes over it. */
export function softmaxRowGradient(
  definition: SoftmaxDefinition,
  scores: readonly number[],
  y: number,
  numbers: SoftmaxNumbers,
): number[] {
  return scores.map((x, c) => derivative((x) => softmaxRow(definition, scores.with(c, x), y, numbers), x))
}

/**
 * Of each row. The gradient follows the chain rule from the difference of `value` by ln p; `reference.test.ts` holds it to
 * {@link softmaxRowGradient}.
 */
export function softmaxReference(
  definition: SoftmaxDefinition,
  x: Float32Array,
  labels: Int32Array,
  classes: number,
  numbers: SoftmaxNumbers,
): Reference {
  const { weight, ignoreIndex, labelSmoothing, temperature } = numbers
  const w = (c: number) => weight?.[c] ?? 1
  const values = new Float64Array(labels.length)
  const dx = new Float64Array(x.length)
  let total = 0
  for (let c = 0; c < classes; c++) total += w(c)
  let count = 0
  labels.forEach((y, row) => {
    if (y === ignoreIndex) return
    const scores = Array.from(x.subarray(row * classes, (row + 1) * classes))
    count += w(y)
    values[row] = softmaxRow(definition, scores, y, numbers)
    const logP = logSoftmax(scores, temperature)
    const slope = (1 - labelSmoothing) * w(y) * -derivative((l) => definition.value(l), logP[y])
    const spread = labelSmoothing / classes
    for (let c = 0; c < classes; c++) {
      const p = Math.exp(logP[c])
      const g = slope * (p - (c === y ? 1 : 0)) + spread * (p * total - w(c))
      dx[row * classes + c] = g / temperature
    }
  })
  return { values, dx, dt: new Float64Array(0), count }
}
