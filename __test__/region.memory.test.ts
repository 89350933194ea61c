/** A call with very many planes leaves nothing behind. */

import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { dice } from '../ts/index.js'
import { everywhere } from './everywhere.js'

setFlagsFromString('--expose-gc')
const collect: () => void = runInNewContext('gc')

/** Bytes of arrays after a collection. Their memory goes when the next one begins. */
function held(): number {
  for (let i = 0; i < 3; i++) collect()
  return process.memoryUsage().arrayBuffers
}

everywhere('two million planes', (t) => {
  const x = new Float32Array(2_000_000).fill(0.5)
  const [grad, targetGrad] = [new Float32Array(x.length), new Float32Array(x.length)]
  dice(x.subarray(0, 8), x.subarray(0, 8))
  const before = held()
  dice.valueAndGrad(x, x, { shape: [20_000, 100], grad, targetGrad })
  const more = held() - before
  t.log(`${more} bytes`)
  // What is kept is for a thousand planes; the sums of all would be 48 MB.
  t.true(more < 2 ** 17)
})
