/**
 * `npm run bench:compare -- HEAD~3`: value and gradient of this tree against those of another commit, which is built in a
 * temporary worktree. Fails where a case is slower, or has another value.
 *
 *     --loss mse,bceWithLogits   these losses, in place of some of each family
 *     --backend native,wasm      these backends, in place of native
 *     --size 16,16384            numbers of elements
 *     --rounds 12                how often both are timed, each time in processes of their own, by turns
 *     --time 0.1                 seconds for each of these
 *     --threshold 5              percent: what is slower by less is the same
 */

import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import progress from 'cli-progress'
import Table from 'cli-table3'
import type { Given, Run } from './compareCase.js'
import { forms, sizesOf } from './data.js'
import { fail, integerOf, integersOf, listOf, positiveOf } from './options.js'
import { interval, LEAST_NUMBERS, median } from './statistics.js'

/** A case with the times that both took, of the same round at the same index. */
interface Comparison {
  readonly given: Given
  readonly base: number[]
  readonly here: number[]
  /** Why it cannot be compared. */
  problem?: string
}

const BACKENDS = ['native', 'wasm', 'ts'] as const
// One or two forms of a family, and three for planes: a run with its build is to end within six minutes on a quiet machine.
const LOSSES = [
  ...['mse', 'bceWithLogits'],
  ...['crossEntropy', 'crossEntropy axis 1'],
  ...['dice', 'dice sigmoid', 'dice softmax'],
  ...['bceDice', 'diceCe'],
]
const SIZES = [16, 16_384]
const TOLERANCE = 1e-5

const root = fileURLToPath(new URL('../../', import.meta.url))
const options = readOptions()
const hash = commit(options.base)
const tree = mkdtempSync(join(tmpdir(), 'fused-loss-'))
// Ctrl-C ends the children, so that what waits for them fails and the worktree goes.
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => stop.abort())
try {
  await build()
  report(await compareAll())
} catch (error) {
  console.error(`bench:compare: ${stop.signal.aborted ? 'stopped' : reasonOf(error)}`)
  process.exitCode = 1
} finally {
  // Again where something is still being written: a compiler ends a moment after its parent.
  rmSync(tree, { recursive: true, force: true, maxRetries: 10 })
  git('worktree', 'prune')
}

/** The base, with the benches of this tree: what they import is then the package of the base. */
async function build(): Promise<void> {
  console.log(`building ${options.base} (${hash}), which takes some minutes`)
  git('worktree', 'add', '--quiet', '--detach', tree, hash)
  const [locked, lockedHere] = [tree, root].map((folder) => readFileSync(join(folder, 'package-lock.json'), 'utf8'))
  if (locked === lockedHere) symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'), 'junction')
  else await npm('ci')
  await npm('run', 'build')
  mkdirSync(join(tree, 'dist/benches'), { recursive: true })
  for (const file of ['compareCase.js', 'data.js', 'warm.js'])
    cpSync(join(root, 'dist/benches', file), join(tree, 'dist/benches', file))
}

/** By rounds, so that what disturbs the machine for a while meets many cases, and each of them once. */
async function compareAll(): Promise<readonly Comparison[]> {
  const { losses, backends, sizes, seconds, rounds } = options
  const comparisons = losses
    .flatMap((loss) => sizesOf(loss, sizes).map((size) => ({ loss, ...size, seconds })))
    .flatMap((size) => backends.map((backend): Comparison => ({ given: { ...size, backend }, base: [], here: [] })))
  if (comparisons.length === 0) throw new Error('there is no such case')
  const format = '{bar} {value}/{total} {eta_formatted} {name}'
  const bar = new progress.SingleBar({ format, clearOnComplete: true }, progress.Presets.shades_classic)
  bar.start(rounds * comparisons.length, 0, { name: '' })
  try {
    for (let round = 0; round < rounds; round++) {
      for (const comparison of comparisons) {
        bar.update({ name: nameOf(comparison.given) })
        if (!comparison.problem) await compare(comparison, round % 2 === 0)
        stop.signal.throwIfAborted()
        bar.increment()
      }
    }
  } finally {
    bar.stop()
  }
  return comparisons
}

async function compare(comparison: Comparison, baseFirst: boolean): Promise<void> {
  const { given } = comparison
  const timeBase = () =>
    time(tree, given).catch((error) => {
      comparison.problem = `only here, since the base says: ${reasonOf(error)}`
    })
  const before = baseFirst ? await timeBase() : undefined
  const here = await time(root, given)
  const base = baseFirst ? before : await timeBase()
  if (!base) return
  comparison.base.push(base.nsPerCall)
  comparison.here.push(here.nsPerCall)
  const same = here.summary.every((n, i) => Math.abs(n - base.summary[i]) <= TOLERANCE * Math.abs(n))
  if (!same) {
    comparison.problem = `value and norm of the gradient are ${here.summary}, in the base ${base.summary}`
    process.exitCode = 1
  }
}

async function time(folder: string, given: Given): Promise<Run> {
  const script = join(folder, 'dist/benches/compareCase.js')
  const env = { ...process.env, FUSED_LOSS_BACKEND: given.backend, FUSED_LOSS_THREADS: '1' }
  const args = [script, JSON.stringify(given)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, signal: stop.signal })
  return JSON.parse(stdout)
}

function report(comparisons: readonly Comparison[]): void {
  const head = ['case', 'base ns/element', 'here', 'here / base', '99 %', '']
  const table = new Table({
    head,
    colAligns: ['left', 'right', 'right', 'right', 'right', 'left'],
    style: { head: [], compact: true },
  })
  const digits = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
  for (const { given, base, here } of comparisons.filter(({ problem }) => !problem)) {
    const ratios = here.map((ns, round) => ns / base[round])
    const range = interval(ratios)
    const verdict = verdictOf(range)
    if (verdict === 'slower') process.exitCode = 1
    const perElement = [base, here].map((times) => digits.format(median(times) / given.elements))
    const between = range.map((ratio) => ratio.toFixed(2)).join('–')
    table.push([nameOf(given), ...perElement, median(ratios).toFixed(2), between, verdict])
  }
  console.log(table.toString())
  for (const { given, problem } of comparisons) if (problem) console.log(`${nameOf(given)}: ${problem}`)
  if (table.length === 0) throw new Error('nothing was compared')
  console.log(`Slower and faster: by more than ${options.threshold} % within the whole interval of the median ratio.`)
}

function verdictOf([low, high]: readonly [number, number]): string {
  const threshold = options.threshold / 100
  if (low > 1 + threshold) return 'slower'
  return high < 1 - threshold ? 'faster' : 'same'
}

function nameOf({ loss, elements, classes, backend }: Given): string {
  return `${loss} ${classes ? `${elements / classes} × ${classes}` : elements} ${backend}`
}

function commit(base: string): string {
  try {
    return git('rev-parse', '--verify', '--short', '--end-of-options', `${base}^{commit}`)
  } catch {
    return fail(`BASE must be a commit of this repository; got '${base}'`)
  }
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: 'pipe' }).trim()
}

async function npm(...args: readonly string[]): Promise<void> {
  // A folder for cargo of its own, wherever that of this tree is.
  const env = { ...process.env, CARGO_TARGET_DIR: join(tree, 'target') }
  const shell = process.platform === 'win32'
  const child = spawn('npm', args, { cwd: tree, stdio: 'inherit', shell, env, signal: stop.signal })
  const [status] = await once(child, 'exit')
  if (status !== 0) throw new Error(`npm ${args.join(' ')} failed in ${options.base}`)
}

/** The line of a message that says what went wrong, and not where. */
function reasonOf(error: unknown): string {
  const { message, stderr = '' } = error as Error & { readonly stderr?: string }
  return /^\w*Error.*$/m.exec(stderr)?.[0] ?? message.split('\n')[0]
}

function readOptions() {
  const type = 'string'
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        loss: { type },
        backend: { type, default: 'native' },
        size: { type, default: SIZES.join() },
        rounds: { type, default: '12' },
        time: { type, default: '0.1' },
        threshold: { type, default: '5' },
      },
    })
    if (positionals.length !== 1) throw new Error('name one commit to compare with, such as HEAD~1')
    return {
      base: positionals[0],
      losses: values.loss === undefined ? LOSSES : listOf('loss', values.loss, [...forms.keys()]),
      backends: listOf('backend', values.backend, BACKENDS),
      sizes: integersOf('size', values.size, 1),
      rounds: integerOf('rounds', values.rounds, LEAST_NUMBERS),
      seconds: positiveOf('time', values.time),
      threshold: positiveOf('threshold', values.threshold),
    }
  } catch (error) {
    return fail((error as Error).message)
  }
}
