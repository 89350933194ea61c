/** Threads change nothing but the time. */

import test from 'ava'
import { forms, prepare } from '../benches/data.js'
import { load } from '../ts/backend/load.js'
import { backend, mse, setThreads } from '../ts/index.js'
import { platforms } from './platforms.js'

const threaded = platforms.find(({ name }) => name.endsWith(' threads'))
const COUNTS = [1, 2, 3, 8]

/** Some units and a rest, in rows, in planes and in one long row. */
const SIZES = [
  { elements: 10_007 },
  { elements: 10_030, classes: 10 },
  { elements: 21 * 2500, classes: 21 },
  { elements: 5 * 5000, classes: 5000 },
]

if (threaded !== undefined) {
  for (const [name, { timed }] of forms) {
    test.serial(`${name} has the same bits with ${COUNTS.join(', ')} threads`, (t) => {
      threaded.activate()
      for (const size of SIZES) {
        if ((size.classes === undefined) !== (timed.lengths === undefined)) continue
        const call = prepare(name, size)
        setThreads(1)
        const { value, grad } = call()
        const expected = grad.slice()
        for (const count of COUNTS) {
          setThreads(count)
          grad.fill(9)
          t.is(call().value, value, `${count} threads`)
          t.deepEqual(grad, expected, `${count} threads`)
        }
      }
    })
  }
}

test.serial('setThreads takes integers from 1 to 256', (t) => {
  for (const platform of platforms) {
    platform.activate()
    setThreads(2)
    t.is(backend().threads, platform.backend.name === 'native' ? 2 : 1)
    for (const count of [0, -1, 1.5, 257, Number.NaN, Number.POSITIVE_INFINITY]) {
      t.throws(() => setThreads(count), {
        instanceOf: RangeError,
        message: `setThreads: count must be an integer from 1 to 256, got ${count}`,
      })
    }
    t.throws(() => setThreads('2' as never), {
      instanceOf: TypeError,
      message: 'setThreads: count must be a number, got string',
    })
    t.is(backend().threads, platform.backend.name === 'native' ? 2 : 1)
  }
})

test.serial('a large call is split by itself', (t) => {
  if (threaded === undefined) return t.pass('no native backend')
  const native = load('native')
  native.splitAll(false)
  const x = Float32Array.from({ length: 2_000_000 }, (_, i) => Math.sin(i))
  const y = new Float32Array(x.length)
  setThreads(1)
  const one = mse(x, y)
  setThreads(2)
  t.is(mse(x, y), one)
})
