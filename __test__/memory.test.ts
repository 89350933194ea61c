/** Calls leave nothing behind: not a million of them, and not one of a huge row. */

import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { crossEntropy, dice, mse } from '../ts/index.js'
import { platforms } from './platforms.js'

const CALLS = 1_000_000

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Bytes that are still there after a collection: those of V8 and its arrays, and those of the process. */
function used(): { heap: number; resident: number } {
  collect()
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage()
  return { heap: heapUsed + external + arrayBuffers, resident: rss }
}

for (const platform of platforms.filter(({ name }) => name !== 'native scalar')) {
  test.serial(`a million calls on ${platform.name}`, (t) => {
    platform.activate()
    const x = Float32Array.of(1, 2, 3, 4)
    const target = new Float32Array(4)
    const labels = Int32Array.of(0, 1)
    const grad = new Float32Array(4)
    const bound = mse.with({ grad })
    const rows = crossEntropy.with({ grad, shape: [2, 2], weight: [1, 2] })
    const values = new Float32Array(4)
    const run = (calls: number) => {
      for (let i = 0; i < calls; i += 4) {
        bound.valueAndGrad(x, target)
        bound(x, target, { reduction: 'none', out: values })
        rows.valueAndGrad(x, labels)
        mse.backward(x, target, { weight: values, grad })
      }
    }
    // The first calls compile, and fill the pages of the young generation.
    run(CALLS / 4)
    // The system may give the process pages for reasons of its own, but a leak grows every time: by 32 MB
    // where a call loses the least that malloc gives, by a million bytes where it loses one of the heap.
    const growths: { heap: number; resident: number }[] = []
    const leaks = () => growths.every(({ heap, resident }) => heap > 500_000 || resident > 16 * 2 ** 20)
    let before = used()
    while (growths.length < 3 && leaks()) {
      run(CALLS)
      const after = used()
      growths.push({ heap: after.heap - before.heap, resident: after.resident - before.resident })
      // Not measured again: a second collection gives back the pages of the young generation, which the next run takes.
      before = after
    }
    t.log(...growths.map(({ heap, resident }) => `${heap} bytes more in the heap, ${resident} in the process`))
    t.false(leaks())
  })
}

for (const platform of platforms.filter(({ backend }) => backend.name === 'wasm')) {
  test.serial(`what a huge row takes on ${platform.name} is given back`, async (t) => {
    platform.activate()
    const classes = 40_000_000
    // Never written, so they take no memory themselves.
    const row = new Float32Array(classes)
    const planes = new Float32Array(300_000)
    const labels = Int32Array.of(1)
    const before = used().resident
    crossEntropy(row, labels)
    const held = used().resident - before
    t.true(held > 3 * classes, `${held} bytes held for the next call`)
    t.true(Math.abs(crossEntropy(row, labels) - Math.log(classes)) < 2e-6 * Math.log(classes))
    // Here the kernel has some memory of its own.
    dice(planes, labels, { shape: [1, planes.length], activation: 'softmax' })
    await setTimeout(1500)
    // A collection may leave what it finds to a task of its own.
    let kept = Infinity
    for (let i = 0; i < 20 && kept > 2 ** 25; i++) {
      await setTimeout(50)
      kept = used().resident - before
    }
    t.true(kept <= 2 ** 25, `${kept} bytes kept`)
    t.true(Math.abs(crossEntropy(row, labels) - Math.log(classes)) < 2e-6 * Math.log(classes))
  })
}
