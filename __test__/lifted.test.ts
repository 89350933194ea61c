/**
 * Losses over a class axis whose weights and upstream gradients reach from one end of single precision to the other. What a value or
 * a gradient is made of may be far below the normal numbers, or beyond the largest, where their product is an ordinary number: then
 * it is held to the registry's bound. Expected values are the formulas of the losses, written out here in double precision, which
 * holds all these products; at a class that is nearly certain they are written with the sum over the others.
 */

import type { ExecutionContext } from 'ava'
import { crossEntropy, distillation, nll, softmaxFocal } from '../ts/index.js'
import { everywhere, type Loose, loose } from './everywhere.js'
import { registry } from './platforms.js'

const { fround } = Math

/** Smallest normal number: below it there may be a 0. */
const LEAST = 2 ** -126
const LARGEST = (2 - 2 ** -23) * 2 ** 127

const ulpsOf = (name: string) => registry.find((row) => row.name === name)?.ulp ?? 32

/** Unit in the last place of a true value. */
const ulpOf = (x: number) => 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23)

/** Of a position: its loss by an unweighted target, and per class the gradients with the largest term of each. */
interface Truth {
  readonly value: number
  readonly grad: readonly number[]
  readonly unit: readonly number[]
  readonly targetGrad: readonly number[]
}

/** −Σ w·t·q^γ·ln p of one position. */
function truthOf(x: readonly number[], t: readonly number[], weight: readonly number[], gamma: number): Truth {
  const max = Math.max(...x)
  const top = x.indexOf(max)
  const e = x.map((x) => Math.exp(x - max))
  const rest = e.reduce((sum, e, c) => (c === top ? sum : sum + e), 0)
  const sum = 1 + rest
  const log = Math.log1p(rest)
  const p = e.map((e) => e / sum)
  const q = p.map((p, c) => (c === top ? rest / sum : 1 - p))
  const loss = x.map((x, c) => (gamma === 0 ? 1 : q[c] ** gamma) * (max - x + log))
  const slopes = x.map((x, c) => {
    const ratio = q[c] === 0 ? 1 : (max - x + log) / q[c]
    return (
      t[c] * weight[c] && t[c] * weight[c] * (gamma === 0 ? 1 : q[c] ** gamma * (1 + gamma * (p[c] && p[c] * ratio)))
    )
  })
  const all = slopes.reduce((a, b) => a + b, 0)
  const others = slopes.reduce((sum, s, c) => (c === top ? sum : sum + s), 0)
  return {
    value: loss.reduce((sum, own, c) => sum + (t[c] * weight[c] && t[c] * weight[c] * own), 0),
    grad: x.map((_, c) => (c === top ? others - q[c] * all : p[c] * all - slopes[c])),
    unit: x.map((_, c) => (c === top ? Math.max(others, q[c] * all) : Math.max(p[c] * all, slopes[c]))),
    targetGrad: loss.map((own, c) => weight[c] * own),
  }
}

/** Whether it is the truth to so many units in the last place, `unit` being that of the largest term. */
function agrees(got: number, truth: number, ulps: number, unit = Math.abs(truth), least = LEAST): boolean {
  if (Math.abs(truth) > LARGEST) return Math.abs(got) >= LARGEST * (1 - 1e-5) && Math.sign(got) === Math.sign(truth)
  // Terms beyond the largest number may be ∞ where they cancel.
  if (unit > LARGEST) return true
  // Near the largest number rounding may end in ∞.
  if (!Number.isFinite(got)) return Math.abs(truth) > LARGEST * (1 - 1e-5) && Math.sign(got) === Math.sign(truth)
  return Math.abs(got - truth) <= ulps * ulpOf(Math.max(Math.abs(truth), unit)) + least
}

function hold(
  t: ExecutionContext,
  what: string,
  got: number,
  truth: number,
  ulps: number,
  unit?: number,
  least?: number,
): void {
  if (agrees(got, truth, ulps, unit, least)) return
  t.fail(`${what} is ${got}, expected ${truth}, a sum of up to ${unit ?? truth}`)
}

/** Factors from one end of single precision to the other, as it holds them. */
const FACTORS = [1e-44, 1e-40, 3e-39, 1e-37, 1e-25, 1e-12, 0.3, 1, 2.5, 65536, 1e9, 1e10, 1e20, 1e33, 1e38].map(fround)

/** Gaps between the classes of a position, and what all of them are less. */
const GAPS = [0, 1, 20, 45, 60, 85, 88, 92, 97, 101, 110, 150, 200]

/** Scores that are multiples of 1/4: the class that is ahead, one behind by the gap, others further behind. */
function rowOf(gap: number, classes: number, i: number): number[] {
  const top = i % classes
  return Array.from({ length: classes }, (_, c) => {
    if (c === top) return 3
    return c === (top + 1) % classes ? 3 - gap : 2.75 - gap - ((c * 5) % 7) / 4 - (c % 3 === 0 ? 40 : 0)
  })
}

interface Kind {
  readonly title: string
  readonly loss: Loose
  readonly options: Record<string, unknown>
  readonly gamma: number
  readonly smoothing?: number
  /** Distribution, from the row's class that is ahead; without it the target is that class or the one after. */
  readonly soft?: (c: number, top: number, classes: number) => number
}

const certain = (c: number, top: number) => Number(c === top)
const spread = (c: number, top: number, classes: number) => (c === top ? 0.75 : 0.25 / (classes - 1))
const faint = (c: number, top: number) => fround(c === top ? 1 : 1e-40)
const kinds: Kind[] = [
  { title: 'crossEntropy', loss: loose(crossEntropy), options: {}, gamma: 0 },
  { title: 'smoothed', loss: loose(crossEntropy), options: { labelSmoothing: 0.125 }, gamma: 0, smoothing: 0.125 },
  { title: 'one-hot', loss: loose(crossEntropy), options: {}, gamma: 0, soft: certain },
  { title: 'distribution', loss: loose(crossEntropy), options: {}, gamma: 0, soft: spread },
  { title: 'faint probabilities', loss: loose(crossEntropy), options: {}, gamma: 0, soft: faint },
  { title: 'softmaxFocal', loss: loose(softmaxFocal), options: { gamma: 2 }, gamma: 2 },
  { title: 'softmaxFocal γ=½', loss: loose(softmaxFocal), options: { gamma: 0.5 }, gamma: 0.5 },
  { title: 'focal of a distribution', loss: loose(softmaxFocal), options: { gamma: 2 }, gamma: 2, soft: spread },
]

/** How a weight and an upstream gradient come to a call. */
interface Way {
  readonly title: string
  options(weight: number, upstream: number, classes: number, positions: number): Record<string, unknown>
  /** Factor of the values, and of the gradients. */
  factors(weight: number, upstream: number, positions: number): [value: number, gradient: number]
  readonly mean?: true
}

const filled = (n: number, value: number) => new Float32Array(n).fill(value)
const ways: Way[] = [
  {
    title: 'class weights',
    options: (weight, gradOutput, classes) => ({ weight: filled(classes, weight), gradOutput, reduction: 'sum' }),
    factors: (weight, upstream) => [weight, weight * upstream],
  },
  {
    title: 'sample weights',
    options: (weight, upstream, _, positions) => ({
      sampleWeight: filled(positions, weight),
      gradOutput: filled(positions, upstream),
      reduction: 'none',
    }),
    factors: (weight, upstream) => [weight, weight * upstream],
  },
  {
    title: 'class weights and each gradient',
    options: (weight, upstream, classes, positions) => ({
      weight: filled(classes, weight),
      gradOutput: filled(positions, upstream),
      reduction: 'none',
    }),
    factors: (weight, upstream) => [weight, weight * upstream],
  },
  {
    title: 'a normalizer',
    options: (weight, gradOutput, classes) => ({
      weight: filled(classes, weight),
      normalizer: weight,
      gradOutput,
      reduction: 'mean',
    }),
    factors: (_, upstream) => [1, upstream],
    mean: true,
  },
]

function check(t: ExecutionContext, kind: Kind, way: Way, classes: number, planes: boolean): void {
  const { loss, gamma, smoothing = 0, soft } = kind
  const ulps = ulpsOf(loss.name) + Math.min(classes, 64) / 2
  const rows = GAPS.map((gap, i) => rowOf(gap, classes, i))
  const labels = rows.map((_, i) => (i % 3 === 2 ? i + 1 : i) % classes)
  const targets = rows.map((row, i) => row.map((_, c) => soft?.(c, i % classes, classes) ?? Number(c === labels[i])))
  const truths = rows.map((row, i) => {
    const own = targets[i].map((t) => t * (1 - smoothing) + smoothing / classes)
    return truthOf(row, own, filled(classes, 1) as never, gamma)
  })
  // A sum of terms each of which is below the normal numbers.
  const least = LEAST * classes
  const at = (i: number, c: number) => (planes ? c * rows.length + i : i * classes + c)
  const laid = (values: readonly (readonly number[])[]) => {
    const array = new Float32Array(rows.length * classes)
    for (const [i, row] of values.entries()) for (const [c, value] of row.entries()) array[at(i, c)] = value
    return array
  }
  const shape = planes ? [1, classes, rows.length] : [rows.length, classes]
  const x = laid(rows)
  const target = soft ? laid(targets) : Int32Array.from(labels)
  for (const weight of FACTORS) {
    for (const upstream of FACTORS) {
      const given = { ...kind.options, ...way.options(weight, upstream, classes, rows.length), shape }
      const { grad: _, ...options } = { grad: 0, ...given, ...(soft && { targetGrad: true }) }
      const all = loss.valueAndGrad(x, target, options) as ReturnType<Loose['valueAndGrad']> & {
        targetGrad?: Float32Array
      }
      const [ofValue, ofGrad] = way.factors(weight, upstream, rows.length)
      const title = `${kind.title}, ${way.title}: C=${classes} planes ${planes} w=${weight} g=${upstream}`
      const values = truths.map(({ value }) => value * ofValue)
      if (all.value instanceof Float32Array) {
        for (const [i, value] of values.entries())
          hold(t, `${title}, gap ${GAPS[i]}`, all.value[i], value, ulps, value, least)
      } else {
        const value = values.reduce((a, b) => a + b, 0)
        // A sum in double precision is no float.
        const ok = Math.abs((all.value as number) - value) <= 2 ** -22 * ulps * value + least
        t.true(ok, `${title}: ${all.value}, expected ${value}`)
      }
      const inPlace = x.slice()
      if (soft === undefined) loss.backward(inPlace, target, { ...options, grad: inPlace })
      for (const [i, truth] of truths.entries()) {
        for (let c = 0; c < classes; c++) {
          const [own, unit] = [truth.grad[c] * ofGrad, truth.unit[c] * ofGrad]
          const what = `${title}, gap ${GAPS[i]}: grad[${c}] of class ${labels[i]}`
          hold(t, what, all.grad[at(i, c)], own, ulps, unit, least)
          if (soft === undefined) hold(t, `${what}, in place`, inPlace[at(i, c)], own, ulps, unit, least)
          const byTarget = truth.targetGrad[c] * ofGrad
          if (soft) hold(t, `targetGrad, ${what}`, all.targetGrad![at(i, c)], byTarget, ulps, byTarget, least)
        }
      }
    }
  }
  t.pass()
}

for (const kind of kinds) {
  everywhere(`${kind.title}: what a weight or an upstream gradient lifts`, (t) => {
    for (const way of ways) {
      for (const classes of [2, 5, 70]) {
        check(t, kind, way, classes, false)
        check(t, kind, way, classes, true)
      }
    }
  })
}

everywhere('the mean by weights that are next to nothing, or more than all', (t) => {
  for (const classes of [3, 80]) {
    const rows = Array.from({ length: 20 }, (_, i) => {
      return Array.from({ length: classes }, (_, c) => (((i * classes + c) * 7) % 13) / 4 - 1)
    })
    const x = Float32Array.from(rows.flat())
    const labels = Int32Array.from(rows, (_, i) => (i * 5) % classes)
    const ones = Array.from({ length: classes }, () => 1)
    for (const [loss, gamma] of [
      [loose(crossEntropy), 0],
      [loose(softmaxFocal), 2],
    ] as const) {
      const truths = rows.map((row, i) => {
        const oneHot = row.map((_, c) => Number(c === labels[i]))
        return truthOf(row, oneHot, ones, gamma)
      })
      const mean = truths.reduce((sum, { value }) => sum + value / 20, 0)
      const ulps = ulpsOf(loss.name) + Math.min(classes, 64) / 2
      for (const size of [1e-45, 1e-44, 1e-39, 1e-30, 1e10, 3e38].map(fround)) {
        const { value, grad } = loss.valueAndGrad(x, labels, { weight: filled(classes, size) })
        const title = `${loss.name} of ${classes} by ${size}`
        hold(t, title, value as number, mean, ulps)
        for (const [i, { grad: own, unit }] of truths.entries()) {
          for (const [c, g] of own.entries()) {
            hold(t, `${title}: grad[${i}, ${c}]`, grad[i * classes + c], g / 20, ulps, unit[c] / 20)
          }
        }
      }
    }
  }
  t.pass()
})

everywhere('class weights times alpha beyond single precision', (t) => {
  const x = Float32Array.of(1, 2, 0.5, -1)
  const labels = Int32Array.of(0, 1)
  const truths = [truthOf([1, 2], [1, 0], [1, 1], 2), truthOf([0.5, -1], [0, 1], [1, 1], 2)]
  const plain = (truths[0].value + truths[1].value) / 2
  const byScore = truths.flatMap(({ grad }) => grad.map((g) => g / 2))
  for (const [weight, alpha] of [
    [1e-30, 1e-15],
    [1e-25, 1e-25],
    [1e30, 1e30],
    [1e-44, 1e38],
  ].map((pair) => pair.map(fround))) {
    for (const each of [alpha, [alpha, alpha]]) {
      const gradOutput = 1 / alpha
      const options = { weight: [weight, weight], alpha: each, gradOutput }
      const { value, grad } = softmaxFocal.valueAndGrad(x, labels, options)
      const title = `${weight} and ${each}`
      t.true(Math.abs(value - plain * alpha) <= 1e-6 * plain * alpha, `${title}: ${value}`)
      for (const [i, g] of grad.entries()) t.true(Math.abs(g - byScore[i]) <= 1e-6, `${title}: grad[${i}] is ${g}`)
    }
  }
})

/** Exact losses: the bits of the first platform. */
const bits = new Map<string, unknown>()

everywhere('nll by any weight, with the same bits everywhere', (t) => {
  const classes = 3
  const labels = Int32Array.from({ length: 40 }, (_, i) => i % classes)
  for (const size of [1e-42, 1e-20, 0.7, 1e20, 3e38].map(fround)) {
    const x = Float32Array.from({ length: 120 }, (_, i) => -size * (0.3 + ((i * 7) % 11) / 16))
    for (const weight of FACTORS) {
      for (const upstream of FACTORS) {
        const w = Float32Array.of(weight, 0.5 * weight, 0)
        const sampleWeight = Float32Array.from(labels, (_, i) => 1 + i / 64)
        for (const options of [
          { weight: w, gradOutput: upstream, reduction: 'sum' },
          { weight: w, sampleWeight, gradOutput: filled(40, upstream), reduction: 'none' },
          { weight: w, gradOutput: upstream },
        ] as const) {
          const got = nll.valueAndGrad(x, labels, options as never) as unknown as { value: unknown; grad: Float32Array }
          const own = (i: number) => ('sampleWeight' in options ? sampleWeight[i] : 1) * w[labels[i]]
          const values = Array.from(labels, (y, i) => own(i) * -x[classes * i + y])
          const sum = values.reduce((a, b) => a + b, 0)
          const count = 'reduction' in options ? 1 : labels.reduce((sum, y) => sum + w[y], 0)
          const title = `${Object.keys(options)} of ${size} by ${weight} and ${upstream}`
          if (got.value instanceof Float32Array) {
            for (const [i, value] of got.value.entries()) t.is(value, fround(values[i]), title)
          } else {
            t.true(Math.abs((got.value as number) - sum / count) <= 1e-14 * (sum / count), `${title}: ${got.value}`)
          }
          for (const [i, y] of labels.entries()) {
            const g = got.grad[classes * i + y]
            const truth = -own(i) * (upstream / count)
            const near = Math.abs(g - truth) <= 2 ** -23 * Math.abs(truth) + 2 ** -149
            t.true(near || fround(g) === fround(truth), `${title}: grad of ${i} is ${g}, expected ${truth}`)
          }
          if (!bits.has(title)) bits.set(title, got)
          t.deepEqual(got, bits.get(title) as typeof got, title)
        }
      }
    }
  }
})

/** T²·KL and both gradients of one position, of scores that differ by so little that all is of second order, or by a lot. */
function divergence(student: readonly number[], teacher: readonly number[], temperature: number) {
  const softmax = (x: readonly number[]) => {
    const max = Math.max(...x)
    const top = x.indexOf(max)
    const e = x.map((x) => Math.exp((x - max) / temperature))
    const rest = e.reduce((sum, e, c) => (c === top ? sum : sum + e), 0)
    return { p: e.map((e) => e / (1 + rest)), log: Math.log1p(rest), max }
  }
  const [s, own] = [softmax(student), softmax(teacher)]
  const d = student.map((x, c) => x - teacher[c])
  const top = teacher.indexOf(own.max)
  const past = d.map((own) => own - d[top])
  const mean = past.reduce((sum, d, c) => sum + own.p[c] * d, 0)
  const u = past.map((d) => (mean - d) / temperature)
  // e^−u − 1 + u by its series where u is small.
  const second = (u: number) => (Math.abs(u) < 1e-3 ? u * u * (1 / 2 - u / 6 + (u * u) / 24) : Math.expm1(-u) + u)
  const q = u.reduce((sum, u, c) => sum + own.p[c] * second(u), 0)
  return {
    value: Math.log1p(q) * temperature ** 2,
    grad: u.map((u, c) => ((own.p[c] * Math.expm1(-u) - own.p[c] * q) / (1 + q)) * temperature),
    unit: past.map((d, c) => Math.max(Math.abs(d), Math.abs(mean)) * own.p[c] + s.p[c] * q * temperature),
    targetGrad: u.map((u, c) => own.p[c] * u * temperature),
  }
}

everywhere('distillation: what a weight or an upstream gradient lifts', (t) => {
  const teacher = [0, 1, 0.5, -60, -90, -99, -120]
  for (const temperature of [1, 0.5, 4]) {
    for (const by of [2 ** -3, 2 ** -12, 2 ** -50, 2 ** -90]) {
      // The difference must be one of floats: of scores near 0.
      const scores = by < 2 ** -20 ? [0, 0, 0, 0, 0, 0, 0] : teacher
      const student = scores.map((x, c) => x + by * (1 + ((c * 3) % 5)))
      const truth = divergence(student, scores, temperature)
      for (const shape of [
        [1, 7],
        [1, 7, 1],
      ]) {
        const [x, y] = [Float32Array.from(student), Float32Array.from(scores)]
        for (const weight of FACTORS) {
          for (const upstream of FACTORS) {
            const options = {
              shape,
              temperature,
              sampleWeight: [weight],
              gradOutput: upstream,
              reduction: 'sum',
              targetGrad: true,
            } as const
            const { value, grad, targetGrad } = distillation.valueAndGrad(x, y, options)
            const title = `T=${temperature} by ${by}, w=${weight} g=${upstream} [${shape}]`
            const ulps = ulpsOf('distillation') + 2 * 104
            const expected = truth.value * weight
            const ok = Math.abs(value - expected) <= 2 ** -22 * ulps * expected + LEAST * Math.max(1, temperature ** 2)
            t.true(ok || (expected > LARGEST && value >= LARGEST), `${title}: ${value}, expected ${expected}`)
            const factor = weight * upstream
            for (const [c, own] of truth.grad.entries()) {
              hold(t, `${title}: grad[${c}]`, grad[c], own * factor, ulps, truth.unit[c] * factor)
              const byTarget = truth.targetGrad[c] * factor
              hold(t, `${title}: targetGrad[${c}]`, targetGrad![c], byTarget, ulps, truth.unit[c] * factor)
            }
          }
        }
      }
    }
  }
  t.pass()
})
