/**
 * Pointwise losses where float32 ends: what is finite in double precision is finite, and sums of equal numbers are right. Expected
 * values come from formulas in double precision, from hand or from mpmath, which the tests name.
 */

import type { ExecutionContext } from 'ava'
import type { PointwiseDefinition } from '../ts/definition.js'
import { definitionOf } from '../ts/definitions.js'
import type { Loss } from '../ts/family/loss.js'
import type { PointwiseOptions } from '../ts/family/pointwise/index.js'
import { bce, bceWithLogits, huber, klDiv, l1, mse, nll, sigmoidFocal, smoothL1 } from '../ts/index.js'
import { filled, generator } from './data.js'
import { everywhere, loose, refuses } from './everywhere.js'

const { fround } = Math
const { NaN: nan, POSITIVE_INFINITY: inf } = Number

type AnyLoss = Loss<Float32Array, Float32Array, PointwiseOptions>
const exact = [mse, l1, smoothL1, huber] as unknown as AnyLoss[]
const all = [...exact, bce, bceWithLogits, sigmoidFocal, klDiv] as unknown as AnyLoss[]

/** Lengths within one vector, four of them, sixteen, a block, and over several blocks. */
const LENGTHS = [1, 5, 16, 17, 64, 100, 300, 1024, 1025, 5000]

function near(t: ExecutionContext, got: number, truth: number, tolerance: number, what: string): void {
  t.true(got === truth || Math.abs(got - truth) <= tolerance * Math.abs(truth), `${what}: ${got}, expected ${truth}`)
}

/** Value and derivative in double precision, written down here once more. */
const truths: Record<string, (d: number) => [value: number, slope: number]> = {
  mse: (d) => [d * d, 2 * d],
  l1: (d) => [Math.abs(d), Math.sign(d)],
  smoothL1: (d) => (Math.abs(d) < 1 ? [(d * d) / 2, d] : [Math.abs(d) - 0.5, Math.sign(d)]),
  huber: (d) => (Math.abs(d) <= 1 ? [(d * d) / 2, d] : [Math.abs(d) - 0.5, Math.sign(d)]),
}

everywhere('a mean whose squares and sums overflow is finite, apart and in place', (t) => {
  for (const n of LENGTHS) {
    for (const size of [1e18, 3e19, 3e38]) {
      const x = new Float32Array(n).fill(size)
      const target = new Float32Array(n).fill(-size)
      const d = 2 * fround(size)
      for (const loss of exact) {
        const [value, slope] = truths[loss.name](d)
        const what = `${loss.name} of ${n} times ${size}`
        near(t, loss(x, target), value, 1e-6, what)
        const both = loss.valueAndGrad(x, target, { gradOutput: 0.25 })
        near(t, both.value as number, value, 1e-6, what)
        const gradient = fround((slope * 0.25) / n)
        for (const g of both.grad) near(t, g, gradient, 2e-7, `${what}, gradient`)
        const inPlace = x.slice()
        const same = loss.valueAndGrad(inPlace, target, { gradOutput: 0.25, grad: inPlace })
        t.is(same.value, both.value, what)
        t.deepEqual(inPlace, both.grad, what)
      }
    }
  }
})

everywhere('a gradOutput of 0 gives gradients of 0, also where the derivative is beyond float32', (t) => {
  const x = filled(40, (i) => (i % 7 === 3 ? 3e38 : i))
  const target = x.map((v) => -v)
  for (const options of [{}, { weight: filled(40, () => 2) }, { targetGrad: true }]) {
    const { value, grad, targetGrad } = mse.valueAndGrad(x, target, { ...options, gradOutput: 0 })
    t.true((value as number) > 1e76)
    t.true(grad.every((g) => g === 0))
    t.true(targetGrad === undefined || targetGrad.every((g) => g === 0))
  }
  t.true(mse.backward(x, target, { gradOutput: 0 }).every((g) => g === 0))
  // 2 · 6e38 · 1e-10
  near(t, mse.backward(x, target, { reduction: 'sum', gradOutput: 1e-10 })[3], 4 * fround(3e38) * 1e-10, 1e-6, 'small')
})

everywhere('0 · ∞ is 0 where the ∞ is an overflow, and NaN where it came in', (t) => {
  for (const n of [3, 40, 2000]) {
    const x = filled(n, (i) => (i === 1 ? 1e20 : 2))
    const target = new Float32Array(n)
    const weight = filled(n, (i) => (i === 1 ? 0 : 1))
    const { value, grad } = mse.valueAndGrad(x, target, { weight, reduction: 'sum' })
    t.is(value, 4 * (n - 1))
    t.deepEqual(
      grad,
      filled(n, (i) => (i === 1 ? 0 : 4)),
    )
    t.deepEqual(
      mse(x, target, { weight, reduction: 'none' }),
      filled(n, (i) => (i === 1 ? 0 : 4)),
    )
    // (1e20)² · 1e-30
    weight[1] = 1e-30
    near(t, mse(x, target, { weight, reduction: 'none' })[1], 1e10, 1e-6, 'a small weight')
    near(t, mse(x, target, { weight, reduction: 'sum' }), 1e10 + 4 * (n - 1), 1e-6, 'a small weight')
    weight[1] = 0
    for (const poison of [inf, -inf, nan]) {
      x[1] = poison
      for (const loss of [mse, l1]) {
        t.is(loss(x, target, { weight }), nan)
        const out = loss(x, target, { weight, reduction: 'none' })
        t.deepEqual(
          Array.from(out, Number.isNaN),
          Array.from(weight, (w) => w === 0),
        )
      }
    }
  }
})

everywhere('an element that overflows, ∞ or NaN changes no bit of its neighbours', (t) => {
  const random = generator(3)
  for (const loss of all) {
    const inside = (definitionOf(loss) as PointwiseDefinition).domain.input === 'probability'
    if (inside) continue
    for (const n of [40, 1500]) {
      const x = filled(n, () => random() - 2)
      const target = filled(n, () => random())
      const weight = filled(n, () => random())
      for (const options of [{}, { weight, targetGrad: true }, { reduction: 'none' as const, targetGrad: true }]) {
        const clean = loss.valueAndGrad(x, target, options)
        for (const poison of [1e30, 3e38, -inf, nan]) {
          const other = x.slice()
          other[7] = poison
          const { grad, targetGrad, value } = loss.valueAndGrad(other, target, options)
          const inPlace = other.slice()
          loss.valueAndGrad(inPlace, target, { ...options, grad: inPlace })
          t.deepEqual(inPlace, grad, `${loss.name} in place`)
          const pairs = [
            [grad, clean.grad],
            [targetGrad, clean.targetGrad],
            [value, clean.value],
          ]
          for (const [got, expected] of pairs) {
            if (!(got instanceof Float32Array)) continue
            const same = got.every((g, i) => i === 7 || Object.is(g, (expected as Float32Array)[i]))
            t.true(same, `${loss.name} of ${n} with ${poison}`)
          }
        }
      }
    }
  }
})

/** Of losses of class `exact`, by case: the bits of the first platform. */
const bits = new Map<string, unknown>()

everywhere('losses of class exact have the same bits everywhere, also beyond float32', (t) => {
  const random = generator(11)
  const sizes = [1e-38, 1, 1e17, 1e19, 1e30, 3e38]
  for (const n of LENGTHS) {
    const draw = () => (random() - 0.5) * 2 * sizes[Math.floor(random() * sizes.length)]
    const x = filled(n, draw)
    const target = filled(n, draw)
    const weight = filled(n, () => 10 ** (random() * 50 - 25))
    for (const loss of exact) {
      const { name } = loss
      const calls = {
        plain: {},
        weighed: { weight, targetGrad: true },
        'of a small normalizer': { normalizer: 1e-42 },
        'of a large normalizer': { normalizer: 1e60, gradOutput: 1e3 },
      }
      for (const [title, options] of Object.entries(calls)) {
        const what = `${name} ${n} ${title}`
        const { value, grad, targetGrad } = loss.valueAndGrad(x, target, options)
        t.is(loss(x, target, options), value, what)
        const result = { value, grad: grad.slice(), targetGrad: targetGrad?.slice() }
        if (!bits.has(what)) bits.set(what, result)
        t.deepEqual(result, bits.get(what) as typeof result, what)
        // And what double precision says.
        const { normalizer = n, gradOutput = 1 } = options as { normalizer?: number; gradOutput?: number }
        const of = 'weight' in options ? weight : new Float32Array(n).fill(1)
        let sum = 0
        for (let i = 0; i < n; i++) {
          const [v, slope] = truths[name](x[i] - target[i])
          sum += v * of[i]
          const truth = (slope * of[i] * gradOutput) / normalizer
          // A rounding each of difference, weight, factor and gradient; subnormal numbers have fewer digits.
          const wrong = Math.abs(fround(truth) - grad[i]) > 4e-7 * Math.abs(truth) + 2 ** -148
          if (wrong) t.fail(`${what}: gradient ${i} is ${grad[i]}, expected ${truth}`)
        }
        near(t, value as number, sum / normalizer, 1e-6, what)
      }
    }
  }
})

everywhere('a normalizer that float32 cannot divide by', (t) => {
  const x = Float32Array.of(0.25, 0.5, 0.125, 0.75, 0.5)
  const target = Float32Array.of(1, 0, 0.5, 1, 0.5)
  for (const loss of all) {
    const sum = loss.valueAndGrad(x, target, { reduction: 'sum', targetGrad: true })
    for (const normalizer of [1e-40, 1e-44, 1e-320, 1e40]) {
      const { value, grad, targetGrad } = loss.valueAndGrad(x, target, { normalizer, targetGrad: true })
      const plain = loss.backward(x, target, { normalizer })
      near(t, value as number, (sum.value as number) / normalizer, 1e-6, loss.name)
      for (const [got, slopes] of [
        [grad, sum.grad],
        [plain, sum.grad],
        [targetGrad!, sum.targetGrad!],
      ]) {
        got.forEach((g, i) => {
          const truth = slopes[i] === 0 ? 0 : fround(slopes[i] / normalizer)
          t.true(
            g === truth || Math.abs(g - truth) <= 1e-6 * Math.abs(truth) + 2 ** -148,
            `${loss.name} by ${normalizer}`,
          )
        })
      }
    }
  }
  // A small difference by a small denominator: 2 · 1e-30 / 1e-40.
  near(t, mse.backward(Float32Array.of(1e-30), new Float32Array(1), { normalizer: 1e-40 })[0], 2e10, 1e-6, 'mse')
  // And a large one by a large denominator: 2 · 1e30 · 1e-20 / 1e30.
  const options = { gradOutput: 1e-20, normalizer: 1e30 }
  near(t, mse.backward(Float32Array.of(1e30), new Float32Array(1), options)[0], 2e-20, 1e-6, 'mse')
})

everywhere('weight times gradOutput may overflow where the gradient does not', (t) => {
  const x = Float32Array.of(1e-30, 1)
  const options = { reduction: 'none', weight: [1e25, 1], gradOutput: Float32Array.of(1e25, 1) } as const
  // 2 · 1e-30 · 1e25 · 1e25
  near(t, mse.backward(x, new Float32Array(2), options)[0], 2e20, 1e-6, 'mse')
  // dL/dt of bceWithLogits at 0 beside a posWeight: (w − 1)·ln(1 + e^3e38) − x = 3e48.
  const logits = Float32Array.of(-3e38)
  const { targetGrad } = bceWithLogits.valueAndGrad(logits, new Float32Array(1), {
    posWeight: 1e10,
    gradOutput: 1e-20,
    targetGrad: true,
  })
  near(t, targetGrad![0], 3e28, 1e-6, 'bceWithLogits')
})

everywhere('the losses of logits add up beyond float32', (t) => {
  for (const n of [3, 1024, 3000]) {
    const x = new Float32Array(n).fill(3e38)
    const zeros = new Float32Array(n)
    for (const grad of [undefined, x.slice()]) {
      const input = grad ?? x
      near(t, bceWithLogits.valueAndGrad(input, zeros, grad && { grad }).value, fround(3e38), 1e-6, 'bceWithLogits')
    }
    near(t, sigmoidFocal(x, zeros), 0.75 * fround(3e38), 1e-6, 'sigmoidFocal')
    near(
      t,
      klDiv(
        x.map((v) => -v),
        zeros.fill(1),
      ),
      fround(3e38),
      1e-6,
      'klDiv',
    )
    // ∞ stays ∞.
    x[1] = inf
    t.is(bceWithLogits(x, new Float32Array(n)), inf)
    t.is(sigmoidFocal(x, new Float32Array(n)), inf)
  }
})

everywhere('the sum of a constant array is right to 1e-7', (t) => {
  // Of whole blocks and of a tail.
  for (const n of [1024, (1 << 20) + 5]) {
    for (const size of [1.1, 0.1, 0.3, Math.PI, 1e-3]) {
      const x = new Float32Array(n).fill(size)
      const target = new Float32Array(n)
      const weight = new Float32Array(n).fill(1)
      const value = fround(size)
      for (const options of [{}, { weight }, { weight, meanBy: 'weight' as const }]) {
        near(t, l1(x, target, options), value, 1e-7, `l1 of ${n} times ${size}`)
        near(t, mse(x, target, options), fround(value * value), 1e-7, `mse of ${n} times ${size}`)
      }
    }
  }
  const ones = new Float32Array(5000).fill(1)
  t.is(l1(ones, new Float32Array(5000), { weight: ones, meanBy: 'weight' }), 1)
})

everywhere('sums that are large and cancel are in double precision', (t) => {
  // 2¹¹⁷ + 2⁸⁰ − 2¹¹⁷ in one lane: a double holds the first sum, a float does not.
  const x = new Float32Array(100)
  const weight = new Float32Array(100).fill(1)
  x[3] = x[67] = 2 ** 117
  x[19] = 2 ** 80
  weight[67] = -1
  for (const grad of [undefined, x.slice()]) {
    const input = grad ?? x
    const { value } = l1.valueAndGrad(input, new Float32Array(100), { weight, reduction: 'sum', ...(grad && { grad }) })
    t.is(value, 2 ** 80)
  }
})

everywhere('block sums add in their order, whoever computed them', (t) => {
  // 2⁵³ + 1 is 2⁵³ in double precision, so that ones behind it are lost one by one, and ones before it are not.
  const blocks = 65
  const large = 2 ** 53
  const x = new Float32Array(blocks * 1024)
  for (let block = 0; block < blocks; block++) x[block * 1024 + 7] = 1
  const labels = new Int32Array(x.length)
  for (const [at, expected] of [
    [0, large],
    [blocks - 1, large + blocks - 1],
  ]) {
    const row = x.slice()
    row[at * 1024 + 7] = large
    t.is(l1(row, new Float32Array(x.length), { reduction: 'sum' }), expected)
    t.is(
      l1.valueAndGrad(row, new Float32Array(x.length), { reduction: 'sum', weight: [1], shape: [x.length, 1] }).value,
      expected,
    )
    // Blocks of positions: −x at label 0 of one class.
    const options = { shape: [x.length, 1], reduction: 'sum' } as const
    t.is(
      nll(
        row.map((v) => -v),
        labels,
        options,
      ),
      expected,
    )
  }
})

everywhere('bce of a certain and right prediction is 0 and not −0', (t) => {
  const x = Float32Array.of(1, 0)
  const values = bce(x, x, { reduction: 'none' })
  t.deepEqual(
    Array.from(values, (v) => Object.is(v, 0)),
    [true, true],
  )
  t.true(Object.is(bce(x, x), 0))
})

everywhere('sigmoidFocal: what has an α_t of 0 costs nothing at ∞ too', (t) => {
  const x = Float32Array.of(-inf, inf, -inf, inf, nan)
  const target = Float32Array.of(1, 0, 0, 1, 1)
  for (const gamma of [0, 0.5, 2, 3.7, 20]) {
    for (const alpha of [0, 1]) {
      const { value, grad } = sigmoidFocal.valueAndGrad(x, target, { reduction: 'none', alpha, gamma })
      t.deepEqual(Array.from(value), alpha === 0 ? [0, inf, 0, 0, nan] : [inf, 0, 0, 0, nan], `${gamma} ${alpha}`)
      t.deepEqual(
        Array.from(grad, (g) => g + 0),
        alpha === 0 ? [0, 1, 0, 0, nan] : [-1, 0, 0, 0, nan],
      )
      t.is(
        sigmoidFocal(
          x.subarray(alpha === 0 ? 0 : 1, alpha === 0 ? 1 : 2),
          target.subarray(alpha === 0 ? 0 : 1, alpha === 0 ? 1 : 2),
          { alpha, gamma },
        ),
        0,
      )
    }
  }
})

/** (logit, γ, loss): mpmath 1.3, `(1 + e^x)^-γ · ln(1 + e^-x)` of the float32 nearest to both, rounded to float32. */
const STEEP = [
  [-1, 9, 0.0783286914229393],
  [-1, 100, 3.262639114496972e-14],
  [-1, 10000, 0.0],
  [-1, 1e10, 0.0],
  [-1, 1e38, 0.0],
  [-8, 9, 7.976221561431885],
  [-8, 100, 7.736449241638184],
  [-8, 10000, 0.2795482873916626],
  [-8, 1e10, 0.0],
  [-8, 1e38, 0.0],
  [-16, 9, 15.999983787536621],
  [-16, 100, 15.9998197555542],
  [-16, 10000, 15.982004165649414],
  [-16, 1e10, 0.0],
  [-16, 1e38, 0.0],
  [-20, 9, 20.0],
  [-20, 100, 19.999996185302734],
  [-20, 10000, 19.999588012695312],
  [-20, 1e10, 2.2364210039427235e-8],
  [-20, 1e38, 0.0],
  [-40, 9, 40.0],
  [-40, 100, 40.0],
  [-40, 10000, 40.0],
  [-40, 1e10, 40.0],
  [-40, 1e38, 0.0],
  [-80, 9, 80.0],
  [-80, 100, 80.0],
  [-80, 10000, 80.0],
  [-80, 1e10, 80.0],
  [-80, 1e38, 0.0],
  [0, 9, 0.0013538030907511711],
  [0, 100, 5.467967138104179e-31],
  [0, 10000, 0.0],
  [0, 1e10, 0.0],
  [0, 1e38, 0.0],
  [3, 9, 5.897409297017653e-14],
  [3, 10000, 0.0],
  [3, 1e10, 0.0],
  [3, 1e38, 0.0],
  [20, 100, 0.0],
  [20, 10000, 0.0],
  [20, 1e10, 0.0],
  [20, 1e38, 0.0],
] as const

everywhere('sigmoidFocal: any γ that float32 holds', (t) => {
  for (const [x, gamma, value] of STEEP) {
    const options = { gamma, alpha: null, targetGrad: true } as const
    const input = Float32Array.of(x, 0.5)
    const {
      value: got,
      grad,
      targetGrad,
    } = sigmoidFocal.valueAndGrad(input, Float32Array.of(1, 0.5), {
      ...options,
      reduction: 'none',
    })
    near(t, got[0], fround(value), 2e-5, `x = ${x}, γ = ${gamma}`)
    t.true([...got, ...grad, ...targetGrad!].every(Number.isFinite), `x = ${x}, γ = ${gamma}`)
  }
})

everywhere('sigmoidFocal: the gradient by the target by hand', (t) => {
  // At x = 0 the miss is ½ and bce ln 2, and σ(x) − σ(−x) is 0: m²·(2α − 1)·ln 2 = −ln 2/8, whatever the target.
  const x = new Float32Array(3)
  const target = Float32Array.of(0, 1, 0.5)
  const { targetGrad } = sigmoidFocal.valueAndGrad(x, target, { reduction: 'sum', targetGrad: true })
  for (const g of targetGrad!) near(t, g, -Math.LN2 / 8, 1e-6, 'at 0')
  // Near 0 and for t = 0 it is −x·(ln 2/2 + 1/4), of m² = 1/4 and σ(−x) − σ(x) = −x/2.
  for (const small of [1e-8, -1e-8, 1e-30]) {
    const none = { reduction: 'sum', alpha: null, targetGrad: true } as const
    const got = sigmoidFocal.valueAndGrad(new Float32Array(20).fill(small), new Float32Array(20), none).targetGrad!
    for (const g of got) near(t, g, -small * (Math.LN2 / 2 + 0.25), 1e-6, `at ${small}`)
  }
  // γ = 0 without α is bceWithLogits, whose derivative by the target is −x.
  const logits = Float32Array.of(-100, -1, 2, 88, 3e38)
  const half = new Float32Array(5).fill(0.5)
  const plain = sigmoidFocal.valueAndGrad(logits, half, { reduction: 'sum', gamma: 0, alpha: null, targetGrad: true })
  t.deepEqual(
    plain.targetGrad,
    logits.map((v) => -v),
  )
})

everywhere('parameters that float32 cannot hold are refused', (t) => {
  const x = new Float32Array(6)
  const held = /as a 32-bit float, which reaches from 1\.4e-45 to 3\.4e38, got/
  const cases: [unknown, Record<string, unknown>, string][] = [
    [smoothL1, { beta: 1e300 }, 'beta'],
    [huber, { delta: 1e300 }, 'delta'],
    // It would be 0, which is not above 0.
    [huber, { delta: 1e-50 }, 'delta'],
    [bceWithLogits, { posWeight: 1e300 }, 'posWeight'],
  ]
  for (const [loss, options, name] of cases) {
    refuses(t, RangeError, new RegExp(`${name} must be .*${held.source}`), loose(loss), x, x, options)
  }
  refuses(t, RangeError, /posWeight\[1\] must be finite/, loose(bceWithLogits), x, x, {
    posWeight: [1, 1e300],
    shape: [3, 2],
  })
  refuses(t, RangeError, /gamma must be in \[0, 1e38\], got 1e\+39/, loose(sigmoidFocal), x, x, { gamma: 1e39 })
  refuses(t, RangeError, /alpha must be in \[0, 1\] or null/, loose(sigmoidFocal), x, x, { alpha: 1e300 })
  t.is(huber(x, x, { delta: 1e-40 }), 0)
})

everywhere('what a weight or the upstream gradient lifts keeps its digits, and so does what they lower', (t) => {
  // Input, target, and the loss's value and slope in double precision: e^−x is ln(1 + e^−x) here, and α is ¼.
  const cases: [loss: AnyLoss, x: number, target: number, value: number, slope: number][] = [
    [bceWithLogits as unknown as AnyLoss, 100, 1, Math.exp(-100), -Math.exp(-100)],
    [bceWithLogits as unknown as AnyLoss, -95, 0, Math.exp(-95), Math.exp(-95)],
    [sigmoidFocal as unknown as AnyLoss, 30, 1, Math.exp(-90) / 4, (-3 * Math.exp(-90)) / 4],
  ]
  for (const loss of exact) {
    for (const d of [1e-30, 3e-25, 1e-42, 1e20, 2e30]) {
      const x = fround(d)
      cases.push([loss, x, 0, ...truths[loss.name](x)], [loss, 0, x, ...(truths[loss.name](-x) as [number, number])])
    }
  }
  const fits = (v: number) => Math.abs(v) < 3e38 && Math.abs(v) > 1.2e-38
  let tried = 0
  for (const [loss, x0, t0, value, slope] of cases) {
    for (const n of [3, 70, 1100]) {
      const x = filled(n, (i) => (i === n - 2 ? x0 : 0))
      const target = filled(n, (i) => (i === n - 2 ? t0 : 0))
      for (const w of [1e-44, 1e-38, 1e-30, 1e-10, 1, 1e10, 1e30, 1e38].map(fround)) {
        for (const gradOutput of [1e-44, 1e-30, 1e-12, 1, 1e12, 1e38].map(fround)) {
          // The other elements count for nothing, so that the sum is of one.
          const weight = filled(n, (i) => (i === n - 2 ? w : 0))
          const what = `${loss.name} of ${x0} and ${t0}, weight ${w}, gradOutput ${gradOutput}`
          const each = { weight, gradOutput, reduction: 'sum', targetGrad: true } as const
          const { value: sum, grad, targetGrad } = loss.valueAndGrad(x, target, each)
          tried++
          if (fits(value * w)) {
            near(t, sum as number, value * w, 1e-6, what)
            near(t, loss(x, target, { weight, reduction: 'none' })[n - 2], value * w, 1e-6, what)
          }
          const expected = slope * w * gradOutput
          if (!fits(expected)) continue
          near(t, grad[n - 2], expected, 1e-6, `${what}, gradient`)
          if (exact.includes(loss)) near(t, targetGrad![n - 2], -expected, 1e-6, `${what}, by the target`)
          const upstream = filled(n, () => gradOutput)
          near(
            t,
            loss.backward(x, target, { weight, gradOutput: upstream, reduction: 'none' })[n - 2],
            expected,
            1e-6,
            what,
          )
          if (w === 1) {
            const alone = { gradOutput, reduction: 'sum' } as const
            near(t, loss.backward(x, target, alone)[n - 2], expected, 1e-6, `${what}, without weights`)
            const inPlace = x.slice()
            loss.backward(inPlace, target, { ...alone, grad: inPlace })
            near(t, inPlace[n - 2], expected, 1e-6, `${what}, in place`)
          }
        }
      }
    }
  }
  t.true(tried > 5000)
})
