/** What only WebAssembly has: pieces of the caller's arrays in a memory of its own, which has an end, and traps. */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { load, use } from '../ts/backend/load.js'
import { loadWasm } from '../ts/backend/wasm.js'
import { everything } from '../ts/call/marks.js'
import { pointwiseKind } from '../ts/call/pointwise.js'
import { softmaxKind } from '../ts/call/softmax.js'
import type { PointwiseDefinition, SoftmaxDefinition } from '../ts/definition.js'
import { bceDice, bceWithLogits, combine, crossEntropy, dice, diceCe, mse } from '../ts/index.js'
import { everywhere } from './everywhere.js'
import { platforms } from './platforms.js'

const sets = platforms.filter(({ backend }) => backend.name === 'wasm').map(({ backend }) => backend.instructionSet)

/** Numbers between −1 and 1 that are the same in every run. */
const noise = (length: number, seed: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * 1.7 + seed))

/** Holds the relative difference, of values near 1 or of sums. */
function near(t: ExecutionContext, got: number, expected: number, message: string, bound = 2e-6): void {
  t.true(Math.abs(got - expected) <= bound * Math.max(Math.abs(expected), 1e-6), `${message}: ${got}, not ${expected}`)
}

// A piece has 16,384 elements. The weights end within pieces, at their ends, and are longer than one.
const SAMPLES = [
  [3, 16_383],
  [3, 16_384],
  [3, 16_385],
  [5, 40_000],
  [40_000, 3],
  [1, 50_000],
  [50_000, 1],
  [7, 1024],
]

everywhere('a weight per element of one sample goes on from piece to piece', (t) => {
  for (const shape of SAMPLES) {
    const [samples, length] = shape
    const n = samples * length
    const [x, y] = [noise(n, 1), noise(n, 2)]
    const weight = noise(length, 3)
    const { value, grad } = mse.valueAndGrad(x, y, { shape, weight, reduction: 'sum' })
    let sum = 0
    let size = 0
    for (let i = 0; i < n; i++) {
      const w = weight[i % length]
      const term = w * (x[i] - y[i]) ** 2
      sum += term
      size += Math.abs(term)
      const expected = 2 * w * (x[i] - y[i])
      if (Math.abs(grad[i] - expected) > 1e-6) return t.fail(`[${shape}] gradient ${i}: ${grad[i]}, not ${expected}`)
    }
    t.true(Math.abs(value - sum) <= 1e-6 * size, `[${shape}]: ${value}, not ${sum}`)
  }
})

everywhere('a posWeight per class goes on from piece to piece', (t) => {
  // Class axis 1: classes of one position, of a few, of some pieces, more classes than a piece has elements; and classes last.
  const cases = [
    { shape: [40_000, 3], classAxis: 1 },
    { shape: [2, 7, 5_000], classAxis: 1 },
    { shape: [2, 3, 16_384], classAxis: 1 },
    { shape: [2, 3, 40_000], classAxis: 1 },
    { shape: [3, 30_000], classAxis: 1 },
    { shape: [2, 20_001, 2], classAxis: 1 },
    { shape: [3, 5_000, 5], classAxis: -1 },
    { shape: [2, 2, 16_385], classAxis: -1 },
  ] as const
  for (const { shape, classAxis } of cases) {
    const n = shape.reduce((size: number, length) => size * length, 1)
    const axis = classAxis === 1 ? 1 : shape.length - 1
    const inner = shape.slice(axis + 1).reduce((size: number, length) => size * length, 1)
    const posWeight = noise(shape[axis]!, 4).map((w) => w + 2)
    const [x, y] = [noise(n, 1), noise(n, 2).map((v) => (v > 0 ? 1 : 0))]
    const { value, grad } = bceWithLogits.valueAndGrad(x, y, { shape, classAxis, posWeight, reduction: 'sum' })
    let sum = 0
    for (let i = 0; i < n; i++) {
      const w = y[i] === 0 ? 1 : posWeight[Math.floor(i / inner) % posWeight.length]
      const signed = y[i] === 0 ? x[i] : -x[i]
      sum += w * Math.log1p(Math.exp(signed))
      const expected = (y[i] === 0 ? 1 : -w) / (1 + Math.exp(-signed))
      if (Math.abs(grad[i] - expected) > 2e-6) return t.fail(`[${shape}] gradient ${i}: ${grad[i]}, not ${expected}`)
    }
    near(t, value, sum, `[${shape}], classAxis ${classAxis}`)
  }
})

// Longer than a piece.
const LONG = [17_000, 40_000, 70_000]

for (const set of sets) {
  test.serial(`long rows with target, weight and a gradient that is added to on wasm ${set}`, (t) => {
    for (const classes of LONG) {
      // Its memory is as small as it can be.
      use(loadWasm(set))
      const x = noise(classes, 1)
      const weight = noise(classes, 2).map((w) => w + 2)
      const target = noise(classes, 3).map((q) => (q + 1.5) / classes)
      const options = { weight, shape: [1, classes] }
      const twice = combine([
        [crossEntropy, 1, options],
        [crossEntropy, 2, options],
      ])
      const { value, grad } = twice.valueAndGrad(x, target)
      const total = x.reduce((sum, score) => sum + Math.exp(score), 0)
      let expected = 0
      let share = 0
      for (let c = 0; c < classes; c++) {
        expected -= weight[c] * target[c] * (x[c] - Math.log(total))
        share += weight[c] * target[c]
      }
      near(t, value, 3 * expected, `${classes} classes`)
      for (let c = 0; c < classes; c++) {
        const slope = 3 * ((share * Math.exp(x[c])) / total - weight[c] * target[c])
        if (Math.abs(grad[c] - slope) > 1e-5 / classes) return t.fail(`gradient ${c} of ${classes}: ${grad[c]}`)
      }
    }
  })

  test.serial(`long rows of a region loss on wasm ${set}`, (t) => {
    for (const classes of LONG) {
      const x = noise(classes, 1)
      const target = noise(classes, 2).map((y) => (y + 1) / 2)
      const ones = new Float32Array(classes).fill(1)
      const options = { smoothNr: 1, smoothDr: 1, shape: [1, classes] }
      const total = x.reduce((sum, score) => sum + Math.exp(score), 0)
      const softmax = Array.from(x, (score) => Math.exp(score) / total)
      const sigmoid = Array.from(x, (score) => 1 / (1 + Math.exp(-score)))
      const diceOf = (p: readonly number[]) =>
        p.reduce((sum, p, c) => sum + (1 - (2 * p * target[c] + 1) / (p + target[c] + 1)) / classes, 0)
      const message = `${classes} classes`

      use(loadWasm(set))
      const twice = combine([
        [dice, 1, { ...options, activation: 'softmax' }],
        [dice, 2, { ...options, activation: 'softmax' }],
      ])
      const { value, grad } = twice.valueAndGrad(x, target)
      near(t, value, 3 * diceOf(softmax), message, 1e-5)
      const slopes = softmax.map((p, c) => {
        const [a, b] = [2 * p * target[c] + 1, p + target[c] + 1]
        return (a - 2 * target[c] * b) / b ** 2 / classes
      })
      const mean = softmax.reduce((sum, p, c) => sum + p * slopes[c], 0)
      for (let c = 0; c < classes; c++) {
        const slope = 3 * softmax[c] * (slopes[c] - mean)
        if (Math.abs(grad[c] - slope) > 1e-5 / classes ** 2) return t.fail(`gradient ${c} of ${classes}: ${grad[c]}`)
      }

      // An array of each class beside them: weights of one are as good as none.
      use(loadWasm(set))
      const withEntropy = diceCe.valueAndGrad(x, target, { ...options, weight: ones })
      const entropy = target.reduce((sum, y, c) => sum - y * Math.log(softmax[c]), 0)
      near(t, withEntropy.value, diceOf(softmax) + entropy, message, 1e-5)
      use(loadWasm(set))
      const withBinary = bceDice.valueAndGrad(x, target, { ...options, posWeight: ones })
      const binary = sigmoid.reduce((sum, p, c) => sum - target[c] * Math.log(p) - (1 - target[c]) * Math.log1p(-p), 0)
      near(t, withBinary.value, diceOf(sigmoid) + binary / classes, message, 1e-5)
    }
  })

  test.serial(`traps leave wasm ${set} as it was`, (t) => {
    const wasm = loadWasm(set)
    const [x, y] = [Float32Array.of(1, 2, 3), Float32Array.of(0, 0, 0)]
    const common = { loss: 'mse', marks: everything, dx: undefined, scale: 1, p0: 0, extra: undefined }
    // No pointwise loss: the facade never asks for that, so the kernel panics.
    const definition = { name: 'crossEntropy' } as PointwiseDefinition
    const wrong = { ...common, kind: pointwiseKind, definition, x, t: y, p1: 0, aux: 0 }
    // So many take up the stack of an instance that is not replaced.
    let traps = 0
    for (let i = 0; i < 4000; i++) {
      try {
        wasm.run(wrong)
      } catch (error) {
        if ((error as Error).message === 'unreachable') traps++
      }
    }
    t.is(traps, 4000)
    use(wasm)
    t.is(mse(x, y, { reduction: 'sum' }), 14)

    // Beside so large an array it may be for want of memory.
    const row = new Float32Array(2 ** 23)
    const axis = { samples: 1, classes: row.length, positions: 1, last: true }
    const marks = { labels: Int32Array.of(1), ignored: [-100], mask: undefined, maskInner: 1 }
    const pointwise = { name: 'mse' } as SoftmaxDefinition
    const numbers = { labelSmoothing: 0, temperature: 1 }
    t.throws(() => wasm.run({ ...common, ...numbers, kind: softmaxKind, definition: pointwise, marks, x: row, axis }), {
      instanceOf: RangeError,
      message: /^mse: input must have rows that fit .* 335544\d\d bytes, which leave too little for the kernel; /,
    })
    near(t, crossEntropy(row, Int32Array.of(1)), 23 * Math.LN2, 'the next row')
  })

  test.serial(`a long weight is copied once, and not for each piece, on wasm ${set}`, (t) => {
    use(loadWasm(set))
    const [samples, length] = [4, 100_000]
    const n = samples * length
    const [x, y] = [noise(n, 1), noise(n, 2)]
    const copied = (call: () => unknown) => {
      let elements = 0
      const { set } = Float32Array.prototype
      Float32Array.prototype.set = function (this: Float32Array, source: ArrayLike<number>, offset?: number) {
        elements += source.length
        set.call(this, source, offset)
      }
      try {
        call()
      } finally {
        // What the prototype of all typed arrays has is seen again.
        Reflect.deleteProperty(Float32Array.prototype, 'set')
      }
      return elements
    }
    t.is(
      copied(() => mse(x, y, { shape: [samples, length], weight: noise(length, 3) })),
      3 * n,
    )
    t.is(
      copied(() => bceWithLogits(x, y, { shape: [samples, length], posWeight: noise(length, 3).map(Math.abs) })),
      3 * n,
    )
  })
}

const run = promisify(execFile)
const index = new URL('../ts/index.js', import.meta.url)

test('a row that does not fit into the memory of wasm is an error that says so, and the next call works', async (t) => {
  if (sets.length === 0) return t.pass('no wasm backend')
  const code = `
import { crossEntropy, dice } from ${JSON.stringify(index)}
const row = (classes) => crossEntropy(new Float32Array(classes), Int32Array.of(1))
const attempt = (call) => { try { return call() } catch (error) { return error.name + ': ' + error.message } }
console.log(JSON.stringify([
  row(1e6),
  attempt(() => row(1e7)),
  row(1e6),
  attempt(() => crossEntropy(new Float32Array(6e6), new Float32Array(6e6), { shape: [1, 6e6] })),
  row(6e6),
  attempt(() => dice(new Float32Array(5e6), Int32Array.of(1), { shape: [1, 5e6], activation: 'softmax' })),
  row(10),
]))`
  // 32 MiB instead of 4 GiB.
  const flags = ['--wasm-max-mem-pages=512', '--input-type=module', '-e', code]
  const env = { ...process.env, FUSED_LOSS_BACKEND: 'wasm' }
  const { stdout } = await run(process.execPath, flags, { env, cwd: fileURLToPath(new URL('.', import.meta.url)) })
  const [first, tooLong, again, twoArrays, longer, region, last] = JSON.parse(stdout)
  const close = (got: number, classes: number) => t.true(Math.abs(got - Math.log(classes)) < 2e-6 * Math.log(classes))
  close(first, 1e6)
  close(again, 1e6)
  close(longer, 6e6)
  close(last, 10)
  const refusal = (loss: string, bytes: string) =>
    new RegExp(
      `^RangeError: ${loss}: input must have rows that fit into the memory of WebAssembly, got one of ${bytes} bytes`,
    )
  t.regex(tooLong, refusal('crossEntropy', '400000\\d\\d'))
  t.regex(twoArrays, refusal('crossEntropy', '480000\\d\\d'))
  t.regex(region, refusal('dice', '\\d{9}'))
})

test.serial('a row that is longer than any array of the module is refused before it is read', (t) => {
  if (sets.length === 0) return t.pass('no wasm backend')
  use(load('wasm'))
  // Never touched, so it takes no memory but addresses.
  const x = new Float32Array(2 ** 29)
  t.throws(() => crossEntropy(x, Int32Array.of(1)), {
    instanceOf: RangeError,
    message:
      /^crossEntropy: input must have rows that fit into the memory of WebAssembly, got one of 21474836\d\d bytes; /,
  })
  t.is(mse(Float32Array.of(3), Float32Array.of(1)), 4)
})
