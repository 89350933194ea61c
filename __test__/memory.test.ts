/** A million calls leave nothing behind. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import test from 'ava'
import { crossEntropy, mse } from '../ts/index.js'
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
    const before = used()
    run(CALLS)
    const after = used()
    t.log(`${after.heap - before.heap} bytes more in the heap, ${after.resident - before.resident} in the process`)
    // A byte a call would be a million.
    t.true(after.heap - before.heap < 500_000)
    t.true(after.resident - before.resident < 16 * 2 ** 20)
  })
}
