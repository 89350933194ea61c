/** Values and gradients of losses that are expressions beside their formulas in double precision. */

import test from 'ava'
import { generator } from '../data.js'
import { platforms } from '../platforms.js'
import { argumentsOf, arraysOf, cases, gradNames, numbersOf } from './losses.js'

const ROWS = 1300

/** d(formula)/d(number k) by differences of fourth order; undefined at kinks, where the two sides differ. */
function slopeOf(formula: (...numbers: number[]) => number, numbers: readonly number[], k: number): number | undefined {
  const at = (step: number) => formula(...numbers.map((x, j) => (j === k ? x + step : x)))
  const h = 1e-4
  // As far to both sides as the differences reach.
  const [left, right] = [(at(0) - at(-2 * h)) / (2 * h), (at(2 * h) - at(0)) / (2 * h)]
  const slope = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
  return Math.abs(left - right) > 0.02 * (1 + Math.abs(slope)) ? undefined : slope
}

for (const { name, activate } of platforms) {
  for (const one of cases) {
    test.serial(`${one.loss.name} is its formula on ${name}`, (t) => {
      activate()
      const arrays = arraysOf(one, ROWS, generator(7))
      const names = gradNames(one, argumentsOf(one))
      const asked = Object.fromEntries(names.slice(1).map((grad) => [grad, true]))
      const { value } = one.loss.valueAndGrad(...arrays, { reduction: 'none', ...asked })
      const values = value as Float32Array
      const result = one.loss.valueAndGrad(...arrays, { reduction: 'sum', ...asked })
      let sum = 0
      let size = 0
      let compared = 0
      for (let row = 0; row < ROWS; row++) {
        const numbers = numbersOf(one, arrays, row)
        const expected = one.formula(...numbers)
        sum += expected
        size += Math.abs(expected)
        if (!(Math.abs(values[row] - expected) <= 2e-6 * (1 + Math.abs(expected)))) {
          t.fail(`row ${row} of ${numbers}: ${values[row]} for ${expected}`)
        }
        one.grads.forEach((input, g) => {
          const first = one.columns.slice(0, input).reduce((all, width) => all + width, 0)
          for (let column = 0; column < one.columns[input]; column++) {
            const slope = slopeOf(one.formula, numbers, first + column)
            if (slope === undefined) continue
            const got = (result[names[g]] as Float32Array)[row * one.columns[input] + column]
            compared++
            if (!(Math.abs(got - slope) <= 5e-6 * (1 + Math.abs(slope) + Math.abs(expected)))) {
              t.fail(`${names[g]} of row ${row} of ${numbers}: ${got} for ${slope}`)
            }
          }
        })
      }
      t.true(compared > ROWS / 2)
      t.true(Math.abs((result.value as number) - sum) <= 1e-6 * size)
      t.is(one.loss.explain().includes('exact:'), one.exact)
    })
  }
}
