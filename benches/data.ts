/** What the parent and its children agree on: the losses, the data of a case, the call that is timed. */

import { type Definition, definitionOf } from '../ts/definitions.js'
import { drawingOf } from '../ts/draws.js'
import type { Argument, Kind, Timed } from '../ts/family/draw.js'
import type { CommonOptions, Loss, ValueAndGrad } from '../ts/family/loss.js'
import * as library from '../ts/index.js'

type AnyLoss = Loss<Float32Array, Float32Array | Int32Array, CommonOptions>

/** The size of a case. */
export interface Size {
  /** Elements of the input; for a softmax loss all its scores. */
  readonly elements: number
  /** Scores of a row; only a softmax loss has rows. */
  readonly classes?: number
}

/** A way of calling a loss that is timed. */
export interface Form {
  readonly loss: AnyLoss
  readonly definition: Definition
  /** What is drawn, and how it lies in memory. */
  readonly timed: Timed
  readonly options: Readonly<Record<string, unknown>>
}

/**
 * What is computed: value and gradient, or one of them; or both with the gradient written over the input, which is copied
 * before each call since the last one destroyed it.
 */
export const VERBS = ['fused', 'forward', 'backward', 'inPlace'] as const
export type Verb = (typeof VERBS)[number]

/** All by name: the public losses, found by their definitions, so that a new one appears by itself. */
export const allForms: ReadonlyMap<string, Form> = new Map(
  Object.values<unknown>(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    if (definition === undefined) return []
    return drawingOf(definition)
      .timed(definition)
      .map((timed): [string, Form] => {
        const { title, form, options } = timed
        const name = title === undefined ? definition.name : `${definition.name} ${title}`
        return [name, { loss: loss as AnyLoss, definition, timed, options: { ...form.options, ...options } }]
      })
  }),
)

/** Those of an input and a target, which are what most benches time. Expressions and losses of rows may have other inputs. */
export const forms: ReadonlyMap<string, Form> = new Map(
  [...allForms].filter(
    ([, form]) => inputsOf(form).length === 2 && inputsOf(form).every(({ columns }) => columns === 1),
  ),
)

/** Of sizes in elements: losses with classes have whole positions, as many as fit. `classes` replaces those of rows. */
export function sizesOf(loss: string, sizes: readonly number[], classes?: readonly number[]): readonly Size[] {
  const { layout, lengths } = forms.get(loss)!.timed
  const choices = layout === 'rows' ? (classes ?? lengths) : lengths
  if (choices === undefined) return sizes.map((elements) => ({ elements }))
  return choices.flatMap((classes) => {
    const rows = new Set(sizes.map((size) => Math.floor(size / classes)).filter((n) => n > 0))
    return [...rows].map((n) => ({ elements: n * classes, classes }))
  })
}

/** The inputs of a form, in the order of its arguments. A target is data: no gradient by it is timed. */
export function inputsOf({ timed }: Form): readonly Argument[] {
  return timed.form.inputs.map(({ gradName, ...input }) => {
    return gradName === undefined || input.name === 'target' ? input : { ...input, gradName }
  })
}

/** Whether the target is class indices. */
export function hasLabels(form: Form): boolean {
  return inputsOf(form).some(({ kind }) => kind === 'label')
}

/** Random data for each input of a form. */
export function argumentsOf(form: Form, { elements, classes = 1 }: Size): (Float32Array | Int32Array)[] {
  const uniform = generator(elements)
  const inputs = inputsOf(form)
  const rows = elements / inputs[0].columns
  return inputs.map(({ kind, extent, columns }) => {
    const length = (extent === 'position' ? rows / classes : rows) * columns
    const draw = drawOf(kind, uniform, classes)
    return kind === 'label' ? Int32Array.from({ length }, draw) : Float32Array.from({ length }, draw)
  })
}

/** Random data of a form of an input and a target, and room for its gradient. */
function arraysOf(form: Form, size: Size) {
  const [input, target] = argumentsOf(form, size)
  // Filled, since the first write to a page is the dearest.
  return { input: input as Float32Array, target, grad: new Float32Array(size.elements).fill(0) }
}

/** Integer types in which a target may come, and whether a mask of bytes comes with it. */
export interface Types {
  readonly target?: 'Uint8Array' | 'BigInt64Array'
  readonly mask?: true
}

/** The same numbers, rounded to integers. */
function integers(target: Float32Array | Int32Array, type: Types['target']) {
  if (type === undefined) return target
  const { length } = target
  if (type === 'Uint8Array') return Uint8Array.from({ length }, (_, i) => Math.round(target[i]))
  return BigInt64Array.from({ length }, (_, i) => BigInt(Math.round(target[i])))
}

/** A loss of random data, its gradient into the same buffer with every call. What the verb leaves out stays 0. */
export function prepare(name: string, size: Size, verb: Verb = 'fused', types: Types = {}): () => ValueAndGrad<'mean'> {
  const form = forms.get(name)!
  const { loss, options } = form
  const { elements, classes = 1 } = size
  const { input, target: drawn, grad } = arraysOf(form, size)
  const target = integers(drawn, types.target) as typeof drawn
  const positions = elements / classes
  const isPlanes = form.timed.layout === 'planes'
  const samples = isPlanes && positions % 4096 === 0 ? positions / 4096 : 1
  const shape = isPlanes ? [samples, classes, positions / samples] : [positions, classes]
  const shaped = classes === 1 && !hasLabels(form) ? {} : { shape }
  const masked = types.mask ? { mask: new Uint8Array(positions).fill(1) } : {}
  const bound = loss.with({ ...options, ...shaped, ...masked, grad })
  if (verb === 'inPlace') {
    return () => {
      grad.set(input)
      return bound.valueAndGrad(grad, target)
    }
  }
  if (verb === 'forward') return () => ({ value: bound(input, target), grad })
  if (verb === 'backward') return () => ({ value: 0, grad: bound.backward(input, target) })
  return () => bound.valueAndGrad(input, target)
}

/** Whether there is a call of the backend alone. */
export function hasKernel(name: string): boolean {
  return drawingOf(forms.get(name)!.definition).kernel !== undefined
}

/** What a backend does of a call, without the facade before it: its arguments are taken as they are. */
export function prepareKernel(name: string, size: Size): () => ValueAndGrad<'mean'> {
  const form = forms.get(name)!
  const { definition } = form
  const { input, target, grad } = arraysOf(form, size)
  const call = drawingOf(definition).kernel?.(definition, input, target as Float32Array, grad)
  if (call === undefined) throw new Error(`${name} has no call of the backend alone`)
  const { elements } = size
  return () => ({ value: call() / elements, grad })
}

/** What draws the numbers of an array, one after another, from a sequence of uniform ones. */
function drawOf(kind: Kind, uniform: () => number, classes: number): () => number {
  switch (kind) {
    case 'real':
      // Box and Muller; 1 − u since u may be 0.
      return () => 3 * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
    case 'positive':
      return () => 0.1 + 4 * uniform()
    case 'count':
      return () => Math.floor(8 * uniform())
    case 'probability':
      return uniform
    case 'logProbability':
      return () => Math.log(1 - uniform())
    case 'sign':
      return () => (uniform() < 0.5 ? -1 : 1)
    case 'box':
      return cornersOf(uniform)
    case 'label':
      return () => Math.floor(uniform() * classes)
    case 'share':
      return () => uniform() / classes
  }
}

/** Boxes of two corners, of which the second is above the first. */
function cornersOf(uniform: () => number): () => number {
  const low = [0, 0]
  let k = 0
  return () => {
    const axis = k % 2
    const isLow = k++ % 4 < 2
    if (!isLow) return low[axis] + 0.2 + 4 * uniform()
    low[axis] = 4 * uniform()
    return low[axis]
  }
}

/** Mulberry32: the same numbers in [0, 1) in parent and child. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let hash = Math.imul(state ^ (state >>> 15), state | 1)
    hash ^= hash + Math.imul(hash ^ (hash >>> 7), hash | 61)
    return ((hash ^ (hash >>> 14)) >>> 0) / 2 ** 32
  }
}

/** By what two backends are compared: the value, and the norm of the gradient. */
export function summary({ value, grad }: ValueAndGrad<'mean'>): readonly number[] {
  return [value, Math.sqrt(grad.reduce((sum, slope) => sum + slope * slope, 0))]
}
