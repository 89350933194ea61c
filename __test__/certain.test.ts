/**
 * Losses of the softmax where a class is nearly certain, where two softmaxes are nearly the same, and where scores or
 * temperatures are at the ends of their range. The truth is computed with 80 digits by decimal.js (10.6): in double precision the
 * logarithm of a probability near 1 has no digit left from a gap of 37 on.
 *
 * Scores are multiples of 1/8, or of 2^−12 where they are drawn, so that their differences are exact, and temperatures powers of
 * two but where it is said: then results are held to the registry's bound, of the true value. What is below the normal numbers
 * may become 0. A term of a sum over classes meets up to 16 roundings in single precision, each with an error of up to half a
 * unit; they are not all of one sign, not even of equal terms, and {@link summed} allows for half of them.
 */

import type { ExecutionContext } from 'ava'
import { Decimal } from 'decimal.js'
import { crossEntropy, dice, diceCe, distillation, focalDice, sigmoidFocal, softmaxFocal } from '../ts/index.js'
import { filled, generator, normal } from './data.js'
import { everywhere, loose, refuses } from './everywhere.js'
import { registry } from './platforms.js'

const Real = Decimal.clone({ precision: 80, toExpNeg: -1e4, toExpPos: 1e4 })
type Real = Decimal

/** The registry's bound. */
const ulpsOf = (name: string) => registry.find((row) => row.name === name)?.ulp ?? 32

const summed = (classes: number) => Math.min(classes, 16) / 4

/** Smallest normal number: below it there may be a 0. */
const LEAST = 2 ** -126
const ULP = 2 ** -24

/** A float as it is; decimal.js takes a number by its shortest decimal notation. */
const exact = (x: number) => new Real(BigInt(x * 2 ** 160).toString()).div(new Real(2).pow(160))

const exps = new Map<string, Real>()
function exp(z: Real): Real {
  const key = z.toString()
  const e = exps.get(key) ?? z.exp()
  exps.set(key, e)
  return e
}

const ZERO = new Real(0)
const sumOf = (values: readonly Real[]) => values.reduce((a, b) => a.plus(b), ZERO)

/** Unit in the last place of a true value. */
function ulpOf(x: number): number {
  return 2 ** (Math.max(-126, Math.floor(Math.log2(Math.abs(x)))) - 23)
}

/** ln p, p and 1 − p. */
interface Odds {
  readonly logP: Real
  readonly p: Real
  readonly q: Real
}

/** Those of each score of a position, of which there are so many. */
function softmaxOf(counts: ReadonlyMap<number, number>, temperature: number): (score: number) => Odds {
  const max = exact(Math.max(...counts.keys()))
  const z = (x: number) => exact(x).minus(max).div(exact(temperature))
  const sum = sumOf([...counts].map(([x, count]) => exp(z(x)).times(count)))
  const log = sum.ln()
  return (x) => {
    const e = exp(z(x))
    return { logP: z(x).minus(log), p: e.div(sum), q: sum.minus(e).div(sum) }
  }
}

function countsOf<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>()
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1)
  return counts
}

/** A class's gradient, and the largest term of it, by the way of writing it whose terms are the smaller. */
interface Slope {
  readonly grad: number
  readonly unit: number
  readonly targetGrad: number
}

interface Truth {
  readonly value: number
  readonly classes: Slope[]
}

/** −Σ t·q^γ·ln p and its gradient by the scores, of t = (1 − ε)·`target` + ε/C. */
function truthOf(scores: Float32Array, target: ArrayLike<number>, temperature = 1, gamma = 0, smoothing = 0): Truth {
  const oddsOf = softmaxOf(countsOf(scores), temperature)
  // Classes of the same score and target have all in common.
  const pairs = Array.from(scores, (x, c) => `${x} ${Math.fround(target[c])}`)
  const kinds = new Map<string, { odds: Odds; value: Real; own: Real; byTarget: Real; count: number }>()
  for (const [pair, count] of countsOf(pairs)) {
    const [x, target] = pair.split(' ').map(Number)
    const odds = oddsOf(x)
    const { logP, p, q } = odds
    const t = exact(target).times(new Real(1).minus(smoothing)).plus(new Real(smoothing).div(scores.length))
    const power = gamma === 0 ? new Real(1) : gamma === 0.5 ? q.sqrt() : q.pow(gamma)
    const slope = q.isZero() ? power : power.times(p.times(logP).div(q).times(-gamma).plus(1))
    const loss = power.times(logP).neg()
    const byTarget = loss.times(new Real(1).minus(smoothing))
    kinds.set(pair, { odds, value: t.times(loss), own: t.times(slope), byTarget, count })
  }
  const all = sumOf([...kinds.values()].map(({ own, count }) => own.times(count)))
  const slopes = new Map<string, Slope>()
  for (const [pair, { odds, own, byTarget }] of kinds) {
    const plain = Real.max(odds.p.times(all), own)
    const others = Real.max(odds.q.times(all), all.minus(own))
    slopes.set(pair, {
      grad: odds.p.times(all).minus(own).div(exact(temperature)).toNumber(),
      unit: Real.min(plain, others).div(temperature).toNumber(),
      targetGrad: byTarget.toNumber(),
    })
  }
  return {
    value: sumOf([...kinds.values()].map(({ value, count }) => value.times(count))).toNumber(),
    classes: pairs.map((pair) => slopes.get(pair)!),
  }
}

function near(t: ExecutionContext, what: string, got: number, truth: number, tolerance: number): boolean {
  const off = Math.abs(got - truth)
  if (off <= tolerance || got === truth) return true
  t.fail(`${what} is ${got}, expected ${truth}, which is ${off / tolerance} times what it may be off`)
  return false
}

const GAPS = [0, 0.125, 1, 4, 8, 11.5, 14, 16, 16.5, 17, 18, 20, 25, 32, 37, 40, 50, 64, 80, 86, 88, 95, 103, 105, 110]
const FEW = [0, 8, 16, 17, 37, 86, 103, 110]

interface Row {
  readonly classes: number
  readonly top: number
  readonly x: Float32Array
}

/** A class that is ahead of the others by the gap. The others are within 1, two of them at the same score unless they are drawn. */
function rowsOf(classes: number, drawn: boolean): Row[] {
  const random = generator(classes)
  return (classes > 100 ? FEW : GAPS).map((gap, i) => {
    const top = (i * 7) % classes
    const score = (c: number) => (drawn ? Math.floor(4096 * random()) / 4096 : ((c * 5) % 9) / 8)
    const x = Float32Array.from({ length: classes }, (_, c) => 2 - score(c))
    const second = Math.max(...x.map((x, c) => (c === top ? -1 : x)))
    x[top] = second + gap
    return { classes, top, x }
  })
}

interface Kind {
  readonly title: string
  readonly options: Record<string, unknown>
  /** A class for each row, or a distribution. */
  readonly label?: (row: Row) => number
  readonly distribution?: (row: Row) => number[]
  readonly smoothing?: number
  readonly temperature?: number
}

const next = ({ top, classes }: Row) => (top + 1) % classes
const oneHot = (row: Row) => Array.from({ length: row.classes }, (_, c) => Number(c === row.top))
const soft = (row: Row) => {
  const spread = 2 ** -4 / row.classes
  return oneHot(row).map((one) => one * (1 - 2 ** -4) + spread)
}
const kinds: Kind[] = [
  { title: 'label', options: {}, label: ({ top }) => top },
  { title: 'other label', options: {}, label: next },
  { title: 'label, cold', options: { temperature: 0.25 }, label: ({ top }) => top, temperature: 0.25 },
  { title: 'label, hot', options: { temperature: 4 }, label: ({ top }) => top, temperature: 4 },
  { title: 'label, smoothed', options: { labelSmoothing: 0.125 }, label: ({ top }) => top, smoothing: 0.125 },
  { title: 'other label, smoothed', options: { labelSmoothing: 0.125 }, label: next, smoothing: 0.125 },
  { title: 'one-hot', options: {}, distribution: oneHot },
  { title: 'distribution', options: {}, distribution: soft },
  { title: 'distribution, hot', options: { temperature: 2 }, distribution: soft, temperature: 2 },
  { title: 'one-hot, smoothed', options: { labelSmoothing: 2 ** -10 }, distribution: oneHot, smoothing: 2 ** -10 },
]

/** Truths by title, for all platforms. */
const known = new Map<string, unknown>()
function once<T>(title: string, make: () => T): T {
  if (!known.has(title)) known.set(title, make())
  return known.get(title) as T
}

/** Truths by loss, kind and number of classes, for all platforms. */
const truths = new Map<string, Truth[]>()

function sweep(
  t: ExecutionContext,
  name: string,
  gamma: number,
  slack: (row: Row) => number,
  extra = kinds,
  drawn = false,
  numbers = [2, 3, 10, 17, 64, 100, 1000],
): void {
  const loss = loose(name === 'crossEntropy' ? crossEntropy : softmaxFocal)
  const ulps = ulpsOf(name)
  for (const classes of numbers) {
    const rows = rowsOf(classes, drawn)
    const x = Float32Array.from(rows.flatMap(({ x }) => [...x]))
    for (const kind of extra) {
      const { smoothing = 0, temperature = 1 } = kind
      const key = `${gamma} ${classes} ${kind.title} ${drawn}`
      const made = rows.map((row): number[] => {
        const y = kind.label?.(row)
        return y === undefined ? kind.distribution!(row) : Array.from(row.x, (_, c) => Number(c === y))
      })
      const truth = truths.get(key) ?? rows.map(({ x }, i) => truthOf(x, made[i], temperature, gamma, smoothing))
      truths.set(key, truth)
      const options = { ...kind.options, reduction: 'none', ...(name === 'softmaxFocal' && { gamma }) }
      // Rows, then the classes a plane apart, which goes by another loop.
      for (const planes of [false, true]) {
        const laid = (values: ArrayLike<number>) =>
          planes
            ? Float32Array.from({ length: values.length }, (_, i) => {
                return values[(i % rows.length) * classes + Math.floor(i / rows.length)]
              })
            : Float32Array.from(values)
        const target = kind.label ? Int32Array.from(rows, kind.label) : laid(made.flat())
        const shape = planes ? [1, classes, rows.length] : [rows.length, classes]
        const byTarget = kind.label ? {} : { targetGrad: true }
        const all = loss.valueAndGrad(laid(x), target, { ...options, ...byTarget, shape })
        const { value, grad, targetGrad } = all as typeof all & { targetGrad?: Float32Array }
        for (const [i, row] of rows.entries()) {
          const title = `${name} γ=${gamma} ${kind.title} C=${classes} gap ${(classes > 100 ? FEW : GAPS)[i]} planes ${planes}`
          const by = ulps + summed(classes) + slack(row)
          const own = truth[i]
          const least = LEAST * classes
          const tolerance = by * ulpOf(own.value) + least
          if (!near(t, `${title}: value`, (value as Float32Array)[i], own.value, tolerance)) return
          for (let c = 0; c < classes; c++) {
            const at = planes ? c * rows.length + i : i * classes + c
            const got = grad[at]
            const { grad: g, unit, targetGrad: byTarget } = own.classes[c]
            if (targetGrad !== undefined) {
              const tolerance = by * ulpOf(byTarget) + least
              if (!near(t, `${title}: targetGrad[${c}]`, targetGrad[at], byTarget, tolerance)) return
            }
            const tolerance = by * ulpOf(Math.max(Math.abs(g), unit)) + least / temperature
            if (!near(t, `${title}: grad[${c}] (top ${row.top})`, got, g, tolerance)) return
          }
        }
      }
    }
  }
  t.pass()
}

everywhere('crossEntropy keeps its digits at every gap', (t) => {
  sweep(t, 'crossEntropy', 0, () => 0)
})

everywhere('softmaxFocal keeps its digits at every gap', (t) => {
  for (const gamma of [0, 0.5, 1, 2, 5]) sweep(t, 'softmaxFocal', gamma, () => 0)
})

everywhere('crossEntropy and softmaxFocal of scores at random', (t) => {
  const some = kinds.filter(({ title }) => ['label', 'other label, smoothed', 'distribution, hot'].includes(title))
  sweep(t, 'crossEntropy', 0, () => 0, some, true)
  sweep(t, 'softmaxFocal', 2, () => 0, some.slice(0, 2), true)
})

everywhere('sums over many classes of the same score', (t) => {
  // Equal terms are rounded the same way for as long as their sum has the same exponent: of 62 that are added one after the other,
  // 15 units are lost for some scores.
  const far = Array.from({ length: 64 }, (_, i) => 16 + i / 512)
  for (const classes of [17, 63, 64, 100, 1024, 2000]) {
    const truth = once(`same score, ${classes}`, () =>
      far.map((gap) => {
        const rest = exp(exact(-gap)).times(classes - 1)
        return { value: rest.plus(1).ln().toNumber(), grad: rest.div(rest.plus(1)).neg().toNumber() }
      }),
    )
    for (const planes of [false, true]) {
      const x = new Float32Array(far.length * classes)
      for (const [i, gap] of far.entries()) {
        for (let c = 1; c < classes; c++) x[planes ? c * far.length + i : i * classes + c] = -gap
      }
      const shape = planes ? [1, classes, far.length] : [far.length, classes]
      const { value, grad } = crossEntropy.valueAndGrad(x, new Int32Array(far.length), { shape, reduction: 'none' })
      for (const [i, own] of truth.entries()) {
        const title = `C=${classes} gap ${far[i]} planes ${planes}`
        const by = ulpsOf('crossEntropy') + summed(classes)
        if (!near(t, `${title}: value`, (value as Float32Array)[i], own.value, by * ulpOf(own.value))) return
        const got = grad[planes ? i : i * classes]
        if (!near(t, `${title}: grad`, got, own.grad, by * ulpOf(own.grad))) return
      }
    }
  }
  t.pass()
})

everywhere('softmaxFocal multiplies no rounding by a large γ', (t) => {
  // Of a class with p = 0.08 the power 1000 of 1 − p is still a float, and each digit of p counts.
  for (const gamma of [20, 100, 1000]) sweep(t, 'softmaxFocal', gamma, () => 0, kinds, false, [2, 3, 10, 64, 100])
})

everywhere('softmaxFocal of scores from −110 to 110', (t) => {
  const ulps = ulpsOf('softmaxFocal')
  const random = generator(17)
  for (const classes of [2, 5, 30, 100]) {
    for (const gamma of [0, 0.5, 1, 2, 5, 20, 100, 1000]) {
      for (const size of [0.5, 4, 30, 110]) {
        const x = filled(classes, () => Math.round(8 * size * (2 * random() - 1)) / 8)
        const target = filled(classes, () => Math.round(16 * random()) / 16)
        const shape = [1, classes]
        const key = `${classes} ${gamma} ${size} scores`
        const [truth] = truths.get(key) ?? [truthOf(x, target, 1, gamma)]
        truths.set(key, [truth])
        const all = softmaxFocal.valueAndGrad(x, target, { shape, gamma, targetGrad: true })
        const by = ulps + summed(classes)
        const title = `γ=${gamma} C=${classes} ±${size}`
        near(t, title, all.value, truth.value, by * ulpOf(truth.value) + LEAST * classes)
        for (const [c, { grad, unit, targetGrad }] of truth.classes.entries()) {
          const tolerance = by * ulpOf(Math.max(Math.abs(grad), unit)) + LEAST * classes
          near(t, `${title}: grad[${c}]`, all.grad[c], grad, tolerance)
          near(t, `${title}: targetGrad[${c}]`, all.targetGrad![c], targetGrad, by * ulpOf(targetGrad) + LEAST)
        }
      }
    }
  }
  t.pass()
})

/** α_t·m^γ·bce of one logit, both gradients, and the largest term of each. */
function sigmoidTruth(x: number, target: number, gamma: number, alpha: number) {
  const [one, logit, y, a] = [new Real(1), exact(x), exact(target), exact(Math.fround(alpha))]
  const p = one.div(logit.neg().exp().plus(1))
  const q = one.div(logit.exp().plus(1))
  // ln(1 + e^−|x|), also where it has no digit of 1 + e^−|x|.
  const e = logit.abs().neg().exp()
  const soft = e.plus(1).ln()
  const bce = y.times(Real.max(logit.neg(), 0).plus(soft)).plus(one.minus(y).times(Real.max(logit, 0).plus(soft)))
  const m = p.times(one.minus(y)).plus(q.times(y))
  const power = gamma === 0 ? one : gamma === 0.5 ? m.sqrt() : m.pow(gamma)
  const tilt = alpha < 0 ? ZERO : a.times(2).minus(1)
  const at = alpha < 0 ? one : a.times(y).plus(one.minus(a).times(one.minus(y)))
  const weight = at.times(power)
  // p − y, and γ·bce·(2y − 1)·p·q/m
  const bent = bce.times(gamma).times(y.times(2).minus(1)).times(p).times(q).div(m)
  const turned = at.times(bce.times(gamma).times(p.minus(q)).div(m).plus(logit)).neg()
  return {
    value: weight.times(bce).toNumber(),
    grad: weight.times(p.minus(y).minus(bent)).toNumber(),
    unit: weight.times(Real.max(Real.min(Real.max(p, y), Real.max(q, one.minus(y))), bent.abs())).toNumber(),
    targetGrad: power.times(tilt.times(bce).plus(turned)).toNumber(),
    targetUnit: power.times(Real.max(tilt.times(bce).abs(), turned.abs())).toNumber(),
  }
}

type SigmoidTruth = ReturnType<typeof sigmoidTruth>
const sigmoids = new Map<string, SigmoidTruth[]>()

everywhere('sigmoidFocal multiplies no rounding by a large γ', (t) => {
  const ulps = ulpsOf('sigmoidFocal')
  const sizes = [0, 0.125, 0.5, 1, 2, 3.5, 5, 7, 9.5, 12, 16, 20, 40, 80, 110]
  const logits = sizes.flatMap((x) => [x, -x])
  const targets = [0, 2 ** -20, 0.125, 0.25, 0.5, 0.75, 0.9375, 1 - 2 ** -20, 1]
  const x = Float32Array.from(targets.flatMap(() => logits))
  const target = Float32Array.from(targets.flatMap((target) => logits.map(() => target)))
  for (const gamma of [0, 0.5, 1, 2, 5, 20, 100, 1000]) {
    for (const alpha of [null, 0.25]) {
      const key = `${gamma} ${alpha}`
      const own = sigmoids.get(key) ?? Array.from(x, (x, i) => sigmoidTruth(x, target[i], gamma, alpha ?? -1))
      sigmoids.set(key, own)
      const options = { gamma, alpha, reduction: 'none', targetGrad: true } as const
      const { value, grad, targetGrad } = sigmoidFocal.valueAndGrad(x, target, options)
      for (const [i, truth] of own.entries()) {
        const title = `γ=${gamma} α=${alpha} x=${x[i]} t=${target[i]}`
        near(t, title, value[i], truth.value, ulps * ulpOf(truth.value) + LEAST)
        const unit = Math.max(Math.abs(truth.grad), truth.unit)
        near(t, `${title}: grad`, grad[i], truth.grad, ulps * ulpOf(unit) + LEAST)
        const targetUnit = Math.max(Math.abs(truth.targetGrad), truth.targetUnit)
        near(t, `${title}: targetGrad`, targetGrad![i], truth.targetGrad, ulps * ulpOf(targetUnit) + LEAST)
      }
    }
  }
  t.pass()
})

everywhere('a NaN shows in every result of the focal losses', (t) => {
  const nan = Number.NaN
  for (const gamma of [0, 0.5, 1, 2, 3, 5, 8, 9, 101]) {
    for (const [x, target] of [
      [0.5, nan],
      [-0.5, nan],
      [nan, 0.5],
      [nan, 1],
    ]) {
      const title = `sigmoidFocal γ=${gamma} x=${x} t=${target}`
      for (const alpha of [null, 0.25]) {
        const options = { gamma, alpha, targetGrad: true } as const
        const all = sigmoidFocal.valueAndGrad(Float32Array.of(x, 1), Float32Array.of(target, 0), options)
        t.deepEqual([all.value, all.grad[0], all.targetGrad![0]], [nan, nan, nan], title)
        t.true(Number.isFinite(all.grad[1]) && Number.isFinite(all.targetGrad![1]), title)
      }
    }
    // A +∞ has no softmax, whether a class is asked for or not.
    for (const scores of [[Infinity], [Infinity, 1], [nan, 1], [-Infinity, -Infinity]]) {
      const [x, nothing] = [Float32Array.from(scores), new Float32Array(scores.length)]
      for (const loss of gamma === 0 ? [loose(softmaxFocal), loose(crossEntropy)] : [loose(softmaxFocal)]) {
        const own = loss.name === 'softmaxFocal' ? { gamma } : {}
        for (const shape of [
          [1, x.length],
          [1, x.length, 1],
        ]) {
          const { value, grad } = loss.valueAndGrad(x, nothing, { ...own, shape })
          t.is(value, nan, `${loss.name} γ=${gamma} of ${scores}`)
          t.true(grad.every(Number.isNaN), `${loss.name} γ=${gamma} of ${scores}`)
          t.is(loss(x, nothing, { ...own, shape }), nan)
        }
        t.is(loss(x, Int32Array.of(0), own), nan)
      }
    }
  }
})

everywhere('a γ beyond all digits', (t) => {
  // (1 − e^−64)^γ for γ = e^64/2.
  const gap = 64
  const gamma = Math.fround(Math.exp(gap) / 2)
  const value = softmaxFocal(Float32Array.of(gap, 0), Int32Array.of(1), { gamma })
  near(t, 'value', value, Math.exp(-gamma * Math.exp(-gap)) * gap, 8 * ULP * gap)
  t.pass()
})

everywhere('crossEntropy at a temperature that divides with rounding', (t) => {
  // z = (x − max)/T is rounded, and e^z is off by |z| times that: what is below e^−104 is 0.
  const temperature = Math.fround(0.07)
  const options = { temperature }
  const label = ({ top }: Row) => top
  sweep(t, 'crossEntropy', 0, () => 2 * 104, [{ title: 'at 0.07', options, label, temperature }])
  // Two classes have opposite gradients all the same.
  const grad = crossEntropy.backward(Float32Array.of(0.9, 0.1), Int32Array.of(0), { temperature })
  near(t, 'the sum of both gradients', grad[0] + grad[1], 0, 8 * ULP * Math.abs(grad[0]))
})

everywhere('many classes at the largest score, and a class that cannot be', (t) => {
  const ties = Float32Array.of(3, 3, -60, Number.NEGATIVE_INFINITY)
  const { value, grad } = crossEntropy.valueAndGrad(ties, Int32Array.of(1))
  near(t, 'value', value, Math.LN2, 8 * ULP)
  t.deepEqual(Array.from(grad.subarray(0, 2)), [0.5, -0.5])
  near(t, 'grad[2]', grad[2], Math.exp(-63) / 2, 8 * ULP * Math.exp(-63))
  t.is(grad[3], 0)
})

everywhere('diceCe, focalDice and dice where a class is nearly certain', (t) => {
  for (const gap of [4, 12, 16, 17, 30, 60]) {
    for (const classes of [2, 5, 70]) {
      const scores = Float32Array.from({ length: classes }, (_, c) => (c === 1 ? gap : 0))
      const shape = [1, classes, 1]
      const oneHot = Array.from(scores, (_, c) => Number(c === 1))
      const options = { shape, diceWeight: 0, reduction: 'sum', activation: 'softmax' } as const
      const { activation: _, ...ceOptions } = options
      for (const [name, gamma, { parts, grad }] of [
        ['ce', 0, loose(diceCe).valueAndGrad(scores, Int32Array.of(1), ceOptions) as never],
        [
          'focal',
          2,
          loose(focalDice).valueAndGrad(scores, Int32Array.of(1), { ...options, gamma: 2, alpha: null }) as never,
        ],
      ] as [string, number, { parts: Record<string, number>; grad: Float32Array }][]) {
        const truth = truthOf(scores, oneHot, 1, gamma)
        const by = ulpsOf(gamma === 0 ? 'crossEntropy' : 'softmaxFocal') + summed(classes)
        const title = `${name} gap ${gap} C=${classes}`
        near(t, title, parts[name], truth.value, by * ulpOf(truth.value))
        for (let c = 0; c < classes; c++) {
          const { grad: g } = truth.classes[c]
          near(t, `${title} grad[${c}]`, grad[c], g, by * ulpOf(g) + LEAST)
        }
      }
      // p_c·(g_c − Σ g·p) sums to 0 over the classes: what the largest class has is what the others have.
      const grad = dice.backward(scores, Int32Array.of(1), { shape, activation: 'softmax', smoothNr: 0, smoothDr: 1 })
      const others = grad.reduce((sum, g, c) => (c === 1 ? sum : sum + g), 0)
      near(t, `dice gap ${gap} C=${classes}`, grad[1], -others, 64 * ULP * Math.abs(others))
      t.not(grad[1], 0)
    }
  }
  t.pass()
})

/** T²·KL and its gradients by both scores. */
function divergence(student: Float32Array, teacher: Float32Array, temperature: number) {
  const [s, own] = [student, teacher].map((x) => {
    const oddsOf = softmaxOf(countsOf(x), temperature)
    return Array.from(x, oddsOf)
  })
  const scale = exact(temperature)
  // T·(ln t − ln p)
  const gap = s.map(({ logP }, c) => own[c].logP.minus(logP).times(scale))
  const kl = sumOf(gap.map((gap, c) => own[c].p.times(gap)))
  // Past that of the teacher's largest class.
  const top = teacher.indexOf(Math.max(...teacher))
  const past = gap.map((own) => gap[top].minus(own))
  const mean = sumOf(past.map((d, c) => own[c].p.times(d.abs())))
  return {
    value: kl.times(scale).toNumber(),
    grad: s.map(({ p }, c) => p.minus(own[c].p).times(scale).toNumber()),
    targetGrad: gap.map((gap, c) => own[c].p.times(gap.minus(kl)).toNumber()),
    /** The largest terms of both gradients of a class: t·ΔS of a difference of two, or T·p. */
    units: past.map((d, c) => {
      const terms = Real.max(d.abs(), gap[top].abs()).times(own[c].p)
      return [Real.min(terms, Real.max(s[c].p, own[c].p).times(scale)), Real.max(d.abs(), mean).times(own[c].p)]
    }),
  }
}

function distilled(t: ExecutionContext, title: string, student: Float32Array, teacher: Float32Array, temperature = 1) {
  const truth = divergence(student, teacher, temperature)
  const { length } = student
  // z = (x − max)/T is rounded, and e^z is off by |z| times that.
  const z = (x: Float32Array) => Math.min(104, (Math.max(...x) - Math.min(...x)) / temperature)
  const by = ulpsOf('distillation') + 2 * Math.max(z(student), z(teacher))
  for (const shape of [
    [1, length],
    // Two positions with classes that are planes, which go by another loop.
    [1, length, 2],
  ]) {
    const times = shape[2] ?? 1
    const options = { shape, temperature, targetGrad: true } as const
    const [x, y] = [student, teacher].map((scores) => {
      return Float32Array.from({ length: times * length }, (_, i) => scores[Math.floor(i / times)])
    })
    const all = distillation.valueAndGrad(x, y, options)
    const value = all.value / times
    const [grad, targetGrad] = [all.grad, all.targetGrad!].map((g) => g.filter((_, i) => i % times === 0))
    const least = LEAST * length * Math.max(1, temperature) ** 2
    const what = `${title}, T = ${temperature}, C = ${length}`
    t.true(value >= 0, `${what}: ${value} is negative`)
    if (!near(t, what, value, truth.value, by * ulpOf(truth.value) + least)) return
    for (let c = 0; c < length; c++) {
      const [byStudent, byTeacher] = [truth.grad[c], truth.targetGrad[c]].map((g, i) => {
        return by * ulpOf(Math.max(Math.abs(g), truth.units[c][i].toNumber())) + least
      })
      if (!near(t, `${what}: grad[${c}]`, grad[c], truth.grad[c], byStudent)) return
      if (!near(t, `${what}: targetGrad[${c}]`, targetGrad[c], truth.targetGrad[c], byTeacher)) return
    }
  }
}

everywhere('distillation of nearly the same scores is exact and never negative', (t) => {
  const random = generator(5)
  for (const classes of [2, 3, 10, 70]) {
    for (const by of [1e-6, 1e-5, 5e-5, 5e-4, 1e-3, 0.01, 0.1, 1, 3]) {
      for (const temperature of [1, 2, 20]) {
        const teacher = filled(classes, () => normal(random, 2))
        const student = teacher.map((x) => x + by * (2 * random() - 1))
        distilled(t, `within ${by}`, student, teacher, temperature)
      }
    }
  }
  // Also far from 0, and apart by a number that no softmax sees.
  const teacher = Float32Array.of(20.5, 18.25, 21, 3)
  distilled(
    t,
    'apart by 40',
    teacher.map((x, c) => x - 40 + c * 2 ** -9),
    teacher,
    1,
  )
})

everywhere('distillation of scores far apart', (t) => {
  distilled(t, 'opposite', Float32Array.of(30, -30, 0), Float32Array.of(-30, 30, 0), 2)
  const student = Float32Array.of(-5.972, -2.4214, -5.0406)
  const teacher = Float32Array.of(-1.1524, 2.3865, 0.137)
  distilled(t, 'random', student, teacher, 2)
  const value = distillation(student, teacher, { shape: [1, 3], temperature: 2 })
  // By PyTorch in double precision.
  near(t, 'value', value, 0.01111961984, 1e-6 * 0.0111)
  for (const ends of [20, 40, 80]) {
    distilled(t, `±${ends}`, Float32Array.of(ends, -ends, 0, 1), Float32Array.of(-ends, ends, 2, 0))
    distilled(t, `±${ends}, one way`, Float32Array.of(ends, -ends, 0, 1), Float32Array.of(ends, -ends, 2, 0))
  }
  // The teacher's other probabilities are too small for numbers, while the student has all of it there.
  distilled(t, 'a certain teacher', Float32Array.of(0, 0.5, 0.25), Float32Array.of(150, 0, 1))
  distilled(t, 'a certain teacher and a wrong student', Float32Array.of(0, 120, 0.25), Float32Array.of(150, 0, 1), 2)
})

everywhere('distillation at every temperature', (t) => {
  const student = Float32Array.of(1, 2, 3)
  const teacher = Float32Array.of(1, 1, 4)
  for (const temperature of [1e-37, 1e-20, 1e-3, 0.07, 1, 20, 1e3, 1e4, 1e6, 1e10, 1e15, 1e18]) {
    distilled(t, 'scores', student, teacher, Math.fround(temperature))
  }
  // T² is no number of single precision any more; by the limit T → ∞ it is the variance of the difference over 2.
  for (const temperature of [1e20, 1e30, 8e37, 3e38]) {
    const options = { shape: [1, 3], temperature, targetGrad: true } as const
    const { value, grad, targetGrad } = distillation.valueAndGrad(student, teacher, options)
    near(t, `${temperature}`, value, 1 / 3, 16 * ULP)
    for (const [c, g] of [0, 1 / 3, -1 / 3].entries()) {
      near(t, `grad[${c}] at ${temperature}`, grad[c], g, 16 * ULP)
      near(t, `targetGrad[${c}] at ${temperature}`, targetGrad![c], -g, 16 * ULP)
    }
  }
})

everywhere('a student that rules out what the teacher asks for', (t) => {
  const none = Number.NEGATIVE_INFINITY
  const { value, grad } = distillation.valueAndGrad(Float32Array.of(none, 1), Float32Array.of(2, 0), { shape: [1, 2] })
  t.is(value, Number.POSITIVE_INFINITY)
  const p = 1 / (1 + Math.exp(-2))
  near(t, 'grad[0]', grad[0], -p, 16 * ULP)
  near(t, 'grad[1]', grad[1], p, 16 * ULP)
  t.pass()
})

everywhere('scores at the ends of single precision', (t) => {
  const x = Float32Array.of(3e38, -3e38)
  const far = x[0] - x[1]
  const least = 8 * ULP
  for (const classes of [2, 80]) {
    const scores = new Float32Array(classes).fill(-3e38)
    scores[0] = 3e38
    const label = Int32Array.of(1)
    for (const shape of [
      [1, classes],
      [1, classes, 1],
    ]) {
      for (const loss of [crossEntropy, loose(softmaxFocal) as unknown as typeof crossEntropy]) {
        const { value, grad } = loss.valueAndGrad(scores, label, { shape, temperature: 1000 })
        near(t, `${loss.name} at T = 1000`, value, far / 1000, (far / 1000) * least)
        near(t, 'grad[1]', grad[1], -0.001, 0.001 * least)
      }
      const smoothed = crossEntropy.valueAndGrad(scores, Int32Array.of(0), { shape, labelSmoothing: 0.25 })
      const own = 0.25 * (1 - 1 / classes) * far
      near(t, `smoothed of ${classes}`, smoothed.value, own, own * least)
      const other = 0.25 / classes
      near(t, 'the gradient of another', smoothed.grad[1], -other, other * least)
      near(t, 'the gradient of the label', smoothed.grad[0], 0.25 - other, 0.25 * least)
      const weight = Array.from({ length: classes }, () => 0.25)
      const light = crossEntropy(scores, label, { shape, weight, reduction: 'sum' })
      near(t, 'a small weight', light, far / 4, (far / 4) * least)
      const q = new Float32Array(classes)
      q[1] = 0.25
      const soft = crossEntropy.valueAndGrad(scores, q, { shape, targetGrad: true, gradOutput: 0.25 })
      near(t, 'a distribution', soft.value, far / 4, (far / 4) * least)
      near(t, 'targetGrad', soft.targetGrad![1], far / 4, (far / 4) * least)
      near(t, 'targetGrad of the largest', soft.targetGrad![0], 0, 0)
      const hot = crossEntropy.valueAndGrad(scores, q, { shape, targetGrad: true, temperature: 1000 })
      near(t, 'targetGrad at T = 1000', hot.targetGrad![1], far / 1000, (far / 1000) * least)
    }
  }
  t.pass()
})

everywhere('numbers of classes beyond 2^24', (t) => {
  // Every class has its own number: the label is one class of the smoothed target, and not its neighbours too.
  const classes = 2 ** 24 + 3
  const x = new Float32Array(classes)
  const y = 2 ** 24 + 1
  const options = { labelSmoothing: 0.5, gamma: 0, grad: x } as const
  const { value, grad } = softmaxFocal.valueAndGrad(x, Int32Array.of(y), options)
  near(t, 'value', value, Math.log(classes), 1e-6 * Math.log(classes))
  for (const c of [y - 1, y, y + 1]) near(t, `grad[${c}]`, grad[c], Number(c === y) * -0.5, 1e-6)
  t.pass()
})

everywhere('parameters that single precision cannot hold', (t) => {
  const [x, label] = [new Float32Array(6), Int32Array.of(0, 1)]
  refuses(t, RangeError, /gamma must be a number ≥ 0 as a 32-bit float/, loose(softmaxFocal), x, label, {
    gamma: 1e39,
  })
  refuses(t, RangeError, /alpha must be a finite number ≥ 0 as a 32-bit float/, loose(softmaxFocal), x, label, {
    alpha: 1e300,
  })
  for (const gamma of [1e30, 1e38, 3.4e38]) {
    for (const gap of [-40, -1, 0, 1, 40]) {
      const scores = Float32Array.of(gap, 0, 0)
      const { value, grad } = softmaxFocal.valueAndGrad(scores, Int32Array.of(0), { gamma })
      t.true(Number.isFinite(value) && grad.every(Number.isFinite), `γ = ${gamma}, ${gap}: ${value}, ${grad}`)
    }
  }
})
