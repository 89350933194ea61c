/** Arrays whose memory other threads share: filled by a worker, computed on here, and the other way around. */

import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import test from 'ava'
import {
  bce,
  bceDice,
  bceWithLogits,
  crossEntropy,
  dice,
  diceCe,
  distillation,
  klDiv,
  mse,
  nll,
  softmaxFocal,
} from '../ts/index.js'
import { filled, generator, sameBits } from './data.js'
import { everywhere, loose } from './everywhere.js'
import { platforms } from './platforms.js'
import { type Answer, CLASSES, type Shared } from './sharedWorker.js'

type Arrays = Readonly<Record<string, Float32Array | Int32Array | Uint8Array | BigInt64Array>>

/** Copies in memory of the other kind; `tracking` views follow the length of a buffer that can grow. */
function copies(arrays: Arrays, memory: 'ordinary' | 'shared' | 'tracking'): Arrays {
  const copy = (array: Arrays[string]) => {
    const View = array.constructor as new (buffer: ArrayBufferLike) => Arrays[string]
    const { byteLength } = array
    const growable = SharedArrayBuffer as unknown as new (bytes: number, options: object) => SharedArrayBuffer
    const buffer =
      memory === 'ordinary'
        ? new ArrayBuffer(byteLength)
        : memory === 'shared'
          ? new SharedArrayBuffer(byteLength)
          : new growable(byteLength, { maxByteLength: 2 * byteLength })
    const view = new View(buffer)
    view.set(array as never)
    return view
  }
  return Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, copy(array)]))
}

/** The results that are arrays, and the value. */
interface Outcome {
  readonly value: unknown
  readonly grad: Float32Array
  readonly targetGrad: Float32Array | undefined
}

// Some positions of a few classes for short rows, and enough of them for loops of whole vectors, pieces and threads.
const SIZES = [6, 400, 20_000]

function draw(positions: number): Arrays {
  const random = generator(positions)
  const scores = positions * CLASSES
  return {
    x: filled(scores, () => 8 * random() - 4),
    probabilities: filled(scores, random),
    target: filled(scores, random),
    bytes: Uint8Array.from({ length: scores }, () => (random() < 0.5 ? 1 : 0)),
    labels: Int32Array.from({ length: positions }, () => Math.floor(CLASSES * random())),
    byteLabels: Uint8Array.from({ length: positions }, () => Math.floor(CLASSES * random())),
    bigLabels: BigInt64Array.from({ length: positions }, () => BigInt(Math.floor(CLASSES * random()))),
    mask: Uint8Array.from({ length: positions }, () => (random() < 0.8 ? 1 : 0)),
    weight: filled(scores, random),
    classWeight: filled(CLASSES, random),
    sampleWeight: filled(positions, random),
    gradOutput: filled(positions, random),
    grad: new Float32Array(scores),
    targetGrad: new Float32Array(scores),
    out: new Float32Array(positions),
  }
}

/** Every array of a call is shared in one of these, on every loop. */
function outcomes(arrays: Arrays): Outcome[] {
  const { x, probabilities, target, bytes, labels, mask, weight, classWeight, sampleWeight } = arrays
  const { byteLabels, bigLabels, gradOutput, grad, targetGrad, out } = arrays
  const shape = [labels.length, CLASSES]
  const call = (loss: unknown, ...args: unknown[]): Outcome => {
    const { value, grad, targetGrad } = loose(loss).valueAndGrad(...args) as Outcome
    // The next call writes into the same buffers.
    const copy = (array: Float32Array) => new Float32Array(array)
    return {
      value: value instanceof Float32Array ? copy(value) : value,
      grad: copy(grad),
      targetGrad: targetGrad && copy(targetGrad),
    }
  }
  return [
    call(mse, x, target, { grad }),
    call(mse, x, target, { grad, weight, targetGrad }),
    call(bce, probabilities, bytes, { grad }),
    call(bceWithLogits, x, target, { grad, posWeight: classWeight, shape }),
    call(klDiv, x, target, { grad, shape, reduction: 'batchmean' }),
    call(crossEntropy, x, labels, { grad }),
    call(crossEntropy, x, byteLabels, { grad, mask, sampleWeight, weight: classWeight }),
    call(crossEntropy, x, bigLabels, { grad, out, gradOutput, reduction: 'none' }),
    call(crossEntropy, x, target, { grad, targetGrad, shape, mask }),
    call(distillation, x, target, { grad, shape }),
    call(softmaxFocal, x, labels, { grad, alpha: classWeight }),
    call(nll, x, labels, { grad }),
    call(dice, probabilities, bytes, { grad }),
    call(dice, x, labels, { grad, shape, activation: 'softmax', weight: classWeight }),
    call(bceDice, x, target, { grad, shape, mask }),
    call(diceCe, x, labels, { grad, shape }),
    call(mse, x, target, { grad: x }),
  ]
}

everywhere('shared memory gives the same bits as ordinary memory', (t) => {
  for (const positions of SIZES) {
    const arrays = draw(positions)
    const expected = outcomes(copies(arrays, 'ordinary'))
    for (const memory of ['shared', 'tracking'] as const) {
      const got = outcomes(copies(arrays, memory))
      t.is(got.length, expected.length)
      got.forEach((outcome, i) => {
        const message = `${memory}, ${positions} positions, call ${i}`
        const { value } = outcome
        const wanted = expected[i].value
        if (typeof value === 'number') t.is(value, wanted as number, message)
        else t.true(sameBits(value as Float32Array, wanted as Float32Array), message)
        for (const key of ['grad', 'targetGrad'] as const) {
          t.true(sameBits(outcome[key] ?? [], expected[i][key] ?? []), `${message}, ${key}`)
        }
      })
    }
  }
})

everywhere('a gradient goes into the shared buffer that it is given', (t) => {
  const { x, target, grad } = copies(
    { x: Float32Array.of(1, 2), target: Float32Array.of(0, 4), grad: Float32Array.of(9, 9) },
    'shared',
  )
  t.is(loose(mse).valueAndGrad(x, target, { grad }).grad, grad as Float32Array)
  t.deepEqual([...grad], [1, -2])
})

everywhere('overlap in shared memory is refused', (t) => {
  const memory = new Float32Array(new SharedArrayBuffer(32))
  t.throws(() => mse.backward(memory.subarray(0, 4), memory.subarray(4), { grad: memory.subarray(3, 7) }), {
    instanceOf: RangeError,
    message: /^mse: grad must/,
  })
})

test.serial('a worker fills arrays for a loss here, and computes a loss of its own on them', async (t) => {
  const positions = 8000
  const memory = <A>(View: new (buffer: SharedArrayBuffer) => A, length: number) =>
    new View(new SharedArrayBuffer(4 * length))
  const workerData: Shared = {
    x: memory(Float32Array, positions * CLASSES),
    target: memory(Float32Array, positions * CLASSES),
    labels: memory(Int32Array, positions),
    grad: memory(Float32Array, positions * CLASSES),
  }
  const { x, target, labels, grad } = workerData
  const worker = new Worker(new URL('./sharedWorker.js', import.meta.url), { workerData })
  const answer = async (message: object) => {
    worker.postMessage(message)
    return (await once(worker, 'message'))[0]
  }
  try {
    for (const [i, platform] of platforms.entries()) {
      grad.fill(Number.NaN)
      t.is(await answer({ fill: i }), 'filled')
      // The worker's formulas, in double precision.
      let squares = 0
      let logs = 0
      for (let p = 0; p < positions; p++) {
        let total = 0
        for (let j = CLASSES * p; j < CLASSES * (p + 1); j++) {
          const [score, y] = [((j * 7 + i) % 13) - 6, ((j * 5) % 11) - 5]
          squares += (score - y) ** 2
          total += Math.exp(score)
        }
        logs += Math.log(total) - (((CLASSES * p + ((p + i) % CLASSES)) * 7 + i) % 13) + 6
      }
      const expected: Answer = { mse: squares / x.length, crossEntropy: logs / positions }
      platform.activate()
      const here: Answer = { mse: mse(x, target), crossEntropy: crossEntropy(x, labels) }
      const there: Answer = await answer({ compute: platform.name })
      for (const got of [here, there]) {
        for (const loss of ['mse', 'crossEntropy'] as const) {
          const difference = Math.abs(got[loss] - expected[loss])
          t.true(difference < 1e-6 * expected[loss], `${loss} on ${platform.name}: ${got[loss]}, not ${expected[loss]}`)
        }
      }
      const slopes = Float32Array.from({ length: x.length }, (_, j) => (2 / x.length) * (x[j] - target[j]))
      const farthest = grad.reduce((most, slope, j) => Math.max(most, Math.abs(slope - slopes[j])), 0)
      t.true(farthest < 1e-9, `gradient of the worker on ${platform.name}: ${farthest} off`)
    }
  } finally {
    await worker.terminate()
  }
})
