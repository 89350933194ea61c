/** What holds for any input, by random search. */

import test from 'ava'
import fc from 'fast-check'
import { definitionOf, type Loss } from '../ts/family/loss.js'
import type { PointwiseDefinition } from '../ts/family/pointwise.js'
import * as library from '../ts/index.js'
import { platforms } from './platforms.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, object>

/** Any finite numbers, the extreme ones more often than their share. */
const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
const extreme = fc.constantFrom(0, -0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38, 88.8, -104, 1e4)
const score = fc.oneof(finite, extreme, fc.float({ min: -30, max: 30, noNaN: true }))
const probability = fc.oneof(fc.constantFrom(0, 1, 1e-45), fc.float({ min: 0, max: 1, noNaN: true }))
const values = { real: score, probability, logProbability: score.map((x) => -Math.abs(x)) }

/** Arguments of a pointwise loss: with its defaults, and with each option that says what targets are. */
function pointwiseCalls({ domain, params }: PointwiseDefinition) {
  const flags = Object.entries(params).flatMap(([name, param]) =>
    'target' in param ? [[name, param.target] as const] : [],
  )
  return [[undefined, domain.target] as const, ...flags].map(([flag, target]) =>
    fc.array(fc.tuple(values[domain.input], values[target]), { minLength: 1 }).map((pairs) => ({
      input: Float32Array.from(pairs, ([x]) => x),
      target: Float32Array.from(pairs, ([, t]) => t),
      options: flag === undefined ? {} : { [flag]: true },
    })),
  )
}

for (const loss of Object.values(library)) {
  const definition = definitionOf(loss)
  if (definition === undefined) continue
  const anyLoss = loss as unknown as AnyLoss
  const calls =
    definition.family === 'pointwise'
      ? fc.oneof(...pointwiseCalls(definition))
      : fc
          .integer({ min: 1, max: 40 })
          .chain((classes) =>
            fc.array(fc.tuple(fc.nat(classes - 1), fc.array(score, { minLength: classes, maxLength: classes })), {
              minLength: 1,
              maxLength: 20,
            }),
          )
          .map((rows) => ({
            input: Float32Array.from(rows.flatMap(([, scores]) => scores)),
            target: Int32Array.from(rows, ([label]) => label),
            options: {},
          }))

  for (const platform of platforms) {
    test.serial(`no gradient of ${definition.name} is NaN for finite input on ${platform.name}`, (t) => {
      platform.activate()
      fc.assert(
        fc.property(calls, ({ input, target, options }) => {
          const { value, grad } = anyLoss.valueAndGrad(input, target, options)
          return !Number.isNaN(value) && !grad.some(Number.isNaN)
        }),
        { numRuns: 300 },
      )
      t.pass()
    })
  }
}
