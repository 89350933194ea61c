/** The N-API addon: the same arrays, no copies. */

import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import {
  CALL,
  type CallArray,
  type CallKind,
  GRADS,
  INPUTS,
  LOSS,
  SPLIT_ALL,
  SUM,
  THREADS,
  TYPES,
} from '../call/call.js'
import type { Call } from '../call/index.js'
import { kindNumbers } from '../call/marks.js'
import { kindOf, separateGrad } from '../check.js'
import type { Backend } from './contract.js'
import { described, opsOf } from './describe.js'

/** What `crate/node` exports. */
interface Addon {
  version(): string
  describe(): string
  instructionSets(): string[]
  instructionSet(): string
  pinInstructionSet(name: string): boolean
  availableThreads(): number
  /** The numbers of a call; its result comes back in the first. Those of threads stay from call to call. */
  readonly numbers: Float64Array
  /** Makes a call of at most five arrays: those that are given, in the order of their places, and those that follow. */
  few(...arrays: ArrayBufferView[]): void
  /** The same of at most {@link SOME}. */
  some(...arrays: ArrayBufferView[]): void
  /** The same of any number. */
  many(...arrays: ArrayBufferView[]): void
}

/** Arrays that the addon's functions take. */
const SOME = 13

/** The native backend; a test may pin one of the machine's instruction sets, and have small calls split among threads too. */
export interface NativeBackend extends Backend {
  readonly instructionSets: readonly string[]
  pin(instructionSet: string): void
  splitAll(all: boolean): void
  setThreads(count: number): void
}

/** Name of the platform as in the names of the addon and of its package, such as `linux-x64-gnu`. */
export function platform(): string {
  const { platform, arch } = process
  if (platform === 'linux') {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
    return `linux-${arch}-${report?.header?.glibcVersionRuntime ? 'gnu' : 'musl'}`
  }
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

/**
 * Why the addon must not be called in a version of Node, or undefined. Before 20.12 and 21.7, and in all of 18 and 19,
 * `napi_get_buffer_info` ends the process where an argument is no array, which an array that is left out is not.
 */
export function unfit({ node, bun, deno }: { node: string; bun?: string; deno?: string }): string | undefined {
  // Those name a version of Node too, but have functions of their own.
  if (bun !== undefined || deno !== undefined) return undefined
  const [major, minor] = node.split('.').map(Number)
  const fit = major >= 22 || (major === 21 && minor >= 7) || (major === 20 && minor >= 12)
  return fit ? undefined : `Node ${node} would end the process in the addon: it needs Node 20.12 or later, or 21.7`
}

/**
 * Refuses an addon that has not the size with which it was built: the system ends a process that opens one cut short. A
 * checksum would see more, but takes longer than all else that an import does.
 */
function checkSize(file: string): void {
  const { bytes } = JSON.parse(readFileSync(`${file}.json`, 'utf8')) as { bytes: number }
  const { size } = statSync(file)
  if (size !== bytes) throw new Error(`${file} has ${size} bytes, but was built with ${bytes}`)
}

function open(): Addon {
  const reason = unfit(process.versions)
  if (reason !== undefined) throw new Error(reason)
  const require = createRequire(import.meta.url)
  const reasons: string[] = []
  // Built from a clone, or installed as the platform's package.
  for (const path of [`../../native/fused-loss.${platform()}.node`, `fused-loss-${platform()}`]) {
    try {
      const file = require.resolve(path)
      checkSize(file)
      return require(file)
    } catch (error) {
      reasons.push((error as Error).message.split('\n')[0])
    }
  }
  throw new Error(reasons.join('; '))
}

/** Loads the addon, or throws with the reason why it cannot be. */
export function loadNative(): NativeBackend {
  const addon = open()
  const description = described(addon.describe())
  const opOf = opsOf(description.registry)
  const { numbers, few, some, many } = addon
  numbers[THREADS] = addon.availableThreads()
  /** Arguments cost time even where they are not given, and so does a list of them. */
  function callWith(arrays: readonly ArrayBufferView[]): void {
    if (arrays.length === 3) few(arrays[0], arrays[1], arrays[2])
    else if (arrays.length === 4) few(arrays[0], arrays[1], arrays[2], arrays[3])
    else if (arrays.length === 5) few(arrays[0], arrays[1], arrays[2], arrays[3], arrays[4])
    else if (arrays.length <= SOME) some(...arrays)
    else many(...arrays)
  }
  return {
    name: 'native',
    version: addon.version(),
    description,
    get instructionSet() {
      return addon.instructionSet()
    },
    instructionSets: addon.instructionSets(),
    pin(instructionSet) {
      if (!addon.pinInstructionSet(instructionSet)) {
        throw new RangeError(`instruction set must be one of ${addon.instructionSets()}, got ${instructionSet}`)
      }
    },
    splitAll(all) {
      numbers[SPLIT_ALL] = all ? 1 : 0
    },
    get threads() {
      return numbers[THREADS]
    },
    setThreads(count) {
      numbers[THREADS] = count
    },
    run(call) {
      const kind = call.kind as CallKind<Call>
      numbers[SUM] = 0
      numbers[CALL] = kind.place
      if (call.definition !== undefined) numbers[LOSS] = opOf(call.definition)
      kind.write(call, numbers)
      const places = kind.arrays(call)
      let types = 0
      let count = 0
      for (let place = 0, digit = 1; place < places.length; place++, digit *= 16) {
        const array = places[place]
        if (array === undefined) continue
        count++
        types += digit * (array instanceof Float32Array ? 1 : kindNumbers[kindOf(array)!])
      }
      numbers[TYPES] = types
      const inputs = kind.inputs?.(call)
      const grads = kind.grads?.(call)
      numbers[INPUTS] = inputs === undefined ? 0 : inputs.length
      numbers[GRADS] = grads === undefined ? 0 : grads.length
      const [first, second, third] = places
      try {
        // What a training step has: to make a list takes longer than all the rest.
        if (inputs !== undefined || first === undefined || second === undefined) {
          callWith(given(places, inputs, grads))
        } else if (count === 2) few(first, second)
        else if (count === 3 && third !== undefined) few(first, second, third)
        else callWith(given(places, inputs, grads))
      } catch (error) {
        // The addon knows that arrays overlap, but not what the caller calls them.
        if ('extra' in call && call.extra === undefined) separateGrad(call.loss, call.dx, call.x, places[1])
        throw error
      }
      return numbers[SUM]
    },
  }
}

/** The arrays that are given, and those that follow. */
function given(
  places: readonly (CallArray | undefined)[],
  inputs: readonly Float32Array[] = [],
  grads: readonly Float32Array[] = [],
): readonly ArrayBufferView[] {
  const arrays: ArrayBufferView[] = []
  for (let i = 0; i < places.length; i++) {
    const array = places[i]
    if (array !== undefined) arrays.push(array)
  }
  for (let i = 0; i < inputs.length; i++) arrays.push(inputs[i])
  for (let i = 0; i < grads.length; i++) arrays.push(grads[i])
  return arrays
}
