/**
 * What counts and how much: masks, labels that are ignored, weights of samples, what a mean divides by, gradients that are added
 * up, in every type of array, of every loss on every platform.
 */

import type { ExecutionContext } from 'ava'
import { type Argument, type Form, lengthOf, positionsOf } from '../ts/family/draw.js'
import * as library from '../ts/index.js'
import { filled, generator, sameBits } from './data.js'
import { argumentsOf } from './drawn.js'
import { everywhere, type Loose, loose } from './everywhere.js'
import { fits, losses } from './losses.js'

const { crossEntropy, dice, distillation, mse, bceDice, diceCe, bceWithLogits, nll, softmaxFocal, sigmoidFocal } =
  library

/** A call of a loss over [N, C, D] with arguments of its own. */
interface Call {
  readonly name: string
  readonly loss: Loose
  readonly form: Form
  readonly args: readonly (Float32Array | Int32Array)[]
  readonly options: Readonly<Record<string, unknown>> & { readonly shape: readonly number[] }
  /** Positions of a sample that a mask has a value for: elements, where there is no class axis. */
  readonly positions: number
}

const SAMPLES = 3
const CLASSES = 4
const SPREAD = 25

/** Calls of every loss in every form. */
function calls(): Call[] {
  const random = generator(77)
  return losses.flatMap(({ name, loss, forms }) =>
    forms.map((form): Call => {
      const shape = fits(form, CLASSES) ? [SAMPLES, CLASSES, SPREAD] : [SAMPLES, 1, CLASSES * SPREAD]
      const args = argumentsOf(form, shape, random)
      const positions = lengthOf(form, 'position', shape) / SAMPLES
      return { name, loss, form, args, options: { ...form.options, shape }, positions }
    }),
  )
}

/** The call of the samples from one to another. */
function partOf(call: Call, from: number, to: number): Call {
  const { args, options } = call
  const part = (array: Float32Array | Int32Array) =>
    array.slice((from * array.length) / SAMPLES, (to * array.length) / SAMPLES)
  return { ...call, args: args.map(part), options: { ...options, shape: options.shape.with(0, to - from) } }
}

/** Value, gradient and what else a call gives. */
interface Got {
  readonly value: number
  readonly grad: Float32Array
  readonly denominator?: number
  readonly parts?: Record<string, number>
  readonly denominators?: Record<string, number>
}
const both = (loss: Loose, ...args: unknown[]) => loss.valueAndGrad(...args) as unknown as Got

/** Equal but for rounding. */
function near(t: ExecutionContext, got: number, expected: number, message: string, tolerance = 2e-6): void {
  t.true(Math.abs(got - expected) <= tolerance * Math.max(1e-3, Math.abs(expected)), `${message}: ${got} ${expected}`)
}
function allNear(
  t: ExecutionContext,
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  message: string,
  tolerance = 2e-6,
): void {
  const scale = Array.from(expected).reduce((most, g) => Math.max(most, Math.abs(g)), 1e-12)
  let worst = 0
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(got[i] - expected[i]))
  t.true(got.length === expected.length && worst <= tolerance * scale, `${message}: off by ${worst} of ${scale}`)
}

/** Which position, of all samples, a number of an argument belongs to. */
function positionAt({ form, options: { shape } }: Call, { extent, columns }: Argument, i: number): number {
  const element = Math.floor(i / columns)
  if (extent === 'position' || form.axis === undefined) return element
  if (form.axis === 'row') return Math.floor(element / shape[shape.length - 1])
  const [, classes, spread] = shape
  return Math.floor(element / (classes * spread)) * spread + (element % spread)
}

everywhere('a masked position counts for nothing, whatever it holds, in every type of mask', (t) => {
  const random = generator(5)
  for (const call of calls()) {
    const { name, loss, form, args, options, positions } = call
    const bits = Array.from({ length: SAMPLES * positions }, () => random() > 0.4)
    const poisoned = args.map((array, k) => {
      const bad = (at: number) => {
        if (form.inputs[k].kind === 'label') return 1234
        return k === 0 && at % 2 === 1 ? Number.POSITIVE_INFINITY : Number.NaN
      }
      return array.map((x, i) => {
        const at = positionAt(call, form.inputs[k], i)
        return bits[at] ? x : bad(at)
      })
    })
    const reference = both(loss, ...poisoned, { ...options, mask: bits })
    t.true(Number.isFinite(reference.value), name)
    // Without the poison it is the same to the bit, and with other numbers there too.
    const clean = both(loss, ...args, { ...options, mask: bits })
    t.is(reference.value, clean.value, name)
    t.true(sameBits(reference.grad, clean.grad), name)
    clean.grad.forEach((g, i) => {
      if (!bits[positionAt(call, form.inputs[0], i)]) t.is(g, 0, name)
    })
    const numbers = Array.from(bits, Number)
    const dims = positionsOf(form.axis, options.shape)
    const masks = [
      Uint8Array.from(numbers),
      Float32Array.from(numbers),
      Int32Array.from(numbers, (b) => 7 * b),
      Int8Array.from(numbers, (b) => -b),
      Uint8ClampedArray.from(numbers),
      Int16Array.from(numbers),
      Uint16Array.from(numbers),
      Uint32Array.from(numbers),
      BigInt64Array.from(numbers, BigInt),
      { data: BigInt64Array.from(numbers, BigInt), dims },
    ]
    for (const mask of masks) {
      const got = both(loss, ...args, { ...options, mask })
      t.is(got.value, clean.value, name)
      t.true(sameBits(got.grad, clean.grad), name)
    }
    // One value for each sample.
    const samples = [true, false, true]
    const whole = both(loss, ...args, {
      ...options,
      mask: bits.map((_, i) => samples[Math.floor(i / positions)]),
    })
    const shared = both(loss, ...args, { ...options, mask: samples })
    t.is(shared.value, whole.value, name)
    t.true(sameBits(shared.grad, whole.grad), name)
  }
})

everywhere('arrays of bound options are copied, whatever their type', (t) => {
  const x = Float32Array.of(1, 2, 3)
  const target = new Float32Array(3)
  const labels = Int32Array.of(0, 0, 0)
  const shape = [3, 1]
  for (const mask of [
    Uint8Array.of(1, 0, 1),
    Int32Array.of(1, 0, 1),
    BigInt64Array.of(1n, 0n, 1n),
    Float32Array.of(1, 0, 1),
  ]) {
    for (const given of [mask, { data: mask, dims: [3] }, { data: mask, shape: [3], stride: [1] }]) {
      const losses = [mse.with({ mask: given }), dice.with({ mask: given, shape, activation: 'sigmoid' })] as const
      const before = [losses[0](x, target), losses[1](x, labels)]
      mask.fill((mask instanceof BigInt64Array ? 0n : 0) as never)
      t.is(before[0], 5)
      t.deepEqual([losses[0](x, target), losses[1](x, labels)], before)
      mask.set([1, 0, 1].map((v) => (mask instanceof BigInt64Array ? BigInt(v) : v)) as never)
    }
  }
  const weight = Float32Array.of(2, 2, 2)
  const bound = mse.with({ weight, sampleWeight: weight })
  weight.fill(0)
  t.is(bound(x, target), (4 * 14) / 3)
  const flags = [true, false, true]
  const kept = mse.with({ mask: flags })
  flags.fill(false)
  t.is(kept(x, target), 5)
})

everywhere('what is kept by a mask counts as if it were alone', (t) => {
  // Elements left out of an array of one dimension.
  const random = generator(8)
  for (const n of [3, 17, 1500]) {
    const keep = Array.from({ length: n }, () => random() > 0.5)
    keep[0] = true
    for (const { name, loss, form, args } of calls()) {
      if (form.axis !== undefined) continue
      const { inputs, options } = form
      const all = args.map((array, k) => filled(n * inputs[k].columns, (i) => array[i % array.length]))
      const pick = (array: Float32Array, k = 0) => array.filter((_, i) => keep[Math.floor(i / inputs[k].columns)])
      for (const reduction of ['mean', 'sum']) {
        const got = both(loss, ...all, { ...options, mask: keep, reduction })
        const alone = both(loss, ...all.map(pick), { ...options, reduction })
        near(t, got.value, alone.value, `${name} ${n} ${reduction}`)
        allNear(t, pick(got.grad), alone.grad, `${name} ${n} ${reduction}`)
        t.is(got.denominator, keep.filter(Boolean).length, name)
      }
    }
  }
  // Nothing kept: the mean over nothing.
  t.is(mse(Float32Array.of(1, 2), Float32Array.of(0, 0), { mask: [false, false] }), Number.NaN)
  t.is(mse(Float32Array.of(1, 2), Float32Array.of(0, 0), { mask: [false, false], emptyMean: 'zero' }), 0)
  // By hand: (1 + 4) / 2 and 2·1/2, 2·2/2.
  const { value, grad } = mse.valueAndGrad(Float32Array.of(1, 5, 2), Float32Array.of(0, Number.NaN, 0), {
    mask: Uint8Array.of(1, 0, 1),
  })
  t.is(value, 2.5)
  t.deepEqual([...grad], [1, 0, 2])
})

everywhere('labels and targets of every type are the same numbers', (t) => {
  const random = generator(9)
  for (const n of [2, 33, 1100]) {
    const classes = 5
    const x = filled(n * classes, () => 3 * random() - 1.5)
    const labels = Int32Array.from({ length: n }, (_, i) => (i % 7 === 3 ? 100 : Math.floor(random() * classes)))
    const shape = [n, classes]
    for (const loss of [crossEntropy, softmaxFocal, nll, dice, diceCe]) {
      const given = loss === dice ? x.map((x) => x / 4 + 0.5) : x
      const options = { shape, ignoreIndex: 100 }
      const expected = both(loose(loss), given, labels, options)
      const all = [
        Uint8Array.from(labels),
        Uint8ClampedArray.from(labels),
        Int8Array.from(labels),
        Int16Array.from(labels),
        Uint16Array.from(labels),
        Uint32Array.from(labels),
        BigInt64Array.from(labels, BigInt),
        BigUint64Array.from(labels, BigInt),
      ]
      for (const target of all) {
        const got = both(loose(loss), given, target, options)
        t.is(got.value, expected.value, loss.name)
        t.true(sameBits(got.grad, expected.grad), loss.name)
      }
      // 100 and a class are both ignored: as if that class were 100 too.
      const several = both(loose(loss), given, labels, { shape, ignoreIndex: [2, 100] })
      const renamed = both(
        loose(loss),
        given,
        labels.map((y) => (y === 2 ? 100 : y)),
        options,
      )
      t.is(several.value, renamed.value, loss.name)
      t.true(sameBits(several.grad, renamed.grad), loss.name)
    }
    const logits = x.subarray(0, n)
    const bits = Uint8Array.from({ length: n }, () => Math.round(random()))
    const target = Float32Array.from(bits)
    for (const loss of [bceWithLogits, sigmoidFocal, bceDice]) {
      const expected = both(loose(loss), logits, target)
      for (const typed of [bits, Int32Array.from(bits), Int8Array.from(bits), BigInt64Array.from(bits, BigInt)]) {
        const got = both(loose(loss), logits, typed)
        t.is(got.value, expected.value, loss.name)
        t.true(sameBits(got.grad, expected.grad), loss.name)
      }
      // 255 says that nobody knows.
      const unknown = bits.map((bit, i) => (i % 5 === 1 ? 255 : bit))
      const got = both(loose(loss), logits, unknown, { ignoreIndex: 255 })
      const masked = both(loose(loss), logits, target, { mask: unknown.map((bit) => Number(bit !== 255)) })
      t.is(got.value, masked.value, loss.name)
      t.true(sameBits(got.grad, masked.grad), loss.name)
    }
  }
})

everywhere('a weight for each sample is a factor of its value and gradient', (t) => {
  const weights = Float32Array.of(0.5, 2, 3)
  for (const call of calls()) {
    const { name, loss, form, args, options, positions } = call
    const perSample = args[0].length / SAMPLES
    const reduction = 'sum'
    const got = both(loss, ...args, { ...options, reduction, sampleWeight: weights })
    const alone = Array.from(weights, (_, s) => {
      const part = partOf(call, s, s + 1)
      return both(loss, ...part.args, { ...part.options, reduction })
    })
    const total = alone.reduce((sum, { value }, s) => sum + weights[s] * value, 0)
    near(t, got.value, total, name)
    const grad = filled(args[0].length, (i) => {
      const s = Math.floor(i / perSample)
      return weights[s] * alone[s].grad[i % perSample]
    })
    allNear(t, got.grad, grad, name)
    if (form.arrays.sampleWeight !== 'position') continue
    // One for each position says the same, where all of a sample are equal.
    const full = Float32Array.from({ length: SAMPLES * positions }, (_, i) => weights[Math.floor(i / positions)])
    const each = both(loss, ...args, { ...options, reduction, sampleWeight: full })
    t.is(each.value, got.value, name)
    t.true(sameBits(each.grad, got.grad), name)
    // By count the mean divides as without them, by weight by their sum.
    const weighed = { ...options, reduction: 'mean', sampleWeight: weights }
    const mean = both(loss, ...args, weighed)
    const byWeight = both(loss, ...args, { ...weighed, meanBy: 'weight' })
    t.is(mean.denominator, SAMPLES * positions, name)
    near(t, byWeight.denominator!, 5.5 * positions, name)
    near(t, byWeight.value, total / (5.5 * positions), name)
  }
  // By hand: crossEntropy of equal scores is ln 2; 0.25 and 3 of it, by count over 2, by weight over 3.25.
  const x = new Float32Array(4)
  const labels = Int32Array.of(0, 1)
  const sampleWeight = [0.25, 3]
  near(t, crossEntropy(x, labels, { sampleWeight }), (3.25 * Math.LN2) / 2, 'by count')
  near(t, crossEntropy(x, labels, { sampleWeight, meanBy: 'weight' }), Math.LN2, 'by weight')
  // Class weights enter both: (0.25·2 + 3·4)·ln 2 over 2 + 4, and over 12.5.
  near(t, crossEntropy(x, labels, { sampleWeight, weight: [2, 4] }), (12.5 * Math.LN2) / 6, 'classes by count')
  near(t, crossEntropy(x, labels, { sampleWeight, weight: [2, 4], meanBy: 'weight' }), Math.LN2, 'classes by weight')
})

everywhere('the mean of planes by weight divides by the weights of classes and samples', (t) => {
  const random = generator(12)
  const shape = [2, 3, 10]
  const x = filled(60, () => 4 * random() - 2)
  const labels = Int32Array.from({ length: 20 }, () => Math.floor(3 * random()))
  const [weight, sampleWeight] = [
    [1, 0.5, 3],
    [2, 0.25],
  ]
  const by = { shape, weight, sampleWeight, meanBy: 'weight' } as const
  // Σ w_c·s_n = 4.5 · 2.25.
  const total = 10.125
  const values = dice(x, labels, { shape, activation: 'sigmoid', reduction: 'none' })
  const weighted = values.reduce((sum, value, i) => sum + value * weight[i % 3] * sampleWeight[Math.floor(i / 3)], 0)
  const planes = dice.valueAndGrad(x, labels, { ...by, activation: 'sigmoid' })
  near(t, planes.value, weighted / total, 'dice')
  t.is(planes.denominator, total)
  const step = 2 ** -8
  const moved = (by: number) => x.map((v, i) => (i === 7 ? v + by : v))
  const at = (by_: number) => dice(moved(by_), labels, { ...by, activation: 'sigmoid' })
  near(t, planes.grad[7], (at(step) - at(-step)) / (2 * step), 'by differences', 1e-3)

  const oneHot = filled(60, (i) => Number(labels[Math.floor(i / 30) * 10 + (i % 10)] === Math.floor((i % 30) / 10)))
  const both = bceDice.valueAndGrad(x, labels, by)
  near(t, both.parts.dice, weighted / total, 'bceDice')
  const elements = bceWithLogits(x, oneHot, { reduction: 'none' })
  const factor = (i: number) => weight[Math.floor((i % 30) / 10)] * sampleWeight[Math.floor(i / 30)]
  near(t, both.parts.bce, elements.reduce((sum, v, i) => sum + v * factor(i), 0) / (10 * total), 'bce')
  t.deepEqual(both.denominators, { bce: 10 * total, dice: total })

  const { parts, denominators } = diceCe.valueAndGrad(x, labels, by)
  const alone = crossEntropy.valueAndGrad(x, labels, by)
  near(t, parts.ce, alone.value, 'ce')
  near(t, denominators.ce, alone.denominator, 'weights of the labels')
  const count = labels.reduce((sum, y, i) => sum + weight[y] * sampleWeight[Math.floor(i / 10)], 0)
  near(t, denominators.ce, count, 'by hand')
})

everywhere('batches of different size are joined by their denominators', (t) => {
  for (const call of calls()) {
    const { name, loss, args, options } = call
    // A mean whatever the default is.
    const whole = both(loss, ...args, { ...options, reduction: 'mean' })
    const batches = [partOf(call, 0, 1), partOf(call, 1, 3)]
    const resultsOf = (more: Record<string, unknown>) =>
      batches.map((part) => both(loss, ...part.args, { ...part.options, ...more }))
    const sumOf = (numbers: number[]) => numbers.reduce((sum, x) => sum + x, 0)
    if (whole.parts !== undefined) {
      const results = resultsOf({ normalizer: whole.denominators! })
      for (const [part, value] of Object.entries(whole.parts)) {
        near(t, sumOf(results.map(({ parts }) => parts![part])), value, `${name} ${part}`)
      }
      allNear(t, [...results[0].grad, ...results[1].grad], whole.grad, name)
      continue
    }
    const sums = resultsOf({ reduction: 'sum' })
    const denominator = sumOf(sums.map(({ denominator }) => denominator!))
    t.is(denominator, whole.denominator!, name)
    near(t, sumOf(sums.map(({ value }) => value)) / denominator, whole.value, name)
    const normalized = resultsOf({ reduction: 'mean', normalizer: denominator })
    near(t, sumOf(normalized.map(({ value }) => value)), whole.value, name)
    t.is(normalized[0].denominator, denominator, name)
  }
})

everywhere('a gradient is added to what its buffer holds', (t) => {
  for (const { name, loss, form, args, options } of calls()) {
    const [input, ...others] = args
    const [{ name: first }] = form.inputs
    const once = both(loss, ...args, options)
    const grad = new Float32Array(input.length).fill(0.25)
    const returned = loss.backward(...args, { ...options, grad, accumulate: true })
    t.is(returned, grad, name)
    both(loss.with({ ...options, grad, accumulate: true }), ...args)
    allNear(
      t,
      grad,
      once.grad.map((g) => 0.25 + 2 * g),
      name,
    )
    // A bound one is replaced.
    both(loss.with({ ...options, accumulate: true }), ...args, { accumulate: false, grad })
    t.true(sameBits(grad, once.grad), name)
    t.throws(() => loss.valueAndGrad(...args, { ...options, accumulate: true }), {
      instanceOf: TypeError,
      message: `${name}: accumulate needs grad, the buffer to add to`,
    })
    t.throws(() => loss.valueAndGrad(...args, { ...options, accumulate: 1, grad }), {
      instanceOf: TypeError,
      message: /accumulate must be true or false, got 1/,
    })
    const own = input.slice()
    // Nor another view of its memory.
    for (const grad of [own, own.subarray(0)]) {
      t.throws(() => loss.valueAndGrad(own, ...others, { ...options, accumulate: true, grad }), {
        instanceOf: RangeError,
        message: new RegExp(`grad must not be ${first === 'input' ? 'the input' : first} with accumulate`),
      })
    }
    t.deepEqual(own, input, name)
    // Without a gradient it says nothing.
    t.is(loss(...args, { ...options, accumulate: true }), once.value, name)
  }
  // A sum over nothing adds nothing.
  const grad = Float32Array.of(5, 6)
  crossEntropy.backward(Float32Array.of(1, 2), Int32Array.of(-100), { grad, accumulate: true })
  t.deepEqual([...grad], [5, 6])
})

everywhere('every gradient is added to what its buffer holds', (t) => {
  let found = 0
  for (const { name, loss, form, args, options, positions } of calls()) {
    const gradNames = form.inputs.flatMap(({ gradName = 'grad' }) => (gradName === 'grad' ? [] : [gradName]))
    if (gradNames.length === 0) continue
    found++
    const masked = { ...options, mask: Uint8Array.from({ length: SAMPLES * positions }, (_, i) => i % 3) }
    for (const given of [options, masked]) {
      const asked = Object.fromEntries(gradNames.map((name) => [name, true]))
      const once = loss.valueAndGrad(...args, { ...given, ...asked }) as unknown as Record<string, Float32Array>
      const buffers = Object.fromEntries(
        ['grad', ...gradNames].map((name) => [name, once[name].map((_, i) => i / 64)] as const),
      )
      loss.backward(...args, { ...given, ...buffers, accumulate: true })
      for (const [gradName, buffer] of Object.entries(buffers)) {
        const expected = once[gradName].map((g, i) => i / 64 + g)
        allNear(t, buffer, expected, `${name} ${gradName}`)
      }
      // An array that is not the caller's holds nothing.
      const fresh = loss.valueAndGrad(...args, { ...given, ...asked, grad: buffers.grad, accumulate: true })
      for (const gradName of gradNames) {
        allNear(t, (fresh as unknown as typeof once)[gradName], once[gradName], `${name} ${gradName}`)
      }
    }
  }
  t.true(found > 20)
  // By hand: 2·(x − t), and the reverse.
  const [x, y] = [Float32Array.of(1, 2), Float32Array.of(3, 4)]
  const [grad, targetGrad] = [Float32Array.of(1, 1), Float32Array.of(5, 6)]
  mse.backward(x, y, { reduction: 'sum', grad, targetGrad, accumulate: true })
  t.deepEqual([grad, targetGrad], [Float32Array.of(-3, -3), Float32Array.of(9, 10)])
  // A sum over nothing adds nothing to either.
  mse.backward(x, y, { grad, targetGrad, accumulate: true, mask: [false, false] })
  t.deepEqual([grad, targetGrad], [Float32Array.of(-3, -3), Float32Array.of(9, 10)])
  t.throws(() => mse.backward(x, y, { grad, targetGrad: y, accumulate: true }), {
    message: /targetGrad must not overlap/,
  })
})

everywhere('an output that overlaps any array of a call is refused', (t) => {
  const memory = new Float32Array(2000)
  for (const { name, loss, form, args, options } of calls()) {
    const n = args[0].length
    memory.fill(1)
    for (const [option, extent] of Object.entries(form.arrays)) {
      const grad = memory.subarray(0, n)
      const array = memory.subarray(n - 1, n - 1 + lengthOf(form, extent, options.shape))
      const before = memory.slice()
      t.notThrows(() => loss.valueAndGrad(...args, { ...options, [option]: array }), `${name} ${option}`)
      t.throws(() => loss.valueAndGrad(...args, { ...options, [option]: array, grad }), {
        instanceOf: RangeError,
        message: new RegExp(`${name}: grad must not overlap ${option}`),
      })
      t.deepEqual(memory, before, name)
    }
  }
})

everywhere('numbers outside the domain of a loss are found where asked for', (t) => {
  const valid = { validate: true }
  const refused = (loss: unknown, input: unknown, target: unknown, options: object, message: RegExp) => {
    const run = () => loose(loss)(input, target, { ...options, ...valid })
    t.throws(run, { instanceOf: RangeError, message })
  }
  for (const { loss, args, options } of calls()) {
    t.notThrows(() => loss(...args, { ...options, ...valid }))
    t.throws(() => loss(...args, { ...options, validate: 'yes' }), {
      instanceOf: TypeError,
      message: /validate must be true or false, got "yes"/,
    })
  }
  const logits = Float32Array.of(3, -2)
  const ones = Float32Array.of(1, 0)
  // tfjs and Keras take the labels first.
  refused(
    bceWithLogits,
    ones,
    logits,
    {},
    /target\[0\] must be in \[0, 1\], got 3; the order is bceWithLogits\(input, target\)/,
  )
  t.notThrows(() => bceWithLogits(logits, ones, valid))
  refused(library.klDiv, ones, ones, {}, /input\[0\] must be at most 0, got 1/)
  refused(
    library.klDiv,
    logits.map((x) => x - 4),
    ones,
    { logTarget: true },
    /target\[0\] must be at most 0, got 1/,
  )
  refused(mse, Float32Array.of(Number.NaN, 1), ones, {}, /input\[0\] must be a number, got NaN/)
  t.notThrows(() => mse(Float32Array.of(Number.NaN, 1), ones, { ...valid, mask: [false, true] }))
  const third = Float32Array.of(0.5, 0.25, 0.25, 0.5, 0.5, 0.5)
  const shape = [2, 3]
  refused(crossEntropy, new Float32Array(6), third, { shape }, /the sum of target at position 1 must be 1, got 1.5/)
  t.notThrows(() => crossEntropy(new Float32Array(6), third, { shape, ...valid, mask: [true, false] }))
  refused(
    softmaxFocal,
    new Float32Array(6),
    third.map((q) => -q),
    { shape },
    /target\[0\] must be in \[0, 1\], got -0.5/,
  )
  t.notThrows(() => distillation(new Float32Array(6), third, { shape, ...valid }))
  refused(
    dice,
    Float32Array.of(1.5, 0),
    Float32Array.of(0, 0),
    {},
    /input\[0\] must be in \[0, 1\], got 1.5; for logits give/,
  )
  refused(
    dice,
    Float32Array.of(1.5, 0),
    Float32Array.of(0, 3),
    { activation: 'sigmoid' },
    /target\[1\] must be in \[0, 1\], got 3/,
  )
  // A look at the sums needs no option.
  t.throws(() => dice(logits, ones), {
    instanceOf: RangeError,
    message: /must be in \[0, 1\] with the activation 'none'/,
  })
})

everywhere('bytes of 0 and 255 are refused, unless 255 is ignored', (t) => {
  const bytes = Uint8Array.of(0, 255, 1, 0)
  const x = Float32Array.of(0.5, 0.25, 0.75, 0.5)
  const message = /target\[1\] must be 0 or 1 in an array of integers, got 255; divide by 255 \(Float32Array.from/
  let tried = 0
  for (const { loss, forms } of losses) {
    for (const { options } of forms.filter((form) => fits(form, 1) && form.inputs[1].bits)) {
      tried++
      t.throws(() => loss(x, bytes, options), { instanceOf: RangeError, message })
      t.notThrows(() => loss(x, bytes, { ...options, ignoreIndex: 255 }))
      t.notThrows(() => loss(x, bytes, { ...options, mask: [true, false, true, true] }))
    }
  }
  t.true(tried > 8)
  // One plane of several classes: positions are masked, not scores.
  const shape = [1, 2, 2]
  t.throws(() => dice(x, bytes, { shape }), { instanceOf: RangeError, message })
  t.notThrows(() => dice(x, bytes, { shape, mask: [true, false] }))
  t.throws(() => dice(x, bytes, { shape, mask: [false, true] }), { instanceOf: RangeError, message })
  t.throws(() => mse(x, bytes as never), { instanceOf: TypeError })
})

everywhere('options of what counts that cannot be', (t) => {
  const x = new Float32Array(6)
  const shape = [2, 3]
  const labels = Int32Array.of(0, 1)
  const half = new Float32Array(6).fill(0.5)
  const refuse = (run: () => unknown, message: RegExp, instanceOf: ErrorConstructor = RangeError) =>
    t.throws(run, { instanceOf, message })
  for (const loss of [crossEntropy, softmaxFocal]) {
    const { name } = loss
    refuse(
      () => loss(x, half, { shape, ignoreIndex: 0 }),
      new RegExp(`${name}: ignoreIndex needs class indices.*use mask`),
    )
  }
  refuse(() => bceWithLogits(x, half, { ignoreIndex: 0 }), /ignoreIndex needs a target of integers.*use mask/)
  refuse(() => crossEntropy(x, labels, { ignoreIndex: [] }), /ignoreIndex must be an integer, or an array of 1 to 10/)
  refuse(() => crossEntropy(x, labels, { ignoreIndex: [1, 2.5] }), /ignoreIndex\[1\] must be a 32-bit integer, got 2.5/)
  refuse(
    () => mse(x, half, { shape, mask: new Uint8Array(4) }),
    /mask must be an array of 6, one per position, or of 2, one per sample/,
  )
  refuse(() => mse(x, half, { mask: [1, 0] as never }), /mask must be an array of integers/, TypeError)
  refuse(
    () => mse(x, half, { shape, sampleWeight: [1, 2, 3] }),
    /sampleWeight must be an array of 6, one per position, or of 2/,
  )
  refuse(
    () => dice(half, half, { shape, sampleWeight: [1, 2, 3] }),
    /sampleWeight must be a Float32Array of 2 elements/,
  )
  refuse(() => dice(half, half, { shape, sampleWeight: [1, 2], batch: true }), /sampleWeight needs batch: false/)
  refuse(
    () => bceDice(x, half, { normalizer: 3 as never }),
    /normalizer must be an object of bce, dice, got 3/,
    TypeError,
  )
  refuse(() => bceDice(x, half, { normalizer: { focal: 3 } as never }), /normalizer has no focal/, TypeError)
  refuse(() => bceDice(x, half, { normalizer: { bce: 0 } }), /normalizer.bce must be a number > 0, got 0/)
  refuse(() => bceDice(x, half, { normalizer: { bce: 1 }, reduction: 'sum' }), /normalizer needs the reduction 'mean'/)
  refuse(() => crossEntropy(x, labels, { meanBy: 'weight' }), /meanBy 'weight' needs a sampleWeight/)
  refuse(() => dice(half, half, { meanBy: 'weight' }), /meanBy 'weight' needs a weight or a sampleWeight/)
  const tensor = (dims: number[]) => ({ data: new Uint8Array(6), dims })
  t.notThrows(() =>
    crossEntropy(new Float32Array(24), new Int32Array(6), { shape: [2, 4, 3], mask: tensor([2, 1, 3]) }),
  )
  refuse(
    () => crossEntropy(new Float32Array(24), new Int32Array(6), { shape: [2, 4, 3], mask: tensor([3, 2]) }),
    /shape of mask must be \[2,3\] or \[2\], for the input \[2,4,3\], got \[3,2\]/,
  )
  for (const type of ['float16', 'bfloat16']) {
    const half = { type, data: Uint16Array.of(0x3c00, 0x3c00), dims: [2] }
    const message = new RegExp(`must be a tensor of 32-bit floats, got ${type}, of which a Uint16Array has the bits`)
    refuse(() => mse(half, half), message, TypeError)
    refuse(() => crossEntropy(x, half), message, TypeError)
    refuse(() => crossEntropy(x, labels, { mask: half }), message, TypeError)
  }
  const most = Uint32Array.of(0, 2 ** 32 - 1)
  refuse(
    () => bceWithLogits(new Float32Array(2), most),
    /^bceWithLogits: target\[1\] must be 0 or 1 .* got 4294967295$/,
  )
  t.throws(() => loose(crossEntropy)(x, labels, { gamma: 2 }), { message: /use sigmoidFocal or softmaxFocal/ })
  // No positions in samples that there are: their sum of 0 has a denominator.
  const none = { shape: [3, 4, 0] }
  t.is(distillation(new Float32Array(0), new Float32Array(0), none), 0)
  t.is(distillation(new Float32Array(0), new Float32Array(0), { ...none, reduction: 'mean' }), Number.NaN)
  // Labels that no class can be, whatever bits they share with one.
  const wide = BigInt64Array.of(0n, 2n ** 32n)
  refuse(() => crossEntropy(x, wide), /target\[1\] must be a class index in \[0, 3\) .*got 4294967296n/)
  refuse(() => crossEntropy(x, Uint32Array.of(0, 2 ** 32 - 100)), /target\[1\] must be a class index/)
  refuse(() => crossEntropy(x, Int32Array.of(0, -(2 ** 31))), /target\[1\] must be a class index/)
})
