/**
 * The WebAssembly module. Its arrays lie in its own memory, so calls are cut into pieces that stay in the second-level
 * cache while they are copied in, computed and copied out. Kernels continue a sum, so the pieces have the bits of the
 * whole. The memory does not grow with the input, except for what cannot be cut: a row of scores, a stream of weights.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { separateGrad } from '../check.js'
import { BLOCK, ROWS } from '../sum.js'
import { type Backend, opsOf, type PointwiseExtra, type RegistryRow } from './contract.js'
import { keptWeight } from './ts.js'

interface Memory {
  readonly buffer: ArrayBuffer
}

/** What `crate/wasm` exports; numbers instead of arrays are pointers into `memory`. */
interface Module {
  initSync(module: { module: Uint8Array }): { memory: Memory }
  version(): string
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
    rows: number,
    classes: number,
    x: number,
    labels: number,
    dx: number,
    scale: number,
    ignoreIndex: number,
    labelSmoothing: number,
    temperature: number,
    p0: number,
    p1: number,
    sum: number,
    weight: number,
    gradOutput: number,
    out: number,
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

  /** The same for labels. */
  copyLabels(source: Int32Array, start: number, length: number): number {
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

/** No view is made where the piece is all there is: making one costs more than a small kernel. */
const whole = (array: ArrayLike<number>, length: number) => array.length === length

const line = (text: string): RegistryRow => {
  const [name, family, ulp, ...params] = text.trim().split(' ')
  return { name, family, ulp: Number(ulp), params }
}

/** Loads the module, synchronously, or throws with the reason why it cannot be. */
export function loadWasm(): Backend {
  // Both by path, so that a package without them is a reason to skip the backend and no error of the import.
  const module: Module = createRequire(import.meta.url)('../../wasm/fused_loss_wasm.js')
  const bytes = readFileSync(new URL('../../wasm/fused_loss_wasm_bg.wasm', import.meta.url))
  const arena = new Arena(module, module.initSync({ module: bytes }).memory)
  const registry = module.registry().split('\n').map(line)
  const ops = opsOf(registry)
  return {
    name: 'wasm',
    instructionSet: 'simd128',
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
    softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, p0, p1, extra) {
      const op = ops.get(loss.name)!
      if (extra === undefined) separateGrad(loss.name, dx, x, labels)
      const weight = extra?.weight
      const piece = Math.max(1, Math.floor(PIECE / (classes * ROWS))) * ROWS
      let sum = 0
      let start = 0
      do {
        const rows = Math.min(labels.length - start, piece)
        arena.reserve(rows * (classes + 3) + (weight?.length ?? 0))
        const xAt = arena.copyIn(x, start * classes, rows * classes)
        const labelsAt = arena.copyLabels(labels, start, rows)
        const weightAt = arena.copyIn(weight, 0, classes)
        const gradOutputAt = arena.copyIn(extra?.gradOutput, start, rows)
        const outAt = extra?.out === undefined ? 0 : arena.place(rows)
        const dxAt = dx === undefined ? 0 : xAt
        sum = module.softmax(
          op,
          rows,
          classes,
          xAt,
          labelsAt,
          dxAt,
          scale,
          ignoreIndex,
          labelSmoothing,
          temperature,
          p0,
          p1,
          sum,
          weightAt,
          gradOutputAt,
          outAt,
        )
        arena.copyOut(dxAt, dx, start * classes, rows * classes)
        arena.copyOut(outAt, extra?.out, start, rows)
        start += rows
      } while (start < labels.length)
      return sum
    },
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
