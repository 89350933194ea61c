/** What the parent and its children agree on: the losses, the data of a case, the call that is timed. */

import { active } from '../ts/backend/load.js'
import { everything } from '../ts/call/marks.js'
import { pointwiseKind } from '../ts/call/pointwise.js'
import type { Draw } from '../ts/expression/define.js'
import { type CommonOptions, type Definition, definitionOf, type Loss, type ValueAndGrad } from '../ts/family/loss.js'
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

/** What is timed, by name: the public losses, found by their definitions, so that a new one appears by itself. */
export const forms: ReadonlyMap<string, Form> = new Map(
  Object.values<unknown>(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    return definition === undefined ? [] : formsOf(loss as AnyLoss, definition)
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
    // Others than those of an input and a target of the same length are not timed here.
    case 'expression':
      return definition.inputs.length === 2 && definition.inputs.every(({ columns }) => columns === 1)
        ? [[name, base]]
        : []
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

/** Random data of a form, and room for its gradient. */
function arraysOf({ definition, options, labels }: Form, { elements, classes = 1 }: Size) {
  const draw = draws(elements)
  const { real, probability: uniform } = draw

  let drawInput = real
  let drawTarget = uniform
  if (definition.family === 'pointwise') {
    drawInput = draw[definition.domain.input]
    drawTarget = draw[definition.domain.target]
  } else if (definition.family === 'expression') {
    const [ofInput, ofTarget] = definition.draws!
    drawInput = drawOf(ofInput, draw)
    drawTarget = drawOf(ofTarget, draw)
  } else if (definition.family === 'region' && options.activation === undefined) {
    drawInput = uniform
  } else if (definition.family === 'softmax') {
    drawTarget = definition.kind === 'teacher' ? real : () => uniform() / classes
  }
  const input = Float32Array.from({ length: elements }, drawInput)
  const target = labels
    ? Int32Array.from({ length: elements / classes }, () => Math.floor(uniform() * classes))
    : Float32Array.from({ length: elements }, drawTarget)
  // Filled, since the first write to a page is the dearest.
  return { input, target, grad: new Float32Array(elements).fill(0) }
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

/** Ways to draw an element, from one sequence of random numbers. */
export function draws(seed: number) {
  const uniform = generator(seed)
  // Box and Muller; 1 − u since u may be 0.
  const real = () => 3 * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform())
  return { real, probability: uniform, logProbability: () => Math.log(1 - uniform()) }
}

/** A number of a kind that an expression says of an input. */
function drawOf(kind: Draw, { real, probability, logProbability }: ReturnType<typeof draws>): () => number {
  switch (kind) {
    case 'positive':
      return () => 0.1 + 4 * probability()
    case 'count':
      return () => Math.floor(8 * probability())
    case 'sign':
      return () => (probability() < 0.5 ? -1 : 1)
    case 'logProbability':
      return logProbability
    case 'real':
      return real
    default:
      return probability
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
