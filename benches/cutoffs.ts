/**
 * `npm run bench:cutoffs`: small calls by each backend, and by the one that the package chooses by their length. From these
 * times come the cut-offs in `ts/backend/load.ts`: below them TypeScript is the fastest. What the facade costs is the
 * difference between `native` and `kernel`, which is its call of the backend alone, for losses of an element.
 *
 *     --loss mse,dice    only these losses
 *     --time 0.1         seconds for each case
 *     --rounds 5         passes over all cases; of each the fastest counts
 */

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import progress from 'cli-progress'
import { load, use } from '../ts/backend/load.js'
import { tsBackend } from '../ts/backend/ts/index.js'
import type { Case } from './case.js'
import { ask } from './child.js'
import { forms, hasKernel, prepare, sizesOf, summary } from './data.js'
import { fail, integerOf, listOf, positiveOf } from './options.js'
import { terminalTable } from './report.js'
import type { Timing } from './timing.js'

const LOSSES = ['mse', 'bceWithLogits', 'crossEntropy', 'dice', 'bceDice']
const SIZES = [4, 8, 16, 32, 64, 128, 256, 1024, 4096]

/** What is in the environment: nothing where the package is to choose. */
const WAYS = { kernel: 'native', native: 'native', wasm: 'wasm', ts: 'ts', 'by length': '' } as const
type Way = keyof typeof WAYS

const { losses, seconds, rounds } = readOptions()
const ways = Object.keys(WAYS) as Way[]
const problems = losses.flatMap((loss) =>
  sizesOf(loss, SIZES)
    .filter(({ classes = 10 }) => classes === 10)
    .map((size) => ({ loss, size })),
)

const format = '{bar} {value}/{total} {eta_formatted}'
const bar = new progress.SingleBar({ format, clearOnComplete: true }, progress.Presets.shades_classic)
bar.start(rounds * problems.reduce((sum, { loss }) => sum + waysOf(loss).length, 0), 0)
// As in the children, whose results are to be the same.
use(tsBackend)
const expected = problems.map(({ loss, size }) => summary(prepare(loss, size)()))
const least = problems.map((): Partial<Record<Way, number>> => ({}))
for (let round = 0; round < rounds; round++) {
  for (const [i, { loss, size }] of problems.entries()) {
    for (const way of waysOf(loss)) {
      const ns = time(way, { loss, verb: 'fused', ...size, seconds, expected: expected[i] })
      least[i][way] = Math.min(ns, least[i][way] ?? Infinity)
    }
  }
}
bar.stop()
const rows = problems.map(({ loss, size }, i) => {
  const { native, wasm, ts, 'by length': chosen } = least[i]
  const times = ways.map((way) => least[i][way]?.toFixed(0) ?? '')
  return [loss, `${size.elements}`, ...times, (chosen! / Math.min(native!, wasm!, ts!)).toFixed(2)]
})
console.log(terminalTable({ head: ['loss', 'elements', ...ways, '/ best'], rows }))
console.log('\nNanoseconds per call of value and gradient.')

function waysOf(loss: string): readonly Way[] {
  return ways.filter((way) => way !== 'kernel' || hasKernel(loss))
}

function time(way: Way, rest: Omit<Case, 'backend' | 'instructionSet'>): number {
  const backend = WAYS[way] || 'native'
  const given: Case = { ...rest, backend, instructionSet: load(backend).instructionSet, kernel: way === 'kernel' }
  const script = fileURLToPath(new URL('case.js', import.meta.url))
  const answer = ask<Timing>(process.execPath, [script, JSON.stringify(given)], { FUSED_LOSS_BACKEND: WAYS[way] })
  if (typeof answer === 'string') {
    bar.stop()
    fail(`${given.loss} ${given.elements} ${way}: ${answer}`)
  }
  bar.increment()
  return answer.nsPerCall
}

function readOptions() {
  const type = 'string'
  try {
    const { values } = parseArgs({
      options: { loss: { type }, time: { type, default: '0.1' }, rounds: { type, default: '5' } },
    })
    const losses = values.loss === undefined ? LOSSES : listOf('loss', values.loss, [...forms.keys()])
    const rounds = integerOf('rounds', values.rounds, 1, 100)
    return { losses, seconds: positiveOf('time', values.time), rounds }
  } catch (error) {
    return fail((error as Error).message)
  }
}
