/** Losses of two or three rows: against double precision and central differences, at the edges, and what is refused. */

import test from 'ava'
import type { EmbeddingDefinition } from '../ts/definition.js'
import { embeddingDrawing } from '../ts/family/embedding/draw.js'
import { combine, cosineEmbedding, cosineSimilarity, tripletMargin } from '../ts/index.js'
import { filled, generator, guarded, intact, normal, sameBits } from './data.js'
import { argumentsOf } from './drawn.js'
import { everywhere, type Loose, loose, refuses } from './everywhere.js'
import { lossesOf } from './losses.js'
import { platforms, registry } from './platforms.js'

/** Every loss of the family, with how many arguments are rows, and the names of the gradients after the first. */
const losses = lossesOf('embedding').map(({ name, loss, definition }) => {
  const gradNames = definition.rows.slice(1).map((name) => `${name}Grad`)
  return { name, loss, definition, count: definition.rows.length, gradNames }
})

/** One row, some, and blocks of them; rows below and above a vector, and so long that each is a block. */
const SHAPES = [
  [0, 3],
  [1, 1],
  [3, 1],
  [1, 7],
  [5, 8],
  [17, 9],
  [33, 16],
  [1025, 3],
  [130, 65],
  [3, 4099],
  [700, 300],
]

type Options = Record<string, unknown>
type Got = Record<string, Float32Array>

const nan = Number.NaN

/** What a loss is by its documentation, of one row of each argument in double precision. */
const formulas: Readonly<
  Record<string, (rows: readonly Float64Array[], positive: boolean, options: Options) => number>
> = {
  cosineSimilarity: ([x, y], _, { eps = 1e-8 }) => -cosine(x, y, 0, eps as number),
  cosineEmbedding([x, y], positive, { margin = 0 }) {
    const c = cosine(x, y, 1e-12, 1e-8)
    return positive ? 1 - c : Math.max(0, c - (margin as number))
  },
  tripletMargin([anchor, positive, negative], _, { margin = 1, swap = false, smooth = false, ...options }) {
    const between = (x: Float64Array, y: Float64Array) => distance(x, y, options)
    const far = between(anchor, negative)
    const least = swap ? Math.min(far, between(positive, negative)) : far
    const z = (margin as number) + between(anchor, positive) - least
    return smooth ? Math.log1p(Math.exp(z)) : Math.max(0, z)
  },
}

function cosine(x: Float64Array, y: Float64Array, added: number, least: number): number {
  const norm = (row: Float64Array) => Math.hypot(...row)
  if (norm(x) <= least || norm(y) <= least) return 0
  return (
    x.reduce((sum, x, i) => sum + x * y[i], 0) /
    Math.hypot(norm(x), Math.sqrt(added)) /
    Math.hypot(norm(y), Math.sqrt(added))
  )
}

function distance(x: Float64Array, y: Float64Array, { distance = 'lp', p = 2, eps = 1e-6 }: Options): number {
  if (distance === 'cosine') return 1 - cosine(x, y, 0, 1e-8)
  if (distance === 'squared') return x.reduce((sum, x, i) => sum + (x - y[i]) ** 2, 0)
  const apart = x.map((x, i) => Math.abs(x - y[i] + (eps as number)))
  if (p === Infinity) return Math.max(...apart)
  return apart.reduce((sum, u) => sum + u ** (p as number), 0) ** (1 / (p as number))
}

/** d(f)/d(x[i]) for each i, by central differences whose errors of second order cancel. */
function slopes(f: (x: Float64Array) => number, x: Float64Array): Float64Array {
  return x.map((at, i) => {
    const moved = (by: number) => f(x.with(i, at + by))
    const h = 1e-6 * Math.hypot(...x)
    const by = (h: number) => (moved(h) - moved(-h)) / (2 * h)
    return (4 * by(h / 2) - by(h)) / 3
  })
}

/** Every value that a definition says to try for its parameters, each alone. */
function triedOptions(params: EmbeddingDefinition['params']): Options[] {
  return Object.entries(params).flatMap(([name, param]): Options[] => {
    if ('words' in param) return Object.keys(param.words).map((word) => ({ [name]: word }))
    if (!('samples' in param)) return [{ [name]: true }, { [name]: false }]
    return param.samples.map((value) => ({ [name]: value === param.none ? null : value }))
  })
}

/** Options of the parameters: each value that is to be tried, and of a triplet what goes together. */
function parametersOf({ name, params }: EmbeddingDefinition): Options[] {
  const alone = [{}, ...triedOptions(params)]
  if (name !== 'tripletMargin') return alone
  const swapped = alone.map((options) => ({ ...options, swap: true }))
  const together = [
    { distance: 'cosine', smooth: true, margin: 0.25 },
    { distance: 'squared', swap: true, smooth: true },
    { distance: 'cosine', swap: true, margin: 0.1 },
    { p: 1, eps: 0, smooth: true },
  ]
  return [...alone, ...swapped, ...together]
}

/** Whether a call takes powers and exponentials, whose last bits differ. */
const isClose = ({ p = 2, smooth = false }: Options) => smooth === true || ![1, 2, Infinity].includes(p as number)

/** The arguments of a loss: rows at any angle, and labels where it has them. */
function drawn(definition: EmbeddingDefinition, shape: readonly number[], seed = 1): Float32Array[] {
  const [form] = embeddingDrawing.forms(definition)
  return argumentsOf(form, shape, generator(seed)) as Float32Array[]
}

/** Options that take other paths, for so many rows. */
function choices(rows: number, definition: EmbeddingDefinition): Options[] {
  const random = generator(rows)
  const sampleWeight = filled(rows, () => 0.5 + random())
  const mask = Uint8Array.from({ length: rows }, () => Number(random() < 0.7))
  const gradOutput = filled(rows, () => normal(random, 1))
  return [
    {},
    { reduction: 'sum', gradOutput: -2.5 },
    { reduction: 'none', gradOutput },
    { sampleWeight, meanBy: 'weight', emptyMean: 'zero' },
    { mask, reduction: 'none' },
    { mask, sampleWeight, normalizer: 3 },
    ...parametersOf(definition).map((params) => ({ ...params, reduction: 'sum' })),
  ]
}

test('the registry has all losses of the family', (t) => {
  for (const { name, definition } of losses) {
    const row = registry.find((row) => row.name === name)
    if (registry.length === 0) continue
    t.is(row?.family, 'embedding')
    // What takes no powers and no exponentials has the same bits everywhere: see below.
    t.is(row?.ulp, name === 'tripletMargin' ? 2 : 0)
    t.deepEqual(row?.params, Object.keys(definition.params))
  }
  t.deepEqual(losses.map(({ name }) => name).sort(), Object.keys(formulas).sort())
})

test.serial('all platforms give the same bits, whatever the layout of memory', (t) => {
  for (const { name, loss, definition, count, gradNames } of losses) {
    for (const shape of SHAPES) {
      const args = drawn(definition, shape)
      for (const options of choices(shape[0], definition)) {
        let first: Got | undefined
        const agree = (a: ArrayLike<number>, b: ArrayLike<number>) =>
          sameBits(a, b) || (isClose(options) && allNear(a, b))
        for (const [k, platform] of platforms.entries()) {
          platform.activate()
          const aligned = args.map((array) => guarded(array, k % 5))
          const grads = ['grad', ...gradNames].map((name, i) => [name, guarded(args[i], 1 + i)] as const)
          const buffers = Object.fromEntries(grads)
          const got = loss.valueAndGrad(...aligned, { ...options, shape, ...buffers }) as unknown as Got
          const title = `${name} [${shape}] ${JSON.stringify(Object.keys(options))} on ${platform.name}`
          t.true([...aligned, ...Object.values(buffers)].every(intact), title)
          const copies = grads.map(([name, array]) => [name, array.slice()])
          first ??= structuredClone({ value: got.value, ...Object.fromEntries(copies) }) as Got
          const numbers = (value: unknown) => [value].flat() as number[]
          const list = (value: unknown) => (ArrayBuffer.isView(value) ? (value as Float32Array) : numbers(value))
          for (const one of ['value', 'grad', ...gradNames]) {
            if (!agree(list(got[one]), list(first[one]))) t.fail(`${title}: ${one}`)
          }
          // Without the other results, over the input, and added to what is there.
          const alone = loss(...args, { ...options, shape })
          if (!sameBits(list(alone), list(got.value))) t.fail(`${title}: value alone`)
          const place = guarded(args[0], 3)
          loss.backward(place, ...args.slice(1), { ...options, shape, grad: place })
          if (!sameBits(place, buffers.grad) || !intact(place)) t.fail(`${title}: in place`)
          const before = args.slice(0, count).map((array) => array.map((x) => x / 3))
          const added = Object.fromEntries(grads.map(([name], i) => [name, before[i].slice()]))
          loss.backward(...args, { ...options, shape, ...added, accumulate: true })
          for (const [i, [name, grad]] of grads.entries()) {
            const isSum = added[name].every((g, k) => g === Math.fround(before[i][k] + grad[k]))
            if (!isSum) t.fail(`${title}: accumulate ${name}`)
          }
        }
      }
    }
  }
  t.pass()
})

/** Equal but for the last bits, where each is of the size of the largest. What only rounding leaves, as by a row of one number, is 0. */
function allNear(a: ArrayLike<number>, b: ArrayLike<number>): boolean {
  const largest = Array.from(b).reduce((most, g) => Math.max(most, Math.abs(g)), 0)
  return a.length === b.length && Array.from(a).every((g, i) => Math.abs(g - b[i]) <= 2 ** -23 * largest + 1e-15)
}

everywhere('values and gradients are those of the formula in double precision', (t) => {
  for (const { name, loss, definition, count, gradNames } of losses) {
    for (const [rows, size] of [
      [1, 2],
      [6, 5],
      [19, 16],
      [3, 70],
    ]) {
      const args = drawn(definition, [rows, size], size)
      const gradOutput = filled(rows, (i) => 1 + i / 8)
      const asked = Object.fromEntries(gradNames.map((name) => [name, true]))
      for (const params of parametersOf(definition)) {
        const options = { ...params, ...asked, shape: [rows, size], reduction: 'none', gradOutput }
        const got = loss.valueAndGrad(...args, options) as unknown as Got
        for (let row = 0; row < rows; row++) {
          const of = (array: Float32Array) => Float64Array.from(array.subarray(row * size, (row + 1) * size))
          const own = args.slice(0, count).map(of)
          const f = (rows: readonly Float64Array[]) => formulas[name](rows, args[count]?.[row] > 0, params)
          const title = `${name} ${JSON.stringify(params)} ${rows}x${size} row ${row}`
          const near = (got: number, expected: number, scale: number) => {
            t.true(Math.abs(got - expected) <= 2e-7 * scale, `${title}: ${got} ${expected}`)
          }
          near(got.value[row], f(own), Math.max(1, f(own)))
          for (const [k, grad] of ['grad', ...gradNames].entries()) {
            const expected = slopes((x) => f(own.map((row, i) => (i === k ? x : row))), own[k])
            const most = expected.reduce((most, g) => Math.max(most, Math.abs(g)), 0)
            of(got[grad]).forEach((g, i) => {
              near(g, expected[i] * gradOutput[row], gradOutput[row] * Math.max(most, 1 / Math.hypot(...own[k])))
            })
          }
        }
      }
    }
  }
})

everywhere('rows of zeros and short rows', (t) => {
  const x = Float32Array.of(0, 0, 3, 4, 1e-9, 0, -0, 0)
  const y = Float32Array.of(1, 2, 0, 0, 1, 2, 0, -0)
  const options = { shape: [4, 2], reduction: 'none' as const }
  const { value, grad, targetGrad } = cosineSimilarity.valueAndGrad(x, y, { ...options, targetGrad: true })
  t.deepEqual([value, grad, targetGrad], [new Float32Array(4), new Float32Array(8), new Float32Array(8)])
  const labels = Float32Array.of(1, -1, 1, -1)
  const both = cosineEmbedding.valueAndGrad(x, y, labels, { ...options, input2Grad: true })
  t.deepEqual([...both.value], [1, 0, 1, 0])
  t.deepEqual([both.grad, both.input2Grad], [new Float32Array(8), new Float32Array(8)])
  // The margin of a row without a direction.
  t.deepEqual([...cosineEmbedding(x, y, labels, { ...options, margin: -0.5 })], [1, 0.5, 1, 0.5])
  // A row is as long as it is.
  const short = cosineSimilarity(x.subarray(4, 6), y.subarray(4, 6), { shape: [2], eps: 1e-10 })
  t.true(Math.abs(short + 1 / Math.sqrt(5)) < 1e-15)
})

everywhere('rows of any length have the direction that they have', (t) => {
  const x = Float32Array.of(3, 4, 0)
  const y = Float32Array.of(4, 3, 1)
  const expected = cosineSimilarity.valueAndGrad(x, y, { shape: [1, 3], targetGrad: true })
  for (const [a, b] of [
    [1e37, 1e37],
    [1e-37, 1e30],
    [1e-30, 1e-30],
    [2e-44, 1],
  ]) {
    // Powers of two, so that the rows are the same but for their length.
    const [p, q] = [a, b].map((scale) => 2 ** Math.round(Math.log2(scale)))
    const got = cosineSimilarity.valueAndGrad(
      x.map((v) => v * p),
      y.map((v) => v * q),
      { shape: [1, 3], eps: 0, targetGrad: true },
    )
    t.is(got.value, expected.value)
    got.grad.forEach((g, i) => {
      t.is(g, Math.fround(expected.grad[i] / p))
    })
    got.targetGrad!.forEach((g, i) => {
      t.true(Math.abs(g - expected.targetGrad![i] / q) <= 1e-7 * Math.abs(g) + 2 ** -149)
    })
  }
})

everywhere('nearly parallel rows keep their difference', (t) => {
  const size = 64
  const random = generator(3)
  const x = filled(size, () => 1 + random())
  const y = x.map((v, i) => v * (1 + (i % 2) * 2 ** -12))
  const [a, b] = [x, y].map((row) => Float64Array.from(row))
  const value = cosineEmbedding(x, y, Float32Array.of(1), { shape: [1, size] })
  t.true(Math.abs(value - (1 - cosine(a, b, 1e-12, 0))) < 1e-15, `${value}`)
  const grad = cosineSimilarity.backward(x, y, { shape: [1, size] })
  const expected = slopes((x) => -cosine(x, b, 0, 0), a)
  t.true(
    grad.every((g, i) => Math.abs(g - expected[i]) <= 1e-9),
    'gradient',
  )
  // A row beside itself has no distance below 0.
  const itself = cosineEmbedding(x, x, Float32Array.of(1), { shape: [1, size] })
  t.true(itself >= 0 && itself < 1e-13)
})

everywhere('NaN and ∞ reach the value and the gradients of their row alone', (t) => {
  for (const { name, loss, definition, count, gradNames } of losses) {
    for (const size of [3, 40]) {
      for (const side of Array(count).keys()) {
        // Of a distance, what is infinitely far has a value: see below.
        const ways: [number, Options][] = [
          [nan, {}],
          [Number.POSITIVE_INFINITY, name === 'tripletMargin' ? { distance: 'cosine', swap: true } : {}],
        ]
        if (name === 'tripletMargin') for (const p of [1, 3, Infinity]) ways.push([nan, { p, swap: true }])
        for (const [bad, params] of ways) {
          const args = drawn(definition, [4, size])
          args[side][size + 1] = bad
          // Also where the other rows are 0, whose product with NaN or ∞ is NaN.
          for (const k of Array(count).keys()) if (k !== side) args[k].fill(0, size, 2 * size)
          const asked = Object.fromEntries(gradNames.map((name) => [name, true]))
          const options = { ...params, shape: [4, size], reduction: 'none', ...asked }
          const got = loss.valueAndGrad(...args, options) as unknown as Got
          const isBad = (_: number, i: number) => i === 1
          t.deepEqual(Array.from(got.value, Number.isNaN), Array.from(got.value, isBad), name)
          for (const grad of ['grad', ...gradNames]) {
            t.true(
              got[grad].every((g, i) => Number.isNaN(g) === (Math.floor(i / size) === 1)),
              `${name} ${size} ${bad} ${JSON.stringify(params)} ${grad}`,
            )
          }
          const mask = Uint8Array.of(1, 0, 1, 1)
          const masked = loss.valueAndGrad(...args, { ...options, mask }) as unknown as Got
          t.is(masked.value[1], 0)
          for (const grad of ['grad', ...gradNames]) t.true(masked[grad].every(Number.isFinite))
          const validated = () => loss(...args, { ...options, validate: true })
          if (Number.isNaN(bad)) t.throws(validated, { message: /\[\d+\] must be a number, got NaN$/ })
          else t.notThrows(validated)
          t.notThrows(() => loss(...args, { ...options, validate: true, mask }))
        }
      }
    }
  }
})

everywhere('the largest factors leave no NaN', (t) => {
  const x = Float32Array.of(0, 3, 0, 4)
  const y = Float32Array.of(0, 1, 0, 1)
  const grad = cosineSimilarity.backward(x, y, { shape: [1, 4], normalizer: 5e-324 })
  t.deepEqual(
    [...grad],
    [0, Number.NEGATIVE_INFINITY, 0, Number.POSITIVE_INFINITY].map((g) => -g + 0).map((g) => -g + 0),
  )
})

everywhere('labels of two classes', (t) => {
  const args = drawn(losses.find(({ name }) => name === 'cosineSimilarity')!.definition, [4, 3])
  const options = { shape: [4, 3], margin: 0.25 }
  const expected = cosineEmbedding(args[0], args[1], Float32Array.of(1, -1, -1, 1), options)
  for (const kind of [Int8Array, Int16Array, Int32Array]) {
    t.is(cosineEmbedding(args[0], args[1], kind.of(1, -1, -1, 1), options), expected)
  }
  t.is(cosineEmbedding(args[0], args[1], BigInt64Array.of(1n, -1n, -1n, 1n), options), expected)
  for (const bits of [Uint8Array.of(1, 0, 0, 1), Uint32Array.of(1, 0, 0, 1), BigUint64Array.of(1n, 0n, 0n, 1n)]) {
    t.is(cosineEmbedding(args[0], args[1], bits, options), expected)
  }
  for (const bits of [Float32Array.of(1, 0, 0, 1), Int32Array.of(1, 0, 0, 1)]) {
    t.is(cosineEmbedding(args[0], args[1], bits, { ...options, zeroOne: true }), expected)
    const message = /^cosineEmbedding: target\[1\] must be -1 or 1, got 0; for labels of 0 and 1 give zeroOne: true$/
    t.throws(() => cosineEmbedding(args[0], args[1], bits, options), { instanceOf: RangeError, message })
  }
  t.throws(() => cosineEmbedding(args[0], args[1], Float32Array.of(1, 1, 1), options), {
    instanceOf: RangeError,
    message: /^cosineEmbedding: target must be an array of 4 elements, one per row, got Float32Array\(3\)$/,
  })
})

everywhere('shapes', (t) => {
  const args = drawn(losses.find(({ name }) => name === 'cosineSimilarity')!.definition, [6, 4])
  const [x, y] = args
  const values = cosineSimilarity(x, y, { shape: [6, 4], reduction: 'none' })
  const tensor = { data: x, shape: [6, 4] }
  t.deepEqual(cosineSimilarity(tensor, y, { reduction: 'none' }), values)
  t.deepEqual(cosineSimilarity(tensor, { data: y, dims: [6, 4] }, { reduction: 'none' }), values)
  t.deepEqual(cosineSimilarity(x, y, { shape: [2, 3, 4], reduction: 'none' }), values)
  t.is(Math.fround(cosineSimilarity(x.subarray(0, 4), y.subarray(0, 4), { shape: [4] })), values[0])
  // A weight and a mask for the first axes.
  const shape = [2, 3, 4]
  const weighted = cosineSimilarity(x, y, { shape, sampleWeight: [1, 2], mask: [true, false], reduction: 'none' })
  t.deepEqual([...weighted], [...values.subarray(0, 3), 0, 0, 0])
  const message =
    /^cosineSimilarity: shape is needed where input is no tensor, since it says how long a row is: \[N, D\]$/
  const wrong: [unknown, unknown, Options, RegExp][] = [
    [x, y, {}, message],
    [x, { data: y, shape: [6, 4] }, {}, message],
    [x, y, { shape: [5, 4] }, /shape must have the product 24/],
    [x, y, { shape: [] }, /shape must have the product 24/],
    [x, y.subarray(1), { shape: [6, 4] }, /target must be a Float32Array of 24 elements/],
    [tensor, { data: y, shape: [4, 6] }, {}, /shape of target must be that of the input, \[6,4\], got \[4,6\]/],
    [
      new Float32Array(0),
      new Float32Array(0),
      { shape: [3, 0] },
      /shape must be \[N, D\] with at least one number per row/,
    ],
    [x, y, { shape: [6, 4], sampleWeight: x }, /sampleWeight must be an array of 6, one per position/],
    [x, y, { shape: [6, 4], mask: new Uint8Array(24) }, /mask must be an array of 6, one per position/],
    [x, y, { shape: [6, 4], eps: -1 }, /eps must be a finite number ≥ 0, got -1/],
  ]
  for (const [input, target, options, message] of wrong) {
    refuses(t, RangeError, message, loose(cosineSimilarity), input, target, options)
  }
  const weight = /there is no option weight; .*; a number of a row has no weight; the weight of a row is sampleWeight$/
  refuses(t, TypeError, weight, loose(cosineSimilarity), x, y, { shape: [6, 4], weight: x })
})

everywhere('memory that two arrays share', (t) => {
  for (const { loss, definition, count, gradNames } of losses) {
    const args = drawn(definition, [4, 3])
    const shape = [4, 3]
    const call = (options: Options) => () => loss.valueAndGrad(...args, { shape, ...options })
    for (let k = 1; k < count; k++) t.throws(call({ grad: args[k] }), { message: /grad must not overlap/ })
    for (const gradName of gradNames) {
      for (let k = 0; k < count; k++) t.throws(call({ [gradName]: args[k] }), { message: /Grad must not overlap/ })
      const both = new Float32Array(12)
      t.throws(call({ grad: both, [gradName]: both }), { message: /grad must not overlap/ })
      t.notThrows(call({ grad: both, [gradName]: true, accumulate: true }))
    }
    const all = Object.fromEntries(gradNames.map((name) => [name, args[0].slice()]))
    if (count > 2) t.throws(call({ ...all, [gradNames[0]]: all[gradNames[1]] }), { message: /Grad must not overlap/ })
    t.throws(call({ grad: args[0], accumulate: true }), { message: /with accumulate/ })
  }
})

everywhere('a mean over nothing, and parts of a sum', (t) => {
  for (const { loss, definition, gradNames } of losses) {
    const args = drawn(definition, [4, 3])
    const asked = Object.fromEntries(gradNames.map((name) => [name, true]))
    const none = { shape: [4, 3], mask: new Uint8Array(4), ...asked }
    const got = loss.valueAndGrad(...args, none) as unknown as Got
    t.is(got.value as unknown, nan)
    for (const grad of ['grad', ...gradNames]) t.deepEqual(got[grad], new Float32Array(12))
    const kept = Object.fromEntries(['grad', ...gradNames].map((name) => [name, new Float32Array(12).fill(7)]))
    loss.backward(...args, { ...none, ...kept, accumulate: true })
    for (const grad of Object.values(kept)) t.deepEqual(grad, new Float32Array(12).fill(7))
    t.is(loss(...args, { ...none, emptyMean: 'zero' }), 0)
    t.is(loss(...args, { ...none, reduction: 'sum' }), 0)
    const empty = args.map(() => new Float32Array(0))
    t.is(loss(...empty, { shape: [0, 3] }), nan)
    t.deepEqual(loss(...empty, { shape: [0, 3], reduction: 'none' }), new Float32Array(0))
    const bound = loss.with({ shape: [4, 3] })
    const whole = loose(combine([[bound, 2]] as never)) as Loose
    const [x, ...target] = args
    const sum = whole.valueAndGrad(x, target.length === 1 ? target[0] : target)
    t.is(sum.value, 2 * (bound(...args) as number))
    const grad = bound.backward(...args, { gradOutput: 2 })
    t.deepEqual(sum.grad, grad)
  }
})

/** What one row gives, with all its gradients. */
function triplet(
  anchor: readonly number[],
  positive: readonly number[],
  negative: readonly number[],
  options: Options,
) {
  const rows = [anchor, positive, negative].map((row) => Float32Array.from(row))
  const asked = { shape: [1, anchor.length], positiveGrad: true, negativeGrad: true }
  const { value, ...got } = tripletMargin.valueAndGrad(rows[0], rows[1], rows[2], { ...asked, ...options })
  return [value, ...[got.grad, got.positiveGrad!, got.negativeGrad!].map((grad) => Array.from(grad, (g) => g + 0))]
}

everywhere('triplets: rows that are equal have no direction', (t) => {
  const zeros = [0, 0, 0]
  const equal = [3, -2, 1e6]
  for (const p of [1, 1.5, 2, 3, Infinity]) {
    // Both distances are those of eps.
    const apart = triplet(equal, equal, equal, { p })
    t.is(apart[0], 1)
    t.deepEqual(apart[1], zeros)
    t.deepEqual(triplet(equal, equal, equal, { p, eps: 0 }), [1, zeros, zeros, zeros], `${p}`)
    t.deepEqual(triplet(equal, equal, equal, { p, eps: 0, swap: true }), [1, zeros, zeros, zeros])
  }
  // With eps the direction is that of all ones: the positive row has −1/√3 of it, and the negative one the reverse.
  const [, , positive, negative] = triplet(equal, equal, equal, {}) as [number, ...number[][]]
  for (const i of [0, 1, 2]) {
    t.is(positive[i], Math.fround(-1 / Math.sqrt(3)))
    t.is(negative[i], Math.fround(1 / Math.sqrt(3)))
  }
  for (const distance of ['squared', 'cosine']) {
    const [value, ...grads] = triplet(equal, equal, equal, { distance }) as [number, ...number[][]]
    t.is(value, 1)
    for (const grad of grads) for (const g of grad) t.true(Math.abs(g) < 1e-12)
  }
  t.deepEqual(triplet(zeros, [1, 2, 3], [4, 5, 6], { distance: 'cosine' }), [1, zeros, zeros, zeros])
})

everywhere('triplets: at the margin itself the slope is 0', (t) => {
  // 3 − 4 + 1
  const zeros = [0, 0]
  const own = { eps: 0 }
  for (const p of [1, 2, 3, Infinity]) {
    t.deepEqual(triplet([0, 0], [3, 0], [0, 4], { ...own, p }), [0, zeros, zeros, zeros])
    t.is(triplet([0, 0], [3, 0], [0, 3.5], { ...own, p })[0], 0.5)
  }
  t.deepEqual(triplet([0, 0], [1, 0], [0, 2], { distance: 'squared', margin: 3 }), [0, zeros, zeros, zeros])
  t.deepEqual(triplet([1, 0], [1, 0], [0, 1], { distance: 'cosine' }), [0, zeros, zeros, zeros])
  // Smooth, it has half of the slope, and ln 2.
  const [value, grad] = triplet([0, 0], [3, 0], [0, 4], { ...own, smooth: true }) as [number, number[]]
  t.true(Math.abs(value - Math.LN2) < 1e-15)
  t.deepEqual(grad, [-0.5, 0.5])
})

everywhere('triplets: the less of two distances to the negative row', (t) => {
  const own = { eps: 0, swap: true, margin: 4 }
  // δ(a, n) = 5, δ(p, n) = 3: that of the positive row.
  t.deepEqual(triplet([0, 0], [2, 0], [5, 0], own), [3, [-1, 0], [2, 0], [-1, 0]])
  // δ(a, n) = 2, δ(p, n) = 3
  t.deepEqual(triplet([0, 0], [5, 0], [2, 0], own), [7, [0, 0], [1, 0], [-1, 0]])
  // Both 5: each has half, as PyTorch has it.
  t.deepEqual(triplet([0, 0], [6, 0], [3, 4], own), [5, [-1 + 0.3, 0.4], [1 - 0.3, 0.4], [0, -0.8]].map(rounded))
})

const rounded = (value: unknown) => (Array.isArray(value) ? value.map(Math.fround) : value)

everywhere('triplets: the largest of several equal differences share the slope', (t) => {
  const options = { p: Infinity, eps: 0, margin: 8 }
  const [value, , positive, negative] = triplet([0, 0, 0, 0], [3, -3, 1, 3], [2, 1, -2, 0], options)
  t.is(value, 8 + 3 - 2)
  t.deepEqual(positive, [1 / 3, -1 / 3, 0, 1 / 3].map(Math.fround))
  t.deepEqual(negative, [-0.5, 0, 0.5, 0])
})

everywhere('triplets: rows of any length', (t) => {
  const [a, p, n] = [
    [0, 0],
    [3, 4],
    [1, 0],
  ]
  for (const scale of [2 ** 125, 2 ** 60, 2 ** -60, 2 ** -120, 2 ** -145]) {
    const by = (row: number[]) => row.map((x) => x * scale)
    for (const [norm, distance] of [
      [1, 7],
      [2, 5],
      [3, (27 + 64) ** (1 / 3)],
      [Infinity, 4],
    ]) {
      const own = { p: norm, eps: 0, margin: 2 ** -149 }
      const [value, grad, positive, negative] = triplet(by(a), by(p), by(n), own) as [number, ...number[][]]
      t.true(Math.abs((value - own.margin) / scale - (distance - 1)) <= 1e-6, `${scale} ${norm} ${value}`)
      const whole = triplet(a, p, n, own) as [number, ...number[][]]
      const near = (a: number[], b: number[]) => a.every((g, i) => Math.abs(g - b[i]) <= 1e-7)
      t.true(near(grad, whole[1]) && near(positive, whole[2]) && near(negative, whole[3]), `${scale} ${norm}`)
    }
    const square = triplet(by(a), by(p), by(n), { distance: 'squared' }) as [number, ...number[][]]
    t.is(square[0], Math.max(0, 1 + 24 * scale * scale))
    t.deepEqual(square[2], [6 * scale, 8 * scale].map(Math.fround))
  }
  // Nearly equal rows keep their difference.
  const [value, grad] = triplet([1, 1], [1 + 2 ** -23, 1], [1, 1 - 2 ** -23], { eps: 0, distance: 'squared' })
  t.is(value, 1)
  t.deepEqual(grad, [-(2 ** -22), -(2 ** -22)])
})

everywhere('triplets: rows of one number, and powers of any size', (t) => {
  for (const p of [1, 1.25, 2, 7, 1e6, 3e38, Infinity]) {
    const got = triplet([1], [-2], [2.5], { p, eps: 0 })
    t.deepEqual(got, [2.5, [2], [-1], [-1]], `${p}`)
  }
  // A large p is nearly the largest difference, shared where there are two.
  const [value, , positive] = triplet([0, 0, 0], [3, -3, 1], [9, 9, 9], { p: 1e30, eps: 0, margin: 20 })
  t.is(value, 20 + 3 - 9)
  t.deepEqual(positive, [0.5, -0.5, 0])
  for (const p of [0.5, 0, -1, nan, -Infinity]) {
    const message = new RegExp(`^tripletMargin: p must be at least 1, or Infinity, got ${p}$`)
    t.throws(() => triplet([1], [2], [3], { p }), { instanceOf: RangeError, message })
  }
  t.throws(() => triplet([1], [2], [3], { margin: 0 }), { message: /margin must be a number > 0, got 0/ })
  t.throws(() => triplet([1], [2], [3], { margin: Infinity }), { message: /margin must be a number > 0/ })
  t.throws(() => triplet([1], [2], [3], { distance: 'euclidean' }), {
    instanceOf: RangeError,
    message: /distance must be one of 'lp', 'squared', 'cosine', got "euclidean"/,
  })
  t.throws(() => triplet([1], [2], [3], { swap: 1 }), { instanceOf: TypeError, message: /swap must be true or false/ })
})

everywhere('triplets: rows at an infinite distance', (t) => {
  const far = Number.POSITIVE_INFINITY
  for (const p of [1, 2, 3, Infinity]) {
    const zeros = [0, 0]
    t.deepEqual(triplet([0, 0], [1, 0], [far, 0], { p }), [0, zeros, zeros, zeros], `negative, ${p}`)
    t.is(triplet([0, 0], [far, 0], [1, 0], { p })[0], far)
    t.is(triplet([far, 0], [0, 0], [1, 0], { p })[0], nan)
  }
})

everywhere('triplets: shapes of the third argument', (t) => {
  const rows = () => new Float32Array(6)
  const loss = loose(tripletMargin)
  const options = { shape: [2, 3] }
  t.throws(() => loss(rows(), rows(), new Float32Array(5), options), {
    instanceOf: RangeError,
    message: /^tripletMargin: negative must be a Float32Array of 6 elements, got Float32Array\(5\)$/,
  })
  t.throws(() => loss(rows(), rows(), { data: rows(), shape: [3, 2] }, options), {
    instanceOf: RangeError,
    message: /shape of negative must be that of the input, \[2,3\], got \[3,2\]/,
  })
  t.throws(() => loss(rows(), rows(), rows()), { message: /shape is needed where anchor is no tensor/ })
  t.throws(() => loss(rows(), rows(), rows(), { ...options, anchorGrad: true }), {
    instanceOf: TypeError,
    message: /there is no option anchorGrad; .*; the gradient by anchor is grad$/,
  })
})
