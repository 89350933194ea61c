/** Every backend, instruction set and number of threads gives the same bits for exact programs, and nearly the same for others. */

import test from 'ava'
import { use } from '../../ts/backend/load.js'
import { tsBackend } from '../../ts/backend/ts/index.js'
import { add, defineLoss, fixedRows, mul, rows } from '../../ts/expression/index.js'
import { generator } from '../data.js'
import { platforms } from '../platforms.js'
import { type AnyLoss, argumentsOf, arraysOf, cases, gradNames, loosely } from './losses.js'

// Tails of vectors, of pairs, of fours, of blocks of 256 and 512 rows, of units; several pieces in WebAssembly.
const LENGTHS = [0, 1, 15, 16, 17, 31, 33, 63, 64, 65, 255, 257, 511, 513, 700, 1023, 1025, 2049, 40_000]

type Result = Readonly<Record<string, number | Float32Array>>

/** Value and gradients in new arrays. */
function run(loss: AnyLoss, arrays: readonly Float32Array[], options: object): Result {
  const { denominator, ...result } = loss.valueAndGrad(...arrays, options)
  return result as Result
}

function bitsOf(result: Result): unknown {
  return Object.entries(result).map(([name, own]) => [
    name,
    typeof own === 'number' ? own : [...new Int32Array(own.buffer, own.byteOffset, own.length)],
  ])
}

/** The largest difference, in the largest number of each array. */
function distance(a: Result, b: Result): number {
  let most = 0
  for (const [name, own] of Object.entries(a)) {
    const [left, right] = [own, b[name]].map((numbers) => (typeof numbers === 'number' ? [numbers] : [...numbers]))
    const size = left.reduce((largest, x) => Math.max(largest, Math.abs(x)), 1e-30)
    left.forEach((x, i) => {
      most = Math.max(most, Object.is(x, right[i]) ? 0 : Math.abs(x - right[i]) / size)
    })
  }
  return most
}

/** Columns that are no fours, and more arrays than the addon's shorter function takes. */
const wide = defineLoss({
  name: 'wide',
  inputs: {
    a: rows(3),
    b: rows(4),
    c: rows(2),
    d: fixedRows(5),
    e: rows(2),
    f: rows(2),
    g: rows(2),
  },
  loss({ a, b, c, d, e, f, g }) {
    const products = [
      mul(a[0], b[3]),
      mul(a[2], c[1]),
      mul(d[4], b[1]),
      mul(d[0], e[1]),
      mul(f[0], g[1]),
      mul(a[1], c[0]),
    ]
    const others = [mul(b[0], b[2]), mul(e[0], f[1]), mul(g[0], g[0])]
    return [...products, ...others].reduce((sum, product) => add(sum, product))
  },
})
const wideGrads = ['bGrad', 'cGrad', 'eGrad', 'fGrad', 'gGrad']

interface Call {
  readonly what: string
  readonly loss: AnyLoss
  readonly exact: boolean
  arrays(length: number): Float32Array[]
  options(length: number): object
}

const calls: Call[] = []
for (const one of cases) {
  const asked = Object.fromEntries(
    gradNames(one, argumentsOf(one))
      .slice(1)
      .map((name) => [name, true]),
  )
  const arrays = (length: number) => arraysOf(one, length, generator(length + 1))
  const { loss, exact } = one
  calls.push({ what: loss.name, loss, exact, arrays, options: () => ({ reduction: 'sum', ...asked }) })
  calls.push({
    what: `${loss.name} with streams`,
    loss,
    exact,
    arrays,
    options: (length) => ({
      reduction: 'none',
      shape: [length, 1],
      weight: Float32Array.from({ length }, (_, i) => (i % 5) / 4),
      gradOutput: Float32Array.from({ length }, (_, i) => (i % 7) - 3),
      mask: Uint8Array.from({ length }, (_, i) => Number(i % 3 > 0)),
      ...asked,
    }),
  })
}
calls.push({
  what: 'wide',
  loss: loosely(wide),
  exact: true,
  arrays(length) {
    const random = generator(5)
    return [3, 4, 2, 5, 2, 2, 2].map((columns) => Float32Array.from({ length: columns * length }, () => random() - 0.5))
  },
  options: () => ({ reduction: 'sum', ...Object.fromEntries(wideGrads.map((name) => [name, true])) }),
})

for (const { what, loss, exact, arrays, options } of calls) {
  test.serial(`${what} is the same on every platform`, (t) => {
    for (const length of LENGTHS) {
      const inputs = arrays(length)
      use(tsBackend)
      const expected = run(loss, inputs, options(length))
      for (const { name, activate } of platforms) {
        activate()
        const got = run(loss, inputs, options(length))
        if (exact) t.deepEqual(bitsOf(got), bitsOf(expected), `${length} rows on ${name}`)
        else t.true(distance(expected, got) < 3e-6, `${length} rows on ${name}: ${distance(expected, got)}`)
      }
    }
  })
}

test.serial('gradients over the inputs have the bits of gradients beside them', (t) => {
  for (const one of cases) {
    for (const { name, activate } of platforms) {
      activate()
      for (const length of [5, 300, 1500]) {
        const inputs = arraysOf(one, length, generator(3))
        const names = gradNames(one, argumentsOf(one))
        const asked = Object.fromEntries(names.slice(1).map((grad) => [grad, true]))
        const beside = run(one.loss, inputs, asked)
        const own = inputs.map((input) => input.slice())
        const over = run(one.loss, own, Object.fromEntries(names.map((grad, k) => [grad, own[one.grads[k]]])))
        t.deepEqual(bitsOf(over), bitsOf(beside), `${one.loss.name} of ${length} on ${name}`)
      }
    }
  }
})

test.serial('losses beyond the range of floats have means and gradients within it', (t) => {
  const square = cases[0].loss
  for (const { name, activate } of platforms) {
    activate()
    for (const length of [3, 64, 1100]) {
      const x = new Float32Array(length).fill(1)
      x[length - 1] = 2e20
      const target = new Float32Array(length)
      const { value, grad } = square.valueAndGrad(x, target)
      const mean = (Math.fround(2e20) ** 2 + length - 1) / length
      t.true(Math.abs((value as number) / mean - 1) < 1e-6, `${length} on ${name}: ${value}`)
      t.true(Math.abs(grad[length - 1] / ((2 * Math.fround(2e20)) / length) - 1) < 1e-6, name)
      x[length - 1] = 3e38
      t.true(Number.isFinite(square.valueAndGrad(x, target, { gradOutput: 0.01 }).grad[length - 1]), name)
    }
  }
})
