/**
 * Options and tensors that run code while they are read, which takes the memory of other arrays of the call: a call with them is the
 * same, to the word of an error, as one that comes after that code. On every platform.
 */

import { isDeepStrictEqual } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import fc from 'fast-check'
import { type Extent, type Form, lengthOf, positionsOf } from '../ts/family/draw.js'
import { optionsOf } from '../ts/family/inside.js'
import * as library from '../ts/index.js'
import { generator } from './data.js'
import { argumentsOf } from './drawn.js'
import { everywhere, type Loose, loose } from './everywhere.js'
import { losses as described, fits, type LibraryLoss } from './losses.js'
import { platforms } from './platforms.js'

type Options = Record<string, unknown>

/** A call of 12 scores: 2 samples of 3 classes at 2 positions. */
interface Call {
  /** The arguments before the options, by name. */
  args: Readonly<Record<string, unknown>>
  options: Options
}

const SCORES = 12
const shape = [2, 3, 2]

/** Memory that can be resized, so that its array can be both detached and cut. */
function resizable<A extends Float32Array | Int32Array | Uint8Array>(
  make: new (buffer: ArrayBuffer) => A,
  values: readonly number[],
): A {
  const bytes = new (make as unknown as Uint8ArrayConstructor)(values).byteLength
  const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer
  const array = new make(new Resizable(bytes, { maxByteLength: 4 * bytes }))
  array.set(values)
  return array
}

const numbers = (length: number, of: (i: number) => number) => Array.from({ length }, (_, i) => of(i))
const floats = (length: number, of: (i: number) => number) => resizable(Float32Array, numbers(length, of))

/** What an option may be: several, each made anew for each call. */
type Makers = readonly (() => unknown)[]

/** What an option may be in a call of a form; the calls that it makes need not be right. */
function makersOf(form: Form, option: string): Makers {
  const lengthFor = (extent: Extent) => lengthOf(form, extent, shape)
  const valued = form.values === undefined ? [] : [() => floats(lengthFor(form.values!), (i) => i / 4)]
  const positions = positionsOf(form.axis, shape)
  const common: Readonly<Record<string, Makers>> = {
    reduction: [() => 'mean', () => 'sum', () => 'none'],
    gradOutput: [() => 2, ...valued],
    grad: [() => floats(lengthFor('element') * form.inputs[0].columns, () => 77)],
    accumulate: [() => true, () => false],
    out: valued,
    emptyMean: [() => 'zero', () => 'nan'],
    normalizer: [() => (form.parts === undefined ? 3 : Object.fromEntries(form.parts.map((part, k) => [part, 2 + k])))],
    validate: [() => true],
    shape: [() => [...shape], () => Int32Array.from(shape)],
    meanBy: [() => 'weight', () => 'count'],
    sampleWeight: [() => floats(2, (i) => 1 + i)],
    mask: [
      () => resizable(Uint8Array, [1, 0]),
      () => ({ data: floats(2, (i) => i), shape: [2] }),
      () => ({ data: floats(lengthFor('position'), (i) => i), shape: [...positions] }),
      () => [true, false],
    ],
    ignoreIndex: [() => 1, () => [1, -100]],
    activation: [() => 'sigmoid', () => 'softmax', () => 'none'],
  }
  if (option in common) return common[option]
  const choices = (form.choices[option] ?? []).map((value) => () => value)
  if (option in form.arrays) {
    const length = lengthFor(form.arrays[option])
    return [...choices, () => floats(length, (i) => 1 + i / 8), () => numbers(length, (i) => 1 + i / 8)]
  }
  if (!option.endsWith('Grad')) return choices
  const input = form.inputs.find(({ gradName }) => gradName === option)
  return [() => floats(input === undefined ? SCORES : SCORES * input.columns, () => 77), () => true]
}

/** A draw: which options, which of their choices, what does the harm, and to which array. */
interface Draw {
  readonly chosen: Readonly<Record<string, number>>
  /** The number of the form. */
  readonly way: number
  readonly tensors: boolean
  /** The option whose reading does the harm, or a part of the input or the target. */
  readonly trap: string
  readonly form: (typeof styles)[number]
  readonly victim: number
  readonly harm: 'detach' | 'cut' | 'grow'
}

const styles = ['getter', 'class', 'proxy', 'inside'] as const

/** The call of a draw, always of new arrays. */
function callOf(forms: readonly Form[], { chosen, way, tensors }: Draw): Call {
  const form = forms[way % forms.length]
  const options: Options = {}
  for (const option in chosen) {
    const makers = makersOf(form, option)
    if (makers.length > 0) options[option] = makers[chosen[option] % makers.length]()
  }
  const drawn = argumentsOf(form, shape, generator(1))
  const args = form.inputs.map(({ name, extent, columns }, k) => {
    const data = resizable(drawn[k].constructor as typeof Float32Array, Array.from(drawn[k]))
    if (!tensors) return [name, data]
    // Of rows of several numbers the tensors have an axis more.
    const axes = extent === 'position' ? positionsOf(form.axis, shape) : shape
    const lengths = columns === 1 ? [...axes] : [...axes, columns]
    return [name, k === 0 ? { data, shape: lengths } : { data, dims: lengths }]
  })
  return { args: Object.fromEntries(args), options }
}

/** All typed arrays of a call. */
function arraysOf({ args, options }: Call): ArrayBufferView[] {
  return [...Object.values(args), ...Object.values(options)].flatMap((value) => {
    if (ArrayBuffer.isView(value)) return [value]
    const data = (value as { data?: unknown } | null)?.data
    return ArrayBuffer.isView(data) ? [data] : []
  })
}

function harm(call: Call, { victim, harm }: Draw): void {
  const arrays = arraysOf(call)
  const { buffer } = arrays[victim % arrays.length] as { buffer: ArrayBuffer & { resize?(bytes: number): void } }
  if (buffer.byteLength === 0) return
  if (harm === 'detach' || (buffer as { resizable?: boolean }).resizable !== true) {
    structuredClone(buffer, { transfer: [buffer] })
  } else buffer.resize!(harm === 'cut' ? buffer.byteLength >> 1 : buffer.byteLength << 1)
}

/** The call again, where reading the trap does the harm first. */
function trapped(call: Call, draw: Draw): Call {
  let done = false
  const spring = () => {
    if (done) return
    done = true
    harm(call, draw)
  }
  const { trap, form } = draw
  if (trap in call.args) return { ...call, args: { ...call.args, [trap]: withTrap(call.args[trap], spring) } }
  const value = call.options[trap]
  if (form === 'inside') return { ...call, options: { ...call.options, [trap]: withTrap(value, spring) } }
  if (form === 'proxy') {
    const get = (target: object, name: string | symbol) => {
      if (name === trap) spring()
      return Reflect.get(target, name)
    }
    return { ...call, options: new Proxy(call.options, { get }) as Options }
  }
  const getter = {
    get() {
      spring()
      return value
    },
  }
  if (form === 'getter') {
    const options: Options = { ...call.options }
    return { ...call, options: Object.defineProperty(options, trap, { ...getter, enumerable: true }) }
  }
  const { [trap]: _, ...rest } = call.options
  class Settings {}
  Object.defineProperty(Settings.prototype, trap, getter)
  return { ...call, options: Object.assign(new Settings(), rest) }
}

/** A value with a trap in it: an element, or a property of a tensor; itself where there is no place for one. */
function withTrap(value: unknown, spring: () => void): unknown {
  const trap = (own: unknown) => ({
    enumerable: true,
    get() {
      spring()
      return own
    },
  })
  if (Array.isArray(value)) return Object.defineProperty([...value], 0, trap(value[0]))
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  const copy: Options = {}
  for (const [name, own] of Object.entries(value)) Object.defineProperty(copy, name, trap(own))
  return copy
}

interface Outcome {
  readonly error?: string
  readonly kind?: unknown
  readonly result?: unknown
  readonly arrays: readonly (readonly number[])[]
}

function outcomeOf(loss: Loose, { args, options }: Call, call: Call): Outcome {
  // A detached array has no iterator.
  const arrays = () => arraysOf(call).map((array) => (array.byteLength === 0 ? [] : Array.from(array as Float32Array)))
  try {
    const result = loss.valueAndGrad(...Object.values(args), options)
    return { result, arrays: arrays() }
  } catch (error) {
    return { error: (error as Error).message, kind: (error as Error).constructor, arrays: arrays() }
  }
}

/** The same call, with the harm in a trap and done before: both end in the same way, and in no error but one of ours. */
function compare(t: ExecutionContext, { name, loss, forms }: Called, draw: Draw): Outcome {
  const first = callOf(forms, draw)
  // What has no place for a trap does no harm.
  const isArgument = draw.trap in first.args
  const inside = draw.form === 'inside' || isArgument
  const value = isArgument ? first.args[draw.trap] : first.options[draw.trap]
  if (!inside || withTrap(value, () => {}) !== value) harm(first, draw)
  const expected = outcomeOf(loss, first, first)
  const second = callOf(forms, draw)
  const got = outcomeOf(loss, trapped(second, draw), second)
  if (!isDeepStrictEqual(got, expected)) t.deepEqual(got, expected, fc.stringify(draw))
  if (got.error !== undefined) {
    t.true(got.kind === TypeError || got.kind === RangeError, got.error)
    t.true(got.error.startsWith(`${name}: `), got.error)
  }
  return got
}

/** A loss with the forms that need no option. */
type Called = Pick<LibraryLoss, 'name' | 'loss' | 'forms'>

const losses: readonly Called[] = described.map(({ name, loss, forms }) => {
  return { name, loss, forms: forms.filter((form) => fits(form, shape[1]) && Object.keys(form.options).length === 0) }
})

test('every option of every loss is described', (t) => {
  for (const { name, loss, forms } of losses) {
    for (const option of optionsOf(loss)!) {
      t.true(
        forms.some((form) => makersOf(form, option).length > 0),
        `${name} ${option}`,
      )
    }
  }
})

for (const one of losses) {
  const { name, loss, forms } = one
  const all = [...optionsOf(loss)!]
  // The more are given, the rarer is a call without an error, but the more arrays there are.
  const few = fc.subarray(all, { maxLength: 5 })
  const draws = few.chain((options) => {
    const traps = [...options, ...forms[0].inputs.map(({ name }) => name)]
    return fc.record<Draw>({
      chosen: fc.record(Object.fromEntries([...options, 'shape'].map((option) => [option, fc.nat(5)]))) as never,
      way: fc.nat(forms.length - 1),
      tensors: fc.boolean(),
      trap: fc.constantFrom(...traps),
      form: fc.constantFrom(...styles),
      victim: fc.nat(12),
      harm: fc.constantFrom('detach', 'cut', 'grow'),
    })
  })
  for (const platform of platforms) {
    test.serial(`what options of ${name} do while they are read on ${platform.name}`, (t) => {
      platform.activate()
      let successes = 0
      fc.assert(
        fc.property(draws, (draw) => {
          if (compare(t, one, draw).error === undefined) successes++
        }),
        { numRuns: 300 },
      )
      t.true(successes > 0, 'no call went through')
      // Each option alone, in each form, takes the memory of each array.
      for (const option of all) {
        for (const form of styles) {
          for (let victim = 0; victim < 4; victim++) {
            const chosen = { grad: 0, shape: 0, [option]: 0 }
            compare(t, one, {
              chosen,
              way: forms.length - 1,
              tensors: false,
              trap: option,
              form,
              victim,
              harm: 'detach',
            })
          }
        }
      }
    })
  }
}

everywhere('the targets of a sum of losses, read before the first part is checked', (t) => {
  const input = () => Float32Array.of(1, 2, 3, 4)
  const target = () => Float32Array.of(0, 1, 0, 1)
  const parts = library.combine([
    [library.mse, 1, { target: 'a' }],
    [library.combine([[library.l1, 1, { target: 'b' }]]), 1, { target: 'nested' }],
  ] as never)
  for (const victim of ['input', 'a', 'grad'] as const) {
    const arrays = { input: input(), a: target(), b: target(), grad: new Float32Array(4).fill(77) }
    let reads = 0
    const late = {
      get data() {
        reads++
        if (reads === 1) structuredClone(arrays[victim].buffer, { transfer: [arrays[victim].buffer] })
        return arrays.b
      },
    }
    const call = () => {
      loose(parts).valueAndGrad(arrays.input, { a: arrays.a, nested: { b: late } }, { grad: arrays.grad })
    }
    const name = victim === 'a' ? 'target' : victim
    t.throws(call, { instanceOf: TypeError, message: new RegExp(`^(combine|mse): ${name} is detached`) })
    t.is(reads, 1)
    if (victim !== 'grad') t.deepEqual(arrays.grad, new Float32Array(4).fill(77))
  }
})

everywhere('options are read once each', (t) => {
  const shape = [2, 2]
  for (const { name, loss, forms } of losses) {
    for (const form of forms) {
      const reads: Record<string, number> = {}
      const args = argumentsOf(form, shape, generator(1))
      const grad = new Float32Array(args[0].length)
      const given: Options = { shape, mask: [true, true], grad, sampleWeight: [1, 2] }
      const get = (target: object, option: string | symbol) => {
        reads[String(option)] = (reads[String(option)] ?? 0) + 1
        return Reflect.get(target, option)
      }
      loss.valueAndGrad(...args, new Proxy(given, { get }))
      for (const option of Object.keys(given)) t.is(reads[option], 1, `${name} ${option}`)
    }
  }
})

everywhere('options in an instance of a class', (t) => {
  const x = Float32Array.of(1, 2, 3, 4)
  const zeros = new Float32Array(4)
  class Settings {
    #reduction = 'sum'
    readonly _note = 'no option'
    get reduction() {
      return this.#reduction
    }
    get grad() {
      return undefined
    }
    toString() {
      return 'settings'
    }
  }
  class More extends Settings {
    weight = [1, 0, 0, 0]
  }
  const mse = loose(library.mse)
  t.is(mse(x, zeros, new Settings()), 30)
  t.is(mse(x, zeros, new More()), 1)
  t.is(mse.with(new More())(x, zeros), 1)
  t.is(mse(x, zeros, Object.create({ reduction: 'sum' })), 30)
  t.is(mse(x, zeros, Object.assign(Object.create(null), { reduction: 'sum' })), 30)
  t.is(loose(library.combine([[library.mse, 1, new Settings() as never]]))(x, zeros), 30)
  t.deepEqual(
    loose(library.classWeights)(
      Int32Array.of(0, 1),
      2,
      new (class {
        get method() {
          return 'balanced'
        }
      })(),
    ),
    Float32Array.of(1, 1),
  )
  class Misspelt {
    get reducton() {
      return 'sum'
    }
  }
  const message = /^mse: there is no option reducton; .*; did you mean reduction\?$/
  t.throws(() => mse(x, zeros, new Misspelt()), { instanceOf: TypeError, message })
  t.throws(() => mse.with(new Misspelt()), { instanceOf: TypeError, message })
})

everywhere('options in what has no properties', (t) => {
  const x = Float32Array.of(1, 2, 3, 4)
  const refused = (got: string) => ({
    instanceOf: TypeError,
    message: `mse: options must be a plain object, got ${got}`,
  })
  const mse = loose(library.mse)
  for (const [options, got] of [
    [new Map([['reduction', 'sum']]), 'a Map; convert it with Object.fromEntries'],
    [new (class extends Map {})(), 'a Map; convert it with Object.fromEntries'],
    [new Set(['sum']), 'a Set'],
    [new WeakMap(), 'a WeakMap'],
    [new URLSearchParams('reduction=sum'), 'an object'],
    [new Date(), 'a Date'],
    [Promise.resolve({}), 'a Promise, which must be awaited'],
    [new ArrayBuffer(8), 'an ArrayBuffer'],
    [() => ({}), 'a function'],
  ] as const) {
    t.throws(() => mse(x, x, options), refused(got))
    t.throws(() => mse.with(options), refused(got))
    t.throws(() => loose(library.combine)([[library.mse, 1, options]]), refused(got))
  }
  const grad = new Float32Array(4).fill(77)
  const normalizer = new Map([['bce', 2]])
  const error = { instanceOf: TypeError, message: /^bceDice: normalizer must be an object of bce, dice, got a Map/ }
  t.throws(() => loose(library.bceDice).valueAndGrad(x, x, { grad, normalizer }), error)
  t.deepEqual(grad, new Float32Array(4).fill(77))
})

test('settings that are those of the call before, or nearly, are read anew where they differ', (t) => {
  const [x, target] = [Float32Array.of(1, 2, 4), Float32Array.of(0, 4, 3)]
  const weight = Float32Array.of(1, 2, 3)
  const calls: Record<string, unknown>[] = [
    { reduction: 'sum' },
    { reduction: 'sum' },
    { reduction: 'sum', normalizer: undefined },
    { reduction: 'mean', normalizer: 2 },
    { reduction: 'mean' },
    { normalizer: 2, reduction: 'mean' },
    { reduction: 'mean', normalizer: 2 },
    { reduction: 'mean', normalizer: 3 },
    { reduction: 'sum', weight },
    { reduction: 'sum', weight },
    { weight, reduction: 'none' },
    {},
    { delta: 0.5, reduction: 'sum' },
    { delta: 0.25, reduction: 'sum' },
    { delta: 0.25 },
  ]
  const random = fc.array(fc.constantFrom(...calls), { minLength: 2, maxLength: 8 })
  fc.assert(
    fc.property(random, (calls) => {
      const loss = loose(library.huber)
      for (const [i, options] of calls.entries()) {
        // The weights change inside the same array.
        weight[0] = i
        t.deepEqual(loss.valueAndGrad(x, target, options), loss.with({}).valueAndGrad(x, target, options))
      }
    }),
  )
  t.throws(() => loose(library.huber)(x, target, { delta: 0.25, reduction: 'all' }), { message: /reduction/ })
  t.deepEqual(
    loose(library.huber)(x, target, { delta: 0.25 }),
    loose(library.huber).with({})(x, target, { delta: 0.25 }),
  )
})
