/** Which positions of a call count, and their classes: the TypeScript side of `crate/core/src/layout/positions.rs`. */

/** Class indices. */
export type LabelArray =
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Int8Array
  | Int16Array
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array

/** Numbers of any type that kernels read. */
export type NumberArray = Float32Array | LabelArray

/** The digit by which the crate knows the type of an array: `Type` in `crate/core/src/call.rs`. */
export const kindNumbers: Readonly<Record<string, number>> = {
  Float32Array: 1,
  Int32Array: 2,
  Uint8Array: 3,
  Uint8ClampedArray: 3,
  Int8Array: 4,
  Int16Array: 5,
  Uint16Array: 6,
  Uint32Array: 7,
  BigInt64Array: 8,
  BigUint64Array: 8,
  Float64Array: 9,
}

/** Which positions count, and their classes. */
export interface Marks {
  /** Class of each position. Where the target is no class it only says what is ignored. */
  readonly labels: NumberArray | undefined
  /** Positions with one of these labels count for nothing. */
  readonly ignored: readonly number[]
  /** Positions that are 0 here count for nothing either. */
  readonly mask: NumberArray | undefined
  /** How many neighbouring positions share a value of the mask. */
  readonly maskInner: number
}

/** Every position counts. */
export const everything: Marks = { labels: undefined, ignored: [], mask: undefined, maskInner: 1 }

/** In place of the class of a position that counts for nothing. No label is this number. */
export const NOTHING = -(2 ** 31)

/** What is no 32-bit integer, and so no class. */
const NO_CLASS = 2 ** 31 - 1

/** Writes the classes of `count` positions from `first` into `into`: {@link NOTHING} where one counts for nothing, and 0 without labels. */
export function classesOf(marks: Marks, first: number, count: number, into: Int32Array, at = 0): void {
  const { labels, ignored, mask, maskInner } = marks
  if (labels === undefined) into.fill(0, at, at + count)
  else {
    for (let i = 0; i < count; i++) into[at + i] = classOf(Number(labels[first + i]), ignored)
  }
  if (mask === undefined) return
  for (let i = 0; i < count; i++) {
    if (Number(mask[maskInner === 1 ? first + i : Math.floor((first + i) / maskInner)]) === 0) into[at + i] = NOTHING
  }
}

function classOf(label: number, ignored: readonly number[]): number {
  if (ignored.includes(label)) return NOTHING
  return label === (label | 0) ? Math.max(label, NOTHING + 1) : NO_CLASS
}
