/** Programs are sound: they read what was written, and may have their gradients over their inputs. */

import test from 'ava'
import fc from 'fast-check'
import { type Compiled, compile, type Wanted } from '../../ts/expression/compile.js'
import * as e from '../../ts/expression/index.js'
import { inputNode, type Value } from '../../ts/expression/node.js'
import { evaluateUniforms } from '../../ts/expression/uniforms.js'
import { filled, generator, sameBits } from '../data.js'
import { allSteps, exactSteps, INPUTS, type Recipe, recipes, type Step } from './random.js'
import { simulate } from './simulate.js'

/** One input in three is rows, of four columns or of two. */
const specs = [e.input, e.rows(4), e.rows(2)]

/** An expression of all columns of some inputs. */
function trace(steps: readonly Step[], recipe: Recipe, widths: readonly number[]): () => Value {
  return () => {
    const leaves = widths.flatMap((width, k) =>
      width === 1 ? [inputNode(k)] : Array.from({ length: width }, (_, column) => inputNode(k, column)),
    )
    const pool: Value[] = [...leaves, e.mul(leaves[0], 0.5)]
    for (const [step, ...four] of recipe) {
      const [a, b, c, d] = four.map((i) => pool[i % pool.length])
      pool.push(steps[step].node(a, b, c, d))
    }
    return leaves.reduce<Value>((sum, leaf, k) => e.add(sum, e.mul(k - 1.5, leaf)), pool[pool.length - 1])
  }
}

/** A program that writes into arrays of its own, or over its inputs. */
function run({ program, uniforms }: Compiled, inputs: readonly Float32Array[], over: readonly number[] | undefined) {
  const own = inputs.map((input) => input.slice())
  const rows = own[0].length / program.inputs[0]
  const outputs = program.outputs.map((width, k) =>
    over === undefined ? new Float32Array(rows * width) : own[over[k]],
  )
  const values = simulate(program, evaluateUniforms(uniforms, [], 0.25).values, own, outputs, rows)
  return { outputs, values }
}

for (const [what, steps] of [
  ['random programs', allSteps],
  ['random exact programs', exactSteps],
] as const) {
  test(what, (t) => {
    const kinds = fc.array(fc.constantFrom(0, 0, 1, 2), { minLength: INPUTS, maxLength: INPUTS })
    t.notThrows(() =>
      fc.assert(
        fc.property(recipes(steps), kinds, fc.nat(), (recipe, kinds, seed) => {
          const inputs = kinds.map((kind) => specs[kind])
          const widths = inputs.map(({ columns }) => columns)
          const random = generator(seed)
          const rows = 30
          const arrays = widths.map((width) => filled(rows * width, () => 4 * random() - 2))
          const all = [0, 1, 2]
          const of = (wanted: Partial<Wanted>) =>
            compile('random', trace(steps, recipe, widths), inputs, {
              kind: 'plain',
              grads: all,
              value: true,
              inPlace: false,
              ...wanted,
            })
          const plain = run(of({}), arrays, undefined)
          if (plain.values === undefined) throw new Error('there is no value')
          const inPlace = run(of({ inPlace: true }), arrays, all)
          if (!sameBits(plain.values, inPlace.values!)) throw new Error('other values in place')
          for (const k of all)
            if (!sameBits(plain.outputs[k], inPlace.outputs[k])) throw new Error(`gradient ${k} in place`)
          // Any gradients, and no value.
          for (const grads of [[0], [1], [2], [0, 2]]) {
            const some = run(of({ grads, value: false, inPlace: true }), arrays, grads)
            if (some.values !== undefined) throw new Error('there is a value')
            for (const [i, k] of grads.entries()) {
              if (!sameBits(plain.outputs[k], some.outputs[i])) throw new Error(`gradient ${k} of ${grads}`)
            }
          }
          const value = run(of({ grads: [] }), arrays, undefined)
          if (!sameBits(plain.values, value.values!)) throw new Error('other values alone')
          // The columns of all gradients, then the values. Of close programs other operations are put together there.
          if (steps !== exactSteps) return
          const raw = of({ kind: 'raw' })
          const { outputs } = run(raw, arrays, undefined)
          if (!raw.program.outputs.every((width) => width === 1)) throw new Error('outputs of more columns')
          if (!sameBits(plain.values, outputs[outputs.length - 1])) throw new Error('other values in raw')
          const columns = widths.flatMap((width, k) =>
            Array.from({ length: width }, (_, column) => plain.outputs[k].filter((_, i) => i % width === column)),
          )
          const zeros = (array: Float32Array) => array.map((x) => x + 0)
          columns.forEach((column, k) => {
            if (!sameBits(zeros(column), zeros(outputs[k].map((x) => x * 0.25)))) throw new Error(`column ${k} in raw`)
          })
        }),
        { numRuns: 200, includeErrorInReport: true },
      ),
    )
  })
}
