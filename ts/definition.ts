/** What losses with kernels of their own are made of. */

/** What becomes of the values of a call. */
export type Reduction = 'mean' | 'sum' | 'none'

/** Of losses that may also divide by the number of samples. */
export type BatchReduction = Reduction | 'batchmean'

/** What the numbers of an array are. */
export type Values = 'real' | 'probability' | 'logProbability'

/** A scalar parameter of the kernel. */
export type Param = NumberParam | FlagParam

/** A parameter that is given as a word: the number that each stands for, that of the default first. */
export interface WordParam {
  readonly words: Readonly<Record<string, number>>
}

export interface NumberParam {
  readonly default: number
  /** What it must be, in words and as a test. */
  readonly expected: string
  holds(value: number): boolean
  /** Whether it may be ∞, too. */
  readonly infinite?: true
  /** What the kernel gets for `null`, where the option may be that. */
  readonly none?: number
  /** Values that tests try; `none` stands for `null`. */
  readonly samples: readonly number[]
}

/** An option that is true or false, and 1 or 0 for the kernel. */
export interface FlagParam {
  readonly default: 0 | 1
  /** What targets are where it is true, if it is that what it says. */
  readonly target?: Values
}

/** What a pointwise loss is made of. */
export interface PointwiseDefinition {
  readonly family: 'pointwise'
  readonly name: string
  /** Scalar parameters by option name, in the order of the registry row; at most two. */
  readonly params: Readonly<Record<string, Param>>
  /** Option that is a number, or one per class. */
  readonly aux?: { readonly name: string; readonly default: number; readonly samples: readonly number[] }
  /** All reductions, where there are more than the usual three. */
  readonly reductions?: readonly BatchReduction[]
  /** What inputs and targets are: tests and benches draw from it. */
  readonly domain: {
    readonly input: Values
    readonly target: Values
    /** The least and the largest that both may be, where others are refused. */
    readonly range?: Range
  }
  /** The loss of one element in double precision: tests take it for the truth. */
  formula(x: number, t: number, aux: number, p0: number, p1: number): number
  /**
   * Value and derivatives of `count` elements from `start` into the front of `value`, `dx` and, where given, `dt`.
   * `aux` has the extra parameter of each.
   */
  kernel(
    x: Float32Array,
    t: Float32Array,
    aux: Float32Array,
    start: number,
    count: number,
    p0: number,
    p1: number,
    value: Float32Array | Float64Array,
    dx: Float32Array | Float64Array,
    dt: Float32Array | Float64Array | undefined,
  ): void
  /**
   * Where the kernel rounds every step to single precision: value and derivative by the input of one element in double, in the
   * kernel's order. The derivative by the target is the negative of that.
   */
  inDouble?(x: number, t: number, p0: number): readonly [value: number, dx: number]
}

/** Where numbers are. */
export type Range = readonly [low: number, high: number]

/** What a softmax loss is made of. */
export interface SoftmaxDefinition {
  readonly family: 'softmax'
  readonly name: string
  /**
   * `scores`: the target is a class or a distribution. `logProbabilities`: the input is ln p already, the target a class.
   * `teacher`: the target is the scores of another softmax, and the loss the divergence of the two.
   */
  readonly kind: 'scores' | 'logProbabilities' | 'teacher'
  /** Scalar parameters by option name, in the order of the registry row; at most one. */
  readonly params: Readonly<Record<string, Param>>
  /** Set where the option `alpha` weights classes without entering the denominator. */
  readonly alpha?: true
  /** All reductions, where there are more than the usual three, the default first. */
  readonly reductions?: readonly BatchReduction[]
  /** The loss as a function of ln p_y, in double precision. */
  value(logP: number, p0: number): number
  /** −d(loss)/d(ln p_y). */
  slope(logP: number, p0: number): number
}

/** What a loss of two or three rows is made of. */
export interface EmbeddingDefinition {
  readonly family: 'embedding'
  readonly name: string
  /** Names of the arguments that are rows. */
  readonly rows: readonly [string, string] | readonly [string, string, string]
  /** Set where each row has a label of two classes, the argument `target`: the two rows belong together, or do not. */
  readonly signs?: true
  /** Scalar parameters by option name, in the order of the registry row; at most six. */
  readonly params: Readonly<Record<string, Param | WordParam>>
  /** What rows are compared by, with such parameters. */
  measure(params: readonly number[]): Measure
  /** How many pairs are compared: the first row with the second, the first with the third, the second with the third. */
  pairs(params: readonly number[]): number
  /** The loss of what comes of the comparisons, 0 of one that is not made. `positive` is the label, where there is one. */
  formula(xy: number, xz: number, yz: number, positive: boolean, params: readonly number[]): RowValue
}

/**
 * What two rows are compared by. The cosine of the angle between them: their squared norms are taken for larger by `added`, and that of a
 * row with a norm of at most `least` is 0, and does not change. Or a norm of their difference, to each of whose numbers `eps` is added:
 * that of the power p, or the square of it.
 */
export type Measure =
  | { readonly kind: 'cosine'; readonly least: number; readonly added: number }
  | { readonly kind: 'norm'; readonly p: number; readonly eps: number }
  | { readonly kind: 'square'; readonly p: 2; readonly eps: number }

/** The value of a row, and its derivatives by what came of the comparisons. */
export interface RowValue {
  readonly value: number
  readonly xy: number
  readonly xz: number
  readonly yz: number
}
