/** What holds for any input, by random search. */

import test from 'ava'
import fc from 'fast-check'
import type { EmbeddingDefinition, Param, PointwiseDefinition, SoftmaxDefinition, WordParam } from '../ts/definition.js'
import { type Definition, definitionOf } from '../ts/definitions.js'
import * as library from '../ts/index.js'
import { loose } from './everywhere.js'
import { platforms } from './platforms.js'

type Numbers = Float32Array | Int32Array

/** Any finite numbers, the extreme ones more often than their share. */
const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
const extreme = fc.constantFrom(0, -0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38, 88.8, -104, 1e4)
const score = fc.oneof(finite, extreme, fc.float({ min: -30, max: 30, noNaN: true }))
const probability = fc.oneof(fc.constantFrom(0, 1, 1e-45), fc.float({ min: 0, max: 1, noNaN: true }))
const values = { real: score, probability, logProbability: score.map((x) => -Math.abs(x)) }

interface Call {
  readonly arrays: readonly Numbers[]
  /** Numbers nearer to 0, but not 0, have gradients beyond single precision. */
  readonly least?: number
  readonly options: Readonly<Record<string, unknown>>
}

/** One of the values that tests try for each scalar parameter. */
function parameters(params: Readonly<Record<string, Param | WordParam>>): fc.Arbitrary<Record<string, unknown>> {
  const choices = Object.entries(params).flatMap(([name, param]) => {
    if ('words' in param) return [[name, fc.constantFrom<unknown>(...Object.keys(param.words))] as const]
    // What says what targets are has calls of its own.
    if (!('samples' in param)) return 'target' in param ? [] : [[name, fc.boolean() as fc.Arbitrary<unknown>] as const]
    return [
      [name, fc.constantFrom<unknown>(...param.samples.map((value) => (value === param.none ? null : value)))] as const,
    ]
  })
  return fc.record(Object.fromEntries(choices), { requiredKeys: [] })
}

/** With the defaults, and with each option that says what targets are. */
function pointwiseCalls({ domain, params }: PointwiseDefinition): fc.Arbitrary<Call> {
  const flags = Object.entries(params).flatMap(([name, param]) =>
    'target' in param ? [[name, param.target!] as const] : [],
  )
  const calls = [[undefined, domain.target] as const, ...flags].map(([flag, target]) =>
    fc.array(fc.tuple(values[domain.input], values[target]), { minLength: 1 }).chain((pairs) =>
      parameters(params).map((options) => ({
        arrays: [Float32Array.from(pairs, ([x]) => x), Float32Array.from(pairs, ([, t]) => t)],
        options: flag === undefined ? options : { ...options, [flag]: true },
      })),
    ),
  )
  return fc.oneof(...calls)
}

/** Scores of some positions in either layout, with labels and a value per score. */
const scored = (input: fc.Arbitrary<number>, classes = 1) =>
  fc
    .tuple(fc.integer({ min: classes, max: 40 }), fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, -1))
    .chain((shape) => {
      const [classes, positions, classAxis] = shape
      const length = { minLength: classes * positions, maxLength: classes * positions }
      return fc.record({
        options: fc.constant({
          shape: classAxis === 1 ? [1, classes, positions] : [1, positions, classes],
          classAxis,
        }),
        scores: fc.array(input, length).map((scores) => Float32Array.from(scores)),
        labels: fc
          .array(fc.nat(classes - 1), { minLength: positions, maxLength: positions })
          .map((labels) => Int32Array.from(labels)),
        others: fc.array(probability, length).map((others) => Float32Array.from(others)),
        soft: fc.boolean(),
      })
    })

function softmaxCalls({ kind, params }: SoftmaxDefinition): fc.Arbitrary<Call> {
  const own = fc.record({ labelSmoothing: fc.constantFrom(0, 0.1, 1), temperature: fc.constantFrom(0.5, 1, 3) })
  const teacher = fc.record({ temperature: fc.constantFrom(0.5, 1, 3) })
  const options = { scores: own, logProbabilities: fc.constant({}), teacher }[kind]
  return fc
    .tuple(scored(kind === 'logProbabilities' ? values.logProbability : score), options, parameters(params))
    .map(([call, options, params]) => ({
      arrays: [call.scores, kind === 'teacher' || (kind === 'scores' && call.soft) ? call.others : call.labels],
      options: { ...call.options, ...options, ...params },
    }))
}

function regionCalls(
  params: Readonly<Record<string, Param | WordParam>>,
  activations: readonly string[],
  choice: boolean,
): fc.Arbitrary<Call> {
  const switches = fc.record({ batch: fc.boolean(), squaredPred: fc.boolean() }, { requiredKeys: [] })
  return fc.constantFrom(...activations).chain((activation) =>
    fc
      .tuple(
        scored(activation === 'none' ? probability : score, activation === 'softmax' ? 2 : 1),
        parameters(params),
        switches,
      )
      .map(([call, params, switches]) => ({
        arrays: [call.scores, call.soft ? call.others : call.labels],
        options: { ...call.options, ...params, ...switches, ...(choice && { activation }) },
      })),
  )
}

/** Rows of any numbers, with labels where the loss has them, and all gradients. */
function embeddingCalls({ rows: names, signs, params }: EmbeddingDefinition): fc.Arbitrary<Call> {
  const asked = Object.fromEntries(names.slice(1).map((name) => [`${name}Grad`, true]))
  return fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 20 })).chain(([count, size]) => {
    const numbers = fc.array(score, { minLength: count * size, maxLength: count * size })
    const labels = fc.array(fc.constantFrom(-1, 1), { minLength: count, maxLength: count })
    const arrays = [...names.map(() => numbers), ...(signs ? [labels] : [])]
    return fc.tuple(fc.tuple(...arrays), parameters(params)).map(([arrays, options]) => ({
      arrays: arrays.map((array) => Float32Array.from(array)),
      options: { ...options, ...asked, shape: [count, size] },
      // A direction changes the more the shorter the row is, where every row but 0 has one.
      least: options.eps === 0 ? 1 / MODERATE : 0,
    }))
  })
}

function callsOf(definition: Definition): fc.Arbitrary<Call> | undefined {
  switch (definition.family) {
    case 'pointwise':
      return pointwiseCalls(definition)
    case 'softmax':
      return softmaxCalls(definition)
    case 'embedding':
      return embeddingCalls(definition)
    case 'region':
      return regionCalls(definition.params, ['none', 'sigmoid', 'softmax'], true).map((call) => {
        const { squaredPred, ...options } = call.options
        return definition.squared ? call : { ...call, options }
      })
    case 'compound': {
      const activations = Object.keys(definition.parts)
      return regionCalls({}, activations, activations.length > 1)
    }
    default:
      return undefined
  }
}

/** Gradients of such scores are within single precision, whatever the loss. */
const MODERATE = 1e30

for (const loss of Object.values(library)) {
  const definition = definitionOf(loss)
  const calls = definition && callsOf(definition)
  if (definition === undefined || calls === undefined) continue
  const own = loose(loss)
  for (const platform of platforms) {
    test.serial(`gradients of ${definition.name} are finite for finite input on ${platform.name}`, (t) => {
      platform.activate()
      fc.assert(
        fc.property(calls, ({ arrays, options, least = 0 }) => {
          const { value, ...others } = own.valueAndGrad(...arrays, options)
          const grads = Object.values(others).filter((own): own is Float32Array => own instanceof Float32Array)
          const moderate = arrays.every((array) =>
            array.every((x) => x === 0 || (Math.abs(x) >= least && Math.abs(x) <= MODERATE)),
          )
          const holds = (g: number) => (moderate ? Number.isFinite(g) : !Number.isNaN(g))
          return !Number.isNaN(value) && grads.length > 0 && grads.every((grad) => grad.every(holds))
        }),
        { numRuns: 300 },
      )
      t.pass()
    })
  }
}
