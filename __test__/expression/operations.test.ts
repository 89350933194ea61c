/** The loops of the TypeScript interpreter do what the formulas of the operations say. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { LOOPS, type Machine } from '../../ts/expression/loops.js'
import { COLUMNS, LOGISTIC, NAMES, OPERATIONS, type OperationName, SUMS } from '../../ts/expression/operations.js'
import { generator, normal, sameBits } from '../data.js'
import { root } from '../examples.js'

test('the loops are those that the script writes', async (t) => {
  const { loopsOf } = await import(new URL('../../../scripts/loops.mjs', import.meta.url).href)
  const file = readFileSync(join(root, 'ts', 'expression', 'loops.ts'), 'utf8')
  t.true(file === loopsOf(OPERATIONS), 'npx tsc && node scripts/loops.mjs writes it')
})

const special = [0, -0, 1, -1, 0.5, 1e-45, -1e-45, 1e-38, 3e38, -3e38, 88, -104, Infinity, -Infinity, Number.NaN]
const COUNT = 700

for (const [name, { operands, formula, exact }] of Object.entries(OPERATIONS)) {
  test(`the loop of ${name} is its formula`, (t) => {
    const random = generator(name.length)
    const draw = () => (random() < 0.5 ? special[Math.floor(random() * special.length)] : normal(random, 3))
    const inputs = Array.from({ length: 5 }, () => Float32Array.from({ length: COUNT + 9 }, draw))
    // Equal operands too, for comparisons.
    for (let i = 0; i < COUNT; i += 5) inputs[1][i + 2] = inputs[0][i + 1]
    const run = (d: number) => {
      const floats = [...inputs.map((input) => input.slice()), new Float32Array(COUNT + 9)]
      const machine: Machine = {
        floats,
        ints: floats.map((array) => new Int32Array(array.buffer)),
        at: [1, 2, 3, 4, 5, 6],
      }
      if (d < 5) machine.at[5] = machine.at[d]
      LOOPS[name as OperationName](machine, { d, a: 0, b: 1, c: 2, e: 3, f: 4 }, COUNT)
      return floats[d].subarray(machine.at[d], machine.at[d] + COUNT)
    }
    const expected = Float32Array.from({ length: COUNT }, (_, i) => {
      const at = (k: number) => inputs[k][k + 1 + i]
      return formula(Math.fround, at(0), at(1), at(2), at(3), at(4))
    })
    t.true(sameBits(run(5), expected))
    // Over each of its operands.
    for (let d = 0; d < operands; d++) t.true(sameBits(run(d), expected), `over operand ${d}`)
    t.is(typeof exact, 'boolean')
  })
}

test('every operation has a number of its own', (t) => {
  const all = [OPERATIONS, SUMS, LOGISTIC, COLUMNS].flatMap((table) => Object.values(table).map(({ code }) => code))
  t.is(new Set(all).size, all.length)
  t.is(NAMES.size, all.length)
  t.true(all.every((code) => Number.isInteger(code) && code >= 0 && code < 256))
})
