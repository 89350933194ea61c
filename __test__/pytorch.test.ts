/** Every case that `fixtures/torch_fixtures.py` wrote, on every backend: PyTorch is a witness that shares no code with us. */

import { readFileSync } from 'node:fs'
import test from 'ava'
import { load, use } from '../ts/backend/load.js'
import type { Loss } from '../ts/family/loss.js'
import type { PointwiseOptions } from '../ts/family/pointwise.js'
import * as exported from '../ts/index.js'

/** JSON has no NaN and no infinities: they come as text. */
type Numbers = readonly (number | string)[]

interface Results {
  readonly value: number | string | Numbers
  readonly grad: Numbers
  readonly targetGrad?: Numbers
}

interface Case {
  readonly loss: string
  readonly name: string
  readonly call: string
  readonly input: Numbers
  readonly target?: Numbers
  readonly labels?: readonly number[]
  readonly options: Readonly<Record<string, unknown>>
  readonly expected: Results
}

const fixture: { torch: string; cases: Case[]; differences: Case[] } = JSON.parse(
  readFileSync(new URL('../../__test__/fixtures/torch_fixtures.json', import.meta.url), 'utf8'),
)
const losses = exported as unknown as Record<string, Loss<Float32Array, Float32Array | Int32Array, PointwiseOptions>>

/** The losses that PyTorch has too: a new one comes here, and as rows into `fixtures/torch_fixtures.py`. */
const names = ['mse', 'l1', 'smoothL1', 'huber', 'bce', 'bceWithLogits', 'sigmoidFocal', 'klDiv', 'crossEntropy']

/** Where fused-loss means to give something else than PyTorch, and what. */
const ours: Readonly<Record<string, Results>> = {
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

const backends: { name: string; start(): void }[] = []
const missing: string[] = []
for (const name of ['native', 'wasm', 'ts'] as const) {
  try {
    const backend = load(name)
    if ('pin' in backend) {
      for (const set of backend.instructionSets) {
        backends.push({
          name: `native ${set}`,
          start() {
            backend.pin(set)
            use(backend)
          },
        })
      }
    } else {
      backends.push({ name, start: () => use(backend) })
    }
  } catch (error) {
    missing.push(`${name} is not tested: ${(error as Error).message}`)
  }
}

const floats = (numbers: Numbers) => Float32Array.from(numbers, Number)

/** What is wrong with `got`, compared in single precision; undefined if nothing is. */
function problem(got: number | Float32Array, expected: number | string | Numbers): string | undefined {
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

/** Calls the three verbs, and says what they give that is not expected. */
function problems(row: Case, expected = row.expected): string[] {
  const loss = losses[row.loss]
  const input = floats(row.input)
  const target = row.labels ? Int32Array.from(row.labels) : floats(row.target!)
  const { gradOutput } = row.options
  const options: PointwiseOptions = { ...row.options }
  if (Array.isArray(gradOutput)) options.gradOutput = floats(gradOutput)

  const found: string[] = []
  const compare = (what: string, got: number | Float32Array, expected: Results['value']) => {
    const text = problem(got, expected)
    if (text !== undefined) found.push(`${row.name}: ${what} ${text}, by ${row.call}`)
  }
  compare('value', loss(input, target, options), expected.value)
  compare('backward', loss.backward(input, target, options), expected.grad)
  const both = loss.valueAndGrad(input, target, options)
  compare('valueAndGrad.value', both.value, expected.value)
  compare('valueAndGrad.grad', both.grad, expected.grad)
  if (expected.targetGrad !== undefined) {
    // Kernels have another loop for it, so the other results are looked at again.
    const all = loss.valueAndGrad(input, target, { ...options, targetGrad: true })
    compare('value beside targetGrad', all.value, expected.value)
    compare('grad beside targetGrad', all.grad, expected.grad)
    compare('targetGrad', all.targetGrad!, expected.targetGrad)
  }
  return found
}

test('all backends and losses are here', (t) => {
  for (const reason of missing) t.log(reason)
  // A machine that builds only some of them may still run the tests.
  if (process.env.CI) {
    t.deepEqual([...new Set(backends.map(({ name }) => name.split(' ')[0]))], ['native', 'wasm', 'ts'])
  }
  t.deepEqual([...new Set(fixture.cases.map(({ loss }) => loss))].sort(), [...names].sort())
})

for (const backend of backends) {
  for (const loss of names) {
    test(`${backend.name}: ${loss} is that of PyTorch ${fixture.torch}`, (t) => {
      backend.start()
      const rows = fixture.cases.filter((row) => row.loss === loss)
      t.true(rows.length >= 30, `${rows.length} cases`)
      const found = rows.flatMap((row) => problems(row))
      t.deepEqual(found, [])
    })
  }

  test(`${backend.name}: what differs from PyTorch does so on purpose`, (t) => {
    backend.start()
    t.deepEqual(fixture.differences.map(({ name }) => name).sort(), Object.keys(ours).sort())
    for (const row of fixture.differences) {
      t.deepEqual(problems(row, ours[row.name]), [])
      t.not(problems(row).length, 0, `PyTorch agrees now: ${row.name} can be a case like the others`)
    }
  })
}
