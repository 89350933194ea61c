/** What definitions may say beside numbers and arrays: true or false, words, constants, ranges of inputs, signs, fewer numbers than rows. */

import test from 'ava'
import { expectTypeOf } from 'expect-type'
import { definitionOf } from '../../ts/definitions.js'
import * as e from '../../ts/expression/index.js'
import { combine, defineLoss, gaussianNll, hinge, marginRanking, mse, softMargin } from '../../ts/index.js'
import { detached, everywhere, loose } from '../everywhere.js'
import { loosely } from './losses.js'

const { abs, add, div, fixed, input, mul, signs, softSigns, square, sub } = e

/** A loss with a parameter of every kind, which counts how often its function runs. */
let runs = 0
const many = defineLoss({
  name: 'many',
  inputs: { input, target: input, scale: input.within(0, Number.POSITIVE_INFINITY, { open: true }).broadcast() },
  params: {
    full: false,
    kind: { default: 'square', words: ['square', 'size'] },
    power: { default: 2, constant: true, expected: 'a number or -Infinity', holds: (p: number) => p < 10 },
    factor: 1,
  },
  loss({ input, target, scale }, { full, kind, power, factor }) {
    runs++
    const d = div(sub(input, target), scale)
    const size = kind === 'square' ? square(d) : abs(d)
    const whole = full ? add(size, 1) : size
    return mul(factor, power === Number.NEGATIVE_INFINITY ? mul(100, whole) : mul(power, whole))
  },
})

const x = Float32Array.of(1, 3, 5, 7)
const y = Float32Array.of(1, 1, 1, 1)

everywhere('each value of a constant has its own program', (t) => {
  const sum = (options: object) => many(x, y, 2, { reduction: 'sum', ...options })
  t.is(sum({}), 2 * (0 + 1 + 4 + 9))
  t.is(sum({ full: true }), 2 * (0 + 1 + 4 + 9 + 4))
  t.is(sum({ kind: 'size' }), 2 * (0 + 1 + 2 + 3))
  t.is(sum({ kind: 'size', full: true, power: 0.5, factor: 3 }), 1.5 * 10)
  t.is(sum({ power: Number.NEGATIVE_INFINITY }), 1400)
  t.is(many.with({ full: true })(x, y, 2, { reduction: 'sum', full: false }), 28)
  // More values than are kept.
  for (let power = 0; power < 5; power += 0.125) t.is(sum({ power }), power * 14)
  t.is(sum({}), 28)
})

test('the function runs once for each value, and in no call that has been checked', (t) => {
  many(x, y, 2, { full: true, power: 3 })
  const before = runs
  for (const reduction of ['mean', 'sum', 'none'] as const) {
    many.valueAndGrad(x, y, 2, { full: true, power: 3, reduction, targetGrad: true, scaleGrad: true })
    many.backward(x, y, 2, { kind: 'size', weight: [1, 2, 3, 4], reduction })
  }
  t.is(runs, before)
  const bound = many.with({ power: 7.5 })
  t.is(runs, before + 1)
  bound(x, y, 2)
  t.is(runs, before + 1)
})

test('a loss is defined only if all its combinations can be', (t) => {
  t.throws(
    () =>
      defineLoss({
        name: 'bad',
        inputs: { x: input },
        params: { on: false },
        loss: ({ x }, { on }) => (on ? (1 as never) : x),
      }),
    {
      instanceOf: TypeError,
      message: /^bad: the function loss must return an expression, got 1/,
    },
  )
  const flags = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`f${i}`, false]))
  t.throws(() => defineLoss({ name: 'bad', inputs: { x: input }, params: flags, loss: ({ x }) => x }), {
    instanceOf: TypeError,
    message: 'bad: params that are true, false or words may have 32 combinations, got 64',
  })
  const wide = { name: 'bad', inputs: { x: e.rows(16), y: e.rows(16) }, params: { on: false } } as const
  const total = (list: readonly e.Value[]) => list.reduce((a, b) => add(a, square(b)))
  t.throws(
    () =>
      defineLoss({
        ...wide,
        loss: ({ x, y }, { on }) => (on ? add(total(x), div(total(y), total(x))) : add(x[0], y[0])),
      }),
    { instanceOf: RangeError, message: /^bad: the loss needs \d+ registers, numbers, inputs and gradients/ },
  )
  // One that has no derivative by an input in one combination, but in another.
  t.notThrows(() =>
    defineLoss({
      name: 'good',
      inputs: { x: input, y: input },
      params: { on: false },
      loss: ({ x, y }, { on }) => (on ? mul(x, y) : x),
    }),
  )
  const wrong: [object, RegExp][] = [
    [{ default: 'a', words: [] }, /params\.p\.words must be a list of words/],
    [{ default: 'a', words: 'ab' }, /params\.p\.words must be a list of words, got "ab"/],
    [{ default: 'c', words: ['a', 'b'] }, /params\.p\.default must be one of 'a', 'b', got "c"/],
    [{ default: 1, constant: 'yes' }, /params\.p\.constant must be true or false, got "yes"/],
    [{ default: Number.POSITIVE_INFINITY, constant: true }, /params\.p\.default must be a finite number, got Infinity/],
    [{ default: Number.POSITIVE_INFINITY }, /params\.p\.default must be a finite number, got Infinity/],
  ]
  for (const [p, message] of wrong) {
    t.throws(() => defineLoss({ name: 'bad', inputs: { x: input }, params: { p: p as never }, loss: ({ x }) => x }), {
      message,
    })
  }
  t.throws(
    () =>
      defineLoss({
        name: 'bad',
        inputs: { x: input, y: signs },
        params: { zeroOne: false },
        loss: ({ x, y }) => mul(x, y),
      }),
    {
      message: /^bad: the parameter zeroOne must have another name/,
    },
  )
  t.throws(
    () => defineLoss({ name: 'bad', inputs: { x: input, y: signs, z: softSigns }, loss: ({ x, y }) => mul(x, y) }),
    {
      message: 'bad: there may be at most one input of signs',
    },
  )
  t.throws(
    () => defineLoss({ name: 'bad', inputs: { x: input.broadcast(), y: input }, loss: ({ x, y }) => mul(x, y) }),
    {
      message: /^bad: x cannot be broadcast/,
    },
  )
  t.throws(() => signs.broadcast(), { message: /^broadcast: only an input of one number per row/ })
  t.throws(() => e.rows(4).broadcast(), { message: /^broadcast: only an input of one number per row/ })
  t.throws(() => input.within(1, 1), { instanceOf: RangeError, message: 'within: low must be below high, got 1 and 1' })
  t.throws(() => input.within('0' as never, 1), {
    instanceOf: TypeError,
    message: 'within: low must be a number, got "0"',
  })
  t.throws(() => input.within(Number.NaN, 1), { instanceOf: RangeError })
})

everywhere('an option of another kind is refused', (t) => {
  const call = loosely(many)
  const cases: [object, ErrorConstructor, RegExp][] = [
    [{ full: 1 }, TypeError, /^many: full must be true or false, got 1$/],
    [{ full: null }, TypeError, /^many: full must be true or false, got null$/],
    [{ kind: 'cube' }, RangeError, /^many: kind must be one of 'square', 'size', got "cube"$/],
    [{ kind: 1 }, TypeError, /^many: kind must be one of 'square', 'size', got 1$/],
    [{ power: 10 }, RangeError, /^many: power must be a number or -Infinity, got 10$/],
    [{ power: Number.POSITIVE_INFINITY }, RangeError, /^many: power must be a number or -Infinity, got Infinity$/],
    [{ power: Number.NaN }, RangeError, /^many: power must be a number or -Infinity, got NaN$/],
    [{ power: '2' }, TypeError, /^many: power must be a number or -Infinity, got "2"$/],
    [{ zeroOne: true }, TypeError, /^many: there is no option zeroOne/],
  ]
  for (const [options, instanceOf, message] of cases) {
    t.throws(() => call(x, y, 2, options), { instanceOf, message })
    t.throws(() => call.with(options), { instanceOf, message })
  }
})

const ranged = defineLoss({
  name: 'ranged',
  inputs: {
    x: input
      .within(-1, 2, { when: ({ log }) => log !== true, hint: 'clamp it' })
      .within(0, 1, { open: true, when: ({ log }) => log === true }),
    y: fixed.within(Number.NEGATIVE_INFINITY, 0.1, { validate: true }),
    z: e.fixedRows(2).within(0, Number.POSITIVE_INFINITY),
  },
  params: { log: false },
  loss: ({ x, y, z: [a, b] }) => add(mul(x, y), add(a, b)),
})

everywhere('ranges of inputs', (t) => {
  for (const n of [3, 300, 5000]) {
    const fine = new Float32Array(n).fill(0.5)
    const low = new Float32Array(n)
    const pairs = new Float32Array(2 * n)
    const call = loosely(ranged)
    const refused = (message: string, ...args: unknown[]) => {
      const grad = new Float32Array(n).fill(77)
      const options = args.at(-1) as object
      t.throws(() => call.valueAndGrad(...args.slice(0, -1), { ...options, grad }), { instanceOf: RangeError, message })
      t.throws(() => call.backward(...args.slice(0, -1), { ...options, grad }), { instanceOf: RangeError, message })
      t.true(grad.every((g) => g === 77))
    }
    const at = (array: Float32Array, i: number, value: number) => array.map((x, k) => (k === i ? value : x))
    t.notThrows(() => call(at(fine, 0, -1), low, pairs))
    t.notThrows(() => call(at(fine, 0, 2), low, pairs))
    refused(`ranged: x[${n - 1}] must be in [-1, 2], got 2.5; clamp it`, at(fine, n - 1, 2.5), low, pairs, {})
    refused(
      `ranged: x[${n - 1}] must be in [-1, 2], got -Infinity; clamp it`,
      at(fine, n - 1, -Infinity),
      low,
      pairs,
      {},
    )
    // NaN passes, and what comes after it is looked at all the same.
    t.notThrows(() => call(at(fine, 1, Number.NaN), low, pairs))
    refused(`ranged: x[2] must be in [-1, 2], got 3; clamp it`, at(at(fine, 1, Number.NaN), 2, 3), low, pairs, {})
    refused(`ranged: x[1] must be a number, got NaN`, at(fine, 1, Number.NaN), low, pairs, { validate: true })
    // Open: the ends are outside, and the floats next to them are not.
    for (const end of [0, -0, 1])
      refused(`ranged: x[2] must be in (0, 1), got ${end}`, at(fine, 2, end), low, pairs, { log: true })
    for (const end of [2 ** -149, 1 - 2 ** -24]) t.notThrows(() => call(at(fine, 2, end), low, pairs, { log: true }))
    // Only where the call validates: 0.1 is no float, and the one above it is outside.
    const above = at(low, 2, Math.fround(0.1))
    t.notThrows(() => call(fine, above, pairs))
    refused(`ranged: y[2] must be ≤ 0.1, got ${Math.fround(0.1)}`, fine, above, pairs, { validate: true })
    t.notThrows(() => call(fine, at(low, 2, Math.fround(0.1) - 2 ** -27), pairs, { validate: true }))
    // Columns, and rows that do not count.
    const wrong = at(pairs, 5, -3)
    refused('ranged: z[5] must be ≥ 0, got -3', fine, low, wrong, {})
    const mask = Uint8Array.from({ length: n }, (_, i) => Number(i !== 2))
    t.notThrows(() => call(fine, low, wrong, { mask }))
    refused('ranged: z[3] must be ≥ 0, got -3', fine, low, at(wrong, 3, -3), { mask })
  }
})

everywhere('an input of fewer numbers than elements', (t) => {
  const shape = [2, 2]
  const options = { reduction: 'none', shape, scaleGrad: true, targetGrad: true } as const
  const row = (scale: number) => [0, 1, 2, 3].map((k) => (2 * (x[k] - 1) ** 2) / scale ** 2)
  const all = many.valueAndGrad(x, y, Float32Array.of(2, 2, 4, 4), options)
  t.deepEqual([...all.value], [row(2)[0], row(2)[1], row(4)[2], row(4)[3]])
  for (const scale of [
    Float32Array.of(2, 4),
    { data: Float32Array.of(2, 4), shape: [2] },
    { data: Float32Array.of(2, 4), shape: [2, 1] },
  ]) {
    const got = many.valueAndGrad(x, y, scale, options)
    t.deepEqual(got.value, all.value)
    t.deepEqual([got.grad, got.targetGrad], [all.grad, all.targetGrad])
    const of = all.scaleGrad as Float32Array
    t.deepEqual(got.scaleGrad, Float32Array.of(of[0] + of[1], of[2] + of[3]))
  }
  const one = many.valueAndGrad(x, y, 2, { ...options, reduction: 'sum' })
  const same = many.valueAndGrad(x, y, new Float32Array(4).fill(2), { ...options, reduction: 'sum' })
  t.is(one.value, same.value)
  t.is(
    one.scaleGrad,
    (same.scaleGrad as Float32Array).reduce((a, b) => a + b),
  )
  // In the caller's buffer, which may be the array itself.
  const scale = Float32Array.of(2, 4)
  const into = many.valueAndGrad(x, y, scale, { ...options, reduction: 'sum', scaleGrad: scale })
  t.is(into.scaleGrad, scale)
  t.deepEqual(scale, many.valueAndGrad(x, y, Float32Array.of(2, 4), { ...options, reduction: 'sum' }).scaleGrad)
  // Nothing, and nothing that counts.
  const none = new Float32Array(0)
  t.is(many.valueAndGrad(none, none, 2, { scaleGrad: true }).scaleGrad, 0)
  t.is(many.valueAndGrad(x, y, 2, { scaleGrad: true, mask: [false, false, false, false] }).scaleGrad, 0)
  const call = loosely(many)
  const refused: [unknown, object, ErrorConstructor, RegExp][] = [
    [
      Float32Array.of(2, 4),
      {},
      RangeError,
      /scale must be a number or a Float32Array of 4 elements, got Float32Array\(2\); one per row needs a shape/,
    ],
    [
      Float32Array.of(1, 2, 3),
      { shape },
      RangeError,
      /scale must be a number or a Float32Array of 4 elements, of 2, one per row of the shape \[2,2\], got Float32Array\(3\)/,
    ],
    [{ data: Float32Array.of(2, 4), shape: [1, 2] }, { shape }, RangeError, /scale must be a number or a Float32Array/],
    [
      [2, 2, 4, 4],
      {},
      TypeError,
      /scale must be a Float32Array or a number, got an array of 4; convert it with Float32Array.from/,
    ],
    ['2', {}, TypeError, /scale must be a Float32Array or a number, got "2"/],
    [undefined, {}, TypeError, /scale must be a Float32Array or a number, got undefined/],
    [Number.NaN, {}, RangeError, /scale must be a finite number, got NaN/],
    [Number.POSITIVE_INFINITY, {}, RangeError, /scale must be a finite number, got Infinity/],
    [-1, {}, RangeError, /scale must be > 0, got -1/],
    [0, {}, RangeError, /scale must be > 0, got 0/],
    [Float32Array.of(2, 0), { shape }, RangeError, /scale\[1\] must be > 0, got 0/],
    [
      2,
      { scaleGrad: new Float32Array(1) },
      TypeError,
      /scaleGrad must be true where the input is a number, got Float32Array\(1\)/,
    ],
    [
      Float32Array.of(2, 4),
      { shape, scaleGrad: new Float32Array(4) },
      RangeError,
      /scaleGrad must be a Float32Array of 2 elements/,
    ],
    [detached(Float32Array.of(1, 2)), { shape }, TypeError, /scale is detached/],
  ]
  for (const [given, options, instanceOf, message] of refused) {
    const grad = new Float32Array(4).fill(77)
    t.throws(() => call.valueAndGrad(x, y, given, { ...options, grad }), { instanceOf, message })
    t.true(grad.every((g) => g === 77))
  }
  t.throws(() => call.backward(x, y, 2, { scaleGrad: true }), {
    message: /backward returns one array; give scaleGrad a buffer/,
  })
  const memory = Float32Array.of(2, 4, 1, 1)
  t.throws(() => call.backward(x, y, memory.subarray(0, 2), { shape, grad: memory }), {
    message: /grad must not overlap scale/,
  })
})

const labelled = { hard: marginRanking, soft: hinge, any: softMargin }
everywhere('labels of two classes', (t) => {
  const scores = Float32Array.of(0.5, -1, 2)
  const call = (kind: keyof typeof labelled, labels: unknown, options = {}): unknown =>
    kind === 'hard'
      ? loose(marginRanking).valueAndGrad(scores, new Float32Array(3), labels, options)
      : loose(labelled[kind]).valueAndGrad(scores, labels, options)
  for (const kind of ['hard', 'soft', 'any'] as const) {
    const expected = call(kind, Float32Array.of(1, -1, -1))
    const bits = [1, 0, 0]
    const signed = [1, -1, -1]
    for (const array of [Int8Array, Int16Array, Int32Array]) {
      t.deepEqual(call(kind, array.from(signed)), expected)
      t.deepEqual(call(kind, array.from(bits), { zeroOne: true }), expected)
    }
    t.deepEqual(call(kind, BigInt64Array.from(signed, BigInt)), expected)
    t.deepEqual(call(kind, BigUint64Array.from(bits, BigInt)), expected)
    for (const array of [Uint8Array, Uint8ClampedArray, Uint16Array, Uint32Array]) {
      t.deepEqual(call(kind, array.from(bits)), expected)
      t.deepEqual(call(kind, array.from(bits), { zeroOne: true }), expected)
    }
    t.deepEqual(call(kind, Float32Array.from(bits), { zeroOne: true }), expected)
    t.deepEqual(call(kind, { data: Int32Array.from(signed), shape: [3] }), expected)
    const name = labelled[kind].name
    const refused = (labels: unknown, message: RegExp, options = {}, instanceOf: ErrorConstructor = RangeError) => {
      const grad = new Float32Array(3).fill(77)
      t.throws(() => call(kind, labels, { ...options, grad }), {
        instanceOf,
        message: new RegExp(`^${name}: ${message.source}`),
      })
      t.true(grad.every((g) => g === 77))
    }
    // Signs that are 0 and 1 by mistake.
    const zeros = /target\[1\] must be -1 or 1.*, got 0; for labels of 0 and 1 give zeroOne: true/
    refused(Float32Array.from(bits), zeros)
    refused(Int32Array.from(bits), zeros)
    refused(
      BigInt64Array.from(bits, BigInt),
      /target\[1\] must be -1 or 1, got 0n; for labels of 0 and 1 give zeroOne: true/,
    )
    refused(Float32Array.of(0, 0, 0), /target\[0\] must be -1 or 1.*, got 0; for labels/)
    // Of ones alone there is no doubt.
    t.notThrows(() => call(kind, Float32Array.of(1, 1, 1)))
    refused(Uint8Array.of(1, 255, 0), /target\[1\] must be 0 or 1, got 255/)
    refused(Int8Array.of(1, -1, 3), /target\[2\] must be -1 or 1, got 3/)
    refused(Int8Array.of(1, -1, 0), /target\[1\] must be 0 or 1, got -1/, { zeroOne: true })
    refused([1, -1, 1], /target must be a Float32Array, got an array of 3/, {}, TypeError)
    refused(new Float64Array(3), /target must be a Float32Array, got Float64Array\(3\)/, {}, TypeError)
    refused(Int8Array.of(1, -1), /target must be a Float32Array of 3 elements, got Int8Array\(2\)/)
    refused(detached(Int32Array.of(1, 1, 1)), /target is detached/, {}, TypeError)
    refused(Float32Array.of(1, 0, 1), /zeroOne must be true or false, got 1/, { zeroOne: 1 }, TypeError)
    // A label in a row that does not count may be anything.
    const mask = [true, false, true]
    t.notThrows(() => call(kind, Float32Array.of(1, 0, 1), { mask }))
    t.notThrows(() => call(kind, Float32Array.of(1, Number.NaN, -1), { mask }))
    t.notThrows(() => call(kind, Uint8Array.of(1, 255, 0), { mask }))
    refused(Float32Array.of(1, -1, 0), /target\[2\] must be -1 or 1/, { mask })
    // Behind the first block, too.
    const many = Float32Array.from({ length: 3000 }, (_, i) => (i % 2 ? 1 : -1))
    many[2990] = kind === 'hard' ? 0.5 : kind === 'soft' ? 1.5 : Number.NaN
    const wide = new Float32Array(3000)
    const args = kind === 'hard' ? [wide, wide, many] : [wide, many]
    if (kind === 'any') t.is(loose(softMargin)(...args), Number.NaN)
    else t.throws(() => loose(labelled[kind])(...args), { instanceOf: RangeError, message: /target\[2990\] must be/ })
  }
  const soft = Float32Array.of(0.5, -0.25, 1)
  t.throws(() => call('hard', soft), { message: /target\[0\] must be -1 or 1, got 0.5/ })
  t.is((call('soft', soft) as { value: number }).value, (0.75 + 0.75 + 0) / 3)
  t.throws(() => call('soft', Float32Array.of(0.5, -0.5, 1), { zeroOne: true }), {
    message: /target\[1\] must be in \[0, 1\], got -0.5/,
  })
  t.throws(() => call('soft', Float32Array.of(0.5, -1.5, 1)), { message: /target\[1\] must be in \[-1, 1\], got -1.5/ })
  t.notThrows(() => call('any', Float32Array.of(0.5, -1.5, 7)))
})

everywhere('expressions as parts of a sum', (t) => {
  const labels = Uint8Array.of(1, 0, 0, 1)
  const sum = combine([
    [hinge, 2],
    [softMargin, 0.5],
  ])
  const { value, grad, parts } = sum.valueAndGrad(x, labels)
  t.deepEqual(parts, [hinge(x, labels), softMargin(x, labels)])
  t.is(value, 2 * hinge(x, labels) + 0.5 * softMargin(x, labels))
  const [a, b] = [hinge.backward(x, labels), softMargin.backward(x, labels)]
  grad.forEach((g, i) => {
    t.true(Math.abs(g - 2 * a[i] - 0.5 * b[i]) < 1e-6)
  })
  t.is(sum(x, labels), value)
  // A loss of three arrays has a list of the others for its target.
  const both = combine([
    [gaussianNll, 1, { target: 'normal', full: true }],
    [mse, 1, { target: 'mean' }],
  ])
  const got = both.valueAndGrad(x, { normal: [y, 2], mean: y })
  t.is(got.parts[0], gaussianNll(x, y, 2, { full: true }))
  t.is(both(x, { normal: [y, 2], mean: y }), got.value)
  t.throws(() => loose(both)(x, { normal: y, mean: y }), {
    instanceOf: TypeError,
    message: /^gaussianNll: target must be a list \[target, variance\], got Float32Array\(4\)/,
  })
  t.throws(() => loose(both)(x, { normal: [y, -2], mean: y }), {
    instanceOf: RangeError,
    message: /^gaussianNll: variance must be ≥ 0, got -2/,
  })
  t.throws(() => loose(combine)([[gaussianNll, 1, { varianceGrad: true }]]), {
    message: 'combine: parts[0] must leave varianceGrad to the whole',
  })
  t.throws(() => loose(combine([[gaussianNll]])).valueAndGrad(x, [y, 2], { varianceGrad: true }), {
    message: /^combine: there is no option varianceGrad/,
  })
  // All is checked before anything is written.
  const into = new Float32Array(4).fill(77)
  t.throws(() => loose(combine([[mse], [hinge]])).valueAndGrad(x, Float32Array.of(1, 0, 1, 0), { grad: into }), {
    message: /^hinge: target\[1\] must be -1 or 1/,
  })
  t.true(into.every((g) => g === 77))
  const own = defineLoss({ name: 'own', inputs: { x: input }, loss: ({ x }) => square(x) })
  t.is(combine([[own], [mse]])(x, y), own(x) + mse(x, y))
  t.is(definitionOf(own)?.family, 'expression')
})

test('the types of parameters and inputs', (t) => {
  expectTypeOf(many.valueAndGrad(x, y, 2).scaleGrad).toEqualTypeOf<Float32Array | number | undefined>()
  expectTypeOf(many.valueAndGrad(x, y, 2).targetGrad).toEqualTypeOf<Float32Array | undefined>()
  expectTypeOf(gaussianNll.valueAndGrad(x, y, 2).varianceGrad).toEqualTypeOf<Float32Array | number | undefined>()
  expectTypeOf(gaussianNll(x, y, 2, { reduction: 'none' })).toEqualTypeOf<Float32Array>()
  const wrong = () => {
    // @ts-expect-error: true or false
    many(x, y, 2, { full: 'yes' })
    // @ts-expect-error: one of the words
    many(x, y, 2, { kind: 'cube' })
    // @ts-expect-error: no labels of two classes
    many(x, y, 2, { zeroOne: true })
    // @ts-expect-error: no integers
    mse(x, Int8Array.of(1))
    hinge(x, Int8Array.of(1, -1), { zeroOne: false })
    // @ts-expect-error: no gradient by the target
    hinge.valueAndGrad(x, y, { targetGrad: true })
    // @ts-expect-error: three arrays
    gaussianNll(x, y)
    // @ts-expect-error: the target is no number
    gaussianNll(x, 2, y)
    defineLoss({
      name: 'a',
      inputs: { x: input },
      params: { on: false, kind: { default: 'b', words: ['b', 'c'] }, n: { default: 1, constant: true } },
      loss({ x }, { on, kind, n }) {
        expectTypeOf(on).toEqualTypeOf<boolean>()
        expectTypeOf(kind).toEqualTypeOf<'b' | 'c'>()
        expectTypeOf(n).toEqualTypeOf<number>()
        return x
      },
    })
  }
  t.is(typeof wrong, 'function')
})

test('holds and when run once, and before the arrays of a call are looked at', (t) => {
  const weight = Float32Array.of(1, 1)
  let asked = 0
  let act = () => {}
  const own = defineLoss({
    name: 'asked',
    inputs: {
      x: input.within(-10, 10, {
        when() {
          act()
          return true
        },
      }),
    },
    params: {
      p: {
        default: 1,
        holds() {
          asked++
          act()
          return true
        },
      },
    },
    loss: ({ x }, { p }) => mul(p, square(x)),
  })
  t.is(asked, 1)
  own(Float32Array.of(1), { p: 2 })
  t.is(asked, 2)
  // A list of weights is copied when options are read.
  const list = [1, 1]
  for (const weights of [weight, list]) {
    act = () => weights.fill(100)
    const { value, denominator } = own.valueAndGrad(Float32Array.of(1, 2), { p: 1, weight: weights, meanBy: 'weight' })
    t.is(value, 2.5)
    t.is(denominator, weights === list ? 2 : 200)
    weights.fill(1)
  }
})

test('what when returns is true or false, and within has no other options', (t) => {
  const own = (when: unknown) => () =>
    defineLoss({ name: 'own', inputs: { x: input.within(0, 1, { when: when as never }) }, loss: ({ x }) => square(x) })
  for (const answer of [undefined, 1, Promise.resolve(true)]) {
    t.throws(
      own(() => answer),
      { instanceOf: TypeError, message: /^within: when must return true or false, got / },
    )
  }
  t.throws(() => input.within(0, 1, { opened: true } as never), {
    instanceOf: TypeError,
    message: 'within: the options are open, validate, hint and when, and not opened',
  })
})

test('the shape of rows is that of their values', (t) => {
  const boxes = defineLoss({
    name: 'boxes',
    inputs: { b: e.rows(4) },
    loss: ({ b: [x, y, z, w] }) => add(mul(x, y), mul(z, w)),
  })
  const b = new Float32Array(8)
  t.is(boxes(b, { shape: [2, 1] }), 0)
  t.throws(() => boxes(b, { shape: [2, 4] }), {
    instanceOf: RangeError,
    message: 'boxes: shape must have the product 2, the number of rows, without the axis of the 4 columns, got [2,4]',
  })
})

everywhere('the sign of a gradient of 0 is that of gradOutput', (t) => {
  const own = defineLoss({ name: 'own', inputs: { x: input }, loss: ({ x }) => mul(3, x) }).with({ reduction: 'sum' })
  const one = Float32Array.of(1)
  for (const gradOutput of [0, -0, 0, -0]) t.is(own.backward(one, { gradOutput })[0], gradOutput)
})
