/** The N-API addon: the same arrays, no copies. */

import { createRequire } from 'node:module'
import { separateGrad } from '../check.js'
import { type Backend, opsOf, type RegistryRow } from './contract.js'

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
  pointwise(
    op: number,
    x: Float32Array,
    t: Float32Array,
    dx: Floats,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
  ): number
  pointwiseGeneral(
    op: number,
    x: Float32Array,
    t: Float32Array,
    dx: Floats,
    scale: number,
    aux: number,
    p0: number,
    p1: number,
    weight: Floats,
    auxStream: Floats,
    auxInner: number,
    gradOutput: Floats,
    dt: Floats,
    out: Floats,
    accumulate: boolean,
  ): number
  softmax(
    op: number,
    x: Float32Array,
    labels: Int32Array,
    classes: number,
    dx: Floats,
    scale: number,
    ignoreIndex: number,
    labelSmoothing: number,
    temperature: number,
    p0: number,
    p1: number,
    weight: Floats,
    gradOutput: Floats,
    out: Floats,
  ): number
}

/** The native backend; a test may pin one of the machine's instruction sets. */
export interface NativeBackend extends Backend {
  readonly instructionSets: readonly string[]
  pin(instructionSet: string): void
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
  const { pointwise, pointwiseGeneral, softmax } = addon
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
    firstOutside: addon.firstOutside,
    keptWeight: addon.keptWeight,
    pointwise(loss, x, t, dx, scale, aux, p0, p1, extra) {
      const op = ops.get(loss.name)!
      if (extra === undefined) {
        try {
          return pointwise(op, x, t, dx, scale, aux, p0, p1)
        } catch (error) {
          separateGrad(loss.name, dx, x, t)
          throw error
        }
      }
      const { weight, aux: auxStream, auxInner, gradOutput, targetGrad, out, accumulate } = extra
      return pointwiseGeneral(
        op,
        x,
        t,
        dx,
        scale,
        aux,
        p0,
        p1,
        weight,
        auxStream,
        auxInner,
        gradOutput,
        targetGrad,
        out,
        accumulate,
      )
    },
    softmax(loss, x, labels, classes, dx, scale, ignoreIndex, labelSmoothing, temperature, p0, p1, extra) {
      try {
        return softmax(
          ops.get(loss.name)!,
          x,
          labels,
          classes,
          dx,
          scale,
          ignoreIndex,
          labelSmoothing,
          temperature,
          p0,
          p1,
          extra?.weight,
          extra?.gradOutput,
          extra?.out,
        )
      } catch (error) {
        separateGrad(loss.name, dx, x, labels)
        throw error
      }
    },
  }
}
