/**
 * `npm run bench`: value and gradient of every public loss on every backend, some 360 cases in about six minutes.
 *
 *     --loss mse,bceWithLogits   only these losses
 *     --backend native,wasm      only these backends; only that of FUSED_LOSS_BACKEND, where it is set
 *     --size 16,16384            numbers of elements
 *     --classes 2,10,100         numbers of classes, for the losses with rows
 *     --verb forward,backward    the value alone, the gradient alone, both (fused), or both with the gradient written over a
 *                                copy of the input, which is timed with the call (inPlace); by default fused, and forward and
 *                                backward only for native and some thousand elements
 *     --threads 2                threads of a large call, default 1
 *     --time 0.5                 seconds for each case, default 0.1, besides the start of a process
 *     --rounds 5                 passes over all cases, default 1; of each case the fastest counts, so that a machine that is
 *                                shared with others is measured in its quiet moments
 *     --all-sets                 each backend with each of its instruction sets, not only with the best
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus } from 'node:os'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import progress from 'cli-progress'
import { load, MOST_THREADS, use } from '../ts/backend/load.js'
import { tsBackend } from '../ts/backend/ts/index.js'
import { version } from '../ts/version.js'
import type { Case } from './case.js'
import { drawChart } from './chart.js'
import { ask } from './child.js'
import { forms, prepare, type Size, sizesOf, summary, VERBS, type Verb } from './data.js'
import { type Limit, measureLimit } from './limit.js'
import { fail, integerOf, integersOf, listOf, positiveOf } from './options.js'
import { type Measurement, markdown, measurement, type Report, terminal } from './report.js'
import type { Timing } from './timing.js'

type Target = Pick<Case, 'backend' | 'instructionSet'>

const BACKENDS = ['native', 'wasm', 'ts'] as const
const SIZES = [16, 16_384, 1_048_576]

const options = readOptions()
const skipped: Record<string, string> = {}
const targets = options.backends.flatMap(targetsOf)
const problems = options.losses.flatMap(problemsOf)
// What is expected is computed here: a child is to see no backend but its own.
use(tsBackend)
const cases = problems.flatMap(casesOf)
const count = cases.length * options.rounds
if (count === 0) fail(['there is no such case', ...Object.values(skipped)].join('; '))

const limit = limitOfRun()
const report: Report = { facts: factsOfRun(), measurements: measureAll() }
console.log(terminal(report))
const results = fileURLToPath(new URL('../../results/', import.meta.url))
mkdirSync(results, { recursive: true })
writeFileSync(`${results}bench.md`, markdown(report))
writeFileSync(`${results}bench.json`, `${JSON.stringify(report, undefined, 2)}\n`)
const files = [
  ...['bench.md', 'bench.json'].map((file) => relative('', results + file)),
  drawChart(report.measurements),
]
console.log(`\nAlso in ${files.join(', ')}`)

function measureAll(): readonly Measurement[] {
  const best = new Map<Case, Timing>()
  const format = '{bar} {value}/{total} {eta_formatted} {name}'
  const bar = new progress.SingleBar({ format, clearOnComplete: true }, progress.Presets.shades_classic)
  bar.start(count, 0, { name: '' })
  for (let round = 0; round < options.rounds; round++) {
    for (const given of cases) {
      const name = `${given.loss} ${given.verb} ${given.elements} ${given.backend} ${given.instructionSet}`
      bar.increment(1, { name })
      const timing = time(given)
      if (typeof timing === 'string') {
        bar.stop()
        fail(`${name}: ${timing}`)
      }
      if (timing.nsPerCall < (best.get(given)?.nsPerCall ?? Infinity)) best.set(given, timing)
    }
  }
  bar.stop()
  return cases.map((given) => measurement(given, best.get(given)!, limit))
}

/** A problem on each of its targets. */
function casesOf({ loss, verb, size, targets }: (typeof problems)[number]): readonly Case[] {
  const expected = summary(prepare(loss, size, verb)())
  return targets.map((target) => ({ loss, verb, ...size, ...target, seconds: options.seconds, expected }))
}

/** What a child says of a case, or how it failed. */
function time(given: Case): Timing | string {
  const script = fileURLToPath(new URL('case.js', import.meta.url))
  const env = { FUSED_LOSS_BACKEND: given.backend, FUSED_LOSS_THREADS: `${options.threads}` }
  return ask(process.execPath, [script, JSON.stringify(given)], env)
}

function targetsOf(backend: Case['backend']): readonly Target[] {
  try {
    const loaded = load(backend)
    const sets = options.allSets && 'instructionSets' in loaded ? loaded.instructionSets : [loaded.instructionSet]
    return sets.map((instructionSet) => ({ backend, instructionSet }))
  } catch (error) {
    skipped[`${backend} left out`] = (error as Error).message.split('\n')[0]
    return []
  }
}

/** What is reported without it says why. */
function limitOfRun(): Limit | undefined {
  const sizes = [...new Set(problems.map(({ size }) => size.elements))]
  try {
    const rounds = Array.from({ length: options.rounds }, () => measureLimit(sizes))
    return (elements, traffic) => least(rounds.map((limit) => limit(elements, traffic)))
  } catch (error) {
    skipped['limit left out'] = (error as Error).message.split('\n')[0]
    return undefined
  }
}

function least(times: readonly (number | undefined)[]): number | undefined {
  return times.includes(undefined) ? undefined : Math.min(...(times as number[]))
}

/** What is timed of a loss, and on which targets. */
function problemsOf(loss: string) {
  return sizesOf(loss, options.sizes, options.classes).flatMap((size) =>
    VERBS.map((verb) => ({
      loss,
      verb,
      size,
      targets: targets.filter((target) => isTimed(verb, size, target)),
    })).filter(({ targets }) => targets.length > 0),
  )
}

/** A small call is mostly the way into it, and a large one memory: what a verb costs shows in between. */
function isTimed(verb: Verb, { elements }: Size, { backend }: Target): boolean {
  if (options.verbs) return options.verbs.includes(verb)
  if (verb === 'inPlace') return false
  return verb === 'fused' || (backend === 'native' && elements > 4096 && elements < 65_536)
}

function factsOfRun(): Report['facts'] {
  return {
    CPU: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    'instruction sets': targets.map(({ backend, instructionSet }) => `${instructionSet} (${backend})`).join(', '),
    Node: process.version,
    'fused-loss': version,
    date: new Date().toISOString(),
    threads: options.threads,
    'seconds per case': options.seconds,
    rounds: options.rounds,
    ...skipped,
  }
}

function readOptions() {
  const type = 'string'
  try {
    const { values } = parseArgs({
      options: {
        loss: { type },
        backend: { type },
        size: { type },
        classes: { type },
        verb: { type },
        threads: { type, default: '1' },
        time: { type, default: '0.1' },
        rounds: { type, default: '1' },
        'all-sets': { type: 'boolean', default: false },
      },
    })
    const forced = process.env.FUSED_LOSS_BACKEND
    const backends = BACKENDS.filter((name) => !forced || name === forced)
    return {
      losses: listOf('loss', values.loss, [...forms.keys()]),
      backends: listOf('backend', values.backend, backends),
      sizes: values.size === undefined ? SIZES : integersOf('size', values.size, 1),
      classes: values.classes === undefined ? undefined : integersOf('classes', values.classes, 2),
      verbs: values.verb === undefined ? undefined : listOf('verb', values.verb, VERBS),
      threads: integerOf('threads', values.threads, 1, MOST_THREADS),
      rounds: integerOf('rounds', values.rounds, 1, 100),
      seconds: positiveOf('time', values.time),
      allSets: values['all-sets'],
    }
  } catch (error) {
    return fail((error as Error).message.split('\n')[0])
  }
}
