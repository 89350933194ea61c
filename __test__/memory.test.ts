/** A million calls leave nothing behind. */

import test from 'ava'
import { crossEntropy, mse } from '../ts/index.js'
import { platforms } from './platforms.js'

const CALLS = 1_000_000

function used(): number {
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  return heapUsed + external + arrayBuffers
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
    run(20_000)
    const before = { used: used(), resident: process.memoryUsage().rss }
    run(CALLS)
    t.true(used() - before.used < 32 * 2 ** 20, `${used() - before.used} bytes more`)
    t.true(process.memoryUsage().rss - before.resident < 64 * 2 ** 20)
  })
}
