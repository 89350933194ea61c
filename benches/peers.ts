/**
 * `npm run bench:peers`: value and gradient of a loss by fused-loss and by other libraries, of the same data, on one
 * thread each. They must agree.
 *
 *     --loss mse,crossEntropy    only these losses
 *     --peer torch,tfjs-wasm     only these beside fused-loss native
 *     --size 16384               numbers of elements
 *     --time 0.5                 seconds for each case
 *
 * The libraries in Python are those that FUSED_LOSS_PEERS_PYTHON, the path of an interpreter, imports; where it is not
 * set, those of benches/peers/.venv, which benches/peers/setup.sh makes.
 */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import progress from 'cli-progress'
import { load } from '../ts/backend/load.js'
import { version } from '../ts/version.js'
import { ask } from './child.js'
import { fail, integersOf, listOf, positiveOf } from './options.js'
import { drawPeers } from './peers/chart.js'
import type { Answer, Introduction } from './peers/common.js'
import { caseOf, elementsOf, losses } from './peers/losses.js'
import { type Column, type Gap, type Measurement, markdown, type Report, terminal } from './peers/report.js'

/** Something that computes a loss: a column of the tables, and the process that fills it. */
interface Peer extends Column {
  readonly id: string
  readonly command: readonly [string, ...string[]]
  /** Arguments after the case. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** The library in notes, where it is another one. It is asked what it has. */
  readonly library?: string
  /** What to do where it is not there. */
  readonly remedy?: string
  /** With more elements a case takes minutes. */
  readonly most?: number
  /** How far the value may be off, where it is not 1e-4. */
  readonly tolerance?: number
}

const SIZES = [16_384, 4_194_304]
const SECONDS = 0.5
const MOST_OF_TFJS_CPU = 1_000_000
const TOLERANCE = 1e-4

// glibc gives large blocks back to the system when they are freed, and gets them anew, page by page, with each call. With
// these it keeps them.
const WARM_HEAP = {
  MALLOC_TOP_PAD_: String(2 ** 28),
  MALLOC_MMAP_THRESHOLD_: String(2 ** 32),
  MALLOC_TRIM_THRESHOLD_: String(2 ** 32),
}

const python =
  process.env.FUSED_LOSS_PEERS_PYTHON ?? fileURLToPath(new URL('../../benches/peers/.venv/bin/python', import.meta.url))

const folder = mkdtempSync(join(tmpdir(), 'fused-loss-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const peers = allPeers()
const options = readOptions()
const problems = options.sizes.flatMap((size) =>
  losses
    .filter(({ name }) => options.losses.includes(name))
    .map((loss) => ({ size, loss, elements: elementsOf(loss, size) }))
    .filter(({ elements }) => elements > 0),
)
if (problems.length === 0) fail('there is no such case')

const skipped: Record<string, string> = {}
const versions = versionsOfOurs()
const introductions = introduced()
const chosen = peers.filter(({ id }) => id === 'native' || (options.peers.includes(id) && !(id in skipped)))
const { measurements, gaps, disagreements } = measureAll()
const report: Report = { facts: factsOfRun(), columns: chosen.map(columnOf), measurements, gaps }
console.log(terminal(report))
const results = fileURLToPath(new URL('../../results/', import.meta.url))
mkdirSync(results, { recursive: true })
writeFileSync(`${results}peers.md`, markdown(report))
writeFileSync(`${results}peers.json`, `${JSON.stringify(report, undefined, 2)}\n`)
const files = ['peers.md', 'peers.json'].map((file) => relative('', results + file))
console.log(`\nAlso in ${[...files, ...drawPeers(report)].join(', ')}`)
if (disagreements.length > 0) fail(disagreements.join('\n'))

function measureAll() {
  const measurements: Measurement[] = []
  const gaps: Gap[] = []
  const disagreements: string[] = []
  const format = '{bar} {value}/{total} {eta_formatted} {name}'
  const bar = new progress.SingleBar({ format, clearOnComplete: true }, progress.Presets.shades_classic)
  bar.start(problems.length * chosen.length, 0, { name: '' })
  for (const { size, loss, elements } of problems) {
    const { title } = loss
    const given = caseOf(loss, elements, folder, options.seconds)
    const { shape } = given.inputs[0]
    let native: Answer | undefined
    for (const peer of chosen) {
      bar.update({ name: `${title} ${size} ${peer.name}` })
      const reason = lackOf(peer, loss.name, size)
      const [command, ...args] = peer.command
      const answer = reason ?? ask<Answer>(command, [...args, JSON.stringify(given), ...(peer.args ?? [])], peer.env)
      bar.increment()
      if (typeof answer === 'string') {
        if (reason === undefined) {
          bar.stop()
          fail(`${title} ${size} ${peer.name}: ${answer}`)
        }
        gaps.push({ size, loss: title, peer: peer.id, reason: answer })
        continue
      }
      native ??= answer
      const off = answer.summary.map((n, i) => Math.abs(n / native!.summary[i] - 1))
      if (off[0] <= (peer.tolerance ?? TOLERANCE) && off[1] <= TOLERANCE) {
        const { summary, ...timing } = answer
        const nsPerElement = timing.nsPerCall / elements
        const times = timing.nsPerCall / native.nsPerCall
        measurements.push({ size, loss: title, shape, peer: peer.id, ...timing, nsPerElement, times, valueOff: off[0] })
      } else {
        const [of, and] = [answer, native].map(({ summary }) => summary.join(' and '))
        disagreements.push(
          `${title} ${size}: value and norm of the gradient are ${of} in ${peer.name}, ${and} in fused-loss`,
        )
        gaps.push({ size, loss: title, peer: peer.id, reason: `disagrees with fused-loss on` })
      }
    }
  }
  bar.stop()
  return { measurements, gaps, disagreements }
}

/** Why a peer does not compute a loss; the loss follows. */
function lackOf({ id, name, library, most }: Peer, loss: string, size: number): string | undefined {
  if (introductions.get(id)?.losses.includes(loss) === false) return `${library} has no`
  return most !== undefined && size > most ? `${name} takes minutes for ${size} elements of` : undefined
}

/** With a note of what was composed. */
function columnOf(peer: Peer): Column {
  const composed = introductions.get(peer.id)?.composed.filter((name) => options.losses.includes(name)) ?? []
  if (composed.length === 0) return peer
  return { ...peer, composed: `Composed of operations of ${peer.library}: ${composed.join(', ')}.` }
}

function allPeers(): readonly Peer[] {
  const fused = (backend: 'native' | 'wasm' | 'ts'): Peer => ({
    id: backend,
    name: `fused-loss ${backend}`,
    own: true,
    gradient: 'fused-loss writes it into one buffer of the caller',
    command: [process.execPath, fileURLToPath(new URL('peers/fused_peer.js', import.meta.url))],
    env: { FUSED_LOSS_BACKEND: backend, FUSED_LOSS_THREADS: '1' },
  })
  const script = (name: string) => fileURLToPath(new URL(`../../benches/peers/${name}_peer.py`, import.meta.url))
  const remedy =
    'benches/peers/setup.sh installs PyTorch and JAX, or FUSED_LOSS_PEERS_PYTHON names a Python that has them'
  const torch: Peer = {
    id: 'torch',
    name: 'PyTorch',
    library: 'PyTorch',
    gradient: 'PyTorch, eager, allocates it and its temporaries with each call',
    command: [python, script('torch')],
    remedy,
  }
  const compiled: Peer = {
    id: 'torch-compile',
    name: 'PyTorch compile',
    library: 'PyTorch compile',
    gradient: 'PyTorch compile returns a new tensor with each call, compiled together with the value, on the warm heap',
    command: [python, script('torch')],
    args: ['compile'],
    // What it has compiled goes when the run ends. It makes no other processes to compile in, which might be busy meanwhile.
    env: { ...WARM_HEAP, TMPDIR: folder, TORCHINDUCTOR_COMPILE_THREADS: '1' },
    remedy: `${remedy}; a C++ compiler is needed, too`,
  }
  const jax: Peer = {
    id: 'jax',
    name: 'JAX jit',
    library: 'JAX',
    gradient: 'JAX returns a new array with each call, compiled together with the value, on the warm heap',
    command: [python, script('jax')],
    env: WARM_HEAP,
    remedy,
  }
  const tfjs = (backend: 'cpu' | 'wasm'): Peer => ({
    id: `tfjs-${backend}`,
    name: `tfjs ${backend}`,
    library: 'tfjs',
    gradient: 'tfjs makes a new tensor with each call, which is read and disposed of',
    command: [process.execPath, fileURLToPath(new URL('peers/tfjs_peer.js', import.meta.url))],
    args: [backend],
  })
  return [
    fused('native'),
    fused('wasm'),
    fused('ts'),
    torch,
    { ...torch, id: 'torch-warm', name: 'PyTorch, warm heap', env: WARM_HEAP },
    compiled,
    jax,
    { ...tfjs('cpu'), most: MOST_OF_TFJS_CPU },
    // It adds up one element after another in single precision.
    { ...tfjs('wasm'), tolerance: 2e-2 },
  ]
}

/** What our own peers are. Those that are not there go to `skipped`. */
function versionsOfOurs(): Readonly<Record<string, string>> {
  const sets: string[] = []
  for (const backend of ['native', 'wasm', 'ts'] as const) {
    try {
      sets.push(`${backend} ${load(backend).instructionSet}`)
    } catch (error) {
      const reason = (error as Error).message.split('\n')[0]
      if (backend === 'native') fail(`fused-loss native is what others are compared with: ${reason}`)
      skipped[backend] = reason
    }
  }
  return { 'fused-loss': `${version} (${sets.join(', ')})`, Node: process.version }
}

/** What the other libraries say of themselves, by peer. Those that are not there go to `skipped`. */
function introduced(): ReadonlyMap<string, Introduction> {
  const asked = peers.filter(({ id, library }) => library !== undefined && options.peers.includes(id))
  const answers = new Map<string, Introduction>()
  for (const {
    id,
    command: [command, ...args],
    args: more = [],
    env,
    remedy,
  } of asked) {
    const answer = ask<Introduction>(command, [...args, 'losses', ...more], env)
    if (typeof answer !== 'string') answers.set(id, answer)
    else skipped[id] = [answer.trim().split('\n').at(-1), remedy].join('; ')
  }
  return answers
}

function factsOfRun(): Report['facts'] {
  const idsOf = (reason: string) => Object.keys(skipped).filter((id) => skipped[id] === reason)
  return {
    CPU: cpus()[0]?.model ?? 'unknown',
    cores: `${availableParallelism()}, of which each library uses one`,
    ...versions,
    ...Object.assign({}, ...[...introductions.values()].map(({ versions }) => versions)),
    date: new Date().toISOString(),
    'seconds per case': options.seconds,
    ...Object.fromEntries(Object.values(skipped).map((reason) => [`${idsOf(reason).join(', ')} left out`, reason])),
  }
}

function readOptions() {
  const type = 'string'
  try {
    const { values } = parseArgs({ options: { loss: { type }, peer: { type }, size: { type }, time: { type } } })
    const names = new Set(losses.map(({ name }) => name))
    return {
      losses: listOf('loss', values.loss, [...names]),
      peers: listOf(
        'peer',
        values.peer,
        peers.map(({ id }) => id),
      ),
      sizes: values.size === undefined ? SIZES : integersOf('size', values.size, 1),
      seconds: values.time === undefined ? SECONDS : positiveOf('time', values.time),
    }
  } catch (error) {
    return fail((error as Error).message)
  }
}
