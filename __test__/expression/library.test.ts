/** Losses of the library that are expressions: value and every gradient against formulas in double precision, and their edges. */

import test from 'ava'
import * as library from '../../ts/index.js'
import { filled, generator } from '../data.js'
import { platforms } from '../platforms.js'
import { type LibraryCase, libraryCases } from './library.js'
import { type AnyLoss, loosely } from './losses.js'

const ROWS = 1500
const ULP = 2 ** -23

/** Arrays of the inputs of some rows. */
function drawn({ columns, draw }: LibraryCase, options: Readonly<Record<string, unknown>>, seed: number) {
  const random = generator(seed)
  const rows = Array.from({ length: ROWS }, () => draw(random, options).map(Math.fround))
  let first = 0
  const arrays = columns.map((width) => {
    const from = first
    first += width
    return Float32Array.from(rows.flatMap((numbers) => numbers.slice(from, from + width)))
  })
  return { rows, arrays }
}

/** The worst error of an array in what is allowed. */
function worst(got: ArrayLike<number>, expected: readonly number[], { ulps, cancelled = 0 }: LibraryCase): string {
  let most = 0
  let where = ''
  expected.forEach((e, i) => {
    const error = Math.abs(got[i] - e) / (ulps * ULP * Math.abs(e) + cancelled + 2 ** -140)
    if (error <= most) return
    most = error
    where = `${error.toFixed(2)} of what is allowed at ${i}: ${got[i]}, not ${e}`
  })
  return most <= 1 ? '' : where
}

for (const platform of platforms) {
  for (const one of libraryCases) {
    test(`${platform.name}: ${one.loss.name} is its formula`, (t) => {
      platform.activate()
      for (const [seed, options] of one.options.entries()) {
        const { rows, arrays } = drawn(one, options, seed + 1)
        const upstream = filled(ROWS, (i) => ((i * 7) % 5) - 1.5)
        const asked = Object.fromEntries(one.gradNames.flatMap((name) => (name === undefined ? [] : [[name, true]])))
        const expected = rows.map((numbers) => one.row(numbers, options))
        const text = JSON.stringify(options)
        const result = one.loss.valueAndGrad(...arrays, { ...options, reduction: 'none', ...asked })
        t.is(
          worst(
            result.value as Float32Array,
            expected.map(([value]) => value),
            one,
          ),
          '',
          `value ${text}`,
        )
        let first = 0
        for (const [k, width] of one.columns.entries()) {
          const name = k === 0 ? 'grad' : one.gradNames[k]
          const from = first
          first += width
          if (name === undefined) continue
          const slopes = expected.flatMap(([, all]) => all.slice(from, from + width))
          t.is(worst(result[name] as Float32Array, slopes, one), '', `${name} ${text}`)
        }
        // An upstream gradient per row, and the factor of a mean.
        const scaled = one.loss.backward(...arrays, { ...options, reduction: 'none', gradOutput: upstream })
        const width = one.columns[0]
        const slopes = expected.flatMap(([, all], i) => all.slice(0, width).map((slope) => slope * upstream[i]))
        t.is(worst(scaled, slopes, { ...one, cancelled: 3.5 * (one.cancelled ?? 0) }), '', `backward ${text}`)
        const { value, grad } = one.loss.valueAndGrad(...arrays, options)
        const mean = expected.reduce((sum, [own]) => sum + own, 0) / ROWS
        t.true(Math.abs((value as number) - mean) <= 1e-6 * Math.abs(mean) + (one.cancelled ?? 0), `mean ${text}`)
        const means = expected.flatMap(([, all]) => all.slice(0, width).map((slope) => slope / ROWS))
        t.is(
          worst(grad, means, { ...one, ulps: one.ulps + 2, cancelled: (one.cancelled ?? 0) / ROWS }),
          '',
          `grad ${text}`,
        )
      }
    })
  }
}

for (const one of libraryCases) {
  test(`${one.loss.name}: the slopes of the formula are those of its value`, (t) => {
    for (const [seed, options] of one.options.entries()) {
      const random = generator(seed + 100)
      for (let i = 0; i < 200; i++) {
        const numbers = one.draw(random, options).map(Math.fround)
        const [value, slopes] = one.row(numbers, options)
        for (const [k, slope] of slopes.entries()) {
          const step = 1e-5 * Math.max(1e-2, Math.abs(numbers[k]))
          const at = (h: number) => one.row(numbers.with(k, numbers[k] + h), options, numbers)[0]
          const difference = (at(step) - at(-step)) / (2 * step)
          const error = Math.abs(difference - slope)
          t.true(
            error <= 1e-5 * (1 + Math.abs(slope) + Math.abs(value)),
            `${numbers} ${k}: ${slope}, not ${difference}`,
          )
        }
      }
    }
  })
}

test('cases are of all losses that are expressions', (t) => {
  const covered = new Set(libraryCases.map(({ loss }) => loss.name))
  const expressions = Object.values(library as Record<string, unknown>).filter(
    (loss) => typeof loss === 'function' && 'explain' in loss,
  )
  t.deepEqual(
    expressions.map((loss) => (loss as AnyLoss).name).filter((name) => !covered.has(name)),
    [],
  )
})

test('exact losses are those that say so', (t) => {
  for (const { loss, exact } of libraryCases) t.is(loss.explain().includes('exact:'), exact, loss.name)
})
void loosely
