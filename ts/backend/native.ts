/** The N-API addon: the same arrays, no copies. */

import { createRequire } from 'node:module'
import { separateGrad } from '../check.js'
import { activationNumber, type Backend, opsOf, type RegionCall, type RegistryRow } from './contract.js'

type Floats = Float32Array | undefined

/** What `crate/node` exports. */
interface Addon {
  version(): string
  registry(): RegistryRow[]
  instructionSets(): string[]
  instructionSet(): string
  pinInstructionSet(name: string): boolean
  firstOutside(values: Float32Array, low: number, high: number): number
  keptWeight(labels: Int32Array, classes: number, ignoreIndex: number, weight: Floats): number
  availableThreads(): number
  /**
   * The numbers of a call without number arguments; its result comes back in the first. The last two stay from call to call:
   * whether small calls are split too, and the number of threads.
   */
  readonly numbers: Float64Array
  /** Numbers: op, scale, aux, p0, p1. */
  pointwise(x: Float32Array, t: Float32Array, dx: Floats): void
  /** Numbers: the same, auxInner, and whether `dx` is added to. */
  pointwiseGeneral(
    x: Float32Array,
    t: Float32Array,
    dx: Floats,
    weight: Floats,
    aux: Floats,
    gradOutput: Floats,
    dt: Floats,
    out: Floats,
  ): void
  /** Numbers: op, scale, classes, ignoreIndex, labelSmoothing, temperature, p0. */
  softmax(x: Float32Array, labels: Int32Array, dx: Floats): void
  /** Numbers: the same, inner, and whether `dx` is added to. */
  softmaxGeneral(
    x: Float32Array,
    labels: Int32Array,
    dx: Floats,
    target: Floats,
    weight?: Floats,
    sampleWeight?: Floats,
    gradOutput?: Floats,
    dt?: Floats,
    out?: Floats,
  ): void
  /**
   * Numbers: op of the part or −1, scale, classes, ignoreIndex, labelSmoothing, positions, classes last, activation, squared,
   * p0, p1, aux, whether `dx` is added to, whether it is the gradient by the target.
   */
  region(
    x: Float32Array,
    labels: Int32Array,
    target: Floats,
    sums?: Float64Array,
    planes?: Floats,
    dx?: Floats,
    auxs?: Floats,
    weight?: Floats,
  ): void
}

/** The native backend; a test may pin one of the machine's instruction sets, and have small calls split among threads too. */
export interface NativeBackend extends Backend {
  readonly instructionSets: readonly string[]
  pin(instructionSet: string): void
  splitAll(all: boolean): void
  setThreads(count: number): void
}

// In the array of numbers.
const SPLIT_ALL = 14
const THREADS = 15

/** Name of the platform as in the names of the addon and of its package, such as `linux-x64-gnu`. */
export function platform(): string {
  const { platform, arch } = process
  if (platform === 'linux') {
    const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined
    return `linux-${arch}-${report?.header?.glibcVersionRuntime ? 'gnu' : 'musl'}`
  }
  return platform === 'win32' ? `win32-${arch}-msvc` : `${platform}-${arch}`
}

function open(): Addon {
  const require = createRequire(import.meta.url)
  const reasons: string[] = []
  // Built from a clone, or installed as the platform's package.
  for (const path of [`../../native/fused-loss.${platform()}.node`, `fused-loss-${platform()}`]) {
    try {
      return require(path)
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
  const { numbers, pointwise, pointwiseGeneral, softmax, softmaxGeneral, region } = addon
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
    firstOutside: addon.firstOutside,
    keptWeight: addon.keptWeight,
    pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
      numbers[0] = opOf(loss)
      numbers[1] = scale
      numbers[2] = aux
      numbers[3] = p0
      numbers[4] = p1
      if (extra !== undefined) {
        numbers[5] = extra.auxInner
        numbers[6] = extra.accumulate ? 1 : 0
        pointwiseGeneral(x, t, dx, extra.weight, extra.aux, extra.gradOutput, extra.targetGrad, extra.out)
        return numbers[0]
      }
      try {
        pointwise(x, t, dx)
      } catch (error) {
        separateGrad(loss.name, dx, x, t)
        throw error
      }
      return numbers[0]
    },
    softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, p0, extra) {
      numbers[0] = opOf(loss)
      numbers[1] = scale
      numbers[2] = classes
      numbers[3] = ignoreIndex
      numbers[4] = labelSmoothing
      numbers[5] = temperature
      numbers[6] = p0
      if (extra !== undefined) {
        const { target, weight, sampleWeight, gradOutput, targetGrad, out } = extra
        numbers[7] = extra.inner
        numbers[8] = extra.accumulate ? 1 : 0
        const few = weight === undefined && sampleWeight === undefined && gradOutput === undefined
        // As for regions.
        if (few && targetGrad === undefined && out === undefined) softmaxGeneral(x, labels, dx, target)
        else softmaxGeneral(x, labels, dx, target, weight, sampleWeight, gradOutput, targetGrad, out)
        return numbers[0]
      }
      try {
        softmax(x, labels, dx)
      } catch (error) {
        separateGrad(loss.name, dx, x, labels)
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
  }

  function pass(
    { x, target, labels, ignoreIndex, axis, activation, squared, part }: RegionCall,
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
    numbers[3] = ignoreIndex
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
    if (auxs !== undefined || weight !== undefined) region(x, labels, target, sums, planes, dx, auxs, weight)
    else if (sums !== undefined && dx === undefined) region(x, labels, target, sums)
    else region(x, labels, target, sums, planes, dx)
    return numbers[0]
  }
}
