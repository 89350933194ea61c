/**
 * The WebAssembly module. Its arrays lie in its own memory, so calls are cut into pieces that stay in the second-level
 * cache while they are copied in, computed and copied out. Kernels continue a sum, so the pieces have the bits of the
 * whole. The memory does not grow with the input, except for what cannot be cut: a row of scores.
 *
 * The module is used without the JavaScript that wasm-bindgen writes for it, since only numbers travel, and that JavaScript
 * holds one instance for ever: its memory could not be given back, nor could the instance be replaced after a trap.
 */

import { readFileSync } from 'node:fs'
import { kindOf, separateGrad } from '../check.js'
import { BLOCK, positionsOfBlock } from '../sum.js'
import {
  activationNumber,
  type Backend,
  type ExpressionCall,
  firstScore,
  opsOf,
  PLANE,
  type PointwiseExtra,
  type RegionCall,
  type RegistryRow,
} from './contract.js'
import { classesOf, everything, type Marks, NOTHING, type NumberArray } from './marks.js'
import { firstOutside, keptWeight } from './ts.js'

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
  first_outside(length: number, values: number, low: number, high: number): number
  pointwise(
    op: number,
    length: number,
    x: number,
    t: number,
    dx: number,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    sum: number,
  ): number
  pointwise_general(
    op: number,
    length: number,
    x: number,
    t: number,
    dx: number,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    sum: number,
    weight: number,
    weightLength: number,
    weightStart: number,
    aux_stream: number,
    auxLength: number,
    auxInner: number,
    auxStart: number,
    labels: number,
    ignored: number,
    gradOutput: number,
    dt: number,
    out: number,
    accumulate: boolean,
  ): number
  softmax(
    op: number,
    positions: number,
    classes: number,
    inner: number,
    x: number,
    labels: number,
    target: number,
    dx: number,
    dt: number,
    scale: number,
    ignored: number,
    labelSmoothing: number,
    temperature: number,
    p0: number,
    sum: number,
    weight: number,
    sampleWeight: number,
    gradOutput: number,
    out: number,
    accumulate: boolean,
  ): number
  region(
    positions: number,
    classes: number,
    classesLast: boolean,
    x: number,
    target: number,
    labels: number,
    ignored: number,
    activation: number,
    squared: boolean,
    part: number,
    p0: number,
    p1: number,
    aux: number,
    auxs: number,
    weight: number,
    sampleWeight: number,
    labelSmoothing: number,
    scale: number,
    sums: number,
    planes: number,
    dx: number,
    accumulate: boolean,
    byTarget: boolean,
  ): number
  /** The words of `call` are those that `crate/wasm` names. */
  expression(call: number, scale: number, sum: number): number
}

/** What the module imports: JavaScript objects that its functions might hold, of which there are none. */
const IMPORTS = { './fused_loss_wasm_bg.js': { __wbindgen_init_externref_table() {} } }

/** Elements of a piece: three arrays of it fill a quarter of a second-level cache of 512 KiB or more. */
const PIECE = 16 * BLOCK

/** Words of a page of the processor. */
const PAGE = 1024

/** Pages that alignment can take: nine arrays of a call, each at a page of its own, and half of one before the first. */
const SLOTS = 10

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
  /** See {@link copyClasses}. */
  ignored = NOTHING

  /** Throws where so much memory cannot be had. */
  constructor(compiled: Compiled, words: number) {
    const module = new WebAssembly.Instance(compiled, IMPORTS).exports
    this.module = words <= KEPT ? module : this.#guarded(module)
    this.#memory = module.memory
    this.words = words
    const pages = Math.ceil((4 * (words + SLOTS * PAGE)) / WASM_PAGE)
    // Memory that is added from here is none of the module's allocator, which asks for its own.
    const start = (this.#memory.grow(pages) * WASM_PAGE) / 4
    // In the middle of a page: large arrays start at the beginning of one, and on Zen 3 a copy between addresses that are
    // nearly the same within their pages takes 13 times as long (1.36 ns instead of 0.10 for an element).
    this.#base = start + PAGE / 2
    this.#end = start + (pages * WASM_PAGE) / 4
    this.#floats = new Float32Array(this.#memory.buffer)
    this.#integers = new Int32Array(this.#memory.buffer)
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
    const guard =
      (kernel: (...numbers: never[]) => number) =>
      (...numbers: unknown[]) => {
        try {
          return kernel(...(numbers as never[]))
        } catch (error) {
          throw error instanceof WebAssembly.RuntimeError ? tooLarge(this.#loss, this.#needed, error) : error
        }
      }
    return { ...module, softmax: guard(module.softmax), region: guard(module.region) }
  }

  /** Before the first array of a call is placed, all of so many words. */
  begin(loss: string, words: number): void {
    this.broken = true
    this.#loss = loss
    this.#needed = words
    this.#left = words
    this.#next = this.#base
  }

  /** After the kernel has run; true if its own memory has grown, which voids views. */
  ran(): boolean {
    this.broken = false
    if (this.#floats.length > 0) return false
    this.#floats = new Float32Array(this.#memory.buffer)
    this.#integers = new Int32Array(this.#memory.buffer)
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

  /** A copy of `source[start … start + length)`; a pointer, null if there is no source. */
  copyIn(source: Float32Array | undefined, start: number, length: number): number {
    if (source === undefined) return 0
    const at = this.place(length)
    this.#floats.set(whole(source, length) ? source : part(source, start, length), at >>> 2)
    return at
  }

  /** The same for the scores of some positions: they are one run, or one of each class in samples of `inner` positions. */
  copyScores(source: NumberArray | undefined, position: number, count: number, inner: number, classes: number): number {
    if (source === undefined) return 0
    if (inner === 1) return this.copyNumbers(source, position * classes, count * classes)
    const at = this.place(count * classes)
    const first = firstScore(position, inner, classes)
    for (let c = 0; c < classes; c++) this.#write(source, first + c * inner, count, (at >>> 2) + c * count)
    return at
  }

  /** The reverse. */
  copyScoresOut(
    pointer: number,
    target: Float32Array | undefined,
    position: number,
    count: number,
    inner: number,
    classes: number,
  ): void {
    if (target === undefined || inner === 1) {
      this.copyOut(pointer, target, position * classes, count * classes)
      return
    }
    const first = firstScore(position, inner, classes)
    for (let c = 0; c < classes; c++) this.copyOut(pointer + 4 * c * count, target, first + c * inner, count)
  }

  /** Room for words of 0; a pointer. */
  zeros(words: number): number {
    const at = this.place(words)
    this.#floats.fill(0, at >>> 2, (at >>> 2) + words)
    return at
  }

  /** A copy of some bytes; a pointer. */
  copyBytes(source: Uint8Array): number {
    const at = this.place(Math.ceil(source.length / 4))
    new Uint8Array(this.#memory.buffer, at, source.length).set(source)
    return at
  }

  /** A copy of integers of 32 bits; a pointer. */
  copyIntegers(source: readonly number[]): number {
    const at = this.place(source.length)
    this.#integers.set(source, at >>> 2)
    return at
  }

  /** Adds the doubles at `pointer` to `target[start … start + length)`. */
  addDoubles(pointer: number, target: Float64Array, start: number, length: number): void {
    const doubles = new Float64Array(this.#memory.buffer, pointer, length)
    for (let i = 0; i < length; i++) target[start + i] += doubles[i]
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

  /** Numbers of any type as floats, as {@link copyIn} of floats. */
  copyNumbers(source: NumberArray, start: number, length: number): number {
    const at = this.place(length)
    this.#write(source, start, length, at >>> 2)
    return at
  }

  #write(source: NumberArray, start: number, length: number, at: number): void {
    if (kindOf(source) !== 'Float32Array') {
      for (let i = 0; i < length; i++) this.#floats[at + i] = Number(source[start + i])
      return
    }
    const floats = source as Float32Array
    this.#floats.set(whole(floats, length) ? floats : part(floats, start, length), at)
  }

  /** The value of each of some elements of which `inner` neighbours share one. */
  copyShared(source: Float32Array | undefined, start: number, length: number, inner: number): number {
    if (source === undefined || inner === 1) return this.copyIn(source, start, length)
    const at = this.place(length)
    for (let i = 0; i < length; i++) this.#floats[(at >>> 2) + i] = source[Math.floor((start + i) / inner)]
    return at
  }

  /**
   * A copy of the values of the elements from `start`, of which element i has `values[⌊i / inner⌋ mod values.length]`: only those
   * that the piece needs, in its order, so that no call copies a long stream for each piece, and no index passes 2^32.
   */
  copyStream(values: Float32Array | undefined, inner: number, start: number, length: number): Placed {
    if (values === undefined) return NOWHERE
    const run = Math.min(inner, length)
    // Elements of the first value that lie before the piece, if its run were no longer than the piece.
    const before = run - Math.min(run, inner - (start % inner))
    const count = Math.min(values.length, Math.ceil((before + length) / run))
    const first = Math.floor(start / inner) % values.length
    const at = this.place(count)
    const head = Math.min(count, values.length - first)
    this.#floats.set(whole(values, head) ? values : part(values, first, head), at >>> 2)
    if (head < count) this.#floats.set(part(values, 0, count - head), (at >>> 2) + head)
    return { at, count, run, before }
  }

  /** The weights of the elements from `start`: those of the stream, times those that `inner` neighbours share. */
  copyWeights(
    weight: Float32Array | undefined,
    shared: Float32Array | undefined,
    inner: number,
    start: number,
    length: number,
  ): Placed {
    if (shared === undefined) return this.copyStream(weight, 1, start, length)
    const at = this.place(length)
    for (let i = start; i < start + length; i++) {
      const own = shared[Math.floor(i / inner)]
      this.#floats[(at >>> 2) + i - start] = weight === undefined ? own : weight[i % weight.length] * own
    }
    return { at, count: length, run: 1, before: 0 }
  }

  /** Writes what lies at `pointer` to `target[start … start + length)`, if there is a target. */
  copyOut(pointer: number, target: Float32Array | undefined, start: number, length: number): void {
    if (target === undefined) return
    set.call(target, part(this.#floats, pointer >>> 2, length), start)
  }
}

/** A stream in the arena: where, how many values, how many neighbours share one, and how many of those come before. */
interface Placed {
  readonly at: number
  readonly count: number
  readonly run: number
  readonly before: number
}
const NOWHERE: Placed = { at: 0, count: 0, run: 1, before: 0 }

// Not the methods of the caller's array, which a subclass may have replaced.
const { set } = Float32Array.prototype
const part = (array: Float32Array, start: number, length: number) =>
  new Float32Array(array.buffer, array.byteOffset + 4 * start, length)

/**
 * Positions of the piece from `start`: whole blocks, so that sums go on as in one piece, and positions of one sample
 * only where those of a sample lie between each other. Not a generator: that takes a microsecond of a small call.
 */
function pieceOf(start: number, positions: number, inner: number, classes: number): number {
  const block = positionsOfBlock(classes, inner === 1)
  const most = Math.max(1, Math.floor(PIECE / (classes * block))) * block
  return Math.min(inner === 1 ? positions - start : inner - (start % inner), most)
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

/** No view is made where the piece is all there is: making one costs more than a small kernel. */
const whole = (array: ArrayLike<number>, length: number) => array.length === length

const line = (text: string): RegistryRow => {
  const [name, family, ulp, ...params] = text.trim().split(' ')
  return { name, family, ulp: Number(ulp), params }
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
  const [version, instructionSet, ...rows] = memories.reserve('fused-loss', LEAST, LEAST).describe().split('\n')
  const registry = rows.map(line)
  const ops = opsOf(registry)
  return {
    name: 'wasm',
    instructionSet,
    instructionSets: wasmSets(),
    version,
    registry,
    firstOutside(values, low, high, marks) {
      if (marks !== everything || kindOf(values) !== 'Float32Array') return firstOutside(values, low, high, marks)
      for (let start = 0; start < values.length; start += PIECE) {
        const length = Math.min(values.length - start, PIECE)
        const arena = memories.reserve('', length, length)
        const found = arena.module.first_outside(length, arena.copyIn(values as Float32Array, start, length), low, high)
        memories.ran(arena)
        if (found >= 0) return start + found
      }
      return -1
    },
    // A copy would cost more than the scan.
    keptWeight,
    pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
      const op = ops.get(loss.name)!
      if (extra === undefined) separateGrad(loss.name, dx, x, t)
      let sum = 0
      let start = 0
      do {
        const length = Math.min(x.length - start, PIECE)
        if (extra === undefined) {
          const arena = memories.reserve(loss.name, 2 * length, length)
          const xAt = arena.copyIn(x, start, length)
          const tAt = arena.copyNumbers(t, start, length)
          // The gradient takes the place of the input's copy.
          const dxAt = dx === undefined ? 0 : xAt
          sum = arena.module.pointwise(op, length, xAt, tAt, dxAt, scale, aux, p0, p1, sum)
          memories.ran(arena)
          arena.copyOut(dxAt, dx, start, length)
        } else {
          sum = general(loss.name, op, x, t, dx, scale, aux, p0, p1, extra, start, length, sum)
        }
        start += length
      } while (start < x.length)
      return sum
    },
    softmax(loss, x, marks, classes, dx, scale, labelSmoothing, temperature, p0, extra) {
      const op = ops.get(loss.name)!
      if (extra === undefined) separateGrad(loss.name, dx, x, marks.labels)
      const inner = extra?.inner ?? 1
      const { target, weight, sampleWeight, gradOutput, targetGrad, out, accumulate = false } = extra ?? {}
      const positions = x.length / classes
      let sum = 0
      for (let start = 0, count = 0; start < positions; start += count) {
        count = pieceOf(start, positions, inner, classes)
        const scores = count * classes
        const arrays = 1 + (target === undefined ? 0 : 1) + (accumulate ? 1 : 0)
        const words = arrays * scores + 4 * count + (weight === undefined ? 0 : classes)
        const arena = memories.reserve(loss.name, words, scores)
        const xAt = arena.copyScores(x, start, count, inner, classes)
        const labelsAt = arena.copyClasses(marks, start, count)
        const targetAt = arena.copyScores(target, start, count, inner, classes)
        const weightAt = arena.copyIn(weight, 0, classes)
        const sampleWeightAt = arena.copyShared(sampleWeight, start, count, extra?.sampleInner ?? 1)
        const gradOutputAt = arena.copyIn(gradOutput, start, count)
        const outAt = out === undefined ? 0 : arena.place(count)
        const dtAt = targetGrad === undefined ? 0 : targetAt
        const added = accumulate ? arena.copyScores(dx, start, count, inner, classes) : xAt
        const dxAt = dx === undefined ? 0 : added
        sum = arena.module.softmax(
          op,
          count,
          classes,
          inner === 1 ? 1 : count,
          xAt,
          labelsAt,
          targetAt,
          dxAt,
          dtAt,
          scale,
          arena.ignored,
          labelSmoothing,
          temperature,
          p0,
          sum,
          weightAt,
          sampleWeightAt,
          gradOutputAt,
          outAt,
          accumulate,
        )
        memories.ran(arena)
        arena.copyScoresOut(dxAt, dx, start, count, inner, classes)
        arena.copyScoresOut(dtAt, targetGrad, start, count, inner, classes)
        arena.copyOut(outAt, out, start, count)
      }
      return sum
    },
    regionSums(call, sums, keep) {
      return region(call, 0, sums, undefined, keep, false, false)
    },
    regionGradient(call, planes, scale, dx, accumulate) {
      region(call, scale, undefined, planes, dx, accumulate, false)
    },
    regionTargetGradient(call, planes, dt) {
      region(call, 0, undefined, planes, dt, false, true)
    },
    expression(call) {
      const { inputs, grads } = call.program
      let columns = 0
      for (const own of inputs) columns += own
      for (const own of grads) columns += own
      const most = Math.max(1, Math.min(PIECE / BLOCK, Math.floor((3 * PIECE) / (columns * BLOCK)))) * BLOCK
      let sum = 0
      for (let start = 0; start < call.rows; start += most) {
        sum = rowsOf(call, start, Math.min(call.rows - start, most), sum)
      }
      return sum
    },
  }

  /** A piece of a call of a program. */
  function rowsOf(call: ExpressionCall, start: number, count: number, sum: number): number {
    const { loss, program, uniforms, inputs, grads, raw } = call
    const pages = (words: number) => Math.ceil(words / PAGE) * PAGE
    // Each array takes whole pages: there may be more of them than an arena has pages to spare.
    let words = 4 * PAGE
    for (const columns of program.inputs) words += pages(count * columns)
    for (const columns of program.grads) words += pages(count * columns)
    if (raw !== undefined) words += 4 * pages(count)
    const arena = memories.reserve(loss, words, words)
    const arrays: number[] = []
    for (let k = 0; k < inputs.length; k++) {
      const columns = program.inputs[k]
      arrays.push(arena.copyIn(inputs[k], start * columns, count * columns), columns)
    }
    const places: number[] = []
    for (let k = 0; k < grads.length; k++) {
      const columns = program.grads[k]
      const at = raw?.accumulate
        ? arena.copyIn(grads[k], start * columns, count * columns)
        : arena.place(count * columns)
      places.push(at)
      arrays.push(at, columns)
    }
    const weights =
      raw === undefined ? NOWHERE : arena.copyWeights(raw.weight, raw.sampleWeight, raw.sampleInner, start, count)
    const labelsAt = raw === undefined ? 0 : arena.copyClasses(raw.marks, start, count)
    const gradOutputAt = arena.copyIn(raw?.gradOutput, start, count)
    const outAt = raw?.out === undefined ? 0 : arena.place(count)
    const callAt = arena.copyIntegers([
      arena.copyBytes(program.code),
      program.code.length,
      program.registers,
      arena.copyIn(uniforms, 0, uniforms.length),
      uniforms.length,
      count,
      raw === undefined ? 0 : 1,
      program.value ? 1 : 0,
      weights.at,
      weights.count,
      weights.run,
      weights.before,
      labelsAt,
      gradOutputAt,
      outAt,
      arena.ignored,
      raw?.accumulate ? 1 : 0,
      inputs.length,
      grads.length,
      ...arrays,
    ])
    const total = arena.module.expression(callAt, raw?.scale ?? 1, sum)
    memories.ran(arena)
    for (let k = 0; k < grads.length; k++) {
      const columns = program.grads[k]
      arena.copyOut(places[k], grads[k], start * columns, count * columns)
    }
    arena.copyOut(outAt, raw?.out, start, count)
    return total
  }

  /** A pass over pieces of one sample each. */
  function region(
    call: RegionCall,
    scale: number,
    sums: Float64Array | undefined,
    planes: Float32Array | undefined,
    dx: Float32Array | undefined,
    accumulate: boolean,
    byTarget: boolean,
  ): number {
    const { x, target, marks, axis, activation, squared, part } = call
    const { samples, classes, positions, last } = axis
    const op = part === undefined ? -1 : ops.get(part.definition.name)!
    const inner = last ? 1 : positions
    const numbers = classes * PLANE
    const auxs = typeof part?.aux === 'object' ? part.aux : undefined
    let value = 0
    for (let sample = 0; sample < samples; sample++) {
      for (let start = 0, count = 0; start < positions; start += count) {
        count = pieceOf(start, positions, positions, classes)
        const first = sample * positions + start
        const scores = count * classes
        const arrays = 1 + (target === undefined ? 0 : 1) + (accumulate ? 1 : 0)
        const perClass = (auxs === undefined ? 0 : 1) + (part?.weight === undefined ? 0 : 1)
        // The sums are doubles.
        const ofPlanes = sums === undefined ? numbers : 2 * numbers
        const words = arrays * scores + count + perClass * classes + ofPlanes + 1
        const arena = memories.reserve(call.loss, words, Math.max(scores, ofPlanes))
        const xAt = arena.copyScores(x, first, count, inner, classes)
        const targetAt = arena.copyScores(target, first, count, inner, classes)
        const labelsAt = arena.copyClasses(marks, first, count)
        const auxsAt = arena.copyIn(auxs, 0, classes)
        const weightAt = arena.copyIn(part?.weight, 0, classes)
        const sampleWeightAt = part?.sampleWeight === undefined ? 0 : arena.copyIn(part.sampleWeight, sample, 1)
        const planesAt = arena.copyIn(planes, sample * numbers, numbers)
        const sumsAt = sums === undefined ? 0 : arena.zeros(2 * numbers)
        const added = accumulate ? arena.copyScores(dx, first, count, inner, classes) : xAt
        const dxAt = dx === undefined ? 0 : added
        value += arena.module.region(
          count,
          classes,
          last,
          xAt,
          targetAt,
          labelsAt,
          arena.ignored,
          activationNumber[activation],
          squared,
          op,
          part?.p0 ?? 0,
          part?.p1 ?? 0,
          typeof part?.aux === 'number' ? part.aux : 0,
          auxsAt,
          weightAt,
          sampleWeightAt,
          part?.labelSmoothing ?? 0,
          scale,
          sumsAt,
          planesAt,
          dxAt,
          accumulate,
          byTarget,
        )
        memories.ran(arena)
        arena.copyScoresOut(dxAt, dx, first, count, inner, classes)
        if (sums !== undefined) arena.addDoubles(sumsAt, sums, sample * numbers, numbers)
      }
    }
    return value
  }

  /** One piece of a call with streams. */
  function general(
    loss: string,
    op: number,
    x: Float32Array,
    t: NumberArray,
    dx: Float32Array | undefined,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    extra: PointwiseExtra,
    start: number,
    length: number,
    sum: number,
  ): number {
    const { weight, aux: auxStream, gradOutput, targetGrad, out } = extra
    const arena = memories.reserve(loss, 9 * length, length)
    const xAt = arena.copyIn(x, start, length)
    const tAt = arena.copyNumbers(t, start, length)
    const labelsAt = arena.copyClasses(extra.marks, start, length)
    const weights = arena.copyWeights(weight, extra.sampleWeight, extra.sampleInner, start, length)
    const auxs = arena.copyStream(auxStream, extra.auxInner, start, length)
    const gradOutputAt = arena.copyIn(gradOutput, start, length)
    const dxAt = dx === undefined ? 0 : extra.accumulate ? arena.copyIn(dx, start, length) : xAt
    const dtAt = targetGrad === undefined ? 0 : arena.place(length)
    const outAt = out === undefined ? 0 : arena.place(length)
    const total = arena.module.pointwise_general(
      op,
      length,
      xAt,
      tAt,
      dxAt,
      scale,
      aux,
      p0,
      p1,
      sum,
      weights.at,
      weights.count,
      weights.before,
      auxs.at,
      auxs.count,
      auxs.run,
      auxs.before,
      labelsAt,
      arena.ignored,
      gradOutputAt,
      dtAt,
      outAt,
      extra.accumulate,
    )
    memories.ran(arena)
    arena.copyOut(dxAt, dx, start, length)
    arena.copyOut(dtAt, targetGrad, start, length)
    arena.copyOut(outAt, out, start, length)
    return total
  }
}
