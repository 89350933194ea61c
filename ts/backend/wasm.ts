/**
 * The WebAssembly module. Its arrays lie in its own memory, so calls are cut into pieces that stay in the second-level
 * cache while they are copied in, computed and copied out. Kernels continue a sum, so the pieces have the bits of the
 * whole. The memory does not grow with the input, except for what cannot be cut: a row of scores.
 *
 * The module is used without the JavaScript that wasm-bindgen writes for it, since only numbers travel, and that JavaScript
 * holds one instance for ever: its memory could not be given back, nor could the instance be replaced after a trap.
 */

import { readFileSync } from 'node:fs'
import { type Axis, firstScore } from '../call/axis.js'
import {
  ACCUMULATE,
  CALL,
  type CallArray,
  type CallKind,
  GRADS,
  IGNORED,
  INPUTS,
  LOSS,
  NUMBERS,
  PLACES,
  POSITIONS,
  type Rest,
  SUM,
  TYPES,
} from '../call/call.js'
import type { Call } from '../call/index.js'
import { classesOf, everything, kindNumbers, type Marks, NOTHING, type NumberArray } from '../call/marks.js'
import { kindOf, separateGrad } from '../check.js'
import { BLOCK, positionsOfBlock } from '../sum.js'
import type { Backend } from './contract.js'
import { type ArrayDescription, described, opsOf } from './describe.js'
import { tsBackend } from './ts/index.js'

interface Memory {
  readonly buffer: ArrayBuffer
  /** Adds pages of 64 KiB and returns how many there were. */
  grow(pages: number): number
}

/** A compiled module. */
type Compiled = object

declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean
  Module: new (bytes: Uint8Array) => Compiled
  Instance: new (module: Compiled, imports: object) => { readonly exports: Module }
  RuntimeError: ErrorConstructor
}

/** What `crate/wasm` exports; numbers instead of arrays are pointers into `memory`. */
interface Module {
  readonly memory: Memory
  describe(): number
  /** Where calls are made: their numbers, then address and length of each array, those that have no place of their own first. */
  block(): number
  call(block: number): void
}

/** What the module imports: JavaScript objects that its functions might hold, of which there are none. */
const IMPORTS = { './fused_loss_wasm_bg.js': { __wbindgen_init_externref_table() {} } }

/** Elements of a piece: three arrays of it fill a quarter of a second-level cache of 512 KiB or more. */
const PIECE = 16 * BLOCK

/** Words of a page of the processor. */
const PAGE = 1024

/** Pages that alignment can take: as many arrays of a call have places, each at a page of its own, and half of one before the first. */
const SLOTS = 14

/** Bytes of a page of WebAssembly. */
const WASM_PAGE = 65536

/** Words of the memory that an instance has at least, and at most where it is kept for good: 16 MiB. */
const LEAST = 8 * PIECE
const KEPT = 2 ** 22

/** Words beyond which an instance leaves too little of WebAssembly's 4 GiB for what a kernel may allocate itself. */
const CROWDED = 2 ** 28

/** Milliseconds that larger ones are held for the next call. */
const HELD = 1000

/** An array has fewer bytes than 2^31, which is what Rust allows. */
const LONGEST = 2 ** 29 - 1

/** An instance of the module, which places pieces of the caller's arrays one behind the other in its memory. */
class Arena {
  readonly module: Module
  /** Words that the arrays of a call may have. */
  readonly words: number
  /** Whether a call has begun and not ended: it has been left by an exception, perhaps from the midst of a kernel. */
  broken = false
  /** Of the call that has begun last: its loss, and words of its arrays. */
  #loss = ''
  #needed = 0
  readonly #memory: Memory
  readonly #base: number
  readonly #end: number
  #next = 0
  /** Words that the call has reserved and not yet placed. */
  #left = 0
  #floats: Float32Array
  #integers: Int32Array
  /** Where calls are made, as word of the memory. */
  readonly #block: number
  /** See {@link copyClasses}. */
  ignored = NOTHING
  /** The numbers of a call. */
  numbers: Float64Array

  /** Throws where so much memory cannot be had. */
  constructor(compiled: Compiled, words: number) {
    const module = new WebAssembly.Instance(compiled, IMPORTS).exports
    this.module = words <= KEPT ? module : this.#guarded(module)
    this.#memory = module.memory
    this.words = words
    this.#block = module.block() >>> 2
    const pages = Math.ceil((4 * (words + SLOTS * PAGE)) / WASM_PAGE)
    // Memory that is added from here is none of the module's allocator, which asks for its own.
    const start = (this.#memory.grow(pages) * WASM_PAGE) / 4
    // In the middle of a page: large arrays start at the beginning of one, and on Zen 3 a copy between addresses that are
    // nearly the same within their pages takes 13 times as long (1.36 ns instead of 0.10 for an element).
    this.#base = start + PAGE / 2
    this.#end = start + (pages * WASM_PAGE) / 4
    this.#floats = new Float32Array(this.#memory.buffer)
    this.#integers = new Int32Array(this.#memory.buffer)
    this.numbers = new Float64Array(this.#memory.buffer, 4 * this.#block, NUMBERS)
  }

  /** What the module says of itself, up to the 0 that ends it. */
  describe(): string {
    const start = this.module.describe()
    this.ran()
    const bytes = new Uint8Array(this.#memory.buffer)
    return new TextDecoder().decode(bytes.subarray(start, bytes.indexOf(0, start)))
  }

  /** Whether arrays of so many words fit, and a kernel has room beside them. */
  suits(words: number): boolean {
    return words <= this.words && (this.words <= CROWDED || this.words <= 2 * words)
  }

  /** The same kernels, whose trap beside huge arrays is taken for want of memory. */
  #guarded(module: Module): Module {
    const call = (block: number) => {
      try {
        module.call(block)
      } catch (error) {
        throw error instanceof WebAssembly.RuntimeError ? tooLarge(this.#loss, this.#needed, error) : error
      }
    }
    return { ...module, call }
  }

  /** Before the first array of a call is placed, all of so many words. */
  begin(loss: string, words: number): void {
    this.broken = true
    this.#loss = loss
    this.#needed = words
    this.#left = words
    this.#next = this.#base
  }

  /** Makes what lies at `pointer` an array of the call. */
  give(array: number, pointer: number, length: number): void {
    const at = this.#block + 2 * (NUMBERS + array)
    this.#integers[at] = pointer
    this.#integers[at + 1] = length
  }

  /** Where an array of the call lies. */
  pointerOf(array: number): number {
    return this.#integers[this.#block + 2 * (NUMBERS + array)] >>> 0
  }

  /** Makes the call of all that has been given. */
  call(): void {
    this.module.call(4 * this.#block)
  }

  /** After the kernel has run; true if its own memory has grown, which voids views. */
  ran(): boolean {
    this.broken = false
    if (this.#floats.length > 0) return false
    this.#floats = new Float32Array(this.#memory.buffer)
    this.#integers = new Int32Array(this.#memory.buffer)
    this.numbers = new Float64Array(this.#memory.buffer, 4 * this.#block, NUMBERS)
    return true
  }

  /** Words of the whole memory. */
  get size(): number {
    return this.#floats.length
  }

  /** Room for `length` elements; a pointer. */
  place(length: number): number {
    const at = this.#next
    this.#next += Math.ceil(length / PAGE) * PAGE
    this.#left -= length
    if (this.#left < 0 || this.#next > this.#end)
      throw new Error(`arrays of more than the ${this.#needed} words reserved`)
    return (at << 2) >>> 0
  }

  /** A copy of `source[start … start + length)` as floats; a pointer. */
  copyNumbers(source: NumberArray, start: number, length: number): number {
    const at = this.place(length)
    this.#write(source, start, length, at >>> 2)
    return at
  }

  #write(source: NumberArray, start: number, length: number, at: number): void {
    if (kindOf(source) === 'Float32Array') this.#copy(source as Float32Array, start, length, at)
    else for (let i = 0; i < length; i++) this.#floats[at + i] = Number(source[start + i])
  }

  #copy(source: Float32Array, start: number, length: number, at: number): void {
    if (length > FEW) this.#floats.set(part(source, start, length), at)
    else for (let i = 0; i < length; i++) this.#floats[at + i] = source[start + i]
  }

  /** The same for the scores of some positions: they are one run, or one of each class in samples of `inner` positions. */
  copyScores(source: NumberArray, position: number, count: number, inner: number, classes: number): number {
    if (inner === 1) return this.copyNumbers(source, position * classes, count * classes)
    const at = this.place(count * classes)
    const first = firstScore(position, inner, classes)
    for (let c = 0; c < classes; c++) this.#write(source, first + c * inner, count, (at >>> 2) + c * count)
    return at
  }

  /** The reverse. */
  copyScoresOut(
    pointer: number,
    target: Float32Array,
    position: number,
    count: number,
    inner: number,
    classes: number,
  ): void {
    if (inner === 1) {
      this.copyOut(pointer, target, position * classes, count * classes)
      return
    }
    const first = firstScore(position, inner, classes)
    for (let c = 0; c < classes; c++) this.copyOut(pointer + 4 * c * count, target, first + c * inner, count)
  }

  /** A copy of some bytes; a pointer. */
  copyBytes(source: Uint8Array): number {
    const at = this.place(Math.ceil(source.length / 4))
    new Uint8Array(this.#memory.buffer, at, source.length).set(source)
    return at
  }

  /** A copy of doubles; a pointer. */
  copyDoubles(source: Float64Array, start: number, length: number): number {
    const at = this.place(2 * length)
    new Float64Array(this.#memory.buffer, at, length).set(source.subarray(start, start + length))
    return at
  }

  /** Writes the doubles at `pointer` to `target[start … start + length)`. */
  copyDoublesOut(pointer: number, target: Float64Array, start: number, length: number): void {
    target.set(new Float64Array(this.#memory.buffer, pointer, length), start)
  }

  /**
   * The classes of some positions, and the label of those that count for nothing: {@link NOTHING}, unless the labels are copied as
   * they are. Null where all count without a class.
   */
  copyClasses(marks: Marks, start: number, length: number): number {
    const { labels, ignored, mask } = marks
    this.ignored = NOTHING
    if (labels === undefined && mask === undefined) return 0
    const at = this.place(length)
    if (mask === undefined && ignored.length === 1 && kindOf(labels) === 'Int32Array') {
      const { buffer, byteOffset } = labels!
      const isWhole = labels!.length === length
      const run = isWhole ? labels : new Int32Array(buffer, byteOffset + 4 * start, length)
      this.#integers.set(run as Int32Array, at >>> 2)
      this.ignored = ignored[0]
    } else {
      classesOf(marks, start, length, this.#integers, at >>> 2)
    }
    return at
  }

  /** The values of the elements from `start`, of which element i has `values[⌊i / inner⌋ mod values.length]`. */
  copyStream(values: Float32Array, inner: number, start: number, length: number): number {
    const at = this.place(length)
    const first = at >>> 2
    // No longer than the piece, so that no call copies a long stream for each piece. What is there is doubled until it is enough.
    const period = Math.min(length, values.length * inner)
    if (inner === 1) {
      const from = start % values.length
      const head = Math.min(period, values.length - from)
      this.#copy(values, from, head, first)
      this.#copy(values, 0, period - head, first + head)
    } else {
      for (let i = 0; i < period; ) {
        const position = start + i
        const run = Math.min(period - i, inner - (position % inner))
        const value = values[Math.floor(position / inner) % values.length]
        this.#floats.fill(value, first + i, first + i + run)
        i += run
      }
    }
    for (let done = period; done < length; done *= 2) {
      this.#floats.copyWithin(first + done, first, first + Math.min(done, length - done))
    }
    return at
  }

  /** Writes what lies at `pointer` to `target[start … start + length)`. */
  copyOut(pointer: number, target: Float32Array, start: number, length: number): void {
    const at = pointer >>> 2
    if (length > FEW) set.call(target, part(this.#floats, at, length), start)
    else for (let i = 0; i < length; i++) target[start + i] = this.#floats[at + i]
  }
}

// Not the method of the caller's array, which a subclass may have replaced.
const { set } = Float32Array.prototype

/** Up to so many floats a loop copies in less time than it takes to make a view of them. */
const FEW = 64

/** Some floats of an array. No view is made where they are all there is. */
function part(array: Float32Array, start: number, length: number): Float32Array {
  return array.length === length ? array : new Float32Array(array.buffer, array.byteOffset + 4 * start, length)
}

/** The memory of all calls: an instance that is kept for good, and one for rows that are too large for it, which is not. */
class Memories {
  readonly #compiled: Compiled
  #kept: Arena | undefined
  #large: Arena | undefined
  #release: NodeJS.Timeout | undefined

  constructor(compiled: Compiled) {
    this.#compiled = compiled
  }

  /**
   * An arena with room for arrays of so many words in all, the longest of `longest`. An instance that a call has not come
   * back from is replaced: an exception leaves its stack and its allocator as they were in the midst of the kernel.
   */
  reserve(loss: string, words: number, longest: number): Arena {
    const small = words <= KEPT
    let arena = (small ? this.#kept : undefined) ?? this.#large
    if (arena === undefined || arena.broken || !arena.suits(words) || longest > LONGEST) {
      arena = longest > LONGEST ? undefined : this.#larger(words)
      if (arena === undefined) throw tooLarge(loss, words)
      if (small) this.#kept = arena
    }
    if (!small) this.#hold(arena)
    arena.begin(loss, words)
    return arena
  }

  /** Holds a large instance for a while, since the next call may need it too; then its memory is collected. */
  #hold(arena: Arena): void {
    this.#large = arena
    clearTimeout(this.#release)
    this.#release = setTimeout(() => {
      this.#large = undefined
    }, HELD).unref()
  }

  /** Up to twice as much, so that rows that grow do not take a new instance each; what is not used takes no memory. */
  #larger(words: number): Arena | undefined {
    for (const room of [Math.max(LEAST, 2 ** Math.ceil(Math.log2(words))), words]) {
      try {
        return new Arena(this.#compiled, room)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
      }
    }
    return undefined
  }

  /** After the kernel has run: where its own memory has grown, that may be too much to be kept for good. */
  ran(arena: Arena): void {
    if (arena.ran() && arena === this.#kept && arena.size > 2 * KEPT) {
      this.#kept = undefined
      this.#hold(arena)
    }
  }
}

/** A row that does not fit: at all, or so that the kernel's own memory is wanting, for which it traps. */
function tooLarge(loss: string, words: number, trap?: Error): RangeError {
  const got = `${4 * words} bytes${trap === undefined ? '' : ', which leave too little for the kernel'}`
  const way = 'the backends native and ts have no such bound (FUSED_LOSS_BACKEND)'
  const message = `${loss}: input must have rows that fit into the memory of WebAssembly, got one of ${got}; ${way}`
  return trap === undefined ? new RangeError(message) : new RangeError(message, { cause: trap })
}

/** A function that returns `f32x4.relaxed_madd` of three zeros: a module that only an engine with relaxed SIMD takes. */
const RELAXED = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
  ...[0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
  ...[0x03, 0x02, 0x01, 0x00],
  ...[0x0a, 0x13, 0x01, 0x11, 0x00],
  ...[0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f, 0x41, 0x00, 0xfd, 0x0f],
  ...[0xfd, 0x85, 0x02, 0x0b],
)

/** What the backend has a module for and this engine takes, the best first. */
export function wasmSets(): readonly string[] {
  // Node without its compilers (--jitless) has no WebAssembly.
  if (typeof WebAssembly === 'undefined') return ['simd128']
  return WebAssembly.validate(RELAXED) ? ['relaxed-simd', 'simd128'] : ['simd128']
}

/** The backend of one module. */
type WasmBackend = Backend & { readonly instructionSets: readonly string[] }

/** Loads a module, synchronously, or throws with the reason why it cannot be. */
export function loadWasm(set = wasmSets()[0]): WasmBackend {
  const bytes = readFileSync(new URL(`../../wasm/${set}/fused_loss_wasm_bg.wasm`, import.meta.url))
  const memories = new Memories(new WebAssembly.Module(bytes))
  const text = memories.reserve('fused-loss', LEAST, LEAST).describe()
  const [version, instructionSet] = text.split('\n', 2)
  const description = described(text)
  const opOf = opsOf(description.registry)
  return {
    name: 'wasm',
    instructionSet,
    instructionSets: wasmSets(),
    version,
    description,
    run(call) {
      const kind = call.kind as CallKind<Call>
      const places = kind.arrays(call)
      // A copy would cost more than the scan, but of nothing but floats.
      if (kind.scans && (call.marks !== everything || kindOf(places[0]) !== 'Float32Array')) return tsBackend.run(call)
      if ('extra' in call && call.extra === undefined) separateGrad(call.loss, call.dx, call.x, places[1])
      const axis = kind.axis(call)
      const { samples, classes, positions, last } = axis
      const { inputs, grads } = kind.rest === undefined ? NONE : kind.rest(call)
      // Where the positions of each sample are one run, so are all.
      const isRow = last && !kind.bySample
      const run = isRow ? samples * positions : positions
      const most = longestPiece(classes, isRow, inputs, grads, samples * positions)
      let sum = 0
      for (let first = 0; first < samples * positions; ) {
        const count = Math.min(run - (first % run), most)
        const result = piece(call, kind, places, inputs, grads, axis, first, count, sum)
        if (!kind.scans) sum = result
        else if (result >= 0) return first + result
        first += count
      }
      return kind.scans ? -1 : sum
    },
  }

  /** Copies a piece of a call, makes the call of it, and copies the outputs back; the result goes on from `sum`. */
  function piece(
    call: Call,
    kind: CallKind<Call>,
    places: readonly (CallArray | undefined)[],
    inputs: readonly Float32Array[],
    grads: readonly Float32Array[],
    axis: Axis,
    first: number,
    count: number,
    sum: number,
  ): number {
    const { marks, definition } = call
    const { arrays } = description.calls[kind.place]
    const { samples, classes, positions, last } = axis
    const inner = last ? 1 : positions
    const sample = Math.floor(first / positions)
    const isMarked = marks.labels !== undefined || marks.mask !== undefined

    let words = isMarked ? count : 0
    let longest = count
    for (let place = 0; place < places.length; place++) {
      const array = places[place]
      if (array === undefined) continue
      const length = lengthOf(arrays[place], array, count, classes)
      const own = arrays[place].elements === 'doubles' ? 2 * length : length
      lengths[place] = length
      if (own > longest) longest = own
      words += own
    }
    // There may be more of these than an arena has pages to spare.
    const all = samples * positions
    for (let k = 0; k < inputs.length; k++) words += pages((inputs[k].length / all) * count)
    for (let k = 0; k < grads.length; k++) words += pages((grads[k].length / all) * count)
    const arena = memories.reserve(call.loss, words, longest)

    const { numbers } = arena
    kind.write(call, numbers)
    numbers[SUM] = sum
    numbers[CALL] = kind.place
    if (definition !== undefined) numbers[LOSS] = opOf(definition)
    numbers[POSITIONS] = count
    numbers[INPUTS] = inputs.length
    numbers[GRADS] = grads.length
    const accumulate = numbers[ACCUMULATE] !== 0
    const others = inputs.length + grads.length
    for (let k = 0; k < others; k++) {
      const isInput = k < inputs.length
      const array = isInput ? inputs[k] : grads[k - inputs.length]
      const columns = array.length / all
      const length = count * columns
      const at = isInput || accumulate ? arena.copyNumbers(array, first * columns, length) : arena.place(length)
      arena.give(k, at, length)
    }
    let types = 0
    for (let place = 0, digit = 1; place < places.length; place++, digit *= 16) {
      const { elements, extent, role, inner: sharing } = arrays[place]
      if (elements === 'labels' && isMarked) {
        // Masked positions are among them.
        arena.give(others + place, arena.copyClasses(marks, first, count), count)
        types += digit * kindNumbers.Int32Array
        numbers[IGNORED] = 1
        numbers[IGNORED + 1] = arena.ignored
        continue
      }
      const array = places[place]
      if (array === undefined || elements === 'labels' || elements === 'mask') continue
      const length = lengths[place]
      let at: number
      if (elements === 'doubles') at = arena.copyDoubles(array as Float64Array, sample * length, length)
      else if (elements === 'bytes') at = arena.copyBytes(array as Uint8Array)
      else if (role === 'output' || (role === 'further' && !accumulate)) at = arena.place(length)
      else if (role === 'gradient' && !accumulate) at = arena.pointerOf(others)
      else if (extent === 'scores') at = arena.copyScores(array as NumberArray, first, count, inner, classes)
      else if (extent === 'shared' || extent === 'cycled') {
        at = arena.copyStream(array as Float32Array, sharing < 0 ? 1 : numbers[sharing], first, count)
        // Each element has its own now.
        if (sharing >= 0) numbers[sharing] = 1
      } else {
        const start = extent === 'positions' ? first : extent === 'samples' || extent === 'planes' ? sample * length : 0
        at = arena.copyNumbers(array as NumberArray, start, length)
      }
      arena.give(others + place, at, length)
      types += digit * (elements === 'doubles' || elements === 'bytes' ? kindNumbers[kindOf(array)!] : 1)
    }
    numbers[TYPES] = types
    arena.call()
    memories.ran(arena)

    for (let place = 0; place < places.length; place++) {
      const array = places[place]
      if (array === undefined || arrays[place].role === 'input') continue
      const { role, extent } = arrays[place]
      const length = lengths[place]
      const at = arena.pointerOf(others + place)
      if (role === 'total') arena.copyDoublesOut(at, array as Float64Array, sample * length, length)
      else if (extent !== 'scores') arena.copyOut(at, array as Float32Array, first, length)
      else arena.copyScoresOut(at, array as Float32Array, first, count, inner, classes)
    }
    for (let k = 0; k < grads.length; k++) {
      const columns = grads[k].length / all
      arena.copyOut(arena.pointerOf(inputs.length + k), grads[k], first * columns, count * columns)
    }
    return arena.numbers[SUM]
  }
}

/** Elements that the piece at hand has of each array. */
const lengths = new Float64Array(PLACES)

/** Elements of an array that a piece of so many positions needs. */
function lengthOf(
  { extent, each }: ArrayDescription,
  array: ArrayLike<unknown>,
  count: number,
  classes: number,
): number {
  if (extent === 'scores') return count * classes
  if (extent === 'classes') return classes
  if (extent === 'samples') return 1
  if (extent === 'planes') return classes * each
  return extent === 'whole' ? array.length : count
}

const NONE: Rest = { inputs: [], grads: [] }

/** Words of whole pages. */
const pages = (words: number) => Math.ceil(words / PAGE) * PAGE

/**
 * Positions of a piece, at most: whole blocks, so that sums go on as in one piece. Not a generator of pieces: that takes a
 * microsecond of a small call.
 */
function longestPiece(
  classes: number,
  isRow: boolean,
  inputs: readonly Float32Array[],
  grads: readonly Float32Array[],
  rows: number,
): number {
  const block = positionsOfBlock(classes, isRow)
  let most = Math.floor(PIECE / (classes * block))
  // With many arrays beside those with places, each has fewer.
  let columns = 0
  for (let k = 0; k < inputs.length; k++) columns += inputs[k].length / rows
  for (let k = 0; k < grads.length; k++) columns += grads[k].length / rows
  if (columns > 0) most = Math.min(most, Math.floor((3 * PIECE) / (columns * block)))
  return Math.max(1, most) * block
}
