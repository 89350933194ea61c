/**
 * Losses of planes where the prediction is nearly the target: value and gradient have the digits that single precision has room
 * for, and no value is negative. The truth is computed with 60 digits by decimal.js (10.6) from the formulas of the documentation,
 * which subtract what is nearly the same: in double precision they have no digit left from a gap of 37 on.
 */

import type { ExecutionContext } from 'ava'
import { Decimal } from 'decimal.js'
import { bceDice, dice, diceCe, diceFocal, focalDice, jaccard, tversky } from '../ts/index.js'
import { filled } from './data.js'
import { everywhere, type Loose, loose } from './everywhere.js'

const Real = Decimal.clone({ precision: 60, toExpNeg: -1e4, toExpPos: 1e4 })
type Real = Decimal

const real = (x: number) => new Real(x)
const [ZERO, ONE] = [real(0), real(1)]
const sumOf = (values: readonly Real[]) => values.reduce((a, b) => a.plus(b), ZERO)

/** Half a unit in the last place of 1. Sums and sigmoids round some times on the way. */
const ULP = 2 ** -24
const TOLERANCE = 40 * ULP

interface Smoothing {
  readonly smoothNr: number
  readonly smoothDr: number
}

interface Plane {
  readonly value: Real
  /** Of the value, before its terms are subtracted where smoothing is. */
  readonly unit: Real
  readonly byP: readonly Real[]
  readonly byY: readonly Real[]
}

type Formula = (p: readonly Real[], y: readonly Real[], smoothing: Smoothing, options: Record<string, unknown>) => Plane

const products = (a: readonly Real[], b: readonly Real[]) => sumOf(a.map((a, i) => a.times(b[i])))

/** 1 − A/B, and (A·B′ − B·A′)/B² with the derivatives A′ and B′ by p or y. */
function quotient(
  a: Real,
  b: Real,
  { smoothNr, smoothDr }: Smoothing,
  count: number,
  slopes: (i: number) => { byP: readonly [Real, Real]; byY: readonly [Real, Real] },
): Plane {
  const by = ([ofA, ofB]: readonly [Real, Real]) => a.times(ofB).minus(b.times(ofA)).div(b.times(b))
  const all = Array.from({ length: count }, (_, i) => slopes(i))
  const past = real(smoothDr).minus(smoothNr)
  const gap = b.minus(a)
  return {
    value: gap.div(b),
    unit: gap.minus(past).plus(past.abs()).div(b),
    byP: all.map(({ byP }) => by(byP)),
    byY: all.map(({ byY }) => by(byY)),
  }
}

const ofDice: Formula = (p, y, smoothing, { squaredPred }) => {
  const a = products(p, y).times(2).plus(smoothing.smoothNr)
  const own = squaredPred ? products(p, p).plus(products(y, y)) : sumOf(p).plus(sumOf(y))
  const b = own.plus(smoothing.smoothDr)
  return quotient(a, b, smoothing, p.length, (i) => ({
    byP: [y[i].times(2), squaredPred ? p[i].times(2) : ONE],
    byY: [p[i].times(2), squaredPred ? y[i].times(2) : ONE],
  }))
}

const ofJaccard: Formula = (p, y, smoothing, { squaredPred }) => {
  const both = products(p, y)
  const a = both.times(2).plus(smoothing.smoothNr)
  const own = squaredPred ? products(p, p).plus(products(y, y)) : sumOf(p).plus(sumOf(y))
  const b = own.minus(both).times(2).plus(smoothing.smoothDr)
  return quotient(a, b, smoothing, p.length, (i) => ({
    byP: [y[i].times(2), (squaredPred ? p[i].times(4) : real(2)).minus(y[i].times(2))],
    byY: [p[i].times(2), (squaredPred ? y[i].times(4) : real(2)).minus(p[i].times(2))],
  }))
}

const ofTversky: Formula = (p, y, smoothing, { alpha, beta, gamma }) => {
  const both = products(p, y)
  const [ofP, ofY, power] = [alpha, beta, gamma].map((number) => real(number as number))
  const past = (own: readonly Real[]) => sumOf(own).minus(both)
  const n = both.plus(smoothing.smoothNr)
  const d = both
    .plus(ofP.times(past(p)))
    .plus(ofY.times(past(y)))
    .plus(smoothing.smoothDr)
  const plain = quotient(n, d, smoothing, p.length, (i) => ({
    byP: [y[i], y[i].plus(ofP.times(ONE.minus(y[i]))).minus(ofY.times(y[i]))],
    byY: [p[i], p[i].plus(ofY.times(ONE.minus(p[i]))).minus(ofP.times(p[i]))],
  }))
  if (power.eq(1)) return plain
  const factor = plain.value.gt(0) ? plain.value.pow(power.minus(1)).times(power) : ZERO
  const by = (slopes: readonly Real[]) => slopes.map((slope) => slope.times(factor))
  const value = plain.value.gt(0) ? plain.value.pow(power) : ZERO
  return { value, unit: value, byP: by(plain.byP), byY: by(plain.byY) }
}

interface Kind {
  readonly loss: Loose
  readonly formula: Formula
  readonly options: Record<string, unknown>
}

const kinds: Kind[] = [
  { loss: loose(dice), formula: ofDice, options: {} },
  { loss: loose(dice), formula: ofDice, options: { squaredPred: true } },
  { loss: loose(jaccard), formula: ofJaccard, options: {} },
  { loss: loose(jaccard), formula: ofJaccard, options: { squaredPred: true } },
  ...[
    { alpha: 0.25, beta: 0.75, gamma: 1 },
    { alpha: 0.25, beta: 0.75, gamma: 0.75 },
    { alpha: 0.5, beta: 0, gamma: 2 },
    { alpha: 0, beta: 1, gamma: 1 },
  ].map((options) => ({ loss: loose(tversky), formula: ofTversky, options })),
]

const SMOOTHING: Smoothing[] = [
  { smoothNr: 0, smoothDr: 0 },
  { smoothNr: 1e-5, smoothDr: 1e-5 },
  { smoothNr: 0, smoothDr: 1e-5 },
  { smoothNr: 0.5, smoothDr: 0.25 },
]

const GAPS = [0, 0.125, 1, 2, 4, 8, 11.5, 14, 16, 16.5, 17, 20, 25, 32, 37, 40]

/** Truths by title, for all platforms. */
const known = new Map<string, unknown>()
function once<T>(title: string, make: () => T): T {
  if (!known.has(title)) known.set(title, make())
  return known.get(title) as T
}

const exps = new Map<number, Real>()
function exp(x: number): Real {
  if (!exps.has(x)) exps.set(x, real(x).exp())
  return exps.get(x)!
}

function near(t: ExecutionContext, what: string, got: number, truth: Real, unit: Real, by = TOLERANCE): boolean {
  const off = real(got).minus(truth).abs()
  // What is below the normal numbers may become 0.
  const allowed = unit
    .abs()
    .times(by)
    .plus(2 ** -120)
  if (off.lte(allowed)) return true
  t.fail(
    `${what} is ${got}, expected ${truth.toNumber()}, which is ${off.div(allowed).toFixed(1)} times what it may be off`,
  )
  return false
}

function titleOf({ loss, options }: Kind, { smoothNr, smoothDr }: Smoothing, gap: number): string {
  const { name } = loss as unknown as { name: string }
  return `${name} ${JSON.stringify(options)} smoothing ${smoothNr}, ${smoothDr} gap ${gap}`
}

/** Past a whole vector, so that there is a tail. */
const COUNT = 21

everywhere('losses of a sigmoid keep their digits at every gap', (t) => {
  for (const gap of GAPS) {
    const y = filled(COUNT, (i) => Number(i % 3 === 0))
    const x = filled(COUNT, (i) => (y[i] === 1 ? 1 : -1) * (gap + (i % 5) / 8))
    const p = once(`p ${gap}`, () => Array.from(x, (x) => ONE.div(exp(-x).plus(1))))
    const q = once(`q ${gap}`, () => Array.from(x, (x) => ONE.div(exp(x).plus(1))))
    for (const kind of kinds) {
      for (const smoothing of SMOOTHING) {
        const title = titleOf(kind, smoothing, gap)
        const truth = once(title, () => kind.formula(p, Array.from(y, real), smoothing, kind.options))
        const options = { ...kind.options, ...smoothing, activation: 'sigmoid' }
        const { value, grad, targetGrad } = kind.loss.valueAndGrad(x, y, { ...options, targetGrad: true }) as {
          value: number
          grad: Float32Array
          targetGrad?: Float32Array
        }
        if (!near(t, title, value, truth.value, truth.unit)) return
        if (smoothing.smoothNr === smoothing.smoothDr) t.true(value >= 0, `${title}: ${value} is negative`)
        for (let i = 0; i < COUNT; i++) {
          const g = truth.byP[i].times(p[i]).times(q[i])
          const unit = smoothing.smoothNr > smoothing.smoothDr ? real(1).times(p[i]).times(q[i]) : g
          if (!near(t, `${title}: grad[${i}]`, grad[i], g, unit)) return
          // The terms of a p in the middle have both signs.
          const most = smoothing.smoothNr > smoothing.smoothDr ? ONE : Real.max(...truth.byY.map((own) => own.abs()))
          if (!near(t, `${title}: targetGrad[${i}]`, targetGrad![i], truth.byY[i], most)) return
        }
        // Masked by weights of nothing, the rest goes another way through memory.
        const mask = filled(COUNT + 3, (i) => Number(i < COUNT))
        const longer = (values: Float32Array, fill: number) => filled(COUNT + 3, (i) => (i < COUNT ? values[i] : fill))
        const masked = kind.loss(longer(x, Number.NaN), longer(y, 1), { ...options, mask, shape: [1, 1, COUNT + 3] })
        if (!near(t, `${title}, masked`, masked as number, truth.value, truth.unit)) return
      }
    }
    const smoothing = { smoothNr: 1e-5, smoothDr: 1e-5 }
    for (const squaredPred of [false, true]) {
      const options = { ...smoothing, squaredPred }
      const truth = ofDice(p, Array.from(y, real), smoothing, { squaredPred })
      for (const loss of [loose(bceDice), loose(focalDice)]) {
        const { parts } = loss.valueAndGrad(x, y, options) as unknown as { parts: { dice: number } }
        if (!near(t, `dice of a compound, gap ${gap}, ${squaredPred}`, parts.dice, truth.value, truth.unit)) return
      }
    }
  }
  t.pass()
})

everywhere('losses of a softmax keep their digits at every gap', (t) => {
  for (const gap of GAPS) {
    for (const classes of [2, 3, 70]) {
      const labels = Int32Array.from({ length: COUNT }, (_, i) => i % classes)
      const score = (i: number, c: number) => (c === labels[i] ? gap + (i % 5) / 8 : ((i + c) % 3) / 8 - 0.25)
      const truths = once(`softmax ${gap} ${classes}`, () => {
        const [p, q, y]: Real[][][] = [[], [], []]
        for (let c = 0; c < classes; c++) for (const rows of [p, q, y]) rows.push([])
        for (let i = 0; i < COUNT; i++) {
          const own = Array.from({ length: classes }, (_, c) => exp(Math.fround(score(i, c))))
          const sum = sumOf(own)
          own.forEach((e, c) => {
            p[c].push(e.div(sum))
            q[c].push(sum.minus(e).div(sum))
            y[c].push(real(Number(c === labels[i])))
          })
        }
        return { p, q, y }
      })
      const { p, q, y } = truths
      // Of many classes only some, for the time that it takes.
      for (const kind of classes > 3 ? kinds.slice(0, 2) : kinds) {
        for (const smoothing of classes > 3 ? SMOOTHING.slice(1, 2) : SMOOTHING) {
          const title = `softmax of ${classes}, ${titleOf(kind, smoothing, gap)}`
          const planes = once(title, () => p.map((p, c) => kind.formula(p, y[c], smoothing, kind.options)))
          const gradients = once(`${title}, gradients`, () =>
            Array.from({ length: COUNT }, (_, i) => {
              const by = planes.map(({ byP }, c) => byP[i].times(p[c][i]))
              const [mean, size] = [sumOf(by), sumOf(by.map((own) => own.abs()))]
              return planes.map(({ byP }, c) => ({
                g: byP[i].minus(mean).times(p[c][i]),
                unit: byP[i].times(q[c][i]).abs().plus(size.minus(by[c].abs())).times(p[c][i]),
              }))
            }),
          )
          for (const last of [false, true]) {
            const at = (i: number, c: number) => (last ? i * classes + c : c * COUNT + i)
            const x = new Float32Array(COUNT * classes)
            for (let i = 0; i < COUNT; i++) for (let c = 0; c < classes; c++) x[at(i, c)] = score(i, c)
            const shape = last ? [1, COUNT, classes] : [1, classes, COUNT]
            const options = { ...kind.options, ...smoothing, activation: 'softmax', shape, reduction: 'none' }
            const all = { ...options, ...(last && { classAxis: -1 }) }
            const { value, grad } = kind.loss.valueAndGrad(x, labels, {
              ...all,
              gradOutput: new Float32Array(classes).fill(1),
            }) as unknown as { value: Float32Array; grad: Float32Array }
            for (let c = 0; c < classes; c++) {
              if (!near(t, `${title}: value ${c}`, value[c], planes[c].value, planes[c].unit)) return
              if (smoothing.smoothNr === smoothing.smoothDr) t.true(value[c] >= 0, `${title}: ${value[c]} is negative`)
              for (let i = 0; i < COUNT; i++) {
                const { g, unit } = gradients[i][c]
                const size = smoothing.smoothNr > smoothing.smoothDr ? p[c][i] : unit
                if (!near(t, `${title}: grad of ${i}, ${c}`, grad[at(i, c)], g, size)) return
              }
            }
            if (kind.formula !== ofDice || smoothing.smoothNr !== 1e-5) continue
            const mean = sumOf(planes.map(({ value }) => value)).div(classes)
            const { activation: _, reduction: __, ...rest } = all
            for (const loss of [loose(diceCe), loose(focalDice).with({ activation: 'softmax' }), loose(diceFocal)]) {
              const choice = loss === loose(diceFocal) ? { activation: 'softmax' } : {}
              const { parts } = loss.valueAndGrad(x, labels, { ...rest, ...choice }) as unknown as {
                parts: { dice: number }
              }
              if (!near(t, `dice of a compound, ${title}`, parts.dice, mean, mean)) return
            }
          }
        }
      }
    }
  }
  t.pass()
})

everywhere('probabilities a few units from the target', (t) => {
  for (const away of [0, 1, 2, 5, 1000, 1e6]) {
    for (const soft of [false, true]) {
      const y = filled(COUNT, (i) => (soft ? ((i * 7) % 16) / 32 + 0.25 : Number(i % 3 === 0)))
      const p = y.map((y, i) => (y > 0.5 ? y - away * (i % 4) * ULP : y + (away * (i % 4) * ULP) / 2))
      for (const kind of kinds) {
        // Only squares cost nothing where a soft target is met.
        if (soft && !kind.options.squaredPred) continue
        for (const smoothing of SMOOTHING) {
          const title = `${titleOf(kind, smoothing, away)} soft ${soft}`
          const truth = once(title, () => {
            return kind.formula(Array.from(p, real), Array.from(y, real), smoothing, kind.options)
          })
          const { value, grad } = kind.loss.valueAndGrad(p, y, { ...kind.options, ...smoothing }) as {
            value: number
            grad: Float32Array
          }
          if (!near(t, title, value, truth.value, truth.unit)) return
          if (smoothing.smoothNr === smoothing.smoothDr) t.true(value >= 0, `${title}: ${value} is negative`)
          for (let i = 0; i < COUNT; i++) {
            const signed = soft || smoothing.smoothNr > smoothing.smoothDr
            // Of a soft target the two terms have any sign: k·(p − y) and y·a, with a of the size of the value.
            const size = truth.unit.plus(real(p[i]).minus(y[i]).abs()).times(4)
            if (!near(t, `${title}: grad[${i}]`, grad[i], truth.byP[i], signed ? size : truth.byP[i])) return
          }
        }
      }
    }
  }
  t.pass()
})
