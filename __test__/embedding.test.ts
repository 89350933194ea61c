/** Losses of pairs of rows: against double precision and central differences, at the edges, and what is refused. */

import test from 'ava'
import type { Form } from '../ts/family/draw.js'
import { combine, cosineEmbedding, cosineSimilarity } from '../ts/index.js'
import { filled, generator, guarded, intact, normal, sameBits } from './data.js'
import { argumentsOf } from './drawn.js'
import { everywhere, type Loose, loose, refuses } from './everywhere.js'
import { lossesOf } from './losses.js'
import { platforms, registry } from './platforms.js'

/** Every loss of the family, with the name of its second gradient. */
const losses = lossesOf('embedding').map((one) => ({ ...one, gradName: `${one.definition.rows[1]}Grad` }))

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

/** What a loss is by its documentation, of one pair in double precision. */
const formulas: Readonly<
  Record<string, (x: Float64Array, y: Float64Array, positive: boolean, options: Options) => number>
> = {
  cosineSimilarity: (x, y, _, { eps = 1e-8 }) => -cosine(x, y, 0, eps as number),
  cosineEmbedding(x, y, positive, { margin = 0 }) {
    const c = cosine(x, y, 1e-12, 1e-8)
    return positive ? 1 - c : Math.max(0, c - (margin as number))
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

/** d(f)/d(x[i]) for each i, by central differences whose errors of second order cancel. */
function slopes(f: (x: Float64Array) => number, x: Float64Array): Float64Array {
  return x.map((at, i) => {
    const moved = (by: number) => f(x.with(i, at + by))
    const h = 1e-4 * Math.hypot(...x)
    const by = (h: number) => (moved(h) - moved(-h)) / (2 * h)
    return (4 * by(h / 2) - by(h)) / 3
  })
}

/** The arguments of a loss: rows at any angle, and labels where it has them. */
function drawn([form]: readonly Form[], shape: readonly number[], seed = 1): Float32Array[] {
  return argumentsOf(form, shape, generator(seed)) as Float32Array[]
}

/** Options that take other paths, for so many rows. */
function choices(rows: number, params: Readonly<Record<string, unknown>>): Options[] {
  const random = generator(rows)
  const sampleWeight = filled(rows, () => 0.5 + random())
  const mask = Uint8Array.from({ length: rows }, () => Number(random() < 0.7))
  const gradOutput = filled(rows, () => normal(random, 1))
  const samples = Object.entries(params).flatMap(([name, param]) => {
    return (param as { samples: readonly number[] }).samples.map((value) => ({ [name]: value, reduction: 'sum' }))
  })
  return [
    {},
    { reduction: 'sum', gradOutput: -2.5 },
    { reduction: 'none', gradOutput },
    { sampleWeight, meanBy: 'weight', emptyMean: 'zero' },
    { mask, reduction: 'none' },
    { mask, sampleWeight, normalizer: 3 },
    ...samples,
  ]
}

test('the registry has all losses of the family, and all give the same bits everywhere', (t) => {
  for (const { name, definition } of losses) {
    const row = registry.find((row) => row.name === name)
    if (registry.length === 0) continue
    t.is(row?.family, 'embedding')
    t.is(row?.ulp, 0)
    t.deepEqual(row?.params, Object.keys(definition.params))
  }
  t.deepEqual(losses.map(({ name }) => name).sort(), Object.keys(formulas).sort())
})

test.serial('all platforms give the same bits, whatever the layout of memory', (t) => {
  for (const { name, loss, definition, forms, gradName } of losses) {
    for (const shape of SHAPES) {
      const args = drawn(forms, shape)
      for (const options of choices(shape[0], definition.params)) {
        let first: Got | undefined
        for (const [k, platform] of platforms.entries()) {
          platform.activate()
          const aligned = args.map((array) => guarded(array, k % 5))
          const grad = guarded(args[0], 1)
          const other = guarded(args[1], 2)
          const given = { ...options, shape, grad, [gradName]: other }
          const got = loss.valueAndGrad(...aligned.slice(0, 2), ...aligned.slice(2), given) as unknown as Got
          const title = `${name} [${shape}] ${Object.keys(options)} on ${platform.name}`
          t.true([...aligned, grad, other].every(intact), title)
          first ??= structuredClone({ ...got, grad: grad.slice(), [gradName]: other.slice() })
          const numbers = (value: unknown) => [value].flat() as number[]
          const list = (value: unknown) => (ArrayBuffer.isView(value) ? (value as Float32Array) : numbers(value))
          for (const one of ['value', 'grad', gradName]) {
            if (!sameBits(list(got[one]), list(first[one]))) t.fail(`${title}: ${one}`)
          }
          // Without the other results, over the input, and added to what is there.
          const alone = loss(...args, { ...options, shape })
          if (!sameBits(list(alone), list(got.value))) t.fail(`${title}: value alone`)
          const place = guarded(args[0], 3)
          loss.backward(place, ...args.slice(1), { ...options, shape, grad: place })
          if (!sameBits(place, grad) || !intact(place)) t.fail(`${title}: in place`)
          const before = args[0].map((x) => x / 3)
          const added = before.slice()
          loss.backward(...args, { ...options, shape, grad: added, accumulate: true })
          if (!added.every((g, i) => g === Math.fround(before[i] + grad[i]))) t.fail(`${title}: accumulate`)
        }
      }
    }
  }
  t.pass()
})

everywhere('values and gradients are those of the formula in double precision', (t) => {
  for (const { name, loss, definition, forms, gradName } of losses) {
    for (const [rows, size] of [
      [1, 2],
      [6, 5],
      [19, 16],
      [3, 70],
    ]) {
      const args = drawn(forms, [rows, size], size)
      const gradOutput = filled(rows, (i) => 1 + i / 8)
      const samples = Object.entries(definition.params).flatMap(([name, param]) =>
        'samples' in param ? param.samples.map((value) => ({ [name]: value })) : [],
      )
      for (const params of [{}, ...samples]) {
        const got = loss.valueAndGrad(...args, {
          ...params,
          shape: [rows, size],
          reduction: 'none',
          gradOutput,
          [gradName]: true,
        }) as unknown as Got
        for (let row = 0; row < rows; row++) {
          const of = (array: Float32Array) => Float64Array.from(array.subarray(row * size, (row + 1) * size))
          const [x, y] = args.slice(0, 2).map(of)
          const f = (x: Float64Array, y: Float64Array) => formulas[name](x, y, args[2]?.[row] > 0, params)
          const near = (got: number, expected: number, scale: number) => {
            t.true(Math.abs(got - expected) <= 2e-7 * scale, `${name} ${rows}x${size} row ${row}: ${got} ${expected}`)
          }
          near(got.value[row], f(x, y), 1)
          const [dx, dy] = [slopes((x) => f(x, y), x), slopes((y) => f(x, y), y)]
          of(got.grad).forEach((g, i) => {
            near(g, dx[i] * gradOutput[row], gradOutput[row] / Math.hypot(...x))
          })
          of(got[gradName]).forEach((g, i) => {
            near(g, dy[i] * gradOutput[row], gradOutput[row] / Math.hypot(...y))
          })
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
  for (const { name, loss, forms, gradName } of losses) {
    for (const size of [3, 40]) {
      for (const bad of [nan, Number.POSITIVE_INFINITY]) {
        for (const side of [0, 1]) {
          const args = drawn(forms, [4, size])
          args[side][size + 1] = bad
          // Also where the other row is 0, whose product with NaN or ∞ is NaN.
          args[1 - side].fill(0, size, 2 * size)
          const options = { shape: [4, size], reduction: 'none', [gradName]: true }
          const got = loss.valueAndGrad(...args, options) as unknown as Got
          const isBad = (_: number, i: number) => i === 1
          t.deepEqual(Array.from(got.value, Number.isNaN), Array.from(got.value, isBad), name)
          for (const grad of [got.grad, got[gradName]]) {
            t.true(
              grad.every((g, i) => Number.isNaN(g) === (Math.floor(i / size) === 1)),
              `${name} ${size} ${bad}`,
            )
          }
          const mask = Uint8Array.of(1, 0, 1, 1)
          const masked = loss.valueAndGrad(...args, { ...options, mask }) as unknown as Got
          t.is(masked.value[1], 0)
          t.true([...masked.grad, ...masked[gradName]].every(Number.isFinite))
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
  const args = drawn(losses.find(({ name }) => name === 'cosineSimilarity')!.forms, [4, 3])
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
  const args = drawn(losses.find(({ name }) => name === 'cosineSimilarity')!.forms, [6, 4])
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
  for (const { loss, forms, gradName } of losses) {
    const args = drawn(forms, [4, 3])
    const shape = [4, 3]
    const call = (options: Options) => () => loss.valueAndGrad(...args, { shape, ...options })
    t.throws(call({ grad: args[1] }), { message: /grad must not overlap/ })
    t.throws(call({ [gradName]: args[0] }), { message: /Grad must not overlap/ })
    t.throws(call({ [gradName]: args[1] }), { message: /Grad must not overlap/ })
    const both = new Float32Array(12)
    t.throws(call({ grad: both, [gradName]: both }), { message: /grad must not overlap/ })
    t.throws(call({ grad: args[0], accumulate: true }), { message: /with accumulate/ })
    const kept = new RegExp(`${gradName} is not added to, so that it must not be a buffer with accumulate; give true$`)
    t.throws(call({ grad: both, [gradName]: new Float32Array(12), accumulate: true }), { message: kept })
    t.notThrows(call({ grad: both, [gradName]: true, accumulate: true }))
  }
})

everywhere('a mean over nothing, and parts of a sum', (t) => {
  for (const { loss, forms, gradName } of losses) {
    const args = drawn(forms, [4, 3])
    const none = { shape: [4, 3], mask: new Uint8Array(4), [gradName]: true }
    const got = loss.valueAndGrad(...args, none) as unknown as Got
    t.is(got.value as unknown, nan)
    t.deepEqual([got.grad, got[gradName]], [new Float32Array(12), new Float32Array(12)])
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
