/** What holds for any input, by random search. */

import test from 'ava'
import fc from 'fast-check'
import type { Param, PointwiseDefinition, SoftmaxDefinition, WordParam } from '../ts/definition.js'
import { type Definition, definitionOf } from '../ts/definitions.js'
import type { Loss } from '../ts/family/loss.js'
import * as library from '../ts/index.js'
import { platforms } from './platforms.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, object>

/** Any finite numbers, the extreme ones more often than their share. */
const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
const extreme = fc.constantFrom(0, -0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38, 88.8, -104, 1e4)
const score = fc.oneof(finite, extreme, fc.float({ min: -30, max: 30, noNaN: true }))
const probability = fc.oneof(fc.constantFrom(0, 1, 1e-45), fc.float({ min: 0, max: 1, noNaN: true }))
const values = { real: score, probability, logProbability: score.map((x) => -Math.abs(x)) }

interface Call {
  readonly input: Float32Array
  readonly target: Float32Array | Int32Array
  readonly options: Readonly<Record<string, unknown>>
}

/** One of the values that tests try for each scalar parameter. */
function parameters(params: Readonly<Record<string, Param | WordParam>>): fc.Arbitrary<Record<string, unknown>> {
  const choices = Object.entries(params).flatMap(([name, param]) => {
    if ('words' in param) return [[name, fc.constantFrom<unknown>(...Object.keys(param.words))] as const]
    if (!('samples' in param)) return []
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
        input: Float32Array.from(pairs, ([x]) => x),
        target: Float32Array.from(pairs, ([, t]) => t),
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
      input: call.scores,
      target: kind === 'teacher' || (kind === 'scores' && call.soft) ? call.others : call.labels,
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
        input: call.scores,
        target: call.soft ? call.others : call.labels,
        options: { ...call.options, ...params, ...switches, ...(choice && { activation }) },
      })),
  )
}

function callsOf(definition: Definition): fc.Arbitrary<Call> | undefined {
  switch (definition.family) {
    case 'pointwise':
      return pointwiseCalls(definition)
    case 'softmax':
      return softmaxCalls(definition)
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
  const anyLoss = loss as unknown as AnyLoss
  for (const platform of platforms) {
    test.serial(`gradients of ${definition.name} are finite for finite input on ${platform.name}`, (t) => {
      platform.activate()
      fc.assert(
        fc.property(calls, ({ input, target, options }) => {
          const { value, grad } = anyLoss.valueAndGrad(input, target, options)
          const moderate = [...input, ...target].every((x) => Math.abs(x) <= MODERATE)
          return !Number.isNaN(value) && grad.every((g) => (moderate ? Number.isFinite(g) : !Number.isNaN(g)))
        }),
        { numRuns: 300 },
      )
      t.pass()
    })
  }
}
