/**
 * Losses of planes that have one value for all classes. The truth is the formula of the documentation with 200 digits, by decimal.js,
 * and its gradients are central differences of it, the weights of the classes held constant.
 */

import type { ExecutionContext } from 'ava'
import { Decimal } from 'decimal.js'
import { dice, generalizedDice } from '../ts/index.js'
import { filled, generator } from './data.js'
import { everywhere, loose, refuses } from './everywhere.js'

const Real = Decimal.clone({ precision: 200, toExpNeg: -1e4, toExpPos: 1e4 })
type Real = Decimal

const real = (x: number) => new Real(x)
const [ZERO, ONE] = [real(0), real(1)]
const sumOf = (values: readonly Real[]) => values.reduce((a, b) => a.plus(b), ZERO)

const powers = { square: 2, simple: 1, uniform: 0 }

/** A call of arrays [N, C, L]. */
interface Call {
  readonly samples: number
  readonly classes: number
  readonly options: {
    readonly weightType?: keyof typeof powers
    readonly smoothNr?: number
    readonly smoothDr?: number
    readonly batch?: boolean
    readonly includeBackground?: boolean
    readonly weight?: readonly number[]
    /** Of a position of a sample. */
    readonly mask?: Uint8Array
    readonly emptyClass?: 'zero' | 'skip'
  }
}

/** Indices of the scores that count, by row and class. */
function planesOf({ samples, classes, options }: Call, length: number): number[][][] {
  const { batch, includeBackground, mask } = options
  const positions = length / samples / classes
  const rows = Array.from({ length: batch ? 1 : samples }, (_, row) => {
    const planes = Array.from({ length: classes }, (): number[] => [])
    for (let i = 0; i < length; i++) {
      const [sample, position] = [Math.floor(i / positions / classes), i % positions]
      if (!batch && sample !== row) continue
      if (mask === undefined || mask[sample * positions + position] > 0)
        planes[Math.floor(i / positions) % classes].push(i)
    }
    return planes
  })
  return rows.map((planes) => planes.slice(includeBackground === false ? 1 : 0))
}

/** What the classes weigh, by row. */
function weightsOf(call: Call, y: readonly Real[]): Real[][] {
  const { weightType = 'square', weight, emptyClass, includeBackground } = call.options
  return planesOf(call, y.length).map((planes) => {
    const targets = planes.map((own) => sumOf(own.map((i) => y[i])))
    const there = targets.filter((sum) => !sum.isZero())
    const own = (sum: Real) => ONE.div(sum.pow(powers[weightType]))
    const largest = there.length === 0 ? ZERO : Real.max(...there.map(own))
    return targets.map((sum, k) => {
      const factor = real(weight?.[k + (includeBackground === false ? 1 : 0)] ?? 1)
      if (!sum.isZero()) return own(sum).times(factor)
      if (emptyClass !== undefined) return ZERO
      return (weightType === 'uniform' ? ONE : largest).times(factor)
    })
  })
}

/** 1 − A/B of a row. */
function lossOf(call: Call, row: number, p: readonly Real[], y: readonly Real[], weights: readonly Real[]): Real {
  const { smoothNr = 1e-5, smoothDr = 1e-5 } = call.options
  const planes = planesOf(call, p.length)[row]
  const both = planes.map((own, k) => sumOf(own.map((i) => p[i].times(y[i]))).times(weights[k]))
  const all = planes.map((own, k) => sumOf(own.map((i) => p[i].plus(y[i]))).times(weights[k]))
  return ONE.minus(sumOf(both).times(2).plus(smoothNr).div(sumOf(all).plus(smoothDr)))
}

interface Truth {
  readonly values: readonly Real[]
  readonly byP: readonly Real[]
  readonly byY: readonly Real[]
}

/** Of a difference: far below any single, and far above the last digit of the values. */
const STEP = real(1e-80)

/** Truths by title, for all platforms. */
const known = new Map<string, Truth>()

/** Values, and the gradients of their sum. */
function truthOf(title: string, call: Call, p: readonly Real[], y: readonly Real[]): Truth {
  const before = known.get(title)
  if (before !== undefined) return before
  const planes = planesOf(call, p.length)
  const weights = weightsOf(call, y)
  const differences = (array: readonly Real[], at: (changed: readonly Real[], row: number) => Real) => {
    const slopes = array.map(() => ZERO)
    planes.forEach((own, row) => {
      for (const i of own.flat()) {
        const [up, down] = [STEP, STEP.neg()].map((h) => at(array.with(i, array[i].plus(h)), row))
        slopes[i] = up.minus(down).div(STEP.times(2))
      }
    })
    return slopes
  }
  const truth = {
    values: planes.map((_, row) => lossOf(call, row, p, y, weights[row])),
    byP: differences(p, (p, row) => lossOf(call, row, p, y, weights[row])),
    byY: differences(y, (y, row) => lossOf(call, row, p, y, weights[row])),
  }
  known.set(title, truth)
  return truth
}

const TOLERANCE = 2e-6

/** In units of the largest number of the plane, since terms cancel; what is below the normal numbers may become 0. */
function near(
  t: ExecutionContext,
  what: string,
  got: ArrayLike<number>,
  truth: readonly Real[],
  plane = truth.length,
): void {
  const off = truth.findIndex((own, i) => {
    const first = i - (i % plane)
    const unit = Real.max(...truth.slice(first, first + plane).map((own) => own.abs()))
    return real(got[i])
      .minus(own)
      .abs()
      .gt(unit.times(TOLERANCE).plus(2 ** -120))
  })
  t.true(off < 0, `${what}: [${off}] is ${got[off]}, expected ${truth[off]?.toNumber()}`)
}

everywhere('generalizedDice by hand', (t) => {
  const p = Float32Array.of(1, 1, 1, 0.5, 0, 0, 0, 0.5)
  const labels = Int32Array.of(0, 0, 0, 1)
  const hot = Float32Array.of(1, 1, 1, 0, 0, 0, 0, 1)
  const none = { shape: [1, 2, 4], smoothNr: 0, smoothDr: 0 }
  // Σ p·y is 3 and ½, Σ p + Σ y is 6½ and 1½: (A − 2·B)/B² where y is 1 and A/B² where it is 0, each times w.
  for (const [options, value, [one, zero], [otherZero, otherOne]] of [
    // w = 1/9 and 1: A = 5/3 and B = 20/9.
    [{}, 1 / 4, [-1 / 16, 3 / 80], [27 / 80, -9 / 16]],
    // w = 1/3 and 1: A = 3 and B = 11/3.
    [{ weightType: 'simple' }, 2 / 11, [-13 / 121, 9 / 121], [27 / 121, -39 / 121]],
    // A = 7 and B = 8.
    [{ weightType: 'uniform' }, 1 / 8, [-9 / 64, 7 / 64], [7 / 64, -9 / 64]],
    // The same by weights of one's own as 1/Y.
    [{ weightType: 'uniform', weight: [1, 3] }, 2 / 11, [-13 / 121, 9 / 121], [27 / 121, -39 / 121]],
    // Class 1 alone: A = 1 and B = 1½.
    [{ includeBackground: false }, 1 / 3, [0, 0], [4 / 9, -8 / 9]],
    [{ weight: [0, 5] }, 1 / 3, [0, 0], [4 / 9, -8 / 9]],
  ] as const) {
    const grad = [one, one, one, zero, otherZero, otherZero, otherZero, otherOne].map(real)
    for (const target of [labels, hot]) {
      const got = generalizedDice.valueAndGrad(p, target, { ...none, ...options })
      near(t, `value ${JSON.stringify(options)}`, [got.value], [real(value)])
      near(t, `gradient ${JSON.stringify(options)}`, got.grad, grad, 4)
      t.is(got.denominator, 1)
    }
  }
})

everywhere('of one class it is dice, but for the smoothing', (t) => {
  const random = generator(2)
  const x = filled(120, () => 6 * random() - 3)
  const target = filled(120, random)
  const options = { shape: [3, 1, 40], activation: 'sigmoid', smoothNr: 0, smoothDr: 0, reduction: 'none' } as const
  const expected = dice(x, target, options)
  for (const weightType of ['square', 'simple', 'uniform'] as const) {
    near(t, weightType, generalizedDice(x, target, { ...options, weightType }), [...expected].map(real))
  }
})

everywhere('generalizedDice is its formula, and its gradients are the differences of it', (t) => {
  const random = generator(3)
  const [samples, classes, positions] = [2, 3, 6]
  const shape = [samples, classes, positions]
  const n = samples * classes * positions
  const mask = Uint8Array.from({ length: samples * positions }, (_, i) => Number(i % 4 !== 1))
  const x = filled(n, () => 0.05 + 0.9 * random())
  const soft = filled(n, (i) => (i % 3 === 0 ? random() : Math.round(random())))
  // A class of the first sample has no target, and neither has the second sample.
  const empty = soft.map((y, i) => (Math.floor(i / positions) === 1 || i >= n / 2 ? 0 : y))
  for (const [name, target] of Object.entries({ soft, empty })) {
    for (const weightType of ['square', 'simple', 'uniform'] as const) {
      for (const more of [
        {},
        { batch: true },
        { mask },
        { mask, batch: true, includeBackground: false },
        { weight: [0.5, 2, 3] },
        { weight: [0.5, 2, 3], includeBackground: false },
        { smoothNr: 0.5, smoothDr: 0.25 },
        { emptyClass: 'zero', smoothNr: 1, smoothDr: 1 },
      ] as Call['options'][]) {
        const options = { weightType, ...more }
        const title = `${name} ${JSON.stringify(options)}`
        const truth = truthOf(title, { samples, classes, options }, [...x].map(real), [...target].map(real))
        const gradOutput = new Float32Array(options.batch ? 1 : samples).fill(1)
        const given = { ...options, shape, reduction: 'none', gradOutput, targetGrad: true } as const
        const { value, grad, targetGrad } = generalizedDice.valueAndGrad(x, target, given)
        near(t, title, value, truth.values, 1)
        near(t, `${title}, by p`, grad, truth.byP, positions)
        near(t, `${title}, by y`, targetGrad!, truth.byY, positions)
      }
    }
  }
})

everywhere('weights that single precision cannot hold', (t) => {
  const random = generator(4)
  const [classes, positions] = [3, 5]
  const shape = [1, classes, positions]
  for (const [ofP, ofY] of [
    [
      [1, 1, 1],
      [1e-20, 1, 1],
    ],
    [
      [1, 1, 1],
      [1e-20, 1e-30, 1e-43],
    ],
    [
      [1e-20, 1, 1e-30],
      [1e-20, 1, 0],
    ],
    [
      [1e-20, 1e-38, 1e-10],
      [1e-20, 1e-38, 1],
    ],
    [
      [1e-42, 1e-42, 1e-42],
      [1e-42, 1e-44, 0],
    ],
  ]) {
    const scaled = (scales: readonly number[]) => filled(15, (i) => scales[Math.floor(i / 5)] * (0.1 + 0.9 * random()))
    const [x, target] = [scaled(ofP), scaled(ofY)]
    for (const weightType of ['square', 'simple', 'uniform'] as const) {
      for (const [smoothNr, smoothDr] of [
        [1e-5, 1e-5],
        [0, 0],
      ]) {
        const options = { weightType, smoothNr, smoothDr }
        const title = `p of ${ofP}, y of ${ofY}, ${JSON.stringify(options)}`
        const truth = truthOf(title, { samples: 1, classes, options }, [...x].map(real), [...target].map(real))
        const grad = x.slice()
        const { value } = generalizedDice.valueAndGrad(x, target, { ...options, shape, grad })
        const { targetGrad } = generalizedDice.valueAndGrad(x, target, { ...options, shape, targetGrad: true })
        near(t, title, [value], truth.values)
        // What single precision has no room for is infinite.
        const rounded = (numbers: readonly Real[]) => numbers.map((own) => real(Math.fround(own.toNumber())))
        const finite = (numbers: ArrayLike<number>) => Array.from(numbers, (g) => (Number.isFinite(g) ? g : 0))
        const held = (numbers: readonly Real[]) => rounded(numbers).map((own) => (own.isFinite() ? own : ZERO))
        near(t, `${title}, by p`, finite(grad), held(truth.byP), positions)
        near(t, `${title}, by y`, finite(targetGrad!), held(truth.byY), positions)
        rounded(truth.byP).forEach((own, i) => {
          if (!own.isFinite()) t.is(grad[i], own.toNumber(), title)
        })
      }
    }
  }
})

everywhere('classes and samples without target', (t) => {
  const p = Float32Array.of(0.5, 0.25, 0.5, 0.75, 0.5, 0.25, 0.5, 0.75)
  const target = Float32Array.of(1, 0, 0, 0, 0, 0, 0, 0)
  const given = { shape: [2, 2, 2], reduction: 'none', gradOutput: Float32Array.of(1, 1), targetGrad: true } as const
  for (const weightType of ['square', 'simple'] as const) {
    // The class without target weighs 1 as the other one: A = 1, B = 1.75 + 1.25, but for the smoothing.
    const asIs = generalizedDice.valueAndGrad(p, target, { ...given, weightType })
    near(t, 'value', asIs.value, [real((2 + 0) / (3 + 1e-5)), ZERO])
    t.true(asIs.grad[2] > 0 && asIs.grad[3] > 0)
    // Nothing weighs anything in the second sample, and there is no gradient.
    t.deepEqual([...asIs.grad.subarray(4), ...asIs.targetGrad!.subarray(4)], new Array(8).fill(0))
    t.is(generalizedDice(p, target, { ...given, weightType, smoothNr: 1, smoothDr: 4 })[1], 0.75)
    t.is(generalizedDice(p, target, { ...given, weightType, smoothNr: 0, smoothDr: 0 })[1], Number.NaN)
    const nothing = generalizedDice.backward(p, target, { shape: [2, 2, 2], weightType, smoothNr: 0, smoothDr: 0 })
    t.true(nothing.every(Number.isFinite))
  }
  const alone = generalizedDice.valueAndGrad(p.subarray(0, 2), target.subarray(0, 2), { targetGrad: true })
  for (const emptyClass of ['zero', 'skip'] as const) {
    const count = emptyClass === 'zero' ? 2 : 1
    const left = generalizedDice.valueAndGrad(p, target, { shape: [2, 2, 2], emptyClass, targetGrad: true })
    t.is(left.denominator, count)
    t.is(left.value, alone.value / count)
    const expected = [...alone.grad, 0, 0, 0, 0, 0, 0].map((g) => g / count)
    t.deepEqual([...left.grad], expected)
    t.deepEqual(
      [...left.targetGrad!],
      [...alone.targetGrad!, 0, 0, 0, 0, 0, 0].map((g) => g / count),
    )
  }
  const none = { shape: [2, 2, 2], emptyClass: 'skip' } as const
  t.is(generalizedDice(p, new Float32Array(8), none), Number.NaN)
  t.is(generalizedDice(p, new Float32Array(8), { ...none, emptyMean: 'zero' }), 0)
})

everywhere('NaN shows in its sample alone, and not at all where it does not count', (t) => {
  const random = generator(5)
  const x = filled(24, random)
  const target = filled(24, (i) => Number(i % 3 === 0))
  const poisoned = x.with(5, Number.NaN)
  const options = { shape: [2, 3, 4], reduction: 'none', gradOutput: Float32Array.of(1, 1) } as const
  const clean = generalizedDice.valueAndGrad(x, target, options)
  const { value, grad } = generalizedDice.valueAndGrad(poisoned, target, options)
  t.deepEqual([...value], [Number.NaN, clean.value[1]])
  t.deepEqual([...grad.subarray(12)], [...clean.grad.subarray(12)])
  t.true(grad.subarray(0, 12).every(Number.isNaN))
  const mask = new Uint8Array(8).fill(1)
  mask[1] = 0
  const other = generalizedDice.valueAndGrad(x, target, { ...options, mask })
  t.deepEqual(generalizedDice.valueAndGrad(poisoned, target, { ...options, mask }), other)
})

everywhere('the mean of samples by their weights', (t) => {
  const random = generator(6)
  const x = filled(24, random)
  const target = filled(24, (i) => Number(i % 3 === 0))
  const options = { shape: [2, 3, 4], weight: [1, 2, 3] }
  const [first, second] = generalizedDice(x, target, { ...options, reduction: 'none' })
  const sampleWeight = [0.5, 2]
  const mean = generalizedDice.valueAndGrad(x, target, { ...options, sampleWeight })
  near(t, 'by count', [mean.value], [real((0.5 * first + 2 * second) / 2)])
  t.is(mean.denominator, 2)
  const byWeight = generalizedDice.valueAndGrad(x, target, { ...options, sampleWeight, meanBy: 'weight' })
  near(t, 'by weight', [byWeight.value], [real((0.5 * first + 2 * second) / 2.5)])
  t.is(byWeight.denominator, 2.5)
})

everywhere('generalizedDice keeps its digits at every gap', (t) => {
  const [classes, positions] = [2, 21]
  const shape = [1, classes, positions]
  for (const gap of [0, 1, 8, 14, 16.5, 20, 32, 40]) {
    const y = filled(42, (i) => Number(i < 21 === (i % 21) % 7 > 0))
    const x = filled(42, (i) => (y[i] === 1 ? 1 : -1) * (gap + (i % 5) / 8))
    const p = Array.from(x, (x) => ONE.div(real(-x).exp().plus(1)))
    const q = Array.from(x, (x) => ONE.div(real(x).exp().plus(1)))
    for (const smoothing of [0, 1e-5]) {
      const options = { smoothNr: smoothing, smoothDr: smoothing }
      const title = `gap ${gap}, smoothing ${smoothing}`
      const truth = truthOf(title, { samples: 1, classes, options }, p, Array.from(y, real))
      const { value, grad } = generalizedDice.valueAndGrad(x, y, { ...options, shape, activation: 'sigmoid' })
      near(t, title, [value], truth.values)
      near(
        t,
        `${title}, by x`,
        grad,
        truth.byP.map((g, i) => g.times(p[i]).times(q[i])),
        1,
      )
    }
  }
})

everywhere('generalizedDice keeps its digits through a softmax at every gap', (t) => {
  // Classes of as many positions have the very same slope, and one of the positions is predicted as another class.
  const [classes, positions] = [3, 12]
  const shape = [1, classes, positions]
  const labels = Int32Array.from({ length: positions }, (_, i) => i % classes)
  const y = filled(36, (i) => Number(labels[i % positions] === Math.floor(i / positions)))
  for (const gap of [0, 1, 8, 14, 16.5, 20, 32, 40]) {
    const x = filled(36, (i) => (y[i] === 1 ? 6 + (i % 5) / 8 : 0))
    x[0] = 0
    x[positions] = gap
    x[2 * positions] = 1
    const powers = Array.from(x, (x) => real(x).exp())
    const p = powers.map((power, i) => power.div(sumOf(powers.filter((_, j) => (i - j) % positions === 0))))
    for (const weightType of ['uniform', 'square'] as const) {
      const options = { weightType, smoothNr: 1e-5, smoothDr: 1e-5 }
      const title = `gap ${gap}, ${weightType}`
      const { byP } = truthOf(title, { samples: 1, classes, options }, p, Array.from(y, real))
      const grad = generalizedDice.backward(x, labels, { ...options, shape, activation: 'softmax' })
      const expected = byP.map((g, i) => {
        const others = p.map((q, j) => ((i - j) % positions === 0 ? q.times(g.minus(byP[j])) : ZERO))
        return p[i].times(sumOf(others))
      })
      near(t, `${title}, by x`, grad, expected, 1)
    }
  }
})

everywhere('options of generalizedDice', (t) => {
  const loss = loose(generalizedDice)
  const x = filled(6, (i) => i / 8)
  const y = filled(6, (i) => Number(i < 2))
  const given = { shape: [1, 2, 3] }
  for (const [options, error, message] of [
    [{ weightType: 'cube' }, RangeError, /weightType must be one of 'square', 'simple', 'uniform', got "cube"/],
    [{ weightType: 2 }, TypeError, /weightType must be one of 'square', 'simple', 'uniform', got 2/],
    [{ squaredPred: true }, TypeError, /there is no option squaredPred/],
    [{ meanBy: 'weight', weight: [1, 2] }, RangeError, /meanBy 'weight' needs a sampleWeight/],
    [{ weight: [1] }, RangeError, /weight must be an array of 2, one per class/],
    [{ sampleWeight: [1], batch: true }, RangeError, /sampleWeight needs batch: false/],
    [{ reduction: 'none', gradOutput: new Float32Array(2) }, RangeError, /gradOutput must be a Float32Array of 1/],
  ] as [Record<string, unknown>, ErrorConstructor, RegExp][]) {
    refuses(t, error, message, loss, x, y, { ...given, ...options })
  }
  const out = new Float32Array(2)
  t.throws(() => loss(x, y, { ...given, reduction: 'none', out }), { message: /out must be a Float32Array of 1/ })
  t.deepEqual(generalizedDice.with({ weightType: 'simple' })(x, y), generalizedDice(x, y, { weightType: 'simple' }))
  t.is(generalizedDice(x, y, given), generalizedDice(x, y, { ...given, weightType: 'square' }))
})
