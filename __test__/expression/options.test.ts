/**
 * A loss that is an expression has the options of a pointwise loss. Where its operations are exact it has the very bits of the kernel
 * that was written for it, whatever the options are.
 */

import test from 'ava'
import fc from 'fast-check'
import * as library from '../../ts/index.js'
import { generator, sameBits } from '../data.js'
import { platforms } from '../platforms.js'
import { argumentsOf, arraysOf, cases, huber, loosely, mse } from './losses.js'

interface Call {
  readonly input: Float32Array
  readonly target: Float32Array
  readonly options: Record<string, unknown>
}

// Twice a difference stays in range: there a program may have a factor less than the kernel, and needs no double precision.
const number = fc.oneof(
  { weight: 8, arbitrary: fc.float({ min: -8, max: 8, noNaN: true }) },
  { weight: 1, arbitrary: fc.float({ min: -(2 ** 125), max: 2 ** 125, noNaN: true }) },
  { weight: 1, arbitrary: fc.constantFrom(0, -0, 1e30, -1e30, 2 ** 125, Number.NaN, Infinity, -Infinity) },
)
const usual = fc.float({ min: -8, max: 8, noNaN: true })
const factor = fc.oneof(fc.float({ min: 2 ** -20, max: 4, noNaN: true }), fc.constantFrom(0, 1e20))
const floats = (length: number, one: fc.Arbitrary<number>) =>
  fc.array(one, { minLength: length, maxLength: length }).map((numbers) => Float32Array.from(numbers))

/** Calls of [samples, positions] elements with any options that a pointwise loss takes. */
const calls: fc.Arbitrary<Call> = fc
  .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 400 }), fc.constantFrom('mean', 'sum', 'none'))
  .chain(([samples, positions, reduction]) => {
    const n = samples * positions
    const weight = fc.constantFrom(n, positions).chain((length) => floats(length, factor))
    const scale = fc.oneof(
      usual.map((x) => x + 9),
      fc.constantFrom(-1, 0, 1e-41, 1e30, 1e-30),
    )
    const optional: Record<string, fc.Arbitrary<unknown>> = {
      weight,
      sampleWeight: fc.constantFrom(n, samples).chain((length) => floats(length, factor)),
      mask: fc
        .constantFrom(n, samples)
        .chain((length) =>
          fc
            .array(fc.constantFrom(0, 1, 1, 1), { minLength: length, maxLength: length })
            .map((bits) => Uint8Array.from(bits)),
        ),
      gradOutput: reduction === 'none' ? fc.oneof(scale, floats(n, usual)) : scale,
      emptyMean: fc.constantFrom('nan', 'zero'),
      targetGrad: fc.constant(true),
      ...(reduction === 'mean' ? { normalizer: fc.float({ min: 1, max: 9, noNaN: true }) } : {}),
    }
    return fc.record({
      input: floats(n, number),
      target: floats(n, number),
      options: fc.record(optional, { requiredKeys: [] }).chain((options) => {
        const weighted = options.weight !== undefined || options.sampleWeight !== undefined
        const byWeight = reduction === 'mean' && weighted && options.normalizer === undefined
        return fc.tuple(fc.boolean(), fc.boolean()).map(([bySum, adds]) => ({
          ...options,
          reduction,
          shape: [samples, positions],
          ...(byWeight && bySum ? { meanBy: 'weight' } : {}),
          ...(adds ? { accumulate: true } : {}),
        }))
      }),
    })
  })

/** Everything that a call gives. */
function resultOf(loss: unknown, { input, target, options }: Call): Record<string, unknown> {
  const adds = options.accumulate === true ? { grad: Float32Array.from(input, (_, i) => i % 7) } : {}
  return loosely(loss).valueAndGrad(input, target, { ...options, ...adds })
}

/** Multiples of 2^−10, whose differences have squares that are normal numbers: the kernel of huber rounds subnormal ones once less. */
const coarse = (array: Float32Array) => array.map((x) => (Math.abs(x) < 2 ** 13 ? Math.round(x * 1024) / 1024 : x))

const pairs = [
  [mse, library.mse, (array: Float32Array) => array],
  [huber, library.huber, coarse],
] as const

for (const { name, activate } of platforms) {
  for (const [expression, kernel, prepare] of pairs) {
    test.serial(`${expression.name} with any options has the bits of the kernel on ${name}`, (t) => {
      activate()
      t.notThrows(() =>
        fc.assert(
          fc.property(calls, (drawn) => {
            const call = { ...drawn, input: prepare(drawn.input), target: prepare(drawn.target) }
            const [got, expected] = [resultOf(expression, call), resultOf(kernel, call)]
            if (String(Object.keys(got).sort()) !== String(Object.keys(expected).sort()))
              throw new Error('other results')
            for (const key of Object.keys(expected)) {
              const [a, b] = [got[key], expected[key]]
              if (typeof a === 'number' || typeof b === 'number') {
                if (!Object.is(a, b)) throw new Error(`${key}: ${a} for ${b}`)
                continue
              }
              // A slope of 0 may have either sign.
              const plain = (array: unknown) => (array as Float32Array).map((x) => x + 0)
              if (sameBits(plain(a), plain(b))) continue
              const i = plain(a).findIndex((x, i) => !Object.is(x, plain(b)[i]))
              throw new Error(`${key}[${i}]: ${plain(a)[i]} for ${plain(b)[i]} of ${call.input[i]}, ${call.target[i]}`)
            }
          }),
          { numRuns: 60, includeErrorInReport: true },
        ),
      )
    })
  }
}

for (const { name, activate } of platforms) {
  test.serial(`rows have their weights, masks and upstream gradients on ${name}`, (t) => {
    activate()
    for (const one of cases.filter(({ columns }) => columns[0] > 1)) {
      const [width] = one.columns
      const rows = 1337
      const arrays = arraysOf(one, rows, generator(5))
      const gradName = one.grads.length > 1 ? `${argumentsOf(one)[1]}Grad` : undefined
      const asked = gradName === undefined ? {} : { [gradName]: true }
      // Powers of two change no digit.
      const weight = Float32Array.from({ length: rows }, (_, i) => 2 ** (i % 5))
      const mask = Uint8Array.from({ length: rows }, (_, i) => Number(i % 7 > 0))
      const gradOutput = Float32Array.from({ length: rows }, (_, i) => -(2 ** (i % 3)))
      const plain = one.loss.valueAndGrad(...arrays, { reduction: 'sum', ...asked })
      const values = one.loss(...arrays, { reduction: 'none' }) as Float32Array
      // What is masked out may hold anything.
      for (const [k, array] of arrays.entries()) {
        for (let row = 0; row < rows; row += 7) array[row * one.columns[k]] = k % 2 === 0 ? Number.NaN : Infinity
      }
      const before = Float32Array.from({ length: rows * width }, (_, i) => i % 3)
      const result = one.loss.valueAndGrad(...arrays, {
        reduction: 'none',
        weight,
        mask,
        gradOutput,
        accumulate: true,
        grad: before.slice(),
        ...asked,
      })
      const factor = (row: number) => (mask[row] === 0 ? 0 : weight[row] * gradOutput[row])
      const zeros = (array: Float32Array) => array.map((x) => x + 0)
      t.deepEqual(
        result.value,
        values.map((value, row) => (mask[row] === 0 ? 0 : value * weight[row])),
      )
      const scaled = plain.grad.map((slope, i) => slope * factor(Math.floor(i / width)))
      t.true(sameBits(zeros(result.grad), zeros(scaled.map((slope, i) => before[i] + slope))))
      if (gradName === undefined) continue
      const other = (plain[gradName] as Float32Array).map((slope, i) => slope * factor(Math.floor(i / width)))
      t.true(sameBits(zeros(result[gradName] as Float32Array), zeros(other)))
    }
  })
}
