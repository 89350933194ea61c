/** Every case that the scripts in `fixtures` wrote, on every platform: other systems are witnesses that share no code with us. */

import { readdirSync, readFileSync } from 'node:fs'
import test from 'ava'
import type { Argument as Input } from '../ts/family/draw.js'
import * as exported from '../ts/index.js'
import { losses as described } from './losses.js'
import { missing, platforms } from './platforms.js'

/** JSON has no NaN and no infinities: they come as text. */
type Numbers = readonly (number | string)[]

interface Results {
  readonly value: number | string | Numbers
  readonly grad?: Numbers
  /** Unweighted values of the parts of a sum. */
  readonly parts?: Readonly<Record<string, number | string>>
  /** Gradients by other arguments than the first, such as `varianceGrad`; a number where the argument is one. */
  readonly [gradient: `${string}Grad`]: number | Numbers
}

interface Case {
  readonly loss: string
  readonly name: string
  readonly call: string
  /** All arguments before the options, in place of `input` and `target`. */
  readonly arrays?: readonly (Numbers | number)[]
  readonly input: Numbers
  readonly target?: Numbers
  readonly labels?: readonly number[]
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: Results
}

/** What one script wrote. Its other entries are the versions of the systems. */
interface Fixture {
  readonly cases: Case[]
  readonly differences: Case[]
  readonly [system: string]: unknown
}

type Options = Record<string, unknown>
type Target = Float32Array | Uint8Array | Int32Array
type Argument = Target | Int8Array | BigInt64Array | number
interface AnyLoss {
  (...args: unknown[]): unknown
  backward(...args: unknown[]): unknown
  valueAndGrad(...args: unknown[]): Readonly<Record<string, unknown>>
}

const directory = new URL('../../__test__/fixtures/', import.meta.url)
const cases: Case[] = []
const differences: Case[] = []
const systems: Record<string, unknown> = {}
for (const file of readdirSync(directory).filter((name) => name.endsWith('_fixtures.json'))) {
  const fixture: Fixture = JSON.parse(readFileSync(new URL(file, directory), 'utf8'))
  const { cases: more, differences: other, ...versions } = fixture
  cases.push(...more)
  differences.push(...other)
  Object.assign(systems, versions)
}
const versions = Object.entries(systems).map(([name, version]) => `${name} ${version}`)

const losses: Readonly<Record<string, AnyLoss>> = Object.fromEntries(
  Object.entries(exported as Record<string, unknown>).filter(
    ([, value]) => typeof value === 'function' && 'valueAndGrad' in value,
  ) as unknown as [string, AnyLoss][],
)
/** Of the library, whether it has cases or not, and of the cases, whether the library has it or not. */
const names = [...new Set([...Object.keys(losses), ...cases.map(({ loss }) => loss)])]

/** Too few of them show little. */
const CASES = 30

/** Where fused-loss means to give something else than PyTorch, and what. */
const ours: Readonly<Record<string, Results>> = {
  // PyTorch multiplies the infinite derivative of t · ln t at 0 by 0, where the term does not count.
  'full, target of 0': { value: [1, 1], grad: [1, 0], targetGrad: [0, 0] },
  // PyTorch's softmax carries the NaN into the gradient of a row that counts for nothing.
  'NaN in an ignored row': { value: 2.4076059, grad: [-0.9099694, 0.2447285, 0.665241, 0, 0, 0] },
  // PyTorch divides 0 by 0, and an optimizer's step with NaN ruins the parameters.
  'mean over no weight': { value: 'NaN', grad: [0, 0, 0, 0, 0, 0] },
  // The same.
  'mean by no weight': { value: 'NaN', grad: [0, 0, 0] },
  // PyTorch's value has a floor of −100 under the logarithms, but the derivative of it by the target has not.
  certain: { value: [0, 0, Math.LN2], grad: [0, 0, -2], targetGrad: [100, -100, 0] },
  // PyTorch has 0 · ∞, and a derivative of NaN where ours takes 0 · ln 0 for a constant.
  'target of 0': { value: [0, 0, 'NaN', 1], grad: [0, 0, 'NaN', -1], targetGrad: ['Infinity', 1, 'NaN', 2] },
  'log target of -inf': { value: [0, 0, 1], grad: [0, 0, -1], targetGrad: [0, 0, 2] },
  // PyTorch's gradient by the input does not depend on the input, and hides what the value shows.
  'NaN of an input': { value: ['NaN', 'NaN'], grad: ['NaN', 'NaN'], targetGrad: ['NaN', 'NaN'] },
  // PyTorch's sign of NaN is 0, and the gradient hides what the value shows.
  'sign of NaN': { value: ['NaN', 'NaN', 'NaN'], grad: ['NaN', 'NaN', 'NaN'], targetGrad: ['NaN', 'NaN', 'NaN'] },
  // torchvision has 0 to the power γ − 1 in the derivative.
  'saturated, gamma below 1': { value: [0, 0, 0.4901291], grad: [0, 0, -0.4760857] },
  // PyTorch's gradient of a row without a direction is one of a huge step into that of the other.
  'row of zeros': { value: 0, grad: [0, 0, 0, 0], targetGrad: [0, 0, 0, 0] },
  'row of zeros beside another row': { value: 1, grad: [0, 0, 0, 0], input2Grad: [0, 0, 0, 0] },
  // PyTorch's formula has ∞ · 0 or ∞ − ∞ at each of these.
  'infinite logits': {
    value: [0, 0, 'Infinity', 'Infinity'],
    grad: [0, 0, -1, -0.5],
    targetGrad: ['-Infinity', 'Infinity', 'Infinity', 'Infinity'],
  },
}

/** Largest error that passes, in parts of the largest number expected. */
const TOLERANCE = 1e-6
/** Subnormal numbers have fewer digits: one step of them passes too. */
const STEP = 2 ** -149

const floats = (numbers: Numbers) => Float32Array.from(numbers, Number)

/** What is wrong with `got`, compared in single precision; undefined if nothing is. */
function problem(got: unknown, expected: number | string | Numbers): string | undefined {
  if (typeof got !== 'number' && !(got instanceof Float32Array)) return `is ${got}, not ${expected}`
  if ((typeof got === 'object') !== Array.isArray(expected)) return `is ${got}, not ${expected}`
  const a = typeof got === 'object' ? got : Float32Array.of(got)
  const b = floats([expected].flat())
  if (a.length !== b.length) return `has ${a.length} elements, not ${b.length}`
  const largest = b.reduce((most, e) => (Number.isFinite(e) ? Math.max(most, Math.abs(e)) : most), 0)
  const i = b.findIndex((e, i) => {
    const same = a[i] === e || (Number.isNaN(a[i]) && Number.isNaN(e))
    return !same && !(Math.abs(a[i] - e) <= TOLERANCE * largest + STEP)
  })
  return i < 0 ? undefined : `[${i}] is ${a[i]}, not ${b[i]}`
}

/** What may stand in the place of the last argument, in any of the ways to call a loss. */
function targetsOf(loss: string): readonly Input[] {
  return described.find(({ name }) => name === loss)?.forms.flatMap(({ inputs }) => inputs.at(-1)!) ?? []
}

/** The arguments of a case, in all the types of arrays that it may come in. */
function* argumentsOf(row: Case): Generator<[readonly Argument[], Options]> {
  const options: Options = { ...row.options }
  for (const [name, option] of Object.entries(options)) {
    if (typeof option === 'string' && option.endsWith('Infinity')) options[name] = Number(option)
  }
  // What is short may be a plain array; these are as long as the data.
  for (const name of ['gradOutput', 'sampleWeight']) {
    if (Array.isArray(options[name])) options[name] = floats(options[name])
  }
  if (row.arrays !== undefined) {
    if (Array.isArray(options.mask)) options.mask = Uint8Array.from(options.mask)
    const arrays = row.arrays.map((array) => (typeof array === 'number' ? array : floats(array)))
    yield [arrays, options]
    // Labels of two classes may be integers, and unsigned ones where they are 0 and 1.
    const labels = arrays.at(-1)
    const hasSigns = targetsOf(row.loss).some(({ kind }) => kind === 'sign')
    const isSigns = hasSigns && labels instanceof Float32Array && labels.every(Number.isInteger)
    if (!isSigns || labels.includes(0) !== (options.zeroOne === true)) return
    for (const kind of [Int8Array, Int32Array]) yield [[...arrays.slice(0, -1), kind.from(labels)], options]
    yield [[...arrays.slice(0, -1), BigInt64Array.from(labels, BigInt)], options]
    const { zeroOne, ...others } = options
    if (zeroOne === true) yield [[...arrays.slice(0, -1), Uint8Array.from(labels)], others]
    return
  }
  const { mask } = options as { mask?: number[] }
  const input = floats(row.input)
  if (row.labels !== undefined) {
    const labels = Int32Array.from(row.labels)
    yield [[input, labels], mask === undefined ? options : { ...options, mask: Uint8Array.from(mask) }]
    if (mask !== undefined) yield [[input, labels], { ...options, mask: floats(mask) }]
    return
  }
  const target = row.target ?? []
  yield [[input, floats(target)], mask === undefined ? options : { ...options, mask: floats(mask) }]
  if (mask !== undefined) yield [[input, floats(target)], { ...options, mask: Uint8Array.from(mask) }]
  // A target between 0 and 1 may be a mask of bytes.
  if (targetsOf(row.loss).some(({ bits }) => bits) && target.every((y) => y === 0 || y === 1)) {
    yield [[input, Uint8Array.from(target, Number)], mask === undefined ? options : { ...options, mask: floats(mask) }]
  }
}

/** Calls the three verbs, and says what they give that is not expected. */
function problems(row: Case, expected = row.expected): string[] {
  const loss = losses[row.loss]
  const found: string[] = []
  const compare = (what: string, got: unknown, expected: Results['value']) => {
    const text = problem(got, expected)
    if (text !== undefined) found.push(`${row.name}: ${what} ${text}, by ${row.call}`)
  }
  try {
    for (const [args, options] of argumentsOf(row)) {
      compare('value', loss(...args, options), expected.value)
      if (expected.grad !== undefined) compare('backward', loss.backward(...args, options), expected.grad)
      const both = loss.valueAndGrad(...args, options)
      compare('valueAndGrad.value', both.value, expected.value)
      if (expected.grad !== undefined) compare('valueAndGrad.grad', both.grad, expected.grad)
      const { parts } = both as { parts?: Record<string, unknown> }
      const names = Object.keys(parts ?? {}).sort()
      const others = Object.keys(expected.parts ?? {}).sort()
      if (`${names}` !== `${others}`) found.push(`${row.name}: has the parts [${names}], not [${others}]`)
      for (const [name, value] of Object.entries(expected.parts ?? {})) compare(`part ${name}`, parts?.[name], value)
      const gradients = Object.keys(expected).filter((name) => name.endsWith('Grad')) as `${string}Grad`[]
      if (gradients.length > 0) {
        // Kernels have another loop for it, so the other results are looked at again.
        const asked = Object.fromEntries(gradients.map((name) => [name, true]))
        const all = loss.valueAndGrad(...args, { ...options, ...asked })
        compare('value beside other gradients', all.value, expected.value)
        if (expected.grad !== undefined) compare('grad beside other gradients', all.grad, expected.grad)
        for (const name of gradients) compare(name, all[name], expected[name])
      }
    }
  } catch (error) {
    found.push(`${row.name}: throws ${(error as Error).message}`)
  }
  return found
}

test('all platforms are here', (t) => {
  for (const { name, reason } of missing) t.log(`${name} is not tested: ${reason}`)
  t.log(versions.join(', '))
  t.true(platforms.length > 0)
  // A machine that builds only some of them may still run the tests.
  if (process.env.CI && !process.env.FUSED_LOSS_BACKEND) {
    t.deepEqual([...new Set(platforms.map(({ name }) => name.split(' ')[0]))], ['native', 'wasm', 'ts'])
  }
})

test('no two cases of a loss have one name', (t) => {
  const seen = cases.map(({ loss, name }) => `${loss}: ${name}`)
  t.deepEqual(
    seen.filter((name, i) => seen.indexOf(name) !== i),
    [],
  )
})

for (const platform of platforms) {
  for (const loss of names) {
    test(`${platform.name}: ${loss} is that of other systems`, (t) => {
      platform.activate()
      const rows = cases.filter((row) => row.loss === loss)
      t.true(rows.length >= CASES, `${rows.length} cases`)
      t.true(loss in losses, 'the library has no such loss')
      t.deepEqual(
        rows.flatMap((row) => problems(row)),
        [],
      )
    })
  }

  test(`${platform.name}: what differs from other systems does so on purpose`, (t) => {
    platform.activate()
    t.deepEqual(differences.map(({ name }) => name).sort(), Object.keys(ours).sort())
    for (const row of differences) {
      t.deepEqual(problems(row, ours[row.name]), [])
      t.not(problems(row).length, 0, `they agree now: ${row.name} can be a case like the others`)
    }
  })
}
