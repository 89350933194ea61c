/** What losses of any number of arrays share: the three verbs, bound options, gradients by the names of their arguments. */

import { itemsOf, type Tensor, tensorOf, wrongType } from '../check.js'
import { type NamedBuffers, NO_GRADS, type Options, readCall, readOptions } from '../options.js'
import { type AnyDefinition, forward, hiding, type Inside, type Result, type Wanted } from './inside.js'
import { bind, CallSettings, type Settings } from './loss.js'

export type { NamedBuffers }

/** How a loss of several arrays is made. */
export interface Several<S extends Settings> {
  readonly definition: AnyDefinition
  /** Names of the arguments before the options. */
  readonly inputs: readonly string[]
  /** Options that ask for further gradients, such as `varianceGrad`. */
  readonly gradNames: readonly string[]
  /** Names of all options. */
  readonly options: ReadonlySet<string>
  /** Where there is an option that this loss does not have, in words for a message. */
  elsewhere?(option: string): string | undefined
  /** Checks the options that do not depend on the arrays. */
  resolve(options: Options): S
  /** Checks everything else and computes. Whatever it gets has been read: no code of the caller runs here. */
  run(wanted: Wanted, tensors: readonly Tensor<unknown>[], settings: S, buffers: NamedBuffers): Result
  /** What the loss has beside the verbs of all; `read` gives the settings and buffers of some options. */
  verbs?(bound: S, read: (given: unknown) => readonly [settings: S, buffers: NamedBuffers]): object
}

const backward: Wanted = { value: false, grad: true }
const both: Wanted = { value: true, grad: true }

/** The frozen callable, with options bound. */
export function makeSeveral<S extends Settings>(family: Several<S>, bound: Options = {}): object {
  const { definition, inputs, gradNames, options: known } = family
  const { name } = definition
  const { length } = inputs
  const perCall: ReadonlySet<string> = new Set(['gradOutput', 'grad', 'accumulate', 'out', ...gradNames])
  const settings = new CallSettings((options) => family.resolve(options), bound)
  const boundBuffers: NamedBuffers = readCall(name, bound, known, undefined, { grads: NO_GRADS }, undefined, gradNames)

  const read = (options: unknown) =>
    readCall(name, options, known, family.elsewhere, boundBuffers, settings.last, gradNames)
  const call = (wanted: Wanted, args: readonly unknown[], accumulate = false): Result => {
    if (args.length > length + 1) {
      throw new TypeError(`${name}: the arguments are (${inputs.join(', ')}, options), got ${args.length}`)
    }
    // All that may run code of the caller comes first: then what the checks have found cannot change any more.
    const options = args[length] === undefined ? undefined : read(args[length])
    const tensors: Tensor<unknown>[] = []
    for (let k = 0; k < length; k++) tensors.push(tensorOf(name, inputs[k], args[k]))
    if (options === undefined) return family.run(wanted, tensors, settings.bound, boundBuffers)
    return family.run(wanted, tensors, settings.of(options.settings), accumulate ? { ...options, accumulate } : options)
  }

  const loss = (...args: unknown[]) => call(forward, args).value
  Object.defineProperty(loss, 'name', { value: name })
  Object.assign(loss, {
    backward: (...args: unknown[]) => call(backward, args).grad,
    valueAndGrad: (...args: unknown[]) => call(both, args),
    with(options: unknown) {
      return makeSeveral(family, { ...bound, ...bind(readOptions(name, options, known, family.elsewhere), perCall) })
    },
    ...family.verbs?.(settings.bound, (given) => {
      const options = read(given)
      return [settings.of(options.settings), options]
    }),
  })
  const inside: Inside = {
    definition,
    options: known,
    bound,
    read: (target) => othersOf(name, inputs, target),
    call(wanted, input, target, options, accumulate) {
      return call(wanted, [input, ...othersOf(name, inputs, target).list, options], accumulate)
    },
  }
  return hiding(loss, inside)
}

/** The inputs after the first, read: the target of a loss that is part of a sum. */
class Others {
  constructor(readonly list: readonly Tensor<unknown>[]) {}
}

function othersOf(loss: string, inputs: readonly string[], target: unknown): Others {
  if (target instanceof Others) return target
  const names = inputs.slice(1)
  if (names.length === 1) return new Others([tensorOf(loss, names[0], target)])
  if (names.length === 0) return new Others([])
  if (!Array.isArray(target) || target.length !== names.length) {
    throw wrongType(loss, 'target', `a list [${names.join(', ')}]`, target)
  }
  const given = itemsOf(target)
  return new Others(names.map((name, k) => tensorOf(loss, name, given[k])))
}
