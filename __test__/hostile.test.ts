/** Bad input: a clear error of the right kind that names the parameter, and nothing written. On every backend. */

import vm from 'node:vm'
import { bce, bceWithLogits, combine, crossEntropy, distillation, klDiv, mse, nll, softmaxFocal } from '../ts/index.js'
import { generator } from './data.js'
import { argumentsOf, spreading } from './drawn.js'
import { detached, everywhere, type Loose, loose, refuses } from './everywhere.js'
import { losses as described, fits } from './losses.js'

const x = Float32Array.of(1, 2, 3, 4, 5, 6)
const real = () => Float32Array.of(0, 1, 0, 1, 0, 1)
const labels = () => Int32Array.of(0, 1)
const losses = [
  { loss: loose(mse), target: real },
  { loss: loose(bceWithLogits), target: real },
  { loss: loose(crossEntropy), target: labels },
  { loss: loose(nll), target: labels },
  { loss: loose(softmaxFocal), target: labels },
]

everywhere('arguments of the wrong kind', (t) => {
  for (const { loss, target } of losses) {
    const name = (loss as unknown as { name: string }).name
    for (const bad of [undefined, null, 3, 'x', [1, 2], new Float64Array(6), new DataView(new ArrayBuffer(24)), {}]) {
      refuses(t, TypeError, new RegExp(`^${name}: input must be a Float32Array`), loss, bad, target())
      refuses(t, TypeError, new RegExp(`^${name}: target must be`), loss, x, bad)
      if (bad !== undefined && !Array.isArray(bad)) {
        refuses(t, TypeError, /grad must be a Float32Array/, loss, x, target(), { grad: bad })
      }
    }
    refuses(t, TypeError, /convert it with Float32Array.from/, loss, [1, 2, 3, 4, 5, 6], target())
    t.throws(() => loss(x, target(), null), {
      instanceOf: TypeError,
      message: /options must be a plain object, got null/,
    })
    t.throws(() => loss(x, target(), 3), { instanceOf: TypeError, message: /options must be a plain object, got 3/ })
    t.throws(() => loss.with('mean'), { instanceOf: TypeError, message: /options must be a plain object, got "mean"/ })
  }
  refuses(t, TypeError, /target must be class indices/, loose(nll), x, real())
  refuses(t, RangeError, /shape is needed where the target is a Float32Array/, loose(crossEntropy), x, real())
  refuses(t, TypeError, /target must be a Float32Array, got Int32Array/, loose(distillation), x, labels(), {
    shape: [2, 3],
  })
})

everywhere('lengths that do not fit', (t) => {
  for (const { loss, target } of losses) {
    refuses(t, RangeError, /grad must be a Float32Array of 6 elements, got Float32Array\(5\)/, loss, x, target(), {
      grad: new Float32Array(5),
    })
    refuses(t, RangeError, /shape must/, loss, x, target(), { shape: [2, 2] })
    const out = new Float32Array(9)
    refuses(t, RangeError, /out must be/, { ...loss, backward: loss.valueAndGrad } as Loose, x, target(), {
      reduction: 'none',
      out,
    })
    const gradOutput = new Float32Array(9)
    refuses(t, RangeError, /gradOutput must be/, loss, x, target(), { reduction: 'none', gradOutput })
    refuses(t, RangeError, /weight must be/, loss, x, target(), { weight: [1, 2, 3, 4, 5] })
    const tensor = { data: x, shape: [2, 4] }
    refuses(t, RangeError, /input.data must be as long as its shape \[2,4\]/, loss, tensor, target())
    const strided = { data: x, shape: [2, 3], stride: [1, 2] }
    refuses(t, RangeError, /input must be contiguous/, loss, strided, target())
  }
  refuses(t, RangeError, /target must be a Float32Array of 6 elements/, loose(mse), x, new Float32Array(5))
  refuses(
    t,
    RangeError,
    /shape of target must be that of the input, \[2,3\], got \[3,2\]/,
    loose(mse),
    {
      data: x,
      dims: [2, 3],
    },
    { data: real(), dims: [3, 2] },
  )
  const ce = loose(crossEntropy)
  refuses(t, RangeError, /a whole number of scores per target, got 6 for 4/, ce, x, new Int32Array(4))
  refuses(t, RangeError, /a whole number of scores per target, got 6 for 0/, ce, x, new Int32Array(0))
  refuses(t, RangeError, /target must have 3 elements/, ce, x, labels(), { shape: [3, 2] })
  refuses(t, RangeError, /shape must be \[N, C, …\], got \[6\]/, ce, x, labels(), { shape: [6] })
  refuses(t, RangeError, /posWeight per class needs a shape/, loose(bceWithLogits), x, real(), { posWeight: [1, 2, 3] })
  refuses(t, RangeError, /posWeight must be a number or an array of 3/, loose(bceWithLogits), x, real(), {
    posWeight: [1, 2],
    shape: [2, 3],
  })
})

everywhere('options of the wrong name, kind or value', (t) => {
  for (const { loss, target } of losses) {
    const cases: [Record<string, unknown>, ErrorConstructor, RegExp][] = [
      [{ reducton: 'mean' }, TypeError, /there is no option reducton; there are reduction, /],
      [{ reduction: 'average' }, RangeError, /reduction must be one of 'mean', 'sum', 'none', got "average"/],
      [{ reduction: 3 }, TypeError, /reduction must be one of/],
      [{ reduction: null }, TypeError, /reduction must be one of/],
      [{ emptyMean: 'one' }, RangeError, /emptyMean must be one of 'nan', 'zero'/],
      [{ normalizer: 0 }, RangeError, /normalizer must be a number > 0, got 0/],
      [{ normalizer: Number.NaN }, RangeError, /normalizer must be a number > 0, got NaN/],
      [{ normalizer: '3' }, TypeError, /normalizer must be a number > 0, got "3"/],
      [{ normalizer: 2, reduction: 'sum' }, RangeError, /normalizer needs the reduction 'mean'/],
      [{ gradOutput: Number.NaN }, RangeError, /gradOutput must be a finite number, got NaN/],
      [{ gradOutput: 1e39 }, RangeError, /gradOutput must be a finite number, got 1e\+39/],
      [{ gradOutput: '1' }, TypeError, /gradOutput must be a finite number, got "1"/],
      [{ gradOutput: new Float32Array(6) }, TypeError, /gradOutput must be a number with the reduction 'mean'/],
      [{ out: new Float32Array(6) }, TypeError, /out needs the reduction 'none', got 'mean'/],
      [{ shape: 6 }, TypeError, /shape must be an array of axis lengths, got 6/],
      [{ shape: [2.5, 3] }, RangeError, /shape\[0\] must be an integer ≥ 0, got 2.5/],
      [{ shape: [2n, 3] }, TypeError, /shape\[0\] must be an integer ≥ 0, got 2n/],
      [{ weight: 'heavy' }, TypeError, /weight must be a Float32Array, got "heavy"/],
      [{ weight: [1, '2', 3] }, TypeError, /weight\[1\] must be a number, got "2"/],
    ]
    for (const [options, error, message] of cases) refuses(t, error, message, loss, x, target(), options)
    t.throws(() => loss.with({ reducton: 'mean' }), { instanceOf: TypeError, message: /no option reducton/ })
  }
  for (const options of [{ labelSmoothing: -0.1 }, { labelSmoothing: 1.1 }, { labelSmoothing: Number.NaN }]) {
    refuses(t, RangeError, /labelSmoothing must be in \[0, 1\]/, loose(crossEntropy), x, labels(), options)
    refuses(t, RangeError, /labelSmoothing must be in \[0, 1\]/, loose(bceWithLogits), x, real(), options)
  }
  for (const temperature of [0, -1, 1e-40, 1e39, Number.POSITIVE_INFINITY]) {
    refuses(t, RangeError, /temperature must be > 0/, loose(crossEntropy), x, labels(), { temperature })
  }
  for (const ignoreIndex of [1.5, 2 ** 31]) {
    refuses(t, RangeError, /ignoreIndex must be a 32-bit integer/, loose(crossEntropy), x, labels(), { ignoreIndex })
  }
  for (const weight of [
    [1, -1, 1],
    [1, Number.NaN, 1],
    [1, Number.POSITIVE_INFINITY, 1],
  ]) {
    refuses(t, RangeError, /weight\[1\] must be finite and not negative/, loose(crossEntropy), x, labels(), { weight })
  }
  refuses(t, RangeError, /posWeight must be a finite number ≥ 0, got -1/, loose(bceWithLogits), x, real(), {
    posWeight: -1,
  })
  t.throws(() => loose(mse).backward(x, real(), { targetGrad: true }), {
    instanceOf: TypeError,
    message: /call valueAndGrad/,
  })
})

everywhere('options of the mean that do not go together', (t) => {
  const weight = [1, 2, 3, 4, 5, 6]
  const cases: [Record<string, unknown>, ErrorConstructor, RegExp][] = [
    [{ meanBy: 'weight' }, RangeError, /^mse: meanBy 'weight' needs a weight or a sampleWeight$/],
    [
      { meanBy: 'weight', weight, reduction: 'sum' },
      RangeError,
      /meanBy 'weight' needs the reduction 'mean', got 'sum'/,
    ],
    [
      { meanBy: 'weight', weight, reduction: 'none' },
      RangeError,
      /meanBy 'weight' needs the reduction 'mean', got 'none'/,
    ],
    [{ meanBy: 'weight', weight, normalizer: 3 }, RangeError, /meanBy 'weight' and normalizer are two denominators/],
    [{ meanBy: 'weights', weight }, RangeError, /meanBy must be one of 'count', 'weight', got "weights"/],
    [{ meanBy: 3 }, TypeError, /meanBy must be one of 'count', 'weight', got 3/],
    // Only a loss with a batch mean offers it.
    [{ reduction: 'batchmean' }, RangeError, /reduction must be one of 'mean', 'sum', 'none', got "batchmean"/],
    [{ accumulate: true, grad: undefined }, TypeError, /accumulate needs grad/],
    [{ logTarget: true }, TypeError, /there is no option logTarget/],
  ]
  for (const [options, error, message] of cases) refuses(t, error, message, loose(mse), x, real(), options)
  const kl = loose(klDiv)
  refuses(t, RangeError, /reduction must be one of 'mean', 'sum', 'none', 'batchmean', got "batch"/, kl, x, real(), {
    reduction: 'batch',
  })
  refuses(t, RangeError, /normalizer needs the reduction 'mean', got 'batchmean'/, kl, x, real(), {
    reduction: 'batchmean',
    normalizer: 2,
  })
  for (const logTarget of [1, 'true', null]) {
    refuses(t, TypeError, /^klDiv: logTarget must be true or false, got /, kl, x, real(), { logTarget })
  }
  t.throws(() => loose(crossEntropy)(x, labels(), { meanBy: 'weight' }), { message: /needs a sampleWeight/ })
})

everywhere('a mean by weights where there is none', (t) => {
  for (const { name, loss: value, form } of described.flatMap((one) => one.forms.map((form) => ({ ...one, form })))) {
    const shape = fits(form, 3) ? [2, 3] : [2, 1, 3]
    const [input, ...others] = argumentsOf(form, shape, generator(1))
    const isList = others.length > 1
    const loss = isList ? spreading(value) : value
    const target = isList ? others : others[0]
    const given = { ...form.options, shape, sampleWeight: [1, 2], meanBy: 'weight' }
    const options = { ...given, grad: new Float32Array(input.length) }
    const sum = new RegExp(`^${name}: meanBy 'weight' needs the reduction 'mean', got 'sum'$`)
    refuses(t, RangeError, sum, loss, input, target, { ...options, reduction: 'sum' })
    const bound = { ...options, reduction: 'mean' }
    refuses(t, RangeError, sum, loss.with(bound), input, target, { reduction: 'sum', grad: options.grad })
    const { grad } = options
    const whole = loose(combine([[value, 1, { ...given, reduction: 'mean' }]] as never))
    refuses(t, RangeError, sum, whole, input, target, { reduction: 'sum', grad })
    refuses(t, RangeError, sum, loose(combine([[value]] as never)), input, target, { ...options, reduction: 'sum' })
    const normalizer = form.parts === undefined ? 3 : Object.fromEntries(form.parts.map((part) => [part, 3]))
    const two = new RegExp(`^${name}: meanBy 'weight' and normalizer are two denominators, give one of them$`)
    refuses(t, RangeError, two, loss, input, target, { ...options, reduction: 'mean', normalizer })
    // What has no normalizer has its weights.
    for (const part of form.parts ?? []) {
      t.notThrows(() => loss(input, target, { ...options, normalizer: { [part]: 3 } }))
    }
  }
})

everywhere('probabilities that are none', (t) => {
  const loss = loose(bce)
  const above = 1 + 2 ** -23
  const kinds = [
    [Number.NaN, 'NaN'],
    [Number.POSITIVE_INFINITY, 'Infinity'],
    [-1, '-1'],
    [-(2 ** -149), String(-(2 ** -149))],
    [above, String(above)],
  ] as const
  // Short ones are scanned in TypeScript; the last is cut into pieces where it is copied.
  for (const n of [6, 256, 257, 5000, 50_000]) {
    const fine = new Float32Array(n).fill(0.5)
    for (const [bad, text] of kinds) {
      for (const i of [0, 5, n - 1]) {
        const wrong = fine.slice()
        wrong[i] = bad
        // Not the first.
        wrong[n - 1] = bad
        const grad = new Float32Array(n).fill(77)
        const targetGrad = new Float32Array(n).fill(77)
        const out = new Float32Array(n).fill(77)
        const message = (parameter: string) => (got: string) =>
          got.startsWith(`bce: ${parameter}[${i}] must be in [0, 1], got ${text}`)
        const none = { reduction: 'none', grad, targetGrad, out }
        const error = { instanceOf: RangeError, message: message('input') }
        t.throws(() => loss.valueAndGrad(wrong, fine, none), error)
        t.throws(() => loss.backward(wrong, fine, { grad }), error)
        t.throws(() => loss(wrong, fine), error)
        t.throws(() => loss.backward(wrong, fine, { grad: wrong }), error)
        t.throws(() => loss.valueAndGrad(fine, wrong, { grad }), { ...error, message: message('target') })
        for (const written of [grad, targetGrad, out]) t.true(written.every((g) => g === 77))
      }
    }
    // The ends themselves, and −0, are probabilities.
    t.notThrows(() => loss(fine.fill(0), fine))
    t.notThrows(() => loss(fine.fill(-0), fine))
    t.notThrows(() => loss(fine.fill(1), fine))
  }
  refuses(t, RangeError, /labelSmoothing must be in \[0, 1\]/, loss, real(), real(), { labelSmoothing: 1.1 })
})

everywhere('class indices outside the classes', (t) => {
  const ce = loose(crossEntropy)
  for (const rows of [2, 600]) {
    const scores = new Float32Array(rows * 3)
    const grad = new Float32Array(rows * 3).fill(77)
    for (const [bad, target] of [
      ['-1', new Int32Array(rows).fill(-1, rows - 1)],
      ['3', new Int32Array(rows).fill(3, rows - 1)],
      ['255', new Uint8Array(rows).fill(255, rows - 1)],
      ['4294967196', new Uint32Array(rows).fill(4294967196, rows - 1)],
      ['1099511627776n', new BigInt64Array(rows).fill(2n ** 40n, rows - 1)],
      ['-4294967295n', new BigInt64Array(rows).fill(-(2n ** 32n) + 1n, rows - 1)],
    ] as const) {
      t.throws(() => ce.valueAndGrad(scores, target, { grad }), {
        instanceOf: RangeError,
        message: new RegExp(`^crossEntropy: target\\[${rows - 1}\\] must be a class index.*, got ${bad}$`),
      })
    }
    t.true(grad.every((g) => g === 77))
  }
})

everywhere('memory that has gone', (t) => {
  for (const { loss, target } of losses) {
    refuses(t, TypeError, /input is detached/, loss, detached(x.slice()), target())
    refuses(t, TypeError, /target is detached/, loss, x, detached(target()))
    refuses(t, TypeError, /grad is detached/, loss, x, target(), { grad: detached(new Float32Array(6)) })
    const buffer = new (
      ArrayBuffer as unknown as new (
        n: number,
        options: object,
      ) => ArrayBuffer & {
        resize(n: number): void
      }
    )(24, { maxByteLength: 64 })
    const outside = new Float32Array(buffer, 8, 4)
    buffer.resize(8)
    refuses(t, TypeError, /input is detached or out of the bounds/, loss, outside, target())
  }
})

everywhere('memory that would be read after it was written', (t) => {
  for (const { loss, target } of losses) {
    const memory = new Float32Array(20)
    const input = memory.subarray(4, 10)
    for (const start of [0, 3, 5, 9]) {
      const grad = memory.subarray(start, start + 6)
      t.throws(() => loss.backward(input, target(), { grad }), {
        instanceOf: RangeError,
        message: /grad must be the input itself or not overlap it/,
      })
    }
    t.true(memory.every((v) => v === 0))
    t.notThrows(() => loss.backward(input, target(), { grad: memory.subarray(10, 16) }))
    t.notThrows(() => loss.backward(input, target(), { grad: memory.subarray(4, 10) }))
    const upstream = new Float32Array(target().length)
    const none = { reduction: 'none', gradOutput: upstream }
    t.throws(() => loss.valueAndGrad(x, target(), { ...none, out: upstream }), {
      message: /out must not overlap gradOutput/,
    })
    t.throws(() => loss.valueAndGrad(input, target(), { ...none, out: input.subarray(0, upstream.length) }), {
      message: /out must not overlap input/,
    })
    const grad = new Float32Array(6)
    t.throws(() => loss.valueAndGrad(x, target(), { ...none, grad, out: grad.subarray(0, upstream.length) }), {
      message: /(out|grad) must not overlap (out|grad)/,
    })
  }
  const both = real()
  t.throws(() => mse.backward(x, both, { grad: both }), {
    instanceOf: RangeError,
    message: /grad must not overlap target/,
  })
  t.throws(() => mse.backward(x, real(), { grad: both, weight: both }), { message: /grad must not overlap weight/ })
  t.throws(() => mse.backward(x, both, { targetGrad: both }), { message: /targetGrad must not overlap target/ })
  // Also where nothing counts and no kernel runs.
  const ignored = new Int32Array(6).fill(-100)
  const over = new Float32Array(ignored.buffer)
  t.throws(() => crossEntropy.backward(x, ignored.subarray(0, 2), { grad: over }), {
    message: /grad must not overlap target/,
  })
  t.true(ignored.every((label) => label === -100))
  const words = new ArrayBuffer(24)
  t.throws(() => crossEntropy.backward(x, new Int32Array(words, 0, 2), { grad: new Float32Array(words) }), {
    instanceOf: RangeError,
    message: /grad must not overlap target/,
  })
})

everywhere('arrays that are not what they seem', (t) => {
  for (const { loss, target } of losses) {
    refuses(
      t,
      TypeError,
      /input must be a Float32Array, got an object/,
      loss,
      Object.create(Float32Array.prototype),
      target(),
    )
    refuses(
      t,
      TypeError,
      /got Float64Array/,
      loss,
      Object.setPrototypeOf(new Float64Array(6), Float32Array.prototype),
      target(),
    )
    const liar = Object.defineProperty(x.slice(), 'length', { value: 1e6 })
    refuses(t, TypeError, /input must not have a length of its own/, loss, liar, target())
    // A getter that gives something else the second time is read once.
    let reads = 0
    const grad = new Float32Array(6)
    const sly = {
      get grad() {
        return reads++ === 0 ? grad : new Float32Array(1)
      },
    }
    t.is(loss.backward(x, target(), sly), grad)
  }
})

everywhere('arrays of another realm, of shared memory, of a subclass, and tensors of other libraries', (t) => {
  for (const { loss, target } of losses) {
    const expected = loss.valueAndGrad(x, target())
    const foreign = vm.runInNewContext('[new Float32Array(6), new Float32Array(6), new Int32Array(2)]')
    foreign[0].set(x)
    const foreignTarget = target() instanceof Int32Array ? foreign[2] : foreign[1]
    foreignTarget.set(target())
    t.deepEqual(loss.valueAndGrad(foreign[0], foreignTarget), expected)
    const shared = new Float32Array(new SharedArrayBuffer(24))
    shared.set(x)
    const sharedGrad = new Float32Array(new SharedArrayBuffer(24))
    t.is(loss.valueAndGrad(shared, target(), { grad: sharedGrad }).value, expected.value)
    t.deepEqual(sharedGrad.slice(), expected.grad)
    class Sub extends Float32Array {
      override set() {
        throw new Error('not called')
      }
    }
    t.deepEqual(loss.valueAndGrad(x, target(), { grad: new Sub(6) }).value, expected.value)
    for (const tensor of [
      { data: x, shape: [2, 3] },
      { data: x, dims: [2, 3] },
      { data: x, shape: [2, 3], stride: [3, 1], offset: 0 },
    ]) {
      t.deepEqual(loss.valueAndGrad(tensor, { data: target() }), expected)
    }
  }
})

everywhere('bound options', (t) => {
  const grad = new Float32Array(6)
  const bound = mse.with({ reduction: 'sum', grad })
  const { value } = bound.valueAndGrad(x, real())
  t.is(value, 1 + 1 + 9 + 9 + 25 + 25)
  t.is(bound.backward(x, real()), grad)
  const other = new Float32Array(6)
  t.is(bound.backward(x, real(), { grad: other }), other)
  t.is(bound(x, real(), { reduction: 'mean' }), value / 6)
  t.is(bound.with({ normalizer: 2, reduction: 'mean' })(x, real()), value / 2)
  t.true(Object.isFrozen(bound))
  // An option of undefined is none, and an array that changes after it was bound changes nothing.
  t.is(bound(x, real(), { reduction: undefined as unknown as 'sum' }), value)
  const weight = Float32Array.of(1, 2, 3)
  const rows = crossEntropy.with({ weight })
  const before = rows(x, labels())
  weight.fill(-1)
  t.is(rows(x, labels()), before)
  const values: Float32Array = mse.with({ reduction: 'none' })(x, real())
  t.is(values.length, 6)
})

everywhere('options of positions', (t) => {
  const ce = loose(crossEntropy)
  const cases: [Record<string, unknown>, ErrorConstructor, RegExp][] = [
    [
      { mask: [1, 0] },
      TypeError,
      /mask must be an array of integers, a Float32Array or an array of booleans, got an array of 2/,
    ],
    [{ mask: new Uint8Array(3) }, RangeError, /mask must be an array of 2, one per position/],
    [{ mask: detached(new Float32Array(2)) }, TypeError, /mask is detached/],
    [{ sampleWeight: 3 }, TypeError, /sampleWeight must be a Float32Array, got 3/],
    [{ sampleWeight: [1, 2, 3] }, RangeError, /sampleWeight must be an array of 2, one per position/],
    [{ classAxis: 2 }, RangeError, /classAxis must be 1 or -1, got 2/],
    [{ classAxis: null }, TypeError, /classAxis must be 1 or -1, got null/],
    [{ targetGrad: new Float32Array(6) }, TypeError, /targetGrad needs a target of probabilities/],
    [{ gamma: 2 }, TypeError, /there is no option gamma/],
    [{ shape: [2, 0, 3] }, RangeError, /shape must/],
  ]
  for (const [options, error, message] of cases) refuses(t, error, message, ce, x, labels(), options)
  const distribution = { shape: [2, 3] }
  refuses(t, RangeError, /mask must be an array of 2/, ce, x, real(), { ...distribution, mask: new Uint8Array(6) })
  refuses(t, RangeError, /target must be a Float32Array of 6 elements/, ce, x, new Float32Array(3), distribution)
  refuses(
    t,
    RangeError,
    /shape of target must be that of the input/,
    ce,
    x,
    { data: real(), shape: [3, 2] },
    distribution,
  )
  refuses(t, RangeError, /shape of target must be/, ce, x, { data: labels(), shape: [1, 2] }, distribution)
  const focal = loose(softmaxFocal)
  refuses(t, RangeError, /gamma must be a number ≥ 0, got -1/, focal, x, labels(), { gamma: -1 })
  refuses(t, RangeError, /alpha must be a finite number ≥ 0/, focal, x, labels(), { alpha: -1 })
  refuses(t, RangeError, /alpha must be an array of 3/, focal, x, labels(), { alpha: [1, 2] })
  refuses(t, RangeError, /reduction must be one of 'batchmean', 'mean'/, loose(distillation), x, real(), {
    ...distribution,
    reduction: 'all',
  })
  const q = real()
  t.throws(() => ce.valueAndGrad(x, q, { ...distribution, targetGrad: q }), {
    message: /targetGrad must not overlap target/,
  })
})
