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
import { createRequire } from 'node:module'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import progress from 'cli-progress'
import { load } from '../ts/backend/load.js'
import { version } from '../ts/version.js'
import { ask } from './child.js'
import { draws } from './data.js'
import { fail, integersOf, listOf, positiveOf } from './options.js'
import { drawPeers } from './peers/chart.js'
import { type Answer, losses, type PeerCase, type PeerLoss } from './peers/common.js'
import { type Column, type Gap, type Measurement, markdown, type Report, terminal } from './peers/report.js'

/** Something that computes a loss: a column of the tables, and the process that fills it. */
interface Peer extends Column {
  readonly id: string
  readonly command: readonly [string, ...string[]]
  /** Arguments after the case. */
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Why it does not have a loss of so many elements; the loss follows. */
  readonly lacks?: (loss: PeerLoss, size: number) => string | undefined
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
const PYTHON_PEERS = ['torch', 'torch-warm', 'jax']
const PYTHON_VERSIONS = `
import json, platform
from importlib.metadata import version
names = {"PyTorch": "torch", "torchvision": "torchvision", "JAX": "jax", "optax": "optax"}
print(json.dumps({"Python": platform.python_version(), **{name: version(names[name]) for name in names}}))`

const peers = allPeers()
const options = readOptions()
const skipped: Record<string, string> = {}
const versions = versionsOfPeers()
const chosen = peers.filter(({ id }) => id === 'native' || (options.peers.includes(id) && !(id in skipped)))
const problems = options.sizes.flatMap((size) =>
  losses
    .filter(({ name }) => options.losses.includes(name))
    .map((loss) => ({ size, loss, shape: shapeOf(loss, size) }))
    .filter(({ shape }) => !shape.includes(0)),
)
if (problems.length === 0) fail('there is no such case')

const folder = mkdtempSync(join(tmpdir(), 'fused-loss-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const { measurements, gaps, disagreements } = measureAll()
const report: Report = { facts: factsOfRun(), columns: chosen, measurements, gaps }
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
  for (const { size, loss, shape } of problems) {
    const given = written(loss, shape)
    const title = loss.classes === undefined ? loss.name : `${loss.name}, C = ${loss.classes}`
    const elements = shape.reduce((product, n) => product * n)
    let native: Answer | undefined
    for (const peer of chosen) {
      bar.update({ name: `${title} ${size} ${peer.name}` })
      const reason = peer.lacks?.(loss, size)
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

/** The case, with its data in files, which those of the next case replace. */
function written(loss: PeerLoss, shape: readonly number[]): PeerCase {
  const length = shape.reduce((product, n) => product * n)
  const draw = draws(length)
  const input = join(folder, 'input')
  const target = join(folder, 'target')
  writeFileSync(input, Float32Array.from({ length }, draw[loss.input]))
  writeFileSync(
    target,
    loss.target === 'label'
      ? Int32Array.from({ length: shape[0] }, () => Math.floor(draw.probability() * shape[1]))
      : Float32Array.from({ length }, draw[loss.target]),
  )
  return { loss: loss.name, shape, labels: loss.target === 'label', input, target, seconds: options.seconds }
}

/** Losses with classes or planes have whole positions, as many as fit. */
function shapeOf({ classes, planes }: PeerLoss, size: number): readonly number[] {
  if (classes !== undefined) return [Math.floor(size / classes), classes]
  return planes === undefined ? [size] : [1, planes, Math.floor(size / planes)]
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
  const torch: Peer = {
    id: 'torch',
    name: 'PyTorch',
    gradient: 'PyTorch, eager, allocates it and its temporaries with each call',
    composed: 'dice in PyTorch is composed as in MONAI.',
    command: [python, script('torch')],
  }
  const jax: Peer = {
    id: 'jax',
    name: 'JAX jit',
    gradient: 'JAX returns a new array with each call, compiled together with the value, on the warm heap',
    composed: 'l1, dice and nll in JAX are composed of jax.numpy, the others are those of optax.',
    command: [python, script('jax')],
    env: WARM_HEAP,
  }
  const tfjs = (backend: 'cpu' | 'wasm'): Peer => ({
    id: `tfjs-${backend}`,
    name: `tfjs ${backend}`,
    gradient: 'tfjs makes a new tensor with each call, which is read and disposed of',
    command: [process.execPath, fileURLToPath(new URL('peers/tfjs_peer.js', import.meta.url))],
    args: [backend],
    lacks: (loss, size) => {
      if (loss.tfjs === undefined) return 'tfjs has no'
      return backend === 'cpu' && size > MOST_OF_TFJS_CPU ? `tfjs cpu takes minutes for ${size} elements of` : undefined
    },
  })
  return [
    fused('native'),
    fused('wasm'),
    fused('ts'),
    torch,
    { ...torch, id: 'torch-warm', name: 'PyTorch, warm heap', env: WARM_HEAP },
    jax,
    tfjs('cpu'),
    // It adds up one element after another in single precision.
    { ...tfjs('wasm'), tolerance: 2e-2 },
  ]
}

/** What the peers are, by name. Those that are not there go to `skipped`. */
function versionsOfPeers(): Readonly<Record<string, string>> {
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
  const tfjs: { version: string } = createRequire(import.meta.url)('@tensorflow/tfjs-core/package.json')
  const versions = { 'fused-loss': `${version} (${sets.join(', ')})`, Node: process.version, tfjs: tfjs.version }
  if (!options.peers.some((id) => PYTHON_PEERS.includes(id))) return versions
  const modules = ask<Record<string, string>>(python, ['-c', PYTHON_VERSIONS])
  if (typeof modules !== 'string') return { ...versions, ...modules }
  const reason =
    'benches/peers/setup.sh installs PyTorch and JAX, or FUSED_LOSS_PEERS_PYTHON names a Python that has them'
  for (const id of PYTHON_PEERS) skipped[id] = reason
  return versions
}

function factsOfRun(): Report['facts'] {
  const idsOf = (reason: string) => Object.keys(skipped).filter((id) => skipped[id] === reason)
  return {
    CPU: cpus()[0]?.model ?? 'unknown',
    cores: `${availableParallelism()}, of which each library uses one`,
    ...versions,
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
