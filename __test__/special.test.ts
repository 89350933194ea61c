/** Infinities, NaN, saturation: what each loss promises at the edges, on every backend. */

import type { ExecutionContext } from 'ava'
import { accumulated } from '../ts/family/inside.js'
import type { Loss } from '../ts/family/loss.js'
import type { PointwiseOptions } from '../ts/family/pointwise/index.js'
import {
  bce,
  bceDice,
  bceWithLogits,
  combine,
  crossEntropy,
  dice,
  diceCe,
  diceFocal,
  distillation,
  huber,
  klDiv,
  l1,
  mse,
  nll,
  sigmoidFocal,
  smoothL1,
  softmaxFocal,
  tversky,
} from '../ts/index.js'
import { filled, generator, normal } from './data.js'
import { everywhere } from './everywhere.js'

const { NaN: nan, POSITIVE_INFINITY: inf, NEGATIVE_INFINITY: negInf } = Number

/** Compares with −0 equal to 0. */
function equals(t: ExecutionContext, got: ArrayLike<number>, expected: readonly number[]): void {
  const plain = (values: ArrayLike<number>) => Array.from(values, (v) => v + 0)
  t.deepEqual(plain(got), plain(expected))
}

everywhere('a NaN reaches the value and its own gradient alone', (t) => {
  for (const loss of [mse, bceWithLogits, klDiv]) {
    for (const target of [0, 1]) {
      for (const n of [3, 40]) {
        const x = new Float32Array(n)
        x[1] = nan
        const { value, grad } = loss.valueAndGrad(x, new Float32Array(n).fill(target))
        t.is(value, nan)
        t.deepEqual(
          Array.from(grad, (g) => Number.isNaN(g)),
          Array.from({ length: n }, (_, i) => i === 1),
        )
      }
    }
  }
  for (const classes of [3, 40]) {
    const x = new Float32Array(3 * classes)
    x[classes + 1] = nan
    const { value, grad } = crossEntropy.valueAndGrad(x, Int32Array.of(0, 1, 2))
    t.is(value, nan)
    t.true(grad.every((g, i) => Number.isNaN(g) === (Math.floor(i / classes) === 1)))
  }
})

everywhere('bceWithLogits: an infinite logit on the right side costs nothing, on the wrong side everything', (t) => {
  const x = Float32Array.of(inf, negInf, inf, negInf, 1e38, -1e38, 1e38)
  const target = Float32Array.of(1, 0, 0, 1, 1, 0, 0)
  const { value, grad } = bceWithLogits.valueAndGrad(x, target, { reduction: 'none' })
  equals(t, value, [0, 0, inf, inf, 0, 0, Math.fround(1e38)])
  equals(t, grad, [0, 0, 1, -1, 0, 0, 1])
  const weighted = bceWithLogits.valueAndGrad(x, target, { reduction: 'none', posWeight: 3 })
  equals(t, weighted.value, [0, 0, inf, inf, 0, 0, Math.fround(1e38)])
  equals(t, weighted.grad, [0, 0, 1, -3, 0, 0, 1])
})

everywhere('bce: a certain prediction costs 0 or 100, with a gradient that is finite', (t) => {
  const x = Float32Array.of(0, 1, 0, 1, 1e-40, 0.5)
  const target = Float32Array.of(0, 1, 1, 0, 1, 0.5)
  const { value, grad, targetGrad } = bce.valueAndGrad(x, target, { reduction: 'none', targetGrad: true })
  equals(t, value.subarray(0, 4), [0, 0, 100, 100])
  // In single precision 1e12 is no whole number.
  equals(t, grad, [0, 0, -1e12, 1e12, -1e12, 0].map(Math.fround))
  equals(t, targetGrad!.subarray(0, 4), [100, -100, 100, -100])
  // Subnormal numbers have logarithms of their own above the floor.
  t.true(Math.abs(value[4] + Math.log(x[4])) < 2e-5)
  equals(t, bce(x, target, { reduction: 'none', labelSmoothing: 1 }).subarray(0, 4), [50, 50, 50, 50])
})

everywhere('bce: the logarithms keep their digits near 0 and near 1', (t) => {
  const n = 3000
  for (const side of [0, 1]) {
    // 2^−1 to 2^−140 from 0, or to the last place before 1.
    const x = filled(n, (i) => (side === 0 ? 2 ** (-1 - (139 * i) / n) : 1 - 2 ** (-1 - (23 * i) / n)))
    for (const label of [0, 1]) {
      const value = bce(x, new Float32Array(n).fill(label), { reduction: 'none' })
      for (let i = 0; i < n; i++) {
        const truth = label === 1 ? -Math.log(x[i]) : -Math.log1p(-x[i])
        t.true(Math.abs(value[i] - truth) <= 4e-7 * truth + 2 ** -149, `label ${label} at ${x[i]}`)
      }
    }
  }
})

everywhere('klDiv: a target of 0 costs nothing', (t) => {
  const x = Float32Array.of(negInf, -1, inf, 0, nan)
  const zeros = klDiv.valueAndGrad(x, Float32Array.of(0, -0, 0, 0, 0), { reduction: 'none', targetGrad: true })
  equals(t, zeros.value, [0, 0, 0, 0, nan])
  equals(t, zeros.grad, [0, 0, 0, 0, nan])
  equals(t, zeros.targetGrad!, [inf, 1, negInf, 0, nan])
  const none = new Float32Array(5).fill(negInf)
  const logs = klDiv.valueAndGrad(x, none, { reduction: 'none', targetGrad: true, logTarget: true })
  equals(t, logs.value, [0, 0, 0, 0, nan])
  equals(t, logs.grad, [0, 0, 0, 0, nan])
  equals(t, logs.targetGrad!, [0, 0, 0, 0, nan])
  // Something that cannot be, by the smallest of probabilities, is infinitely far all the same.
  for (const options of [{ logTarget: true }, {}]) {
    const target = options.logTarget ? Float32Array.of(-100) : Float32Array.of(2 ** -149)
    t.is(klDiv(Float32Array.of(negInf), target, options), inf)
  }
  // What is no logarithm of a probability any more is still no NaN.
  const huge = Float32Array.of(100, 99)
  const over = klDiv.valueAndGrad(Float32Array.of(100, 100), huge, {
    reduction: 'none',
    logTarget: true,
    targetGrad: true,
  })
  equals(t, over.value, [0, negInf])
  equals(t, over.grad, [negInf, negInf])
  equals(t, over.targetGrad!, [inf, 0])
  t.is(klDiv(Float32Array.of(-1), Float32Array.of(-0.5)), nan)
})

everywhere('klDiv: batchmean divides by the samples', (t) => {
  const x = filled(12, (i) => -i / 4)
  const target = filled(12, (i) => (i % 4) / 6)
  const sum = klDiv.valueAndGrad(x, target, { reduction: 'sum' })
  for (const [shape, samples] of [
    [[4, 3], 4],
    [[1, 2, 6], 1],
    [[12], 12],
  ] as const) {
    const options = { reduction: 'batchmean', shape } as const
    const { value, grad } = klDiv.valueAndGrad(x, target, options)
    t.is(value, sum.value / samples)
    grad.forEach((g, i) => {
      t.true(Math.abs(g - sum.grad[i] / samples) <= 2 ** -23 * Math.abs(g))
    })
    t.is(klDiv.with(options)(x, target), value)
  }
  t.is(klDiv({ data: x, dims: [3, 4] }, target, { reduction: 'batchmean' }), sum.value / 3)
  // Plain arrays do not say how many samples there are.
  t.throws(() => klDiv(x, target, { reduction: 'batchmean' }), {
    instanceOf: RangeError,
    message: /^klDiv: shape is needed with the reduction 'batchmean'/,
  })
  // @ts-expect-error: only a loss that has a batch mean offers it
  t.throws(() => mse(x, target, { reduction: 'batchmean' }), { instanceOf: RangeError })
  const scalar = klDiv(Float32Array.of(-1), Float32Array.of(1), { reduction: 'batchmean', shape: [] })
  t.is(scalar, 1)
})

everywhere('a mean by weight divides by the weights of the elements', (t) => {
  const x = Float32Array.of(0.25, 0.5, 0.125, 0.75)
  const target = Float32Array.of(1, 0, 0.5, 1)
  const losses = [mse, l1, huber, smoothL1, bce, bceWithLogits, sigmoidFocal, klDiv]
  for (const loss of losses as unknown as Loss<Float32Array, Float32Array, PointwiseOptions>[]) {
    for (const [weight, total] of [
      [[1, 2, 0, 0.5], 3.5],
      [[3, 1], 8],
    ] as const) {
      const options = { weight, shape: [2, 2] }
      const sum = loss.valueAndGrad(x, target, { ...options, reduction: 'sum', gradOutput: 1 / total })
      const bound = loss.with({ meanBy: 'weight' })
      const { value, grad } = bound.valueAndGrad(x, target, options)
      t.is(value, sum.value / total)
      t.deepEqual(grad, sum.grad)
      const none = { ...options, weight: [0, 0] }
      t.is(bound(x, target, none), nan)
      t.is(bound(x, target, { ...none, emptyMean: 'zero' }), 0)
      equals(t, bound.backward(x, target, none), [0, 0, 0, 0])
    }
    t.is(loss(x, target, { meanBy: 'count' }), loss(x, target))
  }
})

everywhere('a gradient that is added to stays where nothing counts', (t) => {
  const wanted = { value: true, grad: true }
  const before = [1, 2, 3]
  for (const options of [{ weight: [0, 0, 0], meanBy: 'weight' }, { gradOutput: 0 }]) {
    const grad = Float32Array.from(before)
    const x = new Float32Array(3)
    t.is(accumulated(mse, wanted, x, x, { ...options, grad }).grad, grad)
    t.deepEqual([...grad], before)
  }
})

everywhere('bceWithLogits: nothing cancels at a hard target', (t) => {
  // The gradient of a confident and right prediction is tiny, and right to the last places all the same.
  const n = 4000
  const x = filled(n, (i) => (i / n) * 160 - 80)
  for (const [label, sign] of [
    [0, 1],
    [1, -1],
  ]) {
    const options = { reduction: 'none' } as const
    const { value, grad } = bceWithLogits.valueAndGrad(x, new Float32Array(n).fill(label), options)
    for (let i = 0; i < n; i++) {
      const u = sign * x[i]
      const truth = Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)))
      t.true(Math.abs(value[i] / truth - 1) < 4e-7, `value at ${x[i]}`)
      t.true(Math.abs((grad[i] * (1 + Math.exp(-u))) / sign - 1) < 4e-7, `gradient at ${x[i]}`)
    }
  }
})

everywhere('crossEntropy: an ignored row counts for nothing, whatever it holds', (t) => {
  for (const classes of [3, 40]) {
    const random = generator(5)
    const x = filled(3 * classes, random)
    const kept = crossEntropy.valueAndGrad(x.subarray(0, classes), Int32Array.of(1))
    for (const poison of [nan, inf, negInf, 1e38]) {
      x.fill(poison, classes, 2 * classes)
      for (const labelSmoothing of [0, 0.1]) {
        const options = { labelSmoothing, ignoreIndex: -1 }
        const both = crossEntropy.valueAndGrad(x, Int32Array.of(1, -1, -1), options)
        t.true(Number.isFinite(both.value))
        if (labelSmoothing === 0) t.is(both.value, kept.value)
        if (labelSmoothing === 0) t.deepEqual(both.grad.slice(0, classes), kept.grad)
        t.true(both.grad.subarray(classes).every((g) => Object.is(g, 0)))
      }
    }
  }
})

everywhere('crossEntropy: an index equal to ignoreIndex may lie outside the classes or inside', (t) => {
  const x = Float32Array.of(1, 2, 3, 3, 2, 1)
  const one = crossEntropy(x.subarray(0, 3), Int32Array.of(2))
  t.is(crossEntropy(x, Int32Array.of(2, 255), { ignoreIndex: 255 }), one)
  t.is(crossEntropy(x, Int32Array.of(2, 0), { ignoreIndex: 0 }), one)
})

everywhere('crossEntropy: −∞ off the label is a class that cannot be', (t) => {
  for (const classes of [3, 40]) {
    const x = new Float32Array(classes)
    x[2] = negInf
    const { value, grad } = crossEntropy.valueAndGrad(x, Int32Array.of(0))
    t.true(Math.abs(value - Math.log(classes - 1)) < 1e-6)
    t.is(grad[2], 0)
    t.true(grad.every(Number.isFinite))
    const impossible = crossEntropy.valueAndGrad(x, Int32Array.of(2))
    t.is(impossible.value, inf)
    t.is(impossible.grad[2], -1)
  }
})

everywhere('crossEntropy: a row of −∞, or with +∞, is NaN', (t) => {
  for (const classes of [3, 40]) {
    for (const x of [
      new Float32Array(classes).fill(negInf),
      filled(classes, (c) => (c === 1 ? inf : 0)),
      filled(classes, (c) => (c === 0 ? inf : 0)),
    ]) {
      const { value, grad } = crossEntropy.valueAndGrad(x, Int32Array.of(0))
      t.is(value, nan)
      t.true(grad.every(Number.isNaN))
    }
  }
})

everywhere('crossEntropy: one class costs nothing', (t) => {
  const { value, grad } = crossEntropy.valueAndGrad(Float32Array.of(5, -7), Int32Array.of(0, 0))
  t.is(value, 0)
  equals(t, grad, [0, 0])
})

everywhere('crossEntropy: the known value', (t) => {
  // PyTorch 2.13: F.cross_entropy(x, y, weight=w, ignore_index=1, label_smoothing=0.2)
  const x = Float32Array.of(1, 2, 3, 1, 2, 4)
  const options = { weight: [1, 2, 3], ignoreIndex: 1, labelSmoothing: 0.2 }
  const { value, grad } = crossEntropy.valueAndGrad(x, Int32Array.of(0, 1), options)
  t.is(value.toFixed(6), '2.355794')
  t.deepEqual(
    Array.from(grad, (g) => g.toFixed(6)),
    ['-0.758630', '0.160341', '0.598289', '0.000000', '0.000000', '0.000000'],
  )
})

everywhere('the mean over nothing has no value and a gradient of zeros', (t) => {
  const empty = new Float32Array(0)
  const x = Float32Array.of(nan, 1, 2, 3)
  const ignored = Int32Array.of(-100, -100)
  for (const emptyMean of ['nan', 'zero'] as const) {
    const expected = emptyMean === 'nan' ? nan : 0
    t.is(mse(empty, empty, { emptyMean }), expected)
    t.is(bceWithLogits(empty, empty, { emptyMean }), expected)
    t.is(bce(empty, empty, { emptyMean }), expected)
    t.is(klDiv(empty, empty, { emptyMean, reduction: 'batchmean', shape: [0, 3] }), expected)
    // Three samples of nothing are something to divide by.
    t.is(klDiv(empty, empty, { emptyMean, reduction: 'batchmean', shape: [3, 0] }), 0)
    t.is(mse(empty, empty, { emptyMean, weight: empty, meanBy: 'weight' }), expected)
    t.is(crossEntropy(empty, new Int32Array(0), { emptyMean }), expected)
    const { value, grad } = crossEntropy.valueAndGrad(x, ignored, { emptyMean })
    t.is(value, expected)
    t.deepEqual(grad, new Float32Array(4))
    const weightless = { weight: [0, 0], emptyMean }
    t.is(crossEntropy(x, Int32Array.of(0, 1), weightless), expected)
    t.deepEqual(crossEntropy.backward(x, Int32Array.of(0, 1), weightless), new Float32Array(4))
  }
  t.is(mse(empty, empty, { reduction: 'sum' }), 0)
  t.is(crossEntropy(x, ignored, { reduction: 'sum' }), 0)
  t.deepEqual(mse(empty, empty, { reduction: 'none' }), empty)
  t.deepEqual(crossEntropy(x, ignored, { reduction: 'none' }), new Float32Array(2))
})

everywhere('a normalizer replaces the denominator of the mean', (t) => {
  const x = Float32Array.of(1, 2, 3, 4)
  const target = new Float32Array(4)
  t.is(mse(x, target, { normalizer: 10 }), 3)
  t.deepEqual(mse.backward(x, target, { normalizer: 10, gradOutput: 5 }), Float32Array.of(1, 2, 3, 4))
  const sum = crossEntropy(x, Int32Array.of(0, 1), { reduction: 'sum' })
  t.is(crossEntropy(x, Int32Array.of(0, 1), { normalizer: 8 }), sum / 8)
})

everywhere('labels of every integer type give the same', (t) => {
  const x = filled(12, generator(3))
  const labels = [2, 0, 1, 2]
  const expected = crossEntropy.valueAndGrad(x, Int32Array.from(labels))
  for (const target of [
    Uint8Array.from(labels),
    Uint16Array.from(labels),
    Uint32Array.from(labels),
    BigInt64Array.from(labels, BigInt),
  ]) {
    t.deepEqual(crossEntropy.valueAndGrad(x, target), expected)
  }
})

everywhere('combine is the weighted sum of its parts', (t) => {
  const random = generator(4)
  const shape = [2, 3, 700]
  const x = filled(4200, () => normal(random, 2))
  const mask = filled(4200, () => Math.round(random()))
  const labels = Int32Array.from({ length: 1400 }, () => Math.floor(random() * 3))
  const sums = [
    {
      target: mask,
      parts: [
        [bceWithLogits, 0.5, { posWeight: 2 }],
        [dice, 2, { activation: 'sigmoid' }],
        [mse, -0.25],
      ],
    },
    {
      target: labels,
      parts: [
        [crossEntropy, 1, { labelSmoothing: 0.1 }],
        [softmaxFocal, 2],
        [tversky, 3, { activation: 'softmax', alpha: 0.3 }],
        [diceCe, 0.5],
      ],
    },
  ] as const
  for (const { target, parts } of sums) {
    for (const reduction of ['mean', 'sum'] as const) {
      const grad = new Float32Array(x.length)
      const sum = combine(parts as unknown as Parameters<typeof combine>[0])
      const got = sum.valueAndGrad(x, target, { shape, reduction, gradOutput: 2, grad })
      t.is(got.grad, grad)
      const expected = new Float64Array(x.length)
      let value = 0
      parts.forEach(([loss, weight, options = {}], i) => {
        const call = loss as unknown as typeof mse
        const own = call.valueAndGrad(x, target as Float32Array, { ...options, shape, reduction })
        value += weight * own.value
        own.grad.forEach((g, j) => {
          expected[j] += 2 * weight * g
        })
        t.true(Math.abs(got.parts[i] - own.value) <= 1e-6 * Math.abs(own.value))
      })
      t.true(Math.abs(got.value - value) <= 1e-6 * Math.abs(value))
      const largest = expected.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
      t.true(grad.every((g, j) => Math.abs(g - expected[j]) <= 1e-6 * largest))
      t.is(sum(x, target, { shape, reduction }), got.value)
    }
  }
})

everywhere('the focal loss of two logits', (t) => {
  // mean(−α(1 − p)^γ·y·ln p − (1 − α)·p^γ·(1 − y)·ln(1 − p)), p the probability of the second class.
  const random = generator(9)
  const x = filled(80, () => normal(random, 2))
  const labels = Int32Array.from({ length: 40 }, () => Math.round(random()))
  let sum = 0
  labels.forEach((y, i) => {
    const p = 1 / (1 + Math.exp(x[2 * i] - x[2 * i + 1]))
    sum -= y === 1 ? 0.25 * (1 - p) ** 2 * Math.log(p) : 0.75 * p ** 2 * Math.log(1 - p)
  })
  const value = softmaxFocal(x, labels, { shape: [40, 2], alpha: [0.75, 0.25] })
  t.true(Math.abs(value - sum / 40) < 1e-6 * value)
})

everywhere('the soft dice that has its smoothing inside the factor 2', (t) => {
  const random = generator(11)
  const x = filled(60, () => normal(random, 2))
  const mask = filled(60, () => Math.round(random()))
  let score = 0
  for (let sample = 0; sample < 3; sample++) {
    let [p, y, both] = [0, 0, 0]
    for (let i = 20 * sample; i < 20 * (sample + 1); i++) {
      const own = 1 / (1 + Math.exp(-x[i]))
      p += own
      y += mask[i]
      both += own * mask[i]
    }
    score += (2 * (both + 1)) / (p + y + 1)
  }
  const value = dice(x, mask, { shape: [3, 1, 20], activation: 'sigmoid', smoothNr: 2, smoothDr: 1 })
  t.true(Math.abs(value - (1 - score / 3)) < 1e-6)
})

everywhere('a plane of nothing', (t) => {
  const empty = new Float32Array(5)
  t.is(dice(empty, empty), 0)
  t.is(dice(empty, empty, { smoothNr: 0, smoothDr: 0 }), nan)
  t.deepEqual(dice.backward(empty, empty, { smoothNr: 0, smoothDr: 0 }), empty)
  // Of two classes the second has no target.
  const x = Float32Array.of(0.5, 0.5, 0.25, 0.25)
  const target = Float32Array.of(1, 0, 0, 0)
  const options = { shape: [1, 2, 2] }
  const first = dice(x.subarray(0, 2), target.subarray(0, 2))
  t.is(dice(x, target, { ...options, emptyClass: 'skip' }), first)
  t.is(dice(x, target, { ...options, emptyClass: 'zero' }), first / 2)
  t.true(dice(x, target, options) > first)
  t.deepEqual(dice.backward(x, target, { ...options, emptyClass: 'zero' }).slice(2), new Float32Array(2))
  for (const emptyMean of ['nan', 'zero'] as const) {
    const nothing = { ...options, emptyClass: 'skip', emptyMean } as const
    const both = dice.valueAndGrad(x, new Float32Array(4), nothing)
    t.is(both.value, emptyMean === 'nan' ? nan : 0)
    t.deepEqual(both.grad, new Float32Array(4))
  }
})

everywhere('what is masked touches nothing, whatever it holds', (t) => {
  const mask = Uint8Array.of(1, 0, 1)
  for (const poison of [nan, inf, negInf]) {
    const x = Float32Array.of(1, poison, 2, 3, poison, 4)
    const clean = Float32Array.of(1, 2, 3, 4)
    const labels = Int32Array.of(0, 1, 1)
    const kept = Int32Array.of(0, 1)
    const shape = [1, 2, 3]
    const small = [1, 2, 2]
    for (const loss of [crossEntropy, softmaxFocal, nll]) {
      const got = loss.valueAndGrad(x, labels, { shape, mask })
      const expected = loss.valueAndGrad(clean, kept, { shape: small })
      t.is(got.value, expected.value)
      equals(t, got.grad, [...expected.grad.slice(0, 1), 0, ...expected.grad.slice(1, 3), 0, expected.grad[3]])
    }
    for (const activation of ['none', 'sigmoid', 'softmax'] as const) {
      // Without an activation they are probabilities.
      const of = (scores: Float32Array) => (activation === 'none' ? scores.map((x) => x / 8) : scores)
      const got = dice.valueAndGrad(of(x), labels, { shape, mask, activation })
      const expected = dice.valueAndGrad(of(clean), kept, { shape: small, activation })
      t.is(got.value, expected.value)
      equals(t, got.grad, [...expected.grad.slice(0, 1), 0, ...expected.grad.slice(1, 3), 0, expected.grad[3]])
    }
    const soft = Float32Array.of(0.5, poison, 0.5, 0.5, poison, 0.5)
    const got = crossEntropy.valueAndGrad(x, soft, { shape, mask, targetGrad: true })
    const halves = new Float32Array(4).fill(0.5)
    const expected = crossEntropy.valueAndGrad(clean, halves, { shape: small, targetGrad: true })
    t.is(got.value, expected.value)
    t.true(Object.is(got.targetGrad![1], 0) && got.targetGrad!.every(Number.isFinite))
    const both = bceDice.valueAndGrad(x, new Float32Array(6), { shape, mask })
    t.true(Number.isFinite(both.value) && both.grad.every(Number.isFinite))
  }
})

everywhere('a score of −∞ that no one asks for', (t) => {
  for (const classes of [3, 70]) {
    const x = new Float32Array(classes)
    x[2] = negInf
    const q = new Float32Array(classes)
    q[0] = 1
    const { value, grad } = crossEntropy.valueAndGrad(x, q, { shape: [1, classes] })
    t.true(Math.abs(value - Math.log(classes - 1)) < 1e-6)
    t.true(grad.every(Number.isFinite))
    const same = distillation.valueAndGrad(x, x, { shape: [1, classes], targetGrad: true })
    t.true(Math.abs(same.value) < 1e-6)
    t.true(same.grad.every(Number.isFinite) && same.targetGrad!.every(Number.isFinite))
  }
})

everywhere('targets of bytes give the same as floats', (t) => {
  const x = filled(40, generator(8))
  const bytes = Uint8Array.from({ length: 40 }, (_, i) => Number(i % 3 === 0))
  const floats = Float32Array.from(bytes)
  const weight = filled(40, generator(2))
  for (const loss of [bce, bceWithLogits, sigmoidFocal]) {
    t.deepEqual(loss.valueAndGrad(x, bytes), loss.valueAndGrad(x, floats))
    const options = { weight, shape: [8, 5] }
    t.deepEqual(loss.valueAndGrad(x, { data: bytes, shape: [8, 5] }, options), loss.valueAndGrad(x, floats, options))
  }
  for (const loss of [dice, tversky, bceDice]) t.deepEqual(loss.valueAndGrad(x, bytes), loss.valueAndGrad(x, floats))
  const over = new Float32Array(bytes.buffer, 0, 10)
  const error = { instanceOf: RangeError, message: /grad must not overlap target/ }
  t.throws(() => bceWithLogits.backward(x.subarray(0, 10), bytes.subarray(30, 40), { grad: over }), error)
})

everywhere('diceFocal leaves the background out of both parts', (t) => {
  const random = generator(6)
  const x = filled(12, () => normal(random, 2))
  const mask = filled(12, () => Math.round(random()))
  const options = { shape: [1, 3, 4], includeBackground: false }
  const { parts, grad } = diceFocal.valueAndGrad(x, mask, options)
  const focal = sigmoidFocal.valueAndGrad(x.subarray(4), mask.subarray(4), { alpha: null })
  const own = dice.valueAndGrad(x, mask, { ...options, activation: 'sigmoid' })
  t.true(Math.abs(parts.focal - focal.value) < 1e-6 && Math.abs(parts.dice - own.value) < 1e-6)
  equals(t, grad.subarray(0, 4), [0, 0, 0, 0])
  focal.grad.forEach((g, i) => {
    t.true(Math.abs(grad[i + 4] - g - own.grad[i + 4]) < 1e-6)
  })
})
