/** The N-API addon: the same arrays, no copies. */

import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { kindOf, separateGrad } from '../check.js'
import { activationNumber, type Backend, opsOf, type RegionCall, type RegistryRow } from './contract.js'
import { everything, kindNumbers, type Marks, type NumberArray } from './marks.js'

type Floats = Float32Array | undefined
type Numbers = NumberArray | undefined

/** What `crate/node` exports. */
interface Addon {
  version(): string
  registry(): RegistryRow[]
  instructionSets(): string[]
  instructionSet(): string
  pinInstructionSet(name: string): boolean
  availableThreads(): number
  /**
   * The numbers of a call without number arguments; its result comes back in the first. The last two stay from call to call:
   * whether small calls are split too, and the number of threads.
   */
  readonly numbers: Float64Array
  /** Numbers: low, high. */
  firstOutside(values: NumberArray, labels?: Numbers, mask?: Numbers): void
  /** Numbers: positions, classes. */
  keptWeight(labels: Numbers, mask?: Numbers, weight?: Floats, sampleWeight?: Floats): void
  /** Numbers: op, scale, aux, p0, p1. */
  pointwise(x: Float32Array, t: Float32Array, dx: Floats): void
  /** Numbers: the same, auxInner, and whether `dx` is added to. */
  pointwiseGeneral(
    x: Float32Array,
    t: NumberArray,
    dx: Floats,
    weight: Floats,
    aux: Floats,
    gradOutput: Floats,
    dt: Floats,
    out: Floats,
    sampleWeight?: Floats,
    labels?: Numbers,
    mask?: Numbers,
  ): void
  /** Numbers: op, scale, classes, none, labelSmoothing, temperature, p0. */
  softmax(x: Float32Array, labels: Int32Array, dx: Floats): void
  /** Numbers: the same, inner, and whether `dx` is added to. */
  softmaxGeneral(
    x: Float32Array,
    labels: Numbers,
    dx: Floats,
    target: Floats,
    weight?: Floats,
    sampleWeight?: Floats,
    gradOutput?: Floats,
    dt?: Floats,
    out?: Floats,
    mask?: Numbers,
  ): void
  /**
   * Numbers: op of the part or −1, scale, classes, none, labelSmoothing, positions, classes last, activation, squared,
   * p0, p1, aux, whether `dx` is added to, whether it is the gradient by the target.
   */
  region(
    x: Float32Array,
    labels: Numbers,
    target: Numbers,
    sums?: Float64Array,
    planes?: Floats,
    dx?: Floats,
    auxs?: Floats,
    weight?: Floats,
    sampleWeight?: Floats,
    mask?: Numbers,
  ): void
  /**
   * Of a program the code, the uniforms, inputs, gradients and those streams that there are: weight, sample weight, upstream gradient,
   * values, labels, mask. Numbers: rows, registers, how many inputs and gradients; whether the program is raw, scale, whether there is a
   * value, which streams there are, whether the first gradient is added to.
   */
  expression(code: Uint8Array, uniforms: Float32Array, ...arrays: NumberArray[]): void
  /** The same of more arrays than {@link FEW_ARRAYS}. */
  expressionOfMany(code: Uint8Array, uniforms: Float32Array, ...arrays: NumberArray[]): void
}

/** Arrays of a program's call, beside code and uniforms, that the addon's shorter function takes. */
const FEW_ARRAYS = 8

/** The native backend; a test may pin one of the machine's instruction sets, and have small calls split among threads too. */
export interface NativeBackend extends Backend {
  readonly instructionSets: readonly string[]
  pin(instructionSet: string): void
  splitAll(all: boolean): void
  setThreads(count: number): void
}

// In the array of numbers, as crate/node/src/direct.rs has them.
const SPLIT_ALL = 14
const THREADS = 15
const LABELS = 16
const MASK = 17
const TARGET = 18
const MASK_INNER = 19
const SAMPLE = 20
const IGNORED = 21

/** Name of the platform as in the names of the addon and of its package, such as `linux-x64-gnu`. */
export function platform(): string {
  const { platform, arch } = process
  if (platform === 'linux') {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
    return `linux-${arch}-${report?.header?.glibcVersionRuntime ? 'gnu' : 'musl'}`
  }
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function kindNumber(array: NumberArray): number {
  return kindNumbers[kindOf(array)!]
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
  const registry = addon.registry()
  const ops = opsOf(registry)
  const {
    numbers,
    firstOutside,
    keptWeight,
    pointwise,
    pointwiseGeneral,
    softmax,
    softmaxGeneral,
    region,
    expression,
    expressionOfMany,
  } = addon
  numbers[THREADS] = addon.availableThreads()
  let last: object | undefined
  let lastOp = 0
  // The map takes 15 ns, and most calls are of the same loss as the one before.
  function opOf(loss: { readonly name: string }): number {
    if (loss !== last) {
      last = loss
      lastOp = ops.get(loss.name)!
    }
    return lastOp
  }
  return {
    name: 'native',
    version: addon.version(),
    registry,
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
    firstOutside(values, low, high, marks) {
      numbers[0] = low
      numbers[1] = high
      numbers[TARGET] = kindNumber(values)
      setMarks(marks)
      if (marks === everything) firstOutside(values)
      else firstOutside(values, marks.labels, marks.mask)
      return numbers[0]
    },
    keptWeight(marks, positions, classes, weight, sampleWeight, sampleInner) {
      numbers[0] = positions
      numbers[1] = classes
      numbers[SAMPLE] = sampleInner
      setMarks(marks)
      if (weight === undefined && sampleWeight === undefined) keptWeight(marks.labels, marks.mask)
      else keptWeight(marks.labels, marks.mask, weight, sampleWeight)
      return numbers[0]
    },
    pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
      numbers[0] = opOf(loss)
      numbers[1] = scale
      numbers[2] = aux
      numbers[3] = p0
      numbers[4] = p1
      if (extra !== undefined) {
        const { weight, aux, gradOutput, targetGrad, out, sampleWeight, marks } = extra
        numbers[5] = extra.auxInner
        numbers[6] = extra.accumulate ? 1 : 0
        numbers[TARGET] = kindNumber(t)
        setMarks(marks)
        if (marks === everything && sampleWeight === undefined) {
          pointwiseGeneral(x, t, dx, weight, aux, gradOutput, targetGrad, out)
        } else {
          numbers[SAMPLE] = extra.sampleInner
          const { labels, mask } = marks
          pointwiseGeneral(x, t, dx, weight, aux, gradOutput, targetGrad, out, sampleWeight, labels, mask)
        }
        return numbers[0]
      }
      try {
        pointwise(x, t as Float32Array, dx)
      } catch (error) {
        separateGrad(loss.name, dx, x, t)
        throw error
      }
      return numbers[0]
    },
    softmax(loss, x, marks, classes, dx, scale, labelSmoothing, temperature, p0, extra) {
      numbers[0] = opOf(loss)
      numbers[1] = scale
      numbers[2] = classes
      numbers[4] = labelSmoothing
      numbers[5] = temperature
      numbers[6] = p0
      if (extra !== undefined) {
        const { target, weight, sampleWeight, gradOutput, targetGrad, out } = extra
        const { labels, mask } = marks
        numbers[7] = extra.inner
        numbers[8] = extra.accumulate ? 1 : 0
        numbers[SAMPLE] = extra.sampleInner
        setMarks(marks)
        const few = weight === undefined && sampleWeight === undefined && gradOutput === undefined
        // As for regions.
        if (mask !== undefined) {
          softmaxGeneral(x, labels, dx, target, weight, sampleWeight, gradOutput, targetGrad, out, mask)
        } else if (few && targetGrad === undefined && out === undefined) softmaxGeneral(x, labels, dx, target)
        else softmaxGeneral(x, labels, dx, target, weight, sampleWeight, gradOutput, targetGrad, out)
        return numbers[0]
      }
      numbers[IGNORED] = 1
      numbers[IGNORED + 1] = marks.ignored[0]
      try {
        softmax(x, marks.labels as Int32Array, dx)
      } catch (error) {
        separateGrad(loss.name, dx, x, marks.labels)
        throw error
      }
      return numbers[0]
    },
    regionSums(call, sums, keep) {
      return pass(call, 0, sums, undefined, keep, false, false)
    },
    regionGradient(call, planes, scale, dx, accumulate) {
      pass(call, scale, undefined, planes, dx, accumulate, false)
    },
    regionTargetGradient(call, planes, dt) {
      pass(call, 0, undefined, planes, dt, false, true)
    },
    expression({ program, uniforms, inputs, grads, rows, raw }) {
      numbers[0] = rows
      numbers[1] = program.registers
      numbers[2] = inputs.length
      numbers[3] = grads.length
      numbers[4] = raw === undefined ? 0 : 1
      if (raw === undefined && inputs.length === 2 && grads.length === 1) {
        expression(program.code, uniforms, inputs[0], inputs[1], grads[0])
        return numbers[0]
      }
      const arrays: NumberArray[] = [...inputs, ...grads]
      if (raw !== undefined) {
        const { weight, sampleWeight, gradOutput, out, marks } = raw
        let which = 0
        ;[weight, sampleWeight, gradOutput, out, marks.labels, marks.mask].forEach((stream, bit) => {
          if (stream === undefined) return
          which |= 1 << bit
          arrays.push(stream)
        })
        numbers[5] = raw.scale
        numbers[6] = program.value ? 1 : 0
        numbers[7] = which
        numbers[8] = raw.accumulate ? 1 : 0
        numbers[SAMPLE] = raw.sampleInner
        setMarks(marks)
      }
      if (arrays.length <= FEW_ARRAYS) expression(program.code, uniforms, ...arrays)
      else expressionOfMany(program.code, uniforms, ...arrays)
      return numbers[0]
    },
  }

  /** What the kernels read of the positions beside their arrays. */
  function setMarks({ labels, ignored, mask, maskInner }: Marks): void {
    numbers[LABELS] = labels === undefined ? 0 : kindNumber(labels)
    numbers[MASK] = mask === undefined ? 0 : kindNumber(mask)
    numbers[MASK_INNER] = maskInner
    numbers[IGNORED] = ignored.length
    for (let i = 0; i < ignored.length; i++) numbers[IGNORED + 1 + i] = ignored[i]
  }

  function pass(
    { x, target, marks, axis, activation, squared, part }: RegionCall,
    scale: number,
    sums: Float64Array | undefined,
    planes: Floats,
    dx: Floats,
    accumulate: boolean,
    byTarget: boolean,
  ): number {
    numbers[0] = part === undefined ? -1 : opOf(part.definition)
    numbers[1] = scale
    numbers[2] = axis.classes
    numbers[5] = axis.positions
    numbers[6] = axis.last ? 1 : 0
    numbers[7] = activationNumber[activation]
    numbers[8] = squared ? 1 : 0
    numbers[12] = accumulate ? 1 : 0
    numbers[13] = byTarget ? 1 : 0
    let auxs: Floats
    if (part !== undefined) {
      numbers[4] = part.labelSmoothing
      numbers[9] = part.p0
      numbers[10] = part.p1
      if (typeof part.aux === 'number') numbers[11] = part.aux
      else auxs = part.aux
    }
    // Arguments that are left out at the end cost nothing, others that are undefined 40 ns.
    const weight = part?.weight
    const sampleWeight = part?.sampleWeight
    const { labels, mask } = marks
    numbers[TARGET] = target === undefined ? 0 : kindNumber(target)
    setMarks(marks)
    if (mask !== undefined || sampleWeight !== undefined) {
      region(x, labels, target, sums, planes, dx, auxs, weight, sampleWeight, mask)
    } else if (auxs !== undefined || weight !== undefined) region(x, labels, target, sums, planes, dx, auxs, weight)
    else if (sums !== undefined && dx === undefined) region(x, labels, target, sums)
    else region(x, labels, target, sums, planes, dx)
    return numbers[0]
  }
}
