/** Sums of losses: nested, of bound losses, and of parts with a target each. On every backend. */

import type { ExecutionContext } from 'ava'
import { combine, crossEntropy, dice, diceCe, distillation, klDiv, l1, mse, nll, softmaxFocal } from '../ts/index.js'
import { filled, generator, normal } from './data.js'
import { everywhere, loose, refuses } from './everywhere.js'

const x = Float32Array.of(1, 2, 3, 4, 5, 6)
const zeros = new Float32Array(6)

interface Result {
  readonly value: number
  readonly grad: Float32Array
}

/** Σ factor · part in double precision is what came, in the value and in every gradient. */
function isSum(t: ExecutionContext, got: Result, parts: readonly (readonly [factor: number, part: Result])[]): void {
  const value = parts.reduce((sum, [factor, part]) => sum + factor * part.value, 0)
  t.true(Math.abs(got.value - value) <= 1e-6 * Math.abs(value), `${got.value} for ${value}`)
  const expected = Float64Array.from(got.grad, (_, i) => {
    return parts.reduce((sum, [factor, part]) => sum + factor * part.grad[i], 0)
  })
  const largest = expected.reduce((size, g) => Math.max(size, Math.abs(g)), 0)
  t.true(got.grad.every((g, i) => Math.abs(g - expected[i]) <= 1e-6 * largest))
}

everywhere('a sum of sums', (t) => {
  // By hand, of one element: (3 − 0)² and its slope 6, |3 − 0| and its slope 1.
  const three = Float32Array.of(3)
  const zero = Float32Array.of(0)
  const twice = combine([[combine([[mse], [l1]])], [l1, 2]])
  const { value, grad, parts } = twice.valueAndGrad(three, zero)
  t.is(value, 18)
  t.deepEqual(grad, Float32Array.of(9))
  t.deepEqual(parts, [12, 3])
  const deep = combine([
    [l1, 2],
    [combine([[combine([[mse, 2], [l1]]), 3], [mse]]), 0.5],
  ])
  // 2·3 + 0.5·(3·(2·9 + 3) + 9); 2 + 0.5·(3·(2·6 + 1) + 6).
  t.is(deep(three, zero), 42)
  t.deepEqual(deep.backward(three, zero), Float32Array.of(24.5))
  t.deepEqual(deep.backward(three, zero, { gradOutput: -2 }), Float32Array.of(-49))
  const buffer = Float32Array.of(1e9)
  t.is(deep.valueAndGrad(three, zero, { grad: buffer }).grad, buffer)
  t.deepEqual(buffer, Float32Array.of(24.5))

  const random = generator(5)
  const scores = filled(4200, () => normal(random, 2))
  const labels = Int32Array.from({ length: 1400 }, () => Math.floor(random() * 3))
  const shape = [2, 3, 700]
  const inner = combine([
    [crossEntropy, 0.5],
    [softmaxFocal, 2, { gamma: 1 }],
  ])
  const outer = combine([
    [dice, 3, { activation: 'softmax' }],
    [inner.with({ shape }), -1],
    [diceCe, 0.25],
  ])
  isSum(t, outer.valueAndGrad(scores, labels, { shape }), [
    [3, dice.valueAndGrad(scores, labels, { shape, activation: 'softmax' })],
    [-0.5, crossEntropy.valueAndGrad(scores, labels, { shape })],
    [-2, softmaxFocal.valueAndGrad(scores, labels, { shape, gamma: 1 })],
    [0.25, diceCe.valueAndGrad(scores, labels, { shape })],
  ])
})

everywhere('a sum of sums checks all parts before it writes', (t) => {
  const bad = combine([[mse], [dice, 1, { shape: [1, 2, 3], weight: [1, 2, 3] }]])
  for (const loss of [
    combine([[combine([[mse], [l1]])], [bad]]),
    combine([[bad], [l1]]),
    combine([[combine([[bad]])]]),
  ]) {
    refuses(t, RangeError, /^dice: weight must be an array of 2/, loose(loss), x, zeros)
  }
  const overlapping = combine([[combine([[mse]])], [l1]])
  const target = zeros.slice()
  t.throws(() => overlapping.backward(x, target, { grad: target }), { message: /grad must not overlap target/ })
  t.throws(() => overlapping.backward(x, target, { grad: x }), { message: /gradient buffer must not overlap input/ })
  t.deepEqual(target, zeros)
})

everywhere('a sum of bound losses', (t) => {
  const one = Float32Array.of(1, 1)
  const zero = new Float32Array(2)
  // Options hold wherever they were given; gradOutput is a factor of the gradient alone: 5·2/2 of each element.
  for (const loss of [
    combine([[mse.with({ gradOutput: 5 })]]),
    combine([[mse, 1, { gradOutput: 5 }]]),
    combine([[combine([[mse]]).with({ gradOutput: 5 })]]),
  ]) {
    const { value, grad } = loss.valueAndGrad(one, zero)
    t.is(value, 1)
    t.deepEqual(grad, Float32Array.of(5, 5))
    t.deepEqual(loss.backward(one, zero, { gradOutput: 2 }), Float32Array.of(10, 10))
  }
  t.is(combine([[mse.with({ reduction: 'sum' })], [l1]])(one, zero), 3)
  // What is given to the whole goes to each.
  t.is(combine([[mse.with({ reduction: 'sum' })], [l1]])(one, zero, { reduction: 'mean' }), 2)
  t.is(combine([[klDiv, 1, { reduction: 'batchmean', shape: [1, 2] }]])(zero, one), 0)

  const make = loose(combine) as unknown as (parts: unknown) => unknown
  const none = /^combine: parts\[1\] must have the reduction 'mean' or 'sum', got 'none'$/
  t.throws(() => make([[l1], [mse.with({ reduction: 'none' })]]), { instanceOf: RangeError, message: none })
  t.throws(() => make([[l1], [mse, 1, { reduction: 'none' }]]), { instanceOf: RangeError, message: none })
  for (const name of ['grad', 'out', 'targetGrad']) {
    const message = `combine: parts[0] must leave ${name} to the whole`
    t.throws(() => make([[mse.with({ [name]: new Float32Array(2) })]]), { instanceOf: TypeError, message })
    t.throws(() => make([[mse, 1, { [name]: new Float32Array(2) }]]), { instanceOf: TypeError, message })
  }
  t.throws(() => make([[mse.with({ gradOutput: new Float32Array(2) })]]), {
    instanceOf: TypeError,
    message: 'combine: gradOutput of parts[0] must be a number, got Float32Array(2)',
  })
  t.throws(() => make([[mse, 1, { gradOutput: Number.NaN }]]), {
    instanceOf: RangeError,
    message: /gradOutput must be/,
  })
  t.throws(() => make([[mse, 1e39]]), {
    instanceOf: RangeError,
    message: /the weight of parts\[0\] must be a finite number/,
  })
  t.throws(() => make([mse, l1]), {
    message: /^combine: parts\[0\] must be \[loss, weight, options\], got a function$/,
  })
  t.throws(() => make([[mse, 1, [1]]]), { message: /^mse: options must be a plain object, got an array of 1/ })
  t.throws(() => make([[mse, 1, null]]), { message: /^mse: options must be a plain object, got null/ })
})

everywhere('a target for each part', (t) => {
  const random = generator(8)
  const shape = [6, 10]
  const logits = filled(60, () => normal(random, 2))
  const teacher = filled(60, () => normal(random, 2))
  const labels = Int32Array.from({ length: 6 }, () => Math.floor(random() * 10))
  const hard = crossEntropy.valueAndGrad(logits, labels, { shape })
  const soft = distillation.valueAndGrad(logits, teacher, { shape, temperature: 4 })
  const expected = [
    [0.3, hard],
    [0.7, soft],
  ] as const
  const named = combine([
    [crossEntropy, 0.3, { target: 'labels' }],
    [distillation, 0.7, { target: 'teacher', temperature: 4 }],
  ])
  const grad = new Float32Array(60)
  const step = named.with({ shape, grad })
  const got = step.valueAndGrad(logits, { labels, teacher })
  t.is(got.grad, grad)
  isSum(t, got, expected)
  t.deepEqual(
    got.parts.map((value, i) => Math.abs(value - expected[i][1].value) < 1e-6 * value),
    [true, true],
  )
  t.is(step(logits, { labels, teacher }), got.value)
  t.deepEqual(step.backward(logits, { labels, teacher }).slice(), got.grad)
  // Tensors, and labels of the next step.
  const others = labels.map((label) => (label + 1) % 10)
  isSum(t, step.valueAndGrad(logits, { labels: { data: others, dims: [6] }, teacher: { data: teacher, shape } }), [
    [0.3, crossEntropy.valueAndGrad(logits, others, { shape })],
    [0.7, soft],
  ])

  // The target itself, read anew in each call.
  const kept = labels.slice()
  const fixed = combine([
    [crossEntropy, 0.3, { target: kept }],
    [distillation, 0.7, { temperature: 4 }],
  ])
  isSum(t, fixed.valueAndGrad(logits, teacher, { shape }), expected)
  kept.set(others)
  t.is(fixed.valueAndGrad(logits, teacher, { shape }).parts[0], crossEntropy(logits, others, { shape }))

  // Two parts may have one target, and a sum with names be a part.
  const shared = combine([
    [crossEntropy, 1, { target: 'labels' }],
    [mse, 0.1, { target: 'teacher' }],
    [l1, 0.2, { target: 'teacher' }],
  ])
  isSum(t, shared.valueAndGrad(logits, { labels, teacher }, { shape: [6, 10] }), [
    [1, hard],
    [0.1, mse.valueAndGrad(logits, teacher)],
    [0.2, l1.valueAndGrad(logits, teacher)],
  ])
  const nested = combine([
    [named, 2],
    [mse, 0.5, { target: teacher }],
  ])
  isSum(t, nested.valueAndGrad(logits, { labels, teacher }, { shape }), [
    [0.6, hard],
    [1.4, soft],
    [0.5, mse.valueAndGrad(logits, teacher)],
  ])
})

everywhere('what the means of the parts divide by', (t) => {
  const logits = Float32Array.of(1, 2, 3, 4, 5, 6)
  const labels = Int32Array.of(0, 2)
  const shape = [2, 3]
  const loss = combine([
    [crossEntropy, 0.5, { weight: [1, 2, 3] }],
    [softmaxFocal, 2, { mask: [true, false] }],
    [diceCe, 1],
    [combine([[nll], [dice, 1, { includeBackground: false }]]), 1],
  ])
  // By hand: the weights of the labels 0 and 2; one position; two positions, and planes of two samples and three classes; two
  // positions, and planes of two samples and two classes.
  const expected = [1 + 3, 1, { ce: 2, dice: 6 }, [2, 4]]
  const p = logits.map((x) => x / 8)
  const { denominators, value, parts } = loss.valueAndGrad(p, labels, { shape })
  t.deepEqual(denominators, expected)
  t.is(parts.length, 4)
  // Those of 'sum' are what the mean would divide by, so that batches can be joined.
  const sum = loss.valueAndGrad(p, labels, { shape, reduction: 'sum' })
  t.deepEqual(sum.denominators, expected)
  t.true(Math.abs(sum.parts[0] / 4 - parts[0]) < 1e-6 * parts[0])
  t.not(sum.value, value)
  // A normalizer of the whole is that of each part.
  const plain = combine([[mse], [l1]])
  t.deepEqual(plain.valueAndGrad(x, zeros).denominators, [6, 6])
  t.deepEqual(plain.valueAndGrad(x, zeros, { normalizer: 24 }).denominators, [24, 24])
  t.deepEqual(plain.valueAndGrad(new Float32Array(0), new Float32Array(0)).denominators, [0, 0])
  t.deepEqual(combine([[klDiv, 1, { reduction: 'batchmean', shape: [3, 2] }]]).valueAndGrad(x, zeros).denominators, [3])
})

everywhere('targets of parts that are not given, or are none', (t) => {
  const shape = [2, 3]
  const labels = Int32Array.of(0, 1)
  const loss = loose(
    combine([
      [crossEntropy, 1, { target: 'labels' }],
      [distillation, 1, { target: 'teacher' }],
    ]),
  )
  const cases: [unknown, ErrorConstructor, RegExp][] = [
    [labels, TypeError, /^combine: target must be an object \{ labels, teacher \}, got Int32Array\(2\)$/],
    [undefined, TypeError, /^combine: target must be an object \{ labels, teacher \}, got undefined$/],
    [[labels, x], TypeError, /^combine: target must be an object \{ labels, teacher \}, got an array of 2$/],
    [{ labels }, TypeError, /^combine: target.teacher must be given, for parts\[1\], distillation$/],
    [{ label: labels, teacher: x }, TypeError, /^combine: no part names the target label; did you mean labels\?$/],
    [{ labels, teacher: x, mask: x }, TypeError, /the target mask; there are labels, teacher$/],
    [{ labels, teacher: labels }, TypeError, /^distillation: target must be a Float32Array, got Int32Array/],
    [{ labels: Int32Array.of(0, 3), teacher: x }, RangeError, /^crossEntropy: target\[1\] must be a class index/],
  ]
  for (const [target, error, message] of cases) {
    refuses(t, error, message, loss, x, target, { shape })
    t.throws(() => loss(x, target, { shape }), { instanceOf: error, message })
  }
  const teacher = x.slice()
  t.throws(() => loss.backward(x, { labels, teacher }, { shape, grad: teacher }), {
    message: /must not overlap target/,
  })
  t.deepEqual(teacher, x)
  const make = loose(combine) as unknown as (parts: unknown) => unknown
  t.throws(() => make([[mse], [crossEntropy, 1, { target: 'labels' }]]), {
    instanceOf: TypeError,
    message: "combine: parts[0] must name its target, since other parts do: { target: 'labels' }",
  })
})
