/** The public loss of an expression: arguments, options, results, and what it refuses. */

import test from 'ava'
import { expectTypeOf } from 'expect-type'
import * as e from '../../ts/expression/index.js'
import { detached, everywhere } from '../everywhere.js'
import { gaussianNll, giou, huber, loosely, mse, ppo } from './losses.js'

const x = Float32Array.of(1, 2, 4)
const y = Float32Array.of(1, 1.5, 1)

everywhere('the verbs of a loss that is an expression', (t) => {
  t.deepEqual(huber(x, y, { reduction: 'none', delta: 2 }), Float32Array.of(0, 0.125, 4))
  t.deepEqual(huber.backward(x, y, { reduction: 'sum', delta: 2 }), Float32Array.of(0, 0.5, 2))
  t.is(huber(x, y), (0.125 + 2.5) / 3)
  const { value, grad, denominator, targetGrad } = huber.valueAndGrad(x, y, { targetGrad: true, gradOutput: 3 })
  t.is(value, (0.125 + 2.5) / 3)
  t.deepEqual(grad, Float32Array.of(0, 0.5, 1))
  t.deepEqual(
    targetGrad!.map((g) => g + 0),
    Float32Array.of(0, -0.5, -1),
  )
  t.is(denominator, 3)
  t.false('targetGrad' in huber.valueAndGrad(x, y))
  t.true(Object.isFrozen(huber))
})

everywhere('gradients by several inputs, where they are asked for', (t) => {
  const variance = Float32Array.of(0.5, 1, 2)
  const all = gaussianNll.valueAndGrad(x, variance, y, { varianceGrad: true, reduction: 'sum' })
  t.deepEqual(Object.keys(all).sort(), ['denominator', 'grad', 'value', 'varianceGrad'])
  const buffer = new Float32Array(3)
  const grad = new Float32Array(3)
  const own = gaussianNll.valueAndGrad(x, variance, y, { varianceGrad: buffer, grad, reduction: 'sum' })
  t.is(own.varianceGrad, buffer)
  t.is(own.grad, grad)
  t.deepEqual(buffer, all.varianceGrad)
  t.deepEqual(gaussianNll.backward(x, variance, y, { varianceGrad: buffer, reduction: 'sum' }), all.grad)
  // @ts-expect-error the types say so too
  t.throws(() => gaussianNll.backward(x, variance, y, { varianceGrad: true }), {
    instanceOf: TypeError,
    message: 'gaussianNll: backward returns one array; give varianceGrad a buffer, or call valueAndGrad',
  })
})

everywhere('rows of several columns', (t) => {
  const boxes = Float32Array.of(0, 0, 2, 2, 0, 0, 1, 1)
  const target = Float32Array.of(1, 1, 3, 3, 0, 0, 1, 1)
  const { value, grad } = giou.valueAndGrad(boxes, target, { reduction: 'none' })
  t.is(value.length, 2)
  t.true(Math.abs(value[0] - (1 - 1 / 7 + 2 / 9)) < 1e-6 && Math.abs(value[1]) < 1e-6)
  t.is(grad.length, 8)
  // A weight, and a mask, are one per row.
  const weighted = giou.valueAndGrad(boxes, target, { weight: [2, 5], mask: [true, false] })
  t.true(Math.abs(weighted.value - 2 * value[0]) < 1e-6)
  t.deepEqual([...weighted.grad.subarray(4)], [0, 0, 0, 0])
  // As tensors, whose last axis is that of the columns.
  t.is(giou({ data: boxes, shape: [2, 4] }, { data: target, dims: [2, 4] }), giou(boxes, target))
  t.throws(() => giou({ data: boxes, shape: [4, 2] }, target), {
    instanceOf: RangeError,
    message: 'giou: the last axis of boxes must have 4 elements, got the shape [4,2]',
  })
  t.throws(() => giou(boxes.subarray(1), target), {
    message: /giou: boxes must be a Float32Array of rows of 4, got Float32Array\(7\)/,
  })
  t.throws(() => giou(boxes, target.subarray(4)), {
    message: /giou: target must be a Float32Array of 8 elements, got Float32Array\(4\)/,
  })
  // Every length of a tail.
  for (let rows = 1; rows < 70; rows++) {
    const many = Float32Array.from({ length: 4 * rows }, (_, i) => boxes[i % 8])
    const targets = Float32Array.from({ length: 4 * rows }, (_, i) => target[i % 8])
    const { grad: grads } = giou.valueAndGrad(many, targets, { reduction: 'none' })
    t.true(grads.every((g, i) => g === grad[i % 8]))
  }
})

everywhere('bound options, and a gradient over the input', (t) => {
  const step = ppo.with({ clip: 0.1, reduction: 'sum' })
  const [logp, old, advantage] = [
    Float32Array.of(-1, -2, -3),
    Float32Array.of(-1.2, -2, -2.5),
    Float32Array.of(1, -1, 2),
  ]
  const expected = ppo.valueAndGrad(logp, old, advantage, { clip: 0.1, reduction: 'sum' })
  t.deepEqual(step.valueAndGrad(logp, old, advantage), expected)
  t.is(step(logp, old, advantage, { clip: 0.2 }), ppo(logp, old, advantage, { reduction: 'sum' }))
  const over = logp.slice()
  const inPlace = step.with({ grad: over }).valueAndGrad(over, old, advantage)
  t.is(inPlace.grad, over)
  t.is(inPlace.value, expected.value)
  t.deepEqual(over, expected.grad)
  const [a, b] = [x.slice(), y.slice()]
  const both = huber.valueAndGrad(a, b, { grad: a, targetGrad: b })
  t.deepEqual(
    [both.grad, both.targetGrad],
    [huber.backward(x, y), huber.valueAndGrad(x, y, { targetGrad: true }).targetGrad],
  )
})

everywhere('nothing', (t) => {
  const none = new Float32Array(0)
  t.is(mse(none, none), Number.NaN)
  t.is(mse(none, none, { emptyMean: 'zero' }), 0)
  t.is(mse(none, none, { reduction: 'sum' }), 0)
  t.deepEqual(mse(none, none, { reduction: 'none' }), none)
  const masked = mse.valueAndGrad(x, y, {
    mask: [false, false, false],
    targetGrad: true,
    grad: Float32Array.of(7, 7, 7),
  })
  t.deepEqual(masked, { value: Number.NaN, grad: new Float32Array(3), denominator: 0, targetGrad: new Float32Array(3) })
})

const strange = loosely(gaussianNll)
const refusals: readonly (readonly [string, unknown[], ErrorConstructor, RegExp])[] = [
  ['an array that is none', [[1, 2, 3], y, y], TypeError, /mean must be a Float32Array, got an array of 3; convert it/],
  ['a missing input', [x, y], TypeError, /target must be a Float32Array, got undefined/],
  [
    'options in the place of an input',
    [x, y, { reduction: 'sum' }],
    TypeError,
    /target must be a Float32Array, got an object/,
  ],
  ['too many arguments', [x, y, y, {}, {}], TypeError, /the arguments are \(mean, variance, target, options\), got 5/],
  [
    'another length',
    [x, y.subarray(1), y],
    RangeError,
    /variance must be a Float32Array of 3 elements, got Float32Array\(2\)/,
  ],
  ['a detached array', [x, detached(Float32Array.of(1, 2, 3)), y], TypeError, /variance is detached/],
  [
    'an option that is none',
    [x, y, y, { reductoin: 'sum' }],
    TypeError,
    /there is no option reductoin; .* did you mean reduction/,
  ],
  ['the gradient by the first input', [x, y, y, { meanGrad: true }], TypeError, /the gradient by mean is grad/],
  ['a gradient that there is not', [x, y, y, { targetGrad: true }], TypeError, /target is an input without a gradient/],
  ['ignoreIndex', [x, y, y, { ignoreIndex: 3 }], TypeError, /rows are left out by mask/],
  ['a parameter of another kind', [x, y, y, { eps: '1' }], TypeError, /eps must be a finite number, got "1"/],
  [
    'another reduction',
    [x, y, y, { reduction: 'batchmean' }],
    RangeError,
    /reduction must be one of 'mean', 'sum', 'none'/,
  ],
  [
    'a gradient of another length',
    [x, y, y, { varianceGrad: new Float32Array(2) }],
    RangeError,
    /varianceGrad must be a Float32Array of 3/,
  ],
  ['a gradient that is a number', [x, y, y, { varianceGrad: 1 }], TypeError, /varianceGrad must be a Float32Array/],
  ['a weight of another length', [x, y, y, { weight: [1, 2] }], RangeError, /weight must be an array of 3 elements/],
  ['out without none', [x, y, y, { out: new Float32Array(3) }], TypeError, /out needs the reduction 'none'/],
  ['accumulate without a buffer', [x, y, y, { accumulate: true }], TypeError, /accumulate needs grad/],
  ['a gradient over another input', [x, y, y.slice(), { grad: y }], RangeError, /grad must not overlap variance/],
  ['two gradients in one', [x, y, y, { grad: x, varianceGrad: x }], RangeError, /grad must not overlap varianceGrad/],
  [
    'a gradient over a weight',
    [x, y.slice(), y.slice(), { grad: y, weight: y }],
    RangeError,
    /grad must not overlap weight/,
  ],
  [
    'NaN where it is looked for',
    [x, y, Float32Array.of(1, Number.NaN, 2), { validate: true }],
    RangeError,
    /target\[1\] must be a number, got NaN/,
  ],
  ['a shape of another size', [x, y, y, { shape: [2, 2] }], RangeError, /shape must have the product 3/],
]

for (const [what, args, instanceOf, message] of refusals) {
  test(`${what} is refused`, (t) => {
    const before = [x.slice(), y.slice()]
    t.throws(() => strange.valueAndGrad(...args), {
      instanceOf,
      message: new RegExp(`^gaussianNll: .*${message.source}`),
    })
    t.deepEqual([x, y], before)
  })
}

test('a gradient over a part of its input, or with accumulate, is refused', (t) => {
  const memory = new Float32Array(6)
  t.throws(() => mse.backward(memory.subarray(0, 3), y, { grad: memory.subarray(1, 4) }), {
    message: 'mse: grad must be the input itself or not overlap it',
  })
  t.throws(() => ppo.backward(memory.subarray(0, 3), y, y, { grad: memory.subarray(1, 4) }), {
    message: 'ppo: grad must be logp itself or not overlap it',
  })
  t.throws(() => ppo.backward(x, y, y, { grad: x, accumulate: true }), {
    message: 'ppo: grad must not be logp with accumulate, since the gradient is added to it',
  })
})

test('a parameter is what its definition says', (t) => {
  t.throws(() => ppo(x, y, y, { clip: 2 }), {
    instanceOf: RangeError,
    message: 'ppo: clip must be a number in (0, 1), got 2',
  })
  t.throws(() => ppo.with({ clip: 0 }), {
    instanceOf: RangeError,
    message: 'ppo: clip must be a number in (0, 1), got 0',
  })
})

test('NaN in a row that does not count is not looked at', (t) => {
  const holed = Float32Array.of(1, Number.NaN, 2)
  t.is(mse(holed, y, { mask: [true, false, true], validate: true }), 0.5)
  t.deepEqual([...mse.backward(holed, y, { mask: [true, false, true] })], [0, 0, 1])
})

test('the types follow from the definition', (t) => {
  expectTypeOf(ppo(x, y, y)).toEqualTypeOf<number>()
  expectTypeOf(ppo(x, y, y, { reduction: 'none' })).toEqualTypeOf<Float32Array>()
  expectTypeOf(ppo.with({ reduction: 'none' })(x, y, y)).toEqualTypeOf<Float32Array>()
  expectTypeOf(ppo.with({ reduction: 'none' })(x, y, y, { reduction: 'sum' })).toEqualTypeOf<number>()
  expectTypeOf(gaussianNll.valueAndGrad(x, x, y).varianceGrad).toEqualTypeOf<Float32Array | undefined>()
  expectTypeOf(ppo.backward).parameters.toExtend<unknown[]>()
  const wrong = () => {
    // @ts-expect-error: three inputs
    ppo(x, y)
    // @ts-expect-error: no such option
    ppo(x, y, y, { clop: 1 })
    // @ts-expect-error: an input without a gradient
    ppo.valueAndGrad(x, y, y, { oldLogpGrad: true })
    // @ts-expect-error: a number
    ppo(x, y, y, { clip: '1' })
    // @ts-expect-error: nothing of that name
    e.defineLoss({ name: 'a', inputs: { x: e.input }, loss: ({ y }) => y })
    // @ts-expect-error: a condition is no number
    e.defineLoss({ name: 'a', inputs: { x: e.input }, loss: ({ x }) => e.lt(x, 1) })
    // @ts-expect-error: an expression is no number
    e.defineLoss({ name: 'a', inputs: { x: e.input }, loss: ({ x }) => x * 2 })
    e.defineLoss({
      name: 'a',
      inputs: { b: e.rows(2) },
      // @ts-expect-error: there are two columns
      loss: ({ b: [u, v, w] }) => e.add(u, e.add(v, w)),
    })
  }
  t.is(typeof wrong, 'function')
})

everywhere('an option that detaches an input is noticed', (t) => {
  for (const option of ['weight', 'reduction', 'grad', 'varianceGrad', 'eps']) {
    const variance = Float32Array.of(1, 2, 3)
    const hostile = {
      get [option]() {
        detached(variance)
        return undefined
      },
    }
    t.throws(() => strange.valueAndGrad(x, variance, y, hostile), {
      instanceOf: TypeError,
      message: /variance is detached/,
    })
  }
})
