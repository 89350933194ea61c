/**
 * `npm run bench:cutoffs`: small calls by each backend, and by the one that the package chooses by their length. From these
 * times come the cut-offs in `ts/backend/load.ts`: below them TypeScript is the fastest.
 *
 *     --loss mse,dice    only these losses
 *     --time 0.2         seconds for each case
 */

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import progress from 'cli-progress'
import { load, use } from '../ts/backend/load.js'
import { tsBackend } from '../ts/backend/ts.js'
import type { Case } from './case.js'
import { ask } from './child.js'
import { forms, prepare, sizesOf, summary } from './data.js'
import { fail, listOf, positiveOf } from './options.js'
import { terminalTable } from './report.js'
import type { Timing } from './timing.js'

const LOSSES = ['mse', 'bceWithLogits', 'crossEntropy', 'dice', 'bceDice']
const SIZES = [4, 8, 16, 32, 64, 128, 256, 1024, 4096]

/** What is in the environment: nothing where the package is to choose. */
const WAYS = { native: 'native', wasm: 'wasm', ts: 'ts', 'by length': '' } as const
type Way = keyof typeof WAYS

const { losses, seconds } = readOptions()
const ways = Object.keys(WAYS) as Way[]
const problems = losses.flatMap((loss) =>
  sizesOf(loss, SIZES)
    .filter(({ classes = 10 }) => classes === 10)
    .map((size) => ({ loss, size })),
)

const format = '{bar} {value}/{total} {eta_formatted}'
const bar = new progress.SingleBar({ format, clearOnComplete: true }, progress.Presets.shades_classic)
bar.start(problems.length * ways.length, 0)
// As in the children, whose results are to be the same.
use(tsBackend)
const rows = problems.map(({ loss, size }) => {
  const expected = summary(prepare(loss, size)())
  const times = ways.map((way) => {
    const ns = time(way, { loss, verb: 'fused', ...size, seconds, expected })
    bar.increment()
    return ns
  })
  const best = Math.min(...times.slice(0, -1))
  return [loss, `${size.elements}`, ...times.map((ns) => ns.toFixed(0)), (times[times.length - 1] / best).toFixed(2)]
})
bar.stop()
console.log(terminalTable({ head: ['loss', 'elements', ...ways, '/ best'], rows }))
console.log('\nNanoseconds per call of value and gradient.')

function time(way: Way, rest: Omit<Case, 'backend' | 'instructionSet'>): number {
  const backend = way === 'by length' ? 'native' : way
  const given: Case = { ...rest, backend, instructionSet: load(backend).instructionSet }
  const script = fileURLToPath(new URL('case.js', import.meta.url))
  const answer = ask<Timing>(process.execPath, [script, JSON.stringify(given)], { FUSED_LOSS_BACKEND: WAYS[way] })
  if (typeof answer === 'string') {
    bar.stop()
    fail(`${given.loss} ${given.elements} ${way}: ${answer}`)
  }
  return answer.nsPerCall
}

function readOptions() {
  const type = 'string'
  try {
    const { values } = parseArgs({ options: { loss: { type }, time: { type, default: '0.2' } } })
    const losses = values.loss === undefined ? LOSSES : listOf('loss', values.loss, [...forms.keys()])
    return { losses, seconds: positiveOf('time', values.time) }
  } catch (error) {
    return fail((error as Error).message)
  }
}
