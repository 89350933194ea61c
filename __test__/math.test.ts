/** The exponential and logarithm of the TypeScript kernels against those of the engine. */

import test from 'ava'
import { exp, log1p, power, sign } from '../ts/math.js'

const STEPS = 100_003

const off = (got: number, expected: number) => Math.abs(got - expected) / expected

test('exp is right to 1e-9 from −127 to 0', (t) => {
  for (let i = 0; i <= STEPS; i++) {
    const x = (-127 * i) / STEPS
    if (!(off(exp(x), Math.exp(x)) < 1e-9)) t.fail(`exp(${x}) is ${exp(x)}`)
  }
  t.is(exp(0), 1)
  t.is(exp(-1e9), 0)
  t.is(exp(-Infinity), 0)
  t.is(exp(Number.NaN), Number.NaN)
})

test('log1p is right to 1e-9 from 0 to 1', (t) => {
  for (let i = 1; i <= STEPS; i++) {
    for (const x of [i / STEPS, 2 ** ((-140 * i) / STEPS)]) {
      if (!(off(log1p(x), Math.log1p(x)) < 1e-9)) t.fail(`log1p(${x}) is ${log1p(x)}`)
    }
  }
  t.is(log1p(0), 0)
  t.is(log1p(Number.NaN), Number.NaN)
})

test('power is right to 1e-9', (t) => {
  for (const y of [0.5, 1, 1.5, 2, 3.7]) {
    for (let i = 1; i <= STEPS; i++) {
      const x = i / STEPS
      if (!(off(power(x, y), x ** y) < 1e-9)) t.fail(`power(${x}, ${y}) is ${power(x, y)}`)
    }
    t.is(power(0, y), 0)
  }
  t.is(power(0, 0), 1)
})

test('sign keeps 0 and NaN', (t) => {
  t.deepEqual([-Infinity, -2, -0, 0, 2 ** -149, Number.NaN].map(sign), [-1, -1, -0, 0, 1, Number.NaN])
})
