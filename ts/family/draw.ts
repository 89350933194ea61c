/**
 * What tests, benches and docs know of the losses of a family, so that none of them names one: the ways of calling a loss, what its
 * arguments hold, how long each array is, and what its options may be. Nothing that a user loads imports this.
 */

import type { Range } from '../definition.js'
import type { Draw } from '../expression/inputs.js'

/** What the numbers of an argument are. A label is a class index, and the shares of all classes of a position add up to 1. */
export type Kind = Draw | 'label' | 'share'

/**
 * What an array has one number for. An element is one of the product of the shape, a position what a loss takes together: all classes
 * there, or a whole row; without such an axis it is an element.
 */
export type Extent = 'element' | 'position' | 'class' | 'plane' | 'sample'

/** An argument before the options. */
export interface Argument {
  readonly name: string
  readonly kind: Kind
  readonly extent: 'element' | 'position'
  /** How many numbers it has for each, such as the four of a box. */
  readonly columns: number
  /** The option and the result by which there is a gradient by it. */
  readonly gradName?: string
  /** Set where numbers that are 0 and 1 may come in an array of integers. */
  readonly bits?: true
}

/** A way of calling a loss, which differs from others in what its arguments are. */
export interface Form {
  /** In the order of the call. */
  readonly inputs: readonly Argument[]
  /** The options without which it is another form. */
  readonly options: Readonly<Record<string, unknown>>
  /** The axis of a position: the scores of all classes, or the numbers of a row, which are the last axis. */
  readonly axis?: 'class' | 'row'
  /** How many classes there may be, where there is an axis of classes. */
  readonly classes?: Range
  /** What has a value of its own; undefined where no reduction gives an array. */
  readonly values: Extent | undefined
  /** Options that are arrays, or may be, by what they have a number for. Those of every loss are not among them. */
  readonly arrays: Readonly<Record<string, Extent>>
  /** Other options, each with values that go with any arguments of the form. */
  readonly choices: Readonly<Record<string, readonly unknown[]>>
  /** Names of the losses that it is a sum of, where there are several. */
  readonly parts?: readonly string[]
}

/** What benches time. */
export interface Timed {
  /** What follows the name of the loss. */
  readonly title?: string
  readonly form: Form
  /** Beside those of the form. */
  readonly options?: Readonly<Record<string, unknown>>
  /** Whether a position is a row of neighbours, or of each class there is a plane; undefined where the shape does not matter. */
  readonly layout?: 'rows' | 'planes'
  /** How long the axis of a position is. */
  readonly lengths?: readonly number[]
}

/** What is known of the losses of a family with definitions of the type `D`. */
export interface Drawing<D> {
  /** The group of a loss in the README. */
  group(definition: D): string
  /** All ways of calling a loss, the simplest first. */
  forms(definition: D): readonly Form[]
  timed(definition: D): readonly Timed[]
  /** How large numbers other than 0 may be, so that all gradients are finite; without it they may be infinite, though not NaN. */
  bounds?(definition: D): Range
  /** The call of a backend that gives the sum of all values and writes the gradient by `x`, without any check. */
  kernel?(definition: D, x: Float32Array, t: Float32Array, dx: Float32Array): () => number
}

/** Gradients by such numbers are within single precision. */
export const MODERATE: Range = [0, 1e30]

/** An argument with one number for each element. */
export function ofElements(name: string, kind: Kind, more: Partial<Argument> = {}): Argument {
  return { name, kind, extent: 'element', columns: 1, ...more }
}

/** An argument with one number for each position. */
export function ofPositions(name: string, kind: Kind, more: Partial<Argument> = {}): Argument {
  return { ...ofElements(name, kind, more), extent: 'position' }
}

/** How many numbers an array has in a call of this shape, whose second axis is that of classes, if there is one. */
export function lengthOf({ axis }: Form, extent: Extent, shape: readonly number[]): number {
  const product = (lengths: readonly number[]) => lengths.reduce((product, length) => product * length, 1)
  switch (extent) {
    case 'element':
      return product(shape)
    case 'position':
      return product(positionsOf(axis, shape))
    case 'class':
      return shape[1]
    case 'plane':
      return product(shape.slice(0, 2))
    case 'sample':
      return shape[0]
  }
}

/** The shape of what has one number for each position. */
export function positionsOf(axis: Form['axis'], shape: readonly number[]): readonly number[] {
  if (axis === undefined) return shape
  return axis === 'row' ? shape.slice(0, -1) : shape.toSpliced(1, 1)
}

/** The values that tests try for parameters, by name; of those that are given as words all. */
export function samplesOf(
  params: Readonly<Record<string, { readonly samples: readonly number[]; readonly none?: number } | object>>,
): Record<string, readonly unknown[]> {
  const all = Object.entries(params).map(([name, param]) => {
    if ('words' in param) return [name, Object.keys(param.words as object)]
    if (!('samples' in param)) return [name, [false]]
    const { samples, none } = param as { samples: readonly number[]; none?: number }
    return [name, samples.map((value) => (value === none ? null : value))]
  })
  return Object.fromEntries(all)
}
