/** Branches that hold NaN or ∞, kinks, and numbers at the ends of the range. */

import test from 'ava'
import * as e from '../../ts/expression/index.js'
import { everywhere } from '../everywhere.js'
import { type AnyLoss, loosely } from './losses.js'

const {
  abs,
  add,
  atan,
  clamp,
  custom,
  defineLoss,
  detach,
  div,
  eq,
  exp,
  expm1,
  fixed,
  input,
  le,
  log,
  log1p,
  logSigmoid,
} = e
const { lt, max, min, mul, mul0, neg, not, or, pow, sigmoid, sign, softplus, sqrt, square, sub, tanh, where, xlogy } = e

const of = (loss: (x: e.Value, y: e.Value) => e.Value): AnyLoss =>
  loosely(defineLoss({ name: 'one', inputs: { x: input, y: input }, loss: ({ x, y }) => loss(x, add(y, mul(0, y))) }))
const single = (loss: (x: e.Value) => e.Value): AnyLoss =>
  loosely(defineLoss({ name: 'one', inputs: { x: input }, loss: ({ x }) => loss(x) }))

/** Values and gradients of single numbers. */
function at(loss: AnyLoss, ...numbers: readonly (readonly number[])[]): { values: number[]; grads: number[] } {
  const arrays = numbers.map((list) => Float32Array.from(list))
  const values = loss(...arrays, { reduction: 'none' }) as Float32Array
  const grads = loss.backward(...arrays, { reduction: 'sum' })
  const plain = (array: Float32Array) => Array.from(array, (x) => x + 0)
  return { values: plain(values), grads: plain(grads) }
}

const { NaN: nan } = Number

everywhere('a branch that is not taken gives nothing, whatever it is', (t) => {
  const xLogX = single((x) => where(lt(0, x), mul(x, log(x)), 0))
  t.deepEqual(at(xLogX, [0, -1, 1, -Infinity]), { values: [0, 0, 0, 0], grads: [0, 0, 1, 0] })
  const root = single((x) => where(lt(x, 0), neg(x), sqrt(x)))
  t.deepEqual(at(root, [-4, 4, 0]), { values: [4, 2, 0], grads: [-1, 0.25, 0] })
  const safe = single((x) => where(eq(x, 0), 1, div(1, x)))
  t.deepEqual(at(safe, [0, 2]), { values: [1, 0.5], grads: [0, -0.25] })
  // The choice is made after the product with what follows, which is infinite here.
  const followed = single((x) => mul(exp(mul(100, x)), where(lt(x, 0.5), x, 0)))
  t.is(at(followed, [1]).grads[0], 0)
  // The same branch by two ways.
  const twice = single((x) => add(where(lt(0, x), log(x), 0), where(not(lt(0, x)), square(x), log(x))))
  t.deepEqual(at(twice, [-3, 1]), { values: [9, 0], grads: [-6, 2] })
  const either = single((x) => add(where(or(lt(x, -1), lt(1, x)), sqrt(sub(square(x), 1)), 0), x))
  t.deepEqual(at(either, [0, 0.5]), { values: [0, 0.5], grads: [1, 1] })
})

everywhere('0 · ∞ is 0 where it is asked for', (t) => {
  const entropy = single((p) => neg(xlogy(p, p)))
  t.deepEqual(at(entropy, [0, 1]), { values: [0, 0], grads: [0, -1] })
  const certain = of((x, y) => add(mul0(y, softplus(neg(x))), mul0(sub(1, y), softplus(x))))
  t.deepEqual(at(certain, [Infinity, -Infinity, Infinity], [1, 0, 0]).values, [0, 0, Infinity])
  t.deepEqual(at(certain, [Infinity, -Infinity, Infinity], [1, 0, 0]).grads, [0, 0, 1])
  // The slope by a factor that is 0 is the other factor.
  const { yGrad } = certain.valueAndGrad(Float32Array.of(0, 2), Float32Array.of(0, 1), {
    reduction: 'sum',
    yGrad: true,
  })
  t.true(Math.abs((yGrad as Float32Array)[0]) < 1e-7)
  t.true(Math.abs((yGrad as Float32Array)[1] + 2) < 1e-6)
  const product = of((x, y) => mul0(x, y))
  t.deepEqual(at(product, [0, 3], [5, 7]).grads, [5, 7])
})

everywhere('kinks have a slope of 0, and at a tie of two that move the first has all', (t) => {
  t.deepEqual(at(single(abs), [0, -2, 2, nan]), { values: [0, 2, 2, nan], grads: [0, -1, 1, nan] })
  t.deepEqual(
    at(
      single((x) => max(x, 0)),
      [0, -1, 1],
    ).grads,
    [0, 0, 1],
  )
  t.deepEqual(
    at(
      single((x) => max(0, x)),
      [0, -1, 1],
    ).grads,
    [0, 0, 1],
  )
  t.deepEqual(
    at(
      single((x) => clamp(x, -1, 1)),
      [-1, 1, 0, 2],
    ),
    { values: [-1, 1, 0, 1], grads: [0, 0, 1, 0] },
  )
  t.deepEqual(at(single(sqrt), [0, 4]), { values: [0, 2], grads: [0, 0.25] })
  t.deepEqual(
    at(
      of((x, y) => sqrt(add(square(x), square(y)))),
      [0, 3],
      [0, 4],
    ),
    { values: [0, 5], grads: [0, Math.fround(0.6)] },
  )
  t.deepEqual(
    at(
      single((x) => add(sign(x), x)),
      [0, -2, 2],
    ),
    { values: [0, -3, 3], grads: [1, 1, 1] },
  )
  const smaller = of((x, y) => min(mul(2, x), mul(3, y)))
  const { grad, yGrad } = smaller.valueAndGrad(Float32Array.of(3, 3), Float32Array.of(2, 1), {
    reduction: 'sum',
    yGrad: true,
  })
  t.deepEqual([...grad], [2, 0])
  t.deepEqual([...(yGrad as Float32Array)], [0, 3])
})

everywhere('NaN in either argument of min and max is NaN', (t) => {
  const [x, y] = [
    [nan, 1, nan, 1],
    [1, nan, nan, 2],
  ]
  t.deepEqual(at(of(min), x, y).values, [nan, nan, nan, 1])
  t.deepEqual(at(of(max), x, y).values, [nan, nan, nan, 2])
  t.deepEqual(
    at(
      single((x) => max(x, 0)),
      [nan],
    ).values,
    [nan],
  )
  t.deepEqual(
    at(
      single((x) => min(1, sub(x, 1))),
      [nan],
    ).values,
    [nan],
  )
  t.deepEqual(
    at(
      single((x) => clamp(x, 0, 1)),
      [nan],
    ).values,
    [nan],
  )
  t.deepEqual(
    at(
      of((x, y) => sub(min(x, y), max(x, y))),
      x,
      y,
    ).values,
    [nan, nan, nan, -1],
  )
  t.deepEqual(
    at(
      of((x, y) => sub(max(x, y), 1)),
      x,
      y,
    ).values,
    [nan, nan, nan, 1],
  )
})

everywhere('powers of 0, and of what rounding has left below it', (t) => {
  t.deepEqual(
    at(
      single((x) => pow(x, 2.5)),
      [0, 1, -1e-8],
    ),
    { values: [0, 1, 0], grads: [0, 2.5, 0] },
  )
  t.deepEqual(
    at(
      single((x) => pow(x, 0.25)),
      [0, 1, nan],
    ).values,
    [0, 1, nan],
  )
  t.deepEqual(
    at(
      single((x) => pow(x, 3)),
      [-2, 0],
    ),
    { values: [-8, 0], grads: [12, 0] },
  )
  t.deepEqual(
    at(
      single((x) => pow(x, 0.5)),
      [4, 0],
    ),
    { values: [2, 0], grads: [0.25, 0] },
  )
  t.deepEqual(
    at(
      single((x) => pow(x, -1)),
      [2, 4],
    ).grads,
    [-0.25, -0.0625],
  )
})

everywhere('saturated slopes keep their digits', (t) => {
  const near = (got: number, expected: number) =>
    t.true(Math.abs(got - expected) <= 2e-6 * Math.abs(expected), `${got} for ${expected}`)
  for (const x of [-80, -30, -5, 5, 17, 30, 80]) {
    const e = Math.exp(-Math.abs(x))
    near(at(single(sigmoid), [x]).grads[0], e / (1 + e) ** 2)
    near(at(single(logSigmoid), [x]).values[0], Math.min(x, 0) - Math.log1p(e))
    near(at(single(logSigmoid), [x]).grads[0], x > 0 ? e / (1 + e) : 1 / (1 + e))
    near(at(single(softplus), [x]).values[0], Math.max(x, 0) + Math.log1p(e))
  }
  for (const x of [-40, -3, -1e-4, 1e-4, 3, 20, 40]) {
    const e = Math.exp(-2 * Math.abs(x))
    near(at(single(tanh), [x]).values[0], Math.tanh(Math.fround(x)))
    near(at(single(tanh), [x]).grads[0], (4 * Math.exp(-2 * Math.abs(Math.fround(x)))) / (1 + e) ** 2)
  }
  for (const x of [-20, -1e-6, 1e-6, 3]) {
    const single_ = Math.fround(x)
    near(at(single(expm1), [x]).values[0], Math.expm1(single_))
    near(at(single(expm1), [x]).grads[0], Math.exp(single_))
  }
  for (const x of [-0.9, -1e-6, 1e-6, 1e6]) {
    const single_ = Math.fround(x)
    near(at(single(log1p), [x]).values[0], Math.log1p(single_))
    near(at(single(log1p), [x]).grads[0], 1 / (1 + single_))
    near(at(single(atan), [x]).values[0], Math.atan(single_))
    near(at(single(atan), [x]).grads[0], 1 / (1 + single_ ** 2))
  }
})

everywhere('what is said of a derivative is taken', (t) => {
  const straight = single((x) => custom(where(le(0, x), 1, -1), [x, 1]))
  t.deepEqual(at(straight, [0.3, -2]), { values: [1, -1], grads: [1, 1] })
  const stopped = single((x) => mul(detach(x), x))
  t.deepEqual(at(stopped, [3]), { values: [9], grads: [3] })
  const two = of((x, y) => custom(add(x, y), [x, mul(2, y)], [y, mul(3, x)]))
  const { grad, yGrad } = two.valueAndGrad(Float32Array.of(5), Float32Array.of(7), { yGrad: true })
  t.deepEqual([...grad, ...(yGrad as Float32Array)], [14, 15])
})

everywhere('what is finite in double precision stays finite', (t) => {
  const squared = loosely(
    defineLoss({ name: 'squared', inputs: { x: input, y: fixed }, loss: ({ x, y }) => square(sub(x, y)) }),
  )
  const x = Float32Array.of(3e38, 1, 2)
  const y = Float32Array.of(0, 0, 0)
  t.is(squared(x, y, { reduction: 'sum' }), Math.fround(3e38) ** 2 + 5)
  t.is(squared(x, y), (Math.fround(3e38) ** 2 + 5) / 3)
  // A slope of 6e38 by a factor of a third.
  for (const [i, slope] of squared.backward(x, y).entries()) t.true(Math.abs(slope / x[i] - 2 / 3) < 2e-7)
  const over = x.slice()
  t.deepEqual(
    squared.backward(over, y, { grad: over, reduction: 'sum', gradOutput: 0.25 }),
    Float32Array.from(x, (x) => x / 2),
  )
  const power = single((x) => exp(x))
  const [lifted] = power.backward(Float32Array.of(100), { gradOutput: 1e-20 })
  t.true(Math.abs(lifted / (Math.exp(100) * 1e-20) - 1) < 2e-7)
  // Factors that single precision holds with few digits, or not at all.
  const tiny = squared.backward(Float32Array.of(1e30), Float32Array.of(0), { gradOutput: 3e-44 })
  const scale = Math.fround(1e30) * 2 * 3e-44
  t.true(Math.abs(tiny[0] - scale) <= 1e-7 * scale)
  const small = squared.backward(x, y, { normalizer: 1e-42, gradOutput: 1e-42 })
  for (const [i, slope] of small.entries()) t.true(Math.abs(slope / x[i] - 2) < 3e-7 || slope === Infinity)
})

test('sums of many rows keep their digits', (t) => {
  const loss = single((x) => x)
  const x = new Float32Array(3_000_001).fill(0.1)
  t.true(Math.abs((loss(x) as number) - Math.fround(0.1)) < 1e-8)
})
