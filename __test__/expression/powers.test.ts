/** Powers of negative numbers: what they are is a matter of the exponent alone. */

import test from 'ava'
import * as e from '../../ts/expression/index.js'
import { defineLoss } from '../../ts/index.js'
import { everywhere } from '../everywhere.js'
import { loosely } from './losses.js'

const { add, div, fixed, input, mul, pow, sub } = e

const NUMBERS = [-3, -1, -0.75, 0.5, 1, 2.5]
const x = Float32Array.from(NUMBERS)
const EXPONENTS = [-13, -9, -4, -1, 0, 1, 2, 3, 7, 8, 9, 10, 21, 40]
const FRACTIONS = [-2.5, -0.5, 0.25, 0.5, 1.5, 2.1, 3.1, 9.5]

/** x^y where it is a real number, otherwise that of 0. */
const powerOf = (x: number, y: number) => (Number.isInteger(y) ? x : Math.max(x, 0)) ** y
const slopeOf = (x: number, y: number) => (x < 0 && !Number.isInteger(y) ? 0 : y * x ** (y - 1))

const isNear = (got: number, expected: number) =>
  got === expected || Math.abs(got - expected) <= 5e-6 * Math.abs(expected)

const ofParam = loosely(
  defineLoss({
    name: 'ofParam',
    inputs: { x: input },
    params: { power: 2 },
    loss: ({ x }, { power }) => pow(x, power),
  }),
)
const ofSum = loosely(
  defineLoss({
    name: 'ofSum',
    inputs: { x: input },
    params: { power: 2, more: 0.125 },
    loss: ({ x }, { power, more }) => pow(x, sub(add(power, more), 0.125)),
  }),
)
const ofConstant = (power: number) =>
  loosely(defineLoss({ name: 'ofConstant', inputs: { x: input }, loss: ({ x }) => add(pow(x, power), mul(0, x)) }))

everywhere('a whole exponent takes negative numbers, and any other counts them as 0', (t) => {
  for (const power of [...EXPONENTS, ...FRACTIONS]) {
    const calls = [(options: object) => ofParam.valueAndGrad(x, { power, ...options })]
    calls.push((options) => ofSum.valueAndGrad(x, { power, ...options }))
    // The loss x^0 has no derivative.
    const constant = power === 0 ? undefined : ofConstant(power)
    if (constant !== undefined) calls.push((options) => constant.valueAndGrad(x, options))
    for (const [k, call] of calls.entries()) {
      for (const options of [{}, { weight: [1, 1, 1, 1, 1, 1] }]) {
        const { value, grad } = call({ reduction: 'none', ...options })
        const own = call({ reduction: 'sum', ...options }).grad
        for (const [i, number] of NUMBERS.entries()) {
          const what = `${number}^${power}, of ${['a parameter', 'a sum', 'a constant'][k]}`
          const got = (value as Float32Array)[i]
          t.true(isNear(got, powerOf(number, power)), `${what}: ${got}`)
          // A negative base of a negative fraction is 0 with an infinite power.
          if (number < 0 && power < 0 && !Number.isInteger(power)) continue
          t.true(isNear(grad[i], slopeOf(number, power)), `slope of ${what}: ${grad[i]}`)
          t.is(own[i], grad[i])
        }
      }
    }
  }
})

everywhere('no exponent depends on another one', (t) => {
  const two = loosely(
    defineLoss({
      name: 'two',
      inputs: { x: input, y: input },
      params: { a: 2, b: 2 },
      loss: ({ x, y }, { a, b }) => add(pow(x, a), pow(y, b)),
    }),
  )
  const [x, y] = [Float32Array.of(-2), Float32Array.of(1)]
  for (const a of [2, 3, 9, 12, -3]) {
    for (const b of [2, 2.1, 9, 0.5, 1e6]) {
      for (const options of [
        { a, b },
        { a: b, b: a },
      ]) {
        const { value, grad } = options.a === a ? two.valueAndGrad(x, y, options) : two.valueAndGrad(x, y, { a, b })
        t.true(isNear(value as number, (-2) ** a + 1), `${a}, ${b}: ${value}`)
        t.true(isNear(grad[0], a * (-2) ** (a - 1)), `${a}, ${b}: ${grad[0]}`)
      }
    }
  }
  // Calls of a loss for one exponent leave the program for another one as it is.
  for (const [b, expected] of [
    [9, -512],
    [10, 1024],
    [9.5, 0],
    [10, 1024],
    [9, -512],
  ]) {
    t.is(two(y, x, { a: 2.1, b }), 1 + expected)
  }
})

everywhere('a negative base counts as 0 where each row has its exponent', (t) => {
  const rows = loosely(defineLoss({ name: 'rows', inputs: { x: input, y: fixed }, loss: ({ x, y }) => pow(x, y) }))
  t.deepEqual([...(rows(Float32Array.of(-2, 2), Float32Array.of(3, 3), { reduction: 'none' }) as Float32Array)], [0, 8])
})

everywhere('0 and NaN have their powers', (t) => {
  const at = (number: number, power: number) => ofParam(Float32Array.of(number), { power })
  for (const power of [9, 10, 0.5, 2.1]) t.is(at(0, power), 0)
  for (const power of [-9, -10, -2.1]) t.is(at(0, power), Number.POSITIVE_INFINITY)
  for (const power of [3, 9, 10, -9, 0.5, 2.1]) t.is(at(Number.NaN, power), Number.NaN)
  t.is(at(Number.NEGATIVE_INFINITY, 9), Number.NEGATIVE_INFINITY)
  t.is(at(Number.NEGATIVE_INFINITY, 10), Number.POSITIVE_INFINITY)
})

test('explain says what a negative base is', (t) => {
  const line = /pow\(x, power\) counts a negative base as 0, since the exponent is no whole number/
  for (const power of [2.1, 0.25, 0.5, 9.5]) t.regex(ofParam.explain({ power }), line)
  for (const power of [2, 3, 9, 100, -4]) t.notRegex(ofParam.explain({ power }), /negative base/)
  const sure = loosely(
    defineLoss({
      name: 'sure',
      inputs: { x: input },
      params: { power: 2.5 },
      loss: ({ x }, { power }) => pow(e.sigmoid(div(x, 2)), power),
    }),
  )
  t.notRegex(sure.explain(), /negative base/)
})
