/**
 * The contract of the losses of the library that are expressions, by their definitions: every one of them, with the samples of its
 * parameters, on every backend, at lengths around every block and vector, with every reduction and option, in place and not.
 */

import test, { type ExecutionContext } from 'ava'
import { checkExpression } from '../../ts/expression/define.js'
import { generator, guarded, intact, once, sameBits, sameValue } from '../data.js'
import { argumentsOf, combinationsOf, type DrawnLoss, drawnLosses, gradNames, samplesOf } from '../drawn.js'
import { everywhere } from '../everywhere.js'
import { platforms } from '../platforms.js'
import { derivative } from '../reference.js'
import { formulaOf } from './double.js'

type Options = Record<string, unknown>

const LENGTHS = [...Array(36).keys(), 63, 64, 65, 255, 256, 257, 1023, 1024, 1025, 4097]
const INFINITY = Number.POSITIVE_INFINITY

/** All numbers of a row, and what a loss and its slopes are there. */
interface Truth {
  readonly values: Float64Array
  /** By the name of the gradient, one per element of the input. */
  readonly slopes: Readonly<Record<string, Float64Array>>
}

function truthOf({ definition }: DrawnLoss, arrays: readonly Float32Array[], options: Options): Truth {
  const formula = formulaOf(definition, options)
  const { inputs } = definition
  const rows = arrays[0].length / inputs[0].columns
  const numbers = (row: number) =>
    arrays.flatMap((array, k) => Array.from(array.subarray(row * inputs[k].columns, (row + 1) * inputs[k].columns)))
  const slopes: Record<string, Float64Array> = {}
  let first = 0
  for (const { columns, grad, gradName } of inputs) {
    if (grad) {
      const at = first
      slopes[gradName] = Float64Array.from({ length: rows * columns }, (_, i) => {
        const row = numbers(Math.floor(i / columns))
        const place = at + (i % columns)
        return derivative((x) => formula(row.with(place, x), row), row[place])
      })
    }
    first += columns
  }
  return { values: Float64Array.from({ length: rows }, (_, row) => formula(numbers(row))), slopes }
}

function agree(
  t: ExecutionContext,
  what: string,
  got: ArrayLike<number>,
  truth: (i: number) => number,
  unit: (i: number) => number,
): void {
  for (let i = 0; i < got.length; i++) {
    const expected = truth(i)
    if (Math.abs(got[i] - expected) <= 4e-6 * Math.max(Math.abs(expected), unit(i))) continue
    t.fail(`${what}: element ${i} is ${got[i]}, expected ${expected}`)
    return
  }
}

/** Results of the first platform for exact losses. */
const bits = new Map<string, Readonly<Record<string, unknown>>>()

function check(
  t: ExecutionContext,
  one: DrawnLoss,
  arrays: readonly Float32Array[],
  options: Options,
  title: string,
  truth: Truth,
): void {
  const { loss, definition } = one
  const { inputs } = definition
  const rows = truth.values.length
  const names = gradNames(definition)
  for (const reduction of ['mean', 'sum', 'none'] as const) {
    const what = `${title} ${reduction}`
    const upstream = Float32Array.from({ length: rows }, (_, i) => ((i * 7) % 11) / 4 - 1)
    const gradOutput = reduction === 'none' ? upstream : -1.5
    const buffers = Object.fromEntries(
      names.map((name) => {
        const { columns } = inputs.find(({ gradName }) => gradName === name)!
        return [name, guarded(new Float32Array(rows * columns).fill(77), 1)]
      }),
    )
    const first = inputs.findIndex(({ gradName }) => gradName === 'grad')
    const grad = guarded(new Float32Array(arrays[first].length).fill(77), 2)
    const given = arrays.map((array, k) => guarded(array, k))
    const all = { ...options, reduction, gradOutput, grad, ...buffers }
    const both = loss.valueAndGrad(...given, all)
    t.true(sameValue(loss(...given, { ...options, reduction }), both.value), `${what}: the call gives another value`)
    t.is(both.grad, grad)
    for (const [name, buffer] of Object.entries({ grad, ...buffers })) {
      t.is(both[name], buffer)
      t.true(intact(buffer), `${what}: wrote outside`)
    }
    given.forEach((array, k) => {
      t.true(sameBits(array, arrays[k]) && intact(array), `${what}: wrote to an input`)
    })
    const over = guarded(arrays[first], 3)
    loss.backward(...given.with(first, over), { ...options, reduction, gradOutput, grad: over })
    t.true(sameBits(over, grad) && intact(over), `${what}: in place differs`)

    const denominator = reduction === 'mean' ? rows : 1
    const factor = (row: number) => (rows === 0 ? 0 : (reduction === 'none' ? upstream[row] : -1.5) / denominator)
    const size = (row: number) =>
      Math.max(1, ...arrays.flatMap((array, k) => Math.abs(array[row * inputs[k].columns]))) +
      Math.abs(truth.values[row])
    for (const { columns, grad: hasGrad, gradName } of inputs) {
      if (!hasGrad) continue
      const got = both[gradName] as Float32Array
      const rowOf = (i: number) => Math.floor(i / columns)
      const expected = (i: number) => factor(rowOf(i)) * truth.slopes[gradName][i]
      // Of slopes that are differences of nearly equal numbers these are as large as arguments and value.
      agree(t, `${what} ${gradName}`, got, expected, (i) => size(rowOf(i)) * Math.abs(factor(rowOf(i))))
    }
    if (reduction === 'none') agree(t, what, both.value as Float32Array, (i) => truth.values[i], size)
    else if (rows === 0) t.is(both.value, reduction === 'mean' ? Number.NaN : 0)
    else {
      const sum = truth.values.reduce((a, b) => a + b, 0)
      const terms = truth.values.reduce((a, b, row) => a + Math.abs(b) + size(row), 0)
      t.true(Math.abs((both.value as number) * denominator - sum) <= 2e-6 * terms, `${what}: ${both.value}`)
    }
    if (!isExact(one, options)) continue
    const { denominator: _, ...results } = both
    const copies = Object.fromEntries(
      Object.entries(results).map(([name, value]) => [name, value instanceof Float32Array ? value.slice() : value]),
    )
    const before = bits.get(what)
    if (before === undefined) bits.set(what, copies)
    else t.deepEqual(copies, before, `${what}: other bits than on ${platforms[0].name}`)
  }
}

const isExact = ({ definition: { programs, inputs, params } }: DrawnLoss, options: Options): boolean => {
  const values = params.map((param) =>
    options[param.name] === undefined ? param.default : param.numberOf(options[param.name]),
  )
  const grads = inputs.flatMap(({ grad }, k) => (grad ? [k] : []))
  return programs.of({ kind: 'raw', grads, value: true, inPlace: false }, values)!.program.exact
}

for (const one of drawnLosses) {
  const { name, definition, form, loss } = one
  const random = generator(name.length)
  // The same numbers on all platforms.
  const plain = LENGTHS.map((rows) => argumentsOf(form, [rows], random) as Float32Array[])
  const sampled = argumentsOf(form, [70], random) as Float32Array[]
  const combinations = combinationsOf(definition)
  // And the same truth.
  const plainTruth = once((arrays: readonly Float32Array[]) => truthOf(one, arrays, {}))
  const sampledTruth = once((options: Options) => truthOf(one, sampled, options))

  test(`${name}: there is room for all its programs, whatever its constants are`, (t) => {
    t.notThrows(() => checkExpression(definition))
    t.is(definition.draws.length, definition.inputs.length)
  })

  everywhere(`${name}: its formula in double precision, and differences of that`, (t) => {
    for (const arrays of plain) check(t, one, arrays, {}, `${name} n=${arrays[0].length}`, plainTruth(arrays))
    for (const options of combinations) {
      check(t, one, sampled, options, `${name} ${JSON.stringify(options)}`, sampledTruth(options))
    }
  })

  everywhere(`${name}: weights, masks, samples and sums`, (t) => {
    const shape = [7, 10]
    const weight = Float32Array.from({ length: 70 }, () => 2 * random())
    const sampleWeight = Float32Array.from({ length: 7 }, () => 2 * random())
    const mask = Uint8Array.from({ length: 70 }, (_, i) => Number(i % 3 !== 1))
    const names = Object.fromEntries(gradNames(definition).map((name) => [name, true]))
    for (const options of samplesOf(definition)) {
      const bare = loss.valueAndGrad(...sampled, { ...options, ...names, reduction: 'none' })
      const values = bare.value as Float32Array
      const factors = values.map((_, i) => weight[i] * sampleWeight[Math.floor(i / 10)] * mask[i])
      const all = { ...options, shape, weight, sampleWeight, mask }
      const got = loss.valueAndGrad(...sampled, { ...all, ...names })
      const count = mask.reduce((a, b) => a + b, 0)
      t.is(got.denominator, count)
      const sum = values.reduce((a, v, i) => a + v * factors[i], 0)
      const terms = values.reduce((a, v, i) => a + Math.abs(v) * factors[i], 0)
      t.true(Math.abs((got.value as number) * count - sum) <= 1e-6 * terms, `${name}: ${got.value}`)
      const { inputs } = definition
      for (const { grad, gradName, columns } of inputs) {
        if (!grad) continue
        const slopes = bare[gradName] as Float32Array
        const expected = slopes.map((g, i) => (g * factors[Math.floor(i / columns)]) / count)
        const largest = expected.reduce((a, g) => Math.max(a, Math.abs(g)), 0)
        agree(
          t,
          `${name} ${gradName}`,
          got[gradName] as Float32Array,
          (i) => expected[i],
          () => 1e-2 * largest,
        )
      }
      const by = loss.valueAndGrad(...sampled, { ...all, meanBy: 'weight' })
      const total = factors.reduce((a, f) => a + f, 0)
      t.true(Math.abs((by.denominator as number) - total) <= 1e-5 * total)
      t.true(Math.abs((by.value as number) * total - sum) <= 1e-5 * terms)
      // What is masked may hold anything.
      const poisoned = sampled.map((array, k) => {
        const { columns } = inputs[k]
        return array.map((x, i) => (mask[Math.floor(i / columns)] === 0 ? [Number.NaN, -INFINITY][i % 2] : x))
      })
      t.deepEqual(loss.valueAndGrad(...poisoned, { ...all, ...names, validate: true }), got, `${name} masked`)
      // A gradient that is added.
      const first = inputs.find(({ gradName }) => gradName === 'grad')!
      const grad = new Float32Array(70 * first.columns).fill(1)
      loss.backward(...sampled, { ...all, grad, accumulate: true })
      grad.forEach((g, i) => {
        t.true(Math.abs(g - 1 - got.grad[i]) <= 2e-7 * Math.max(1, Math.abs(got.grad[i])), name)
      })
    }
  })

  everywhere(`${name}: NaN reaches the value and the gradient of its row, and changes no other`, (t) => {
    const { inputs } = definition
    for (const options of combinationsOf(definition)) {
      const clean = loss.valueAndGrad(...sampled, { ...options, reduction: 'none' })
      inputs.forEach(({ columns, signs, name: input }, k) => {
        if (signs === 'hard' || signs === 'soft') return
        const arrays = sampled.with(
          k,
          sampled[k].map((x, i) => (i === 20 * columns ? Number.NaN : x)),
        )
        const { value, grad } = loss.valueAndGrad(...arrays, { ...options, reduction: 'none' })
        const own = inputs.find(({ gradName }) => gradName === 'grad')!
        const what = `${name} ${JSON.stringify(options)} ${input}`
        t.is((value as Float32Array)[20], Number.NaN, what)
        const slopes = Array.from(grad.subarray(20 * own.columns, 21 * own.columns))
        t.true(slopes.some(Number.isNaN), `${what}: ${slopes}`)
        t.true((value as Float32Array).every((v, i) => i === 20 || Object.is(v, (clean.value as Float32Array)[i])))
        t.true(grad.every((g, i) => Math.floor(i / own.columns) === 20 || Object.is(g, clean.grad[i])))
        t.throws(() => loss(...arrays, { ...options, validate: true }), {
          instanceOf: RangeError,
          message: new RegExp(`^${name}: ${input}\\[${20 * columns}\\] must be a number, got NaN`),
        })
      })
    }
  })

  if (!definition.inputs.some(({ ranges }) => ranges.length > 0)) continue
  everywhere(`${name}: numbers outside of a range are refused, and nothing is written`, (t) => {
    const { inputs, params } = definition
    for (const options of combinationsOf(definition)) {
      const values = Object.fromEntries(params.map((one) => [one.name, options[one.name] ?? one.optionOf(one.default)]))
      inputs.forEach(({ ranges, columns, name: input }, k) => {
        for (const { low, high, expected, validate, when } of ranges) {
          if (!when(values)) continue
          const bad = [low > -INFINITY ? low - 1 : undefined, high < INFINITY ? high + 1 : undefined, -INFINITY]
          for (const number of bad) {
            if (number === undefined || (number >= low && number <= high)) continue
            // A row with NaN before it is looked past.
            const arrays = sampled.with(
              k,
              sampled[k].map((x, i) => (i === 33 * columns ? number : i === 12 * columns ? Number.NaN : x)),
            )
            const grad = new Float32Array(70 * inputs[0].columns).fill(77)
            const words = expected.replace(/[[\]()]/g, '\\$&')
            const error = {
              instanceOf: RangeError,
              message: new RegExp(`^${name}: ${input}\\[${33 * columns}\\] must be ${words}`),
            }
            if (validate) t.notThrows(() => loss(...arrays, options))
            else t.throws(() => loss.valueAndGrad(...arrays, { ...options, grad }), error)
            t.true(validate || grad.every((g) => g === 77))
            const mask = Uint8Array.from({ length: 70 }, (_, i) => Number(i !== 33))
            t.notThrows(() => loss(...arrays, { ...options, mask }))
          }
        }
      })
    }
  })
}
