/**
 * The WebAssembly module. Its arrays lie in its own memory, so calls are cut into pieces that stay in the second-level
 * cache while they are copied in, computed and copied out. Kernels continue a sum, so the pieces have the bits of the
 * whole. The memory does not grow with the input, except for what cannot be cut: a row of scores, a stream of weights.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { separateGrad } from '../check.js'
import { BLOCK, positionsOfBlock } from '../sum.js'
import {
  activationNumber,
  type Backend,
  firstScore,
  opsOf,
  PLANE,
  type PointwiseExtra,
  type RegionCall,
  type RegistryRow,
} from './contract.js'
import { keptWeight } from './ts.js'

declare const WebAssembly: { validate(bytes: Uint8Array): boolean }

interface Memory {
  readonly buffer: ArrayBuffer
}

/** What `crate/wasm` exports; numbers instead of arrays are pointers into `memory`. */
interface Module {
  initSync(module: { module: Uint8Array }): { memory: Memory }
  version(): string
  instruction_set(): string
  registry(): string
  reserve(words: number): number
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
    ignoreIndex: number,
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
    ignoreIndex: number,
    activation: number,
    squared: boolean,
    part: number,
    p0: number,
    p1: number,
    aux: number,
    auxs: number,
    weight: number,
    labelSmoothing: number,
    scale: number,
    sums: number,
    planes: number,
    dx: number,
    accumulate: boolean,
    byTarget: boolean,
  ): number
}

/** Elements of a piece: three arrays of it fill a quarter of a second-level cache of 512 KiB or more. */
const PIECE = 16 * BLOCK

/** Pages that alignment can take: eight arrays of a call, each at a page of its own, and one and a half before the first. */
const SLOTS = 10

/** Words of a page. */
const PAGE = 1024

/** Places pieces of the caller's arrays one behind the other in the module's memory. */
class Arena {
  readonly #module: Module
  readonly #memory: Memory
  #words = 0
  #base = 0
  #next = 0
  #floats = new Float32Array(0)
  #integers = new Int32Array(0)

  constructor(module: Module, memory: Memory) {
    this.#module = module
    this.#memory = memory
  }

  /** Makes room for arrays of so many words in all before anything is placed: growth detaches earlier views. */
  reserve(words: number): void {
    if (words > this.#words) {
      const room = Math.max(words, 4 * PIECE)
      const start = this.#module.reserve(room + SLOTS * PAGE) >>> 2
      // In the middle of a page: large arrays start at the beginning of one, and on Zen 3 a copy between addresses that are
      // nearly the same within their pages takes 13 times as long (1.36 ns instead of 0.10 for an element).
      this.#base = Math.ceil(start / PAGE) * PAGE + PAGE / 2
      // Only now: where there is no memory for it, the call above has thrown.
      this.#words = room
    }
    if (this.#floats.length === 0) {
      // Also where another part of the module made its memory grow.
      this.#floats = new Float32Array(this.#memory.buffer)
      this.#integers = new Int32Array(this.#memory.buffer)
    }
    this.#next = this.#base
  }

  /** Room for `length` elements; a pointer. */
  place(length: number): number {
    const at = this.#next
    this.#next += Math.ceil(length / PAGE) * PAGE
    return at << 2
  }

  /** A copy of `source[start … start + length)`; a pointer, null if there is no source. */
  copyIn(source: Float32Array | undefined, start: number, length: number): number {
    if (source === undefined) return 0
    const at = this.place(length)
    this.#floats.set(whole(source, length) ? source : part(source, start, length), at >>> 2)
    return at
  }

  /** The same for the scores of some positions: they are one run, or one of each class in samples of `inner` positions. */
  copyScores(
    source: Float32Array | undefined,
    position: number,
    count: number,
    inner: number,
    classes: number,
  ): number {
    if (source === undefined || inner === 1) return this.copyIn(source, position * classes, count * classes)
    const at = this.place(count * classes)
    const first = firstScore(position, inner, classes)
    for (let c = 0; c < classes; c++) {
      this.#floats.set(part(source, first + c * inner, count), (at >>> 2) + c * count)
    }
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

  /** Adds the doubles at `pointer` to `target[start … start + length)`. */
  addDoubles(pointer: number, target: Float64Array, start: number, length: number): void {
    const doubles = new Float64Array(this.#memory.buffer, pointer, length)
    for (let i = 0; i < length; i++) target[start + i] += doubles[i]
  }

  /** The same for labels; null if there are none. */
  copyLabels(source: Int32Array, start: number, length: number): number {
    if (source.length === 0) return 0
    const at = this.place(length)
    const { buffer, byteOffset } = source
    this.#integers.set(
      whole(source, length) ? source : new Int32Array(buffer, byteOffset + 4 * start, length),
      at >>> 2,
    )
    return at
  }

  /** Writes what lies at `pointer` to `target[start … start + length)`, if there is a target. */
  copyOut(pointer: number, target: Float32Array | undefined, start: number, length: number): void {
    if (target === undefined) return
    set.call(target, part(this.#floats, pointer >>> 2, length), start)
  }
}

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
  return WebAssembly.validate(RELAXED) ? ['relaxed-simd', 'simd128'] : ['simd128']
}

/** Loads a module, synchronously, or throws with the reason why it cannot be. */
export function loadWasm(set = wasmSets()[0]): Backend & { readonly instructionSets: readonly string[] } {
  const folder = `../../wasm/${set}/`
  // Both by path, so that a package without them is a reason to skip the backend and no error of the import.
  const module: Module = createRequire(import.meta.url)(`${folder}fused_loss_wasm.js`)
  const bytes = readFileSync(new URL(`${folder}fused_loss_wasm_bg.wasm`, import.meta.url))
  const arena = new Arena(module, module.initSync({ module: bytes }).memory)
  const registry = module.registry().split('\n').map(line)
  const ops = opsOf(registry)
  return {
    name: 'wasm',
    instructionSet: module.instruction_set(),
    instructionSets: wasmSets(),
    version: module.version(),
    registry,
    firstOutside(values, low, high) {
      for (let start = 0; start < values.length; start += PIECE) {
        const length = Math.min(values.length - start, PIECE)
        arena.reserve(length)
        const found = module.first_outside(length, arena.copyIn(values, start, length), low, high)
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
          arena.reserve(2 * length)
          const xAt = arena.copyIn(x, start, length)
          const tAt = arena.copyIn(t, start, length)
          // The gradient takes the place of the input's copy.
          const dxAt = dx === undefined ? 0 : xAt
          sum = module.pointwise(op, length, xAt, tAt, dxAt, scale, aux, p0, p1, sum)
          arena.copyOut(dxAt, dx, start, length)
        } else {
          sum = general(op, x, t, dx, scale, aux, p0, p1, extra, start, length, sum)
        }
        start += length
      } while (start < x.length)
      return sum
    },
    softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, p0, extra) {
      const op = ops.get(loss.name)!
      if (extra === undefined) separateGrad(loss.name, dx, x, labels)
      const inner = extra?.inner ?? 1
      const { target, weight, sampleWeight, gradOutput, targetGrad, out, accumulate = false } = extra ?? {}
      const positions = target === undefined ? labels.length : target.length / classes
      let sum = 0
      for (let start = 0, count = 0; start < positions; start += count) {
        count = pieceOf(start, positions, inner, classes)
        const scores = count * classes
        arena.reserve(3 * scores + 4 * count + classes)
        const xAt = arena.copyScores(x, start, count, inner, classes)
        const labelsAt = arena.copyLabels(labels, start, count)
        const targetAt = arena.copyScores(target, start, count, inner, classes)
        const weightAt = arena.copyIn(weight, 0, classes)
        const sampleWeightAt = arena.copyIn(sampleWeight, start, count)
        const gradOutputAt = arena.copyIn(gradOutput, start, count)
        const outAt = out === undefined ? 0 : arena.place(count)
        const dtAt = targetGrad === undefined ? 0 : targetAt
        const added = accumulate ? arena.copyScores(dx, start, count, inner, classes) : xAt
        const dxAt = dx === undefined ? 0 : added
        sum = module.softmax(
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
          ignoreIndex,
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
  }

  /** A pass over pieces of one sample each. */
  function region(
    { x, target, labels, ignoreIndex, axis, activation, squared, part }: RegionCall,
    scale: number,
    sums: Float64Array | undefined,
    planes: Float32Array | undefined,
    dx: Float32Array | undefined,
    accumulate: boolean,
    byTarget: boolean,
  ): number {
    const { samples, classes, positions, last } = axis
    const op = part === undefined ? -1 : ops.get(part.definition.name)!
    const inner = last ? 1 : positions
    const numbers = classes * PLANE
    let value = 0
    for (let sample = 0; sample < samples; sample++) {
      for (let start = 0, count = 0; start < positions; start += count) {
        count = pieceOf(start, positions, positions, classes)
        const first = sample * positions + start
        arena.reserve(3 * count * classes + count + 6 * classes + 2 * numbers)
        const xAt = arena.copyScores(x, first, count, inner, classes)
        const targetAt = arena.copyScores(target, first, count, inner, classes)
        const labelsAt = arena.copyLabels(labels, first, count)
        const auxs = part === undefined || typeof part.aux === 'number' ? undefined : part.aux
        const auxsAt = arena.copyIn(auxs, 0, classes)
        const weightAt = arena.copyIn(part?.weight, 0, classes)
        const planesAt = arena.copyIn(planes, sample * numbers, numbers)
        const sumsAt = sums === undefined ? 0 : arena.zeros(2 * numbers)
        const added = accumulate ? arena.copyScores(dx, first, count, inner, classes) : xAt
        const dxAt = dx === undefined ? 0 : added
        value += module.region(
          count,
          classes,
          last,
          xAt,
          targetAt,
          labelsAt,
          ignoreIndex,
          activationNumber[activation],
          squared,
          op,
          part?.p0 ?? 0,
          part?.p1 ?? 0,
          typeof part?.aux === 'number' ? part.aux : 0,
          auxsAt,
          weightAt,
          part?.labelSmoothing ?? 0,
          scale,
          sumsAt,
          planesAt,
          dxAt,
          accumulate,
          byTarget,
        )
        arena.copyScoresOut(dxAt, dx, first, count, inner, classes)
        if (sums !== undefined) arena.addDoubles(sumsAt, sums, sample * numbers, numbers)
      }
    }
    return value
  }

  /** One piece of a call with streams. Those as long as the input are cut with it, shorter ones are copied whole. */
  function general(
    op: number,
    x: Float32Array,
    t: Float32Array,
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
    const cut = weight !== undefined && weight.length === x.length
    const weightLength = weight === undefined ? 0 : cut ? length : weight.length
    const auxLength = auxStream?.length ?? 0
    arena.reserve(6 * length + weightLength + auxLength)
    const xAt = arena.copyIn(x, start, length)
    const tAt = arena.copyIn(t, start, length)
    const weightAt = arena.copyIn(weight, cut ? start : 0, weightLength)
    const auxAt = arena.copyIn(auxStream, 0, auxLength)
    const gradOutputAt = arena.copyIn(gradOutput, start, length)
    const dxAt = dx === undefined ? 0 : extra.accumulate ? arena.copyIn(dx, start, length) : xAt
    const dtAt = targetGrad === undefined ? 0 : arena.place(length)
    const outAt = out === undefined ? 0 : arena.place(length)
    const total = module.pointwise_general(
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
      weightAt,
      weightLength,
      cut ? 0 : start,
      auxAt,
      auxLength,
      extra.auxInner,
      start,
      gradOutputAt,
      dtAt,
      outAt,
      extra.accumulate,
    )
    arena.copyOut(dxAt, dx, start, length)
    arena.copyOut(dtAt, targetGrad, start, length)
    arena.copyOut(outAt, out, start, length)
    return total
  }
}
