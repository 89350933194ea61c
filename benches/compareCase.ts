/** Times one case for `npm run bench:compare`, with the package that this file lies beside, and prints what it took. */

import { backend } from '../ts/index.js'
import { forms, prepare, type Size, summary } from './data.js'
import { warmUp } from './warm.js'

/** One case, as a child gets it; the environment forces the backend. */
export interface Given extends Size {
  readonly loss: string
  readonly backend: string
  readonly seconds: number
}

/** What a child prints. */
export interface Run {
  readonly nsPerCall: number
  readonly summary: readonly number[]
}

/** Where in memory the arrays happen to lie makes up to 20 %, so they are made anew some times. */
const PLACES = 5

// In milliseconds.
const WARM_UP = 100
const BATCH = 0.1

const given: Given = JSON.parse(process.argv[2])
if (backend().name !== given.backend) throw new Error(`loaded ${backend().name} in place of ${given.backend}`)
if (!forms.has(given.loss)) throw new Error(`there is no ${given.loss}`)

let call = prepare(given.loss, given)
const warm = warmUp(call, WARM_UP)
let { result } = warm
const batch = Math.ceil(warm.perMillisecond * BATCH)

// The least, since all that disturbs a kernel only adds to its time.
let nsPerCall = Number.POSITIVE_INFINITY
for (let place = 0; place < PLACES; place++) {
  call = prepare(given.loss, given)
  const end = performance.now() + (given.seconds * 1000) / PLACES
  do {
    const before = performance.now()
    for (let i = 0; i < batch; i++) result = call()
    nsPerCall = Math.min(nsPerCall, ((performance.now() - before) * 1e6) / batch)
  } while (performance.now() < end)
}
const run: Run = { nsPerCall, summary: summary(result) }
console.log(JSON.stringify(run))
