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
  PLACES,
  type Rest,
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
  /** Makes a call of at most three arrays: those that have no place of their own, then those that have, at their places. */
  few(...arrays: (ArrayBufferView | undefined)[]): void
  /** The same of at most {@link PLACES}. */
  some(...arrays: (ArrayBufferView | undefined)[]): void
  /** The same of any number. */
  many(...arrays: (ArrayBufferView | undefined)[]): void
}

type Arrays = readonly (CallArray | undefined)[]

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
  // Arguments that are written out cost less than a list of them.

  /** Makes a call of so many arrays that have places. */
  function callPlaces(places: Arrays): void {
    if (places.length !== 7) some(...places)
    else some(places[0], places[1], places[2], places[3], places[4], places[5], places[6])
  }

  /** Makes a call of others too. */
  function callRest(places: Arrays, { inputs, grads }: Rest): void {
    const first = inputs.length + grads.length
    const count = first + places.length
    const at = (k: number) => (k < inputs.length ? inputs[k] : k < first ? grads[k - inputs.length] : places[k - first])
    if (count === 4) some(at(0), at(1), at(2), at(3))
    else if (count === 5) some(at(0), at(1), at(2), at(3), at(4))
    else if (count === 6) some(at(0), at(1), at(2), at(3), at(4), at(5))
    else {
      const arrays: (CallArray | undefined)[] = []
      for (let k = 0; k < count; k++) arrays.push(at(k))
      if (count <= PLACES) some(...arrays)
      else many(...arrays)
    }
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
      numbers[INPUTS] = 0
      numbers[GRADS] = 0
      kind.write(call, numbers)
      const places = kind.arrays(call)
      const rest = kind.rest?.(call)
      try {
        if (places.length === 3 && rest === undefined) {
          // What a step of training has. V8 makes no list where no loop goes over it.
          numbers[TYPES] = typeOf(places[0]) + 16 * typeOf(places[1]) + 256 * typeOf(places[2])
          few(places[0], places[1], places[2])
        } else {
          numbers[TYPES] = typesOf(places)
          if (rest === undefined) callPlaces(places)
          else callRest(places, rest)
        }
      } catch (error) {
        throw explained(call, places[1], error)
      }
      return numbers[SUM]
    },
  }
}

/** Types of the arrays that are given, as digits of one number. */
function typesOf(places: Arrays): number {
  let types = 0
  for (let place = 0, digit = 1; place < places.length; place++, digit *= 16) {
    const array = places[place]
    if (array !== undefined) types += digit * typeOf(array)
  }
  return types
}

/** The digit of an array's type, 0 where it is not given. */
function typeOf(array: CallArray | undefined): number {
  return array instanceof Float32Array ? kindNumbers.Float32Array : typeOfOther(array)
}

function typeOfOther(array: CallArray | undefined): number {
  if (array === undefined) return 0
  // To find these by their names takes longer.
  if (array instanceof Int32Array) return kindNumbers.Int32Array
  return array instanceof Float64Array ? kindNumbers.Float64Array : kindNumbers[kindOf(array)!]
}

/** The addon knows that arrays overlap, but not what the caller calls them. */
function explained(call: Call, target: CallArray | undefined, error: unknown): unknown {
  if ('extra' in call && call.extra === undefined) separateGrad(call.loss, call.dx, call.x, target)
  return error
}
