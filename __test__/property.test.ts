/** What holds for any input, by random search. */

import test from 'ava'
import fc from 'fast-check'
import type { Range } from '../ts/definition.js'
import { type Argument, type Form, type Kind, lengthOf } from '../ts/family/draw.js'
import { losses } from './losses.js'
import { platforms } from './platforms.js'

/** Any finite numbers, the extreme ones more often than their share. */
const finite = fc.float({ noNaN: true, noDefaultInfinity: true })
const extreme = fc.constantFrom(
  ...[0, -0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38, 88.8, -104, 1e4, -1e4],
)
const score = fc.oneof(finite, extreme, fc.float({ min: -30, max: 30, noNaN: true }))
const probability = fc.oneof(fc.constantFrom(0, 1, 1e-45), fc.float({ min: 0, max: 1, noNaN: true }))

const numbers: Readonly<Record<Exclude<Kind, 'label'>, fc.Arbitrary<number>>> = {
  real: score,
  positive: score.map((x) => Math.max(Math.abs(x), 2 ** -149)),
  count: score.map((x) => Math.abs(x)),
  probability,
  logProbability: score.map((x) => -Math.abs(x)),
  sign: fc.constantFrom(-1, 1),
  box: fc.float({ min: -1000, max: 1000, noNaN: true }),
  // No gradient needs them to add up to 1.
  share: probability,
}

interface Call {
  readonly args: readonly (Float32Array | Int32Array)[]
  readonly options: Readonly<Record<string, unknown>>
}

/** The shape whose second axis is that of classes, if there is one, and options that say the shape of a call. */
function shapes({ axis, classes }: Form): fc.Arbitrary<[readonly number[], Call['options']]> {
  const length = fc.integer({ min: 1, max: 20 })
  if (axis === undefined) return length.map((n) => [[n], {}])
  if (axis === 'row') return fc.tuple(length, fc.integer({ min: 1, max: 40 })).map((shape) => [shape, { shape }])
  const [least, most] = classes!
  return fc
    .tuple(fc.integer({ min: least, max: Math.min(most, 40) }), length, fc.constantFrom(1, -1))
    .map(([count, positions, classAxis]) => {
      const shape = [1, count, positions]
      return [shape, { shape: classAxis === 1 ? shape : [1, positions, count], classAxis }]
    })
}

function argument(form: Form, { kind, extent, columns }: Argument, shape: readonly number[]) {
  const length = lengthOf(form, extent, shape) * columns
  const exactly = { minLength: length, maxLength: length }
  if (kind === 'label') return fc.array(fc.nat(shape[1] - 1), exactly).map((labels) => Int32Array.from(labels))
  return fc.array(numbers[kind], exactly).map((values) => Float32Array.from(values))
}

/** Whether a number is 0 or of such a size. */
const isWithin = (x: number, [low, high]: Range) => x === 0 || (Math.abs(x) >= low && Math.abs(x) <= high)

/** Names of the gradients after the first. */
function gradNames({ inputs }: Form): string[] {
  return inputs.flatMap(({ gradName = 'grad' }) => (gradName === 'grad' ? [] : [gradName]))
}

/** Calls of a form for all gradients, with any of its options. */
function calls(form: Form): fc.Arbitrary<Call> {
  const { classAxis, ...choices } = form.choices
  const options = fc.record(
    Object.fromEntries(Object.entries(choices).map(([name, values]) => [name, fc.constantFrom(...values)])),
    { requiredKeys: [] },
  )
  const grads = Object.fromEntries(gradNames(form).map((name) => [name, true]))
  // By default the mean, of whatever kind.
  const reductions = [undefined, 'sum', ...(form.values === undefined ? [] : ['none'])]
  return shapes(form).chain(([shape, ofShape]) =>
    fc
      .tuple(
        fc.tuple(...form.inputs.map((input) => argument(form, input, shape))),
        options,
        fc.constantFrom(...reductions),
      )
      .map(([args, options, reduction]) => ({
        args,
        // The mean over nothing is NaN: it is no number that came from the input.
        options: { ...ofShape, ...form.options, ...options, ...grads, reduction, emptyMean: 'zero' },
      })),
  )
}

for (const { name, loss, definition, drawing, forms } of losses) {
  const bounds = drawing.bounds?.(definition)
  const any = fc.oneof(...forms.map(calls))
  const title = bounds
    ? `gradients of ${name} are finite for finite input`
    : `${name}: no gradient is NaN for finite input`
  for (const platform of platforms) {
    test.serial(`${title} on ${platform.name}`, (t) => {
      platform.activate()
      fc.assert(
        fc.property(any, ({ args, options }) => {
          const { value, grad, ...others } = loss.valueAndGrad(...args, options)
          const isModerate = bounds && args.every((array) => array.every((x) => isWithin(x, bounds)))
          const holds = isModerate ? Number.isFinite : (x: number) => !Number.isNaN(x)
          // Where the value of a bounded loss is infinite, its gradient by a distribution may have 0 times that.
          const isChecked = bounds === undefined || isModerate
          const more = Object.values(others).filter((result) => isChecked && result instanceof Float32Array)
          const grads = [grad, ...more] as readonly Float32Array[]
          const values = typeof value === 'number' ? [value] : Array.from(value as Float32Array)
          return grads.every((grad) => grad.every(holds)) && (!bounds || !values.some(Number.isNaN))
        }),
        { numRuns: 300 },
      )
      t.pass()
    })
  }
}
