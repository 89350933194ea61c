/** What the parent and its children agree on: the losses, the data of a case, the call that is timed. */

import { active } from '../ts/backend/load.js'
import { everything } from '../ts/call/marks.js'
import { pointwiseKind } from '../ts/call/pointwise.js'
import { type Definition, definitionOf } from '../ts/definitions.js'
import type { Draw } from '../ts/expression/inputs.js'
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
  readonly options: Readonly<Record<string, unknown>>
  /** Whether the target is class indices. */
  readonly labels: boolean
  /** Numbers of classes to try, where there are classes. */
  readonly classes?: readonly number[]
  /** Set where a sample is one plane for each class, and not a row. */
  readonly planes?: true
}

/**
 * What is computed: value and gradient, or one of them; or both with the gradient written over the input, which is copied
 * before each call since the last one destroyed it.
 */
export const VERBS = ['fused', 'forward', 'backward', 'inPlace'] as const
export type Verb = (typeof VERBS)[number]

const ROWS = [10, 1000]
const PLANES = [21]
/** Numbers of an embedding. */
const EMBEDDINGS = [32, 768]

/** All by name: the public losses, found by their definitions, so that a new one appears by itself. */
export const allForms: ReadonlyMap<string, Form> = new Map(
  Object.values<unknown>(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    return definition === undefined ? [] : formsOf(loss as AnyLoss, definition)
  }),
)

/** Those of an input and a target, which are what most benches time. Expressions and losses of rows may have other inputs. */
export const forms: ReadonlyMap<string, Form> = new Map(
  [...allForms].filter(([, { definition }]) => {
    if (definition.family === 'embedding') return definition.rows.length === 2
    if (definition.family !== 'expression') return true
    return definition.inputs.length === 2 && definition.inputs.every(({ columns }) => columns === 1)
  }),
)

function formsOf(loss: AnyLoss, definition: Definition): [string, Form][] {
  const { name } = definition
  const base = { loss, definition, options: {}, labels: false }
  switch (definition.family) {
    case 'pointwise': {
      const steep = 'gamma' in definition.params
      const general: [string, Form][] = steep ? [[`${name} gamma 1.5`, { ...base, options: { gamma: 1.5 } }]] : []
      return [[name, base], ...general]
    }
    case 'expression':
      return [[name, base]]
    case 'embedding':
      return definition.signs ? [] : [[name, { ...base, classes: EMBEDDINGS }]]
    case 'softmax': {
      const labels = definition.kind !== 'teacher'
      const rows: [string, Form] = [name, { ...base, labels, classes: ROWS }]
      const planes: [string, Form] = [`${name} axis 1`, { ...base, labels, classes: PLANES, planes: true }]
      if (definition.kind !== 'scores') return [rows]
      return [rows, planes, [`${name} distribution`, { ...base, classes: ROWS }]]
    }
    case 'region': {
      const logits = { ...base, options: { activation: 'sigmoid' } }
      const softmax = {
        ...base,
        options: { activation: 'softmax' },
        labels: true,
        classes: PLANES,
        planes: true,
      } as const
      return [
        [name, base],
        [`${name} sigmoid`, logits],
        [`${name} softmax`, softmax],
      ]
    }
    case 'compound': {
      const [activation] = Object.keys(definition.parts)
      return [[name, activation === 'sigmoid' ? base : { ...base, labels: true, classes: PLANES, planes: true }]]
    }
    default:
      return []
  }
}

/** Of sizes in elements: losses with classes have whole positions, as many as fit. `classes` replaces those of rows. */
export function sizesOf(loss: string, sizes: readonly number[], classes?: readonly number[]): readonly Size[] {
  const form = forms.get(loss)!
  const choices = form.planes ? form.classes : form.classes && (classes ?? form.classes)
  if (choices === undefined) return sizes.map((elements) => ({ elements }))
  return choices.flatMap((classes) => {
    const rows = new Set(sizes.map((size) => Math.floor(size / classes)).filter((n) => n > 0))
    return [...rows].map((n) => ({ elements: n * classes, classes }))
  })
}

/** What an array holds: numbers of a kind, class indices, or shares of a row. */
type Kind = Draw | 'label' | 'share'

/** An input of a form. */
export interface Input {
  readonly name: string
  readonly kind: Kind
  /** Numbers of a row, where an expression takes several, such as those of a box. */
  readonly columns: number
  /** The option and the result by which there is a gradient by it. A target is data, and has none here. */
  readonly gradName?: string
}

/** The inputs of a form, in the order of its arguments. */
export function inputsOf(form: Form): readonly Input[] {
  const kinds = kindsOf(form)
  const { definition } = form
  if (definition.family === 'embedding') {
    const gradOf = (name: string, k: number) => (k === 0 ? 'grad' : `${name}Grad`)
    return definition.rows.map((name, k) => {
      const input = { name, kind: kinds[k], columns: 1 }
      return name === 'target' ? input : { ...input, gradName: gradOf(name, k) }
    })
  }
  if (definition.family !== 'expression') {
    return [
      { name: 'input', kind: kinds[0], columns: 1, gradName: 'grad' },
      { name: 'target', kind: kinds[1], columns: 1 },
    ]
  }
  return definition.inputs.map(({ name, columns, grad, gradName }, k) => {
    const input = { name, kind: kinds[k], columns }
    return grad && name !== 'target' ? { ...input, gradName } : input
  })
}

function kindsOf({ definition, options, labels }: Form): readonly Kind[] {
  switch (definition.family) {
    case 'pointwise':
      return [definition.domain.input, definition.domain.target]
    case 'expression':
      return definition.draws!
    case 'embedding':
      return definition.rows.map(() => 'real')
    case 'region':
      return [options.activation === undefined ? 'probability' : 'real', labels ? 'label' : 'probability']
    case 'softmax': {
      const input = definition.kind === 'logProbabilities' ? 'logProbability' : 'real'
      if (labels) return [input, 'label']
      return [input, definition.kind === 'teacher' ? 'real' : 'share']
    }
    default:
      return ['real', labels ? 'label' : 'probability']
  }
}

/** Random data for each input of a form. */
export function argumentsOf(form: Form, { elements, classes = 1 }: Size): (Float32Array | Int32Array)[] {
  const uniform = generator(elements)
  const inputs = inputsOf(form)
  const rows = elements / inputs[0].columns
  return inputs.map(({ kind, columns }) => {
    const draw = drawOf(kind, uniform, classes)
    if (kind === 'label') return Int32Array.from({ length: elements / classes }, draw)
    return Float32Array.from({ length: rows * columns }, draw)
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
  const { loss, definition, options, labels, planes } = form
  const { elements, classes = 1 } = size
  const { input, target: drawn, grad } = arraysOf(form, size)
  const target = integers(drawn, types.target) as typeof drawn
  const positions = elements / classes
  const samples = planes && positions % 4096 === 0 ? positions / 4096 : 1
  const shape = planes ? [samples, classes, positions / samples] : [positions, classes]
  const shaped = definition.family === 'pointwise' || (classes === 1 && !labels) ? {} : { shape }
  const masked = types.mask
    ? { mask: new Uint8Array(definition.family === 'pointwise' ? elements : positions).fill(1) }
    : {}
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

/** What a backend does of a call of a pointwise loss, without the facade before it: its arguments are taken as they are. */
export function prepareKernel(name: string, size: Size): () => ValueAndGrad<'mean'> {
  const form = forms.get(name)!
  const { definition } = form
  const { input, target, grad } = arraysOf(form, size)
  if (definition.family !== 'pointwise' || !(target instanceof Float32Array)) {
    throw new Error(`${name} is no pointwise loss`)
  }
  const { elements } = size
  const [p0 = 0, p1 = 0] = Object.values(definition.params).map((param) => param.default)
  const aux = definition.aux?.default ?? 0
  const kernels = active
  return () => {
    const call = { x: input, t: target, dx: grad, scale: 1 / elements, p0, p1, aux, extra: undefined }
    const sum = kernels.run({ kind: pointwiseKind, loss: name, definition, marks: everything, ...call })
    return { value: sum / elements, grad }
  }
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
