/**
 * Losses over planes that hold next to nothing, without smoothing: what is finite in double precision and fits single precision is
 * finite and right, what does not fit is infinite, and nothing is NaN. Expected values are the closed forms of value and
 * gradients, written out here in double precision.
 */

import type { ExecutionContext } from 'ava'
import { bceDice, crossEntropy, dice, diceCe, jaccard, tversky } from '../ts/index.js'
import { filled, generator, guarded, intact, sameBits } from './data.js'
import { everywhere, loose } from './everywhere.js'

interface Plane {
  readonly value: number
  /** By p and by y. */
  readonly byP: readonly number[]
  readonly byY: readonly number[]
}

type Formula = (
  p: readonly number[],
  y: readonly number[],
  smoothNr: number,
  smoothDr: number,
  squared: boolean,
) => Plane

const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
const products = (a: readonly number[], b: readonly number[]) => sum(a.map((a, i) => a * b[i]))
const own = (values: readonly number[], squared: boolean) => (squared ? products(values, values) : sum(values))

/** (A − 2·y·B)/B², and (2·p·A − 2·y·B)/B² of squares; by y the same with p and y in each other's place. */
const ofDice: Formula = (p, y, smoothNr, smoothDr, squared) => {
  const a = 2 * products(p, y) + smoothNr
  const b = own(p, squared) + own(y, squared) + smoothDr
  const by = (p: number, y: number) => ((squared ? 2 * p * a : a) / b - 2 * y) / b
  return { value: 1 - a / b, byP: p.map((p, i) => by(p, y[i])), byY: p.map((p, i) => by(y[i], p)) }
}

/** (A·(2 − 2·y) − 2·y·B)/B², and (A·(4·p − 2·y) − 2·y·B)/B² of squares. */
const ofJaccard: Formula = (p, y, smoothNr, smoothDr, squared) => {
  const a = 2 * products(p, y) + smoothNr
  const b = 2 * (own(p, squared) + own(y, squared) - products(p, y)) + smoothDr
  const by = (p: number, y: number) => (((squared ? 4 * p : 2) - 2 * y) * (a / b) - 2 * y) / b
  return { value: 1 - a / b, byP: p.map((p, i) => by(p, y[i])), byY: p.map((p, i) => by(y[i], p)) }
}

/** (N·(α + (1 − α − β)·y) − y·D)/D²; by y α and β change places as well. */
const ofTversky: Formula = (p, y, smoothNr, smoothDr) => {
  const [alpha, beta] = [0.3, 0.7]
  const [both, ofP, ofY] = [products(p, y), sum(p), sum(y)]
  const n = both + smoothNr
  const d = both + alpha * (ofP - both) + beta * (ofY - both) + smoothDr
  const by = (y: number, alpha: number, beta: number) => ((n / d) * (alpha + (1 - alpha - beta) * y) - y) / d
  return { value: 1 - n / d, byP: y.map((y) => by(y, alpha, beta)), byY: p.map((p) => by(p, beta, alpha)) }
}

const losses = [
  { loss: loose(dice), formula: ofDice, options: {}, squares: [false, true] },
  { loss: loose(jaccard), formula: ofJaccard, options: {}, squares: [false, true] },
  { loss: loose(tversky), formula: ofTversky, options: { alpha: 0.3, beta: 0.7 }, squares: [false] },
]

/**
 * In units of the largest that is finite; what single precision cannot hold is infinite. Where all of a gradient is as small as
 * `least`, products on the way to it may be 0.
 */
function agree(
  t: ExecutionContext,
  what: string,
  got: ArrayLike<number>,
  truth: readonly number[],
  least = 4e-36,
): void {
  const rounded = truth.map(Math.fround)
  const largest = rounded.reduce((most, g) => (Number.isFinite(g) ? Math.max(most, Math.abs(g)) : most), 0)
  const i = rounded.findIndex((g, i) => !(got[i] === g || Math.abs(got[i] - g) <= 4e-6 * largest + least))
  t.true(i < 0, `${what}: element ${i} is ${got[i]}, expected ${truth[i]}`)
}

/** A sigmoid that is kept for the gradient is at least 2^−126, which smoothing of 1e-5 makes 1e-33. */
const KEPT = 1e-32

const SCALES = [1e-45, 1e-40, 1e-30, 1e-20, 1e-10, 1]
const SMOOTHING = [
  [0, 0],
  [1e-5, 0],
  [0, 1e-20],
  [1e-5, 1e-5],
]

for (const { loss, formula, options: others, squares } of losses) {
  everywhere(`${loss.name} of tiny probabilities`, (t) => {
    const random = generator(21)
    for (const ofP of SCALES) {
      for (const ofY of [0, ...SCALES]) {
        for (const [smoothNr, smoothDr] of SMOOTHING) {
          for (const squaredPred of squares) {
            const what = `p of ${ofP}, y of ${ofY}, smoothing ${smoothNr} and ${smoothDr}, squared ${squaredPred}`
            const x = filled(40, () => ofP * (0.1 + 0.9 * random()))
            const target = filled(40, () => ofY * (0.1 + 0.9 * random()))
            // A target whose squares single precision cannot hold is none, as the docs say.
            if (squaredPred && ofY > 0 && ofY < 1e-18 && ofY < ofP) continue
            const truth = formula([...x], [...target], smoothNr, smoothDr, squaredPred)
            const options = { ...others, smoothNr, smoothDr, ...(squaredPred && { squaredPred }) }
            const grad = guarded(x, 1)
            const targetGrad = guarded(x, 2)
            const { value } = loss.valueAndGrad(x, target, { ...options, grad, targetGrad })
            t.true(
              Math.abs((value as number) - truth.value) <= 4e-6 * Math.max(1, Math.abs(truth.value)),
              `${what}: ${value}`,
            )
            agree(t, `${what}, by p`, grad, truth.byP)
            agree(t, `${what}, by y`, targetGrad, truth.byY)
            t.true(intact(grad) && intact(targetGrad))
            const inPlace = x.slice()
            loss.backward(inPlace, target, { ...options, grad: inPlace })
            agree(t, `${what}, in place`, inPlace, truth.byP)
          }
        }
      }
    }
  })

  everywhere(`${loss.name} of far logits`, (t) => {
    for (const far of [30, 50, 60, 86, 96, 103]) {
      for (const soft of [0, 1e-3]) {
        for (const [smoothNr, smoothDr] of SMOOTHING) {
          for (const squaredPred of squares) {
            const what = `logits of −${far}, target ${soft}, smoothing ${smoothNr} and ${smoothDr}, squared ${squaredPred}`
            const x = filled(40, (i) => -far - i / 50)
            const target = filled(40, (i) => (i % 4 === 0 ? soft : 0))
            const p = [...x].map((x) => 1 / (1 + Math.exp(-x)))
            const truth = formula(p, [...target], smoothNr, smoothDr, squaredPred)
            const byX = truth.byP.map((g, i) => g * p[i] * (1 - p[i]))
            const options = {
              ...others,
              activation: 'sigmoid',
              smoothNr,
              smoothDr,
              ...(squaredPred && { squaredPred }),
            }
            const { value, grad } = loss.valueAndGrad(x, target, options)
            t.true(
              Math.abs((value as number) - truth.value) <= 4e-6 * Math.max(1, Math.abs(truth.value)),
              `${what}: ${value}`,
            )
            agree(t, what, grad, byX, KEPT)
            const inPlace = x.slice()
            loss.backward(inPlace, target, { ...options, grad: inPlace })
            agree(t, `${what}, in place`, inPlace, byX, KEPT)
            const all = loss.valueAndGrad(x, target, { ...options, targetGrad: true })
            agree(t, `${what}, by y`, (all as unknown as { targetGrad: Float32Array }).targetGrad, truth.byY, KEPT)
          }
        }
      }
    }
  })

  everywhere(`${loss.name} of a softmax that rules a class out`, (t) => {
    for (const far of [40, 60, 87, 96.22, 103]) {
      for (const squaredPred of squares) {
        for (const [smoothNr, smoothDr] of SMOOTHING) {
          const what = `gap of ${far}, smoothing ${smoothNr} and ${smoothDr}, squared ${squaredPred}`
          // Two positions of three classes, of which the first is nowhere.
          const x = Float32Array.of(-far, -far - 0.5, 1, 0, 0.5, 1)
          const labels = Int32Array.of(1, 2)
          const y = [
            [0, 0],
            [1, 0],
            [0, 1],
          ]
          const p: number[][] = [[], [], []]
          for (const i of [0, 1]) {
            const exps = [x[i], x[2 + i], x[4 + i]].map((x) => Math.exp(x - 1))
            exps.forEach((e, c) => {
              p[c][i] = e / sum(exps)
            })
          }
          const planes = p.map((p, c) => formula(p, y[c], smoothNr, smoothDr, squaredPred))
          const value = sum(planes.map(({ value }) => value)) / 3
          const byX = p.flatMap((own, c) =>
            own.map((own, i) => {
              const mean = sum(planes.map(({ byP }, k) => byP[i] * p[k][i]))
              return (own * (planes[c].byP[i] - mean)) / 3
            }),
          )
          const options = { ...others, activation: 'softmax', smoothNr, smoothDr, shape: [1, 3, 2] }
          const got = loss.valueAndGrad(x, labels, { ...options, ...(squaredPred && { squaredPred }) })
          t.true(
            Math.abs((got.value as number) - value) <= 4e-6 * Math.max(1, Math.abs(value)),
            `${what}: ${got.value}`,
          )
          agree(t, what, got.grad, byX)
        }
      }
    }
  })
}

everywhere('planes by hand', (t) => {
  const none = { smoothNr: 0, smoothDr: 0 }
  // A = 2s², B = 4s: the gradient is 1/8 − y/2s.
  for (const s of [1e-40, 1e-20, 1e-3]) {
    const { value, grad } = dice.valueAndGrad(Float32Array.of(s, 0, s), Float32Array.of(s, s, 0), none)
    t.true(Math.abs(value - (1 - s / 2)) < 1e-6)
    agree(t, `${s}`, grad, [-0.375, -0.375, 0.125])
  }
  // Without target the value is 1 whatever the predictions.
  const nothing = dice.valueAndGrad(Float32Array.of(-50, -60), new Float32Array(2), {
    ...none,
    activation: 'sigmoid',
    squaredPred: true,
  })
  t.is(nothing.value, 1)
  t.true(nothing.grad.every((g) => g === 0))
  const ruledOut = dice.valueAndGrad(Float32Array.of(-96.22, 1), Int32Array.of(1), {
    ...none,
    shape: [1, 2],
    activation: 'softmax',
  })
  t.is(ruledOut.value, 0.5)
  t.true(ruledOut.grad.every((g) => Math.abs(g) < 1e-40))
})

everywhere('what is beside a tiny plane stays what it is', (t) => {
  const random = generator(3)
  const x = filled(4 * 1100, (i) => (i < 1100 ? -100 : random() * 4 - 2))
  const target = filled(4 * 1100, (i) => (i < 1100 ? 0 : Math.round(random())))
  const shape = [2, 2, 1100]
  const options = { shape, smoothNr: 0, smoothDr: 0, reduction: 'sum' } as const
  for (const activation of ['sigmoid', 'softmax'] as const) {
    for (const batch of [false, true]) {
      const got = dice.valueAndGrad(x, target, { ...options, activation, batch, targetGrad: true })
      t.true(Number.isFinite(got.value) && got.grad.every(Number.isFinite) && got.targetGrad!.every(Number.isFinite))
      if (activation === 'softmax' || batch) continue
      const rest = dice.valueAndGrad(x.subarray(1100), target.subarray(1100), {
        ...options,
        activation,
        shape: [3, 1, 1100],
        targetGrad: true,
      })
      agree(t, 'value', [got.value], [1 + rest.value])
      agree(t, 'gradient', got.grad.subarray(1100), [...rest.grad])
      agree(t, 'targetGrad', got.targetGrad!.subarray(1100), [...rest.targetGrad!])
    }
  }
  // The other part of a sum is computed in double precision too, and so is a gradient that is added.
  for (const [loss, given] of [
    [loose(bceDice), target],
    [loose(diceCe), Int32Array.from({ length: 2200 }, (_, i) => Number(i < 1100 || i % 2 === 0))],
  ] as const) {
    const tiny = loss.valueAndGrad(x, given, { shape, smoothNr: 0, smoothDr: 0 })
    const usual = loss.valueAndGrad(x, given, { shape, smoothNr: 0, smoothDr: 1e-12 })
    agree(t, `${loss.name}`, [tiny.value as number], [usual.value as number])
    agree(t, `${loss.name} gradient`, tiny.grad, [...usual.grad])
  }
})

everywhere('factors that single precision cannot hold', (t) => {
  const x = Float32Array.of(0.25, 0.5, 0.125, 0.75)
  const target = Float32Array.of(1, 0, 0.5, 1)
  const one = dice.valueAndGrad(x, target, { targetGrad: true })
  // d(value)/1e-40 is more than single precision holds, unless the upstream gradient is as small.
  const over = dice.valueAndGrad(x, target, { normalizer: 1e-40, targetGrad: true })
  t.deepEqual(
    [...over.grad],
    [...one.grad].map((g) => Math.sign(g) * Infinity),
  )
  const balanced = dice.valueAndGrad(x, target, { normalizer: 1e-40, gradOutput: 1e-40, targetGrad: true })
  agree(t, 'gradient', balanced.grad, [...one.grad])
  agree(t, 'targetGrad', balanced.targetGrad!, [...one.targetGrad!])
  // Weights of the same size cancel in the mean of the cross-entropy; of Dice they leave nothing.
  const weighted = diceCe.valueAndGrad(x, Int32Array.of(1, 0), { shape: [1, 2, 2], weight: [1e-40, 1e-40] })
  const plain = crossEntropy.valueAndGrad(x, Int32Array.of(1, 0), { shape: [1, 2, 2] })
  t.true(Math.abs(weighted.value - plain.value) < 1e-4)
  agree(t, 'weighted', weighted.grad, [...plain.grad])
  const nothing = dice.valueAndGrad(x, target, { normalizer: 1e-40, gradOutput: 0, targetGrad: true })
  t.true(sameBits(nothing.grad, new Float32Array(4)) && sameBits(nothing.targetGrad!, new Float32Array(4)))
})
