/** Options that are none: what was probably meant. */

import { describe, isLiteral, isRecord, isTensor, itemsOf, tensorOf } from './check.js'

/** Which option is meant, if the loss has it (`''` where that does not matter), and how to say so. */
type Guess = readonly [option: string, words: string]

const meant = (option: string, words = option): Guess => [option, `did you mean ${words}?`]

/** Options of PyTorch, Keras, MONAI and others that have another name here, or none, without case and underscores. */
const foreign: Readonly<Record<string, readonly Guess[]>> = {
  aggregate: [meant('reduction')],
  applyclassbalancing: [meant('alpha')],
  axis: [meant('classAxis')],
  beta: [meant('delta')],
  channelaxis: [meant('classAxis')],
  channeldim: [meant('classAxis')],
  classes: [['shape', 'classes are read from shape: [N, C, …]']],
  classweight: [meant('weight')],
  classweights: [meant('weight')],
  delta: [meant('beta')],
  dim: [meant('classAxis')],
  eps: [meant('smoothDr'), meant('labelSmoothing')],
  epsilon: [meant('smoothDr'), meant('labelSmoothing')],
  fromlogits: [
    ['activation', "for logits give activation: 'sigmoid' or 'softmax'"],
    ['', 'for logits use bceWithLogits or crossEntropy'],
  ],
  gamma: [['', 'for focal losses use sigmoidFocal or softmaxFocal']],
  ignore: [meant('ignoreIndex')],
  ignoreclass: [meant('ignoreIndex')],
  ignorevalue: [meant('ignoreIndex')],
  jaccard: [['', 'use the loss jaccard']],
  lambdace: [meant('ceWeight'), ['', 'for a sum of losses use diceCe, or combine']],
  lambdadice: [meant('diceWeight'), ['', 'for a sum of losses use diceCe, diceFocal or bceDice, or combine']],
  lambdafocal: [meant('focalWeight'), ['', 'for a sum of losses use diceFocal, or combine']],
  mode: [meant('activation')],
  nclasses: [['shape', 'classes are read from shape: [N, C, …]']],
  numclasses: [['shape', 'classes are read from shape: [N, C, …]']],
  numitemsinbatch: [meant('normalizer')],
  otheract: [meant('activation')],
  padtokenid: [meant('ignoreIndex')],
  reduce: [['reduction', "did you mean reduction: 'none', for reduce: false?"]],
  sigmoid: [meant('activation', "activation: 'sigmoid'")],
  sizeaverage: [['reduction', "did you mean reduction: 'mean' or, for size_average: false, 'sum'?"]],
  smooth: [['smoothNr', 'did you mean smoothNr and smoothDr?']],
  smoothing: [
    meant('labelSmoothing'),
    ['smoothNr', 'did you mean smoothNr and smoothDr?'],
    ['', 'bce, bceWithLogits, bceDice, crossEntropy, softmaxFocal and diceCe have labelSmoothing'],
  ],
  softmax: [meant('activation', "activation: 'softmax'")],
  t: [meant('temperature')],
  tau: [meant('temperature')],
  temp: [meant('temperature')],
  labelsmoothing: [
    meant('labelSmoothing'),
    ['', 'bce, bceWithLogits, bceDice, crossEntropy, softmaxFocal and diceCe have labelSmoothing'],
  ],
  posweight: [meant('posWeight'), ['', 'for posWeight use bceWithLogits or bceDice']],
  softlabel: [['', 'it is not needed, since a target of probabilities is taken as it is']],
  logits: [
    ['activation', "for logits give activation: 'sigmoid' or 'softmax'"],
    ['', 'for logits use bceWithLogits or crossEntropy'],
  ],
  weights: [meant('weight')],
  sampleweights: [meant('sampleWeight')],
  wtype: [meant('weightType')],
  toonehoty: [['', 'it is not needed, since class indices are taken as they are']],
}

/** Options of a call or of a bound loss. */
export type Options = Readonly<Record<string, unknown>>

/** Where there is an option that a loss does not have, in words for a message. */
type Elsewhere = (option: string) => string | undefined

/** Options that are arrays to write to, or change from call to call for another reason. */
export interface Buffers {
  readonly gradOutput?: number | Float32Array
  readonly grad?: Float32Array
  readonly out?: Float32Array
  readonly targetGrad?: boolean | Float32Array
  /** Each gradient is added to what its buffer holds. */
  readonly accumulate?: boolean
}

/** The gradients that are asked for, by the names of their options. */
export type Grads = Readonly<Record<string, boolean | Float32Array | undefined>>

/** With those of a loss of several arrays. */
export interface NamedBuffers extends Buffers {
  readonly grads: Grads
}

/** The options of a call: those that each call checks, and the others, where there are any. */
export interface CallOptions extends NamedBuffers {
  readonly settings: Options | undefined
}

export const NO_GRADS: Grads = Object.freeze({})

/**
 * The options that are given, in an object of plain properties whose arrays and tensors are plain too. Options of a caller are read
 * here and in {@link readCall}, and nowhere else: a getter, a Proxy or a method among them may do anything, such as to detach an
 * array of the call. So each is read once, and all of them before any array is checked; nothing that runs later is the caller's.
 * Options that are undefined are left out: they count as not given.
 *
 * Refuses what is no object of known options, and says what was probably meant. `elsewhere` says where there is an option that this
 * loss does not have.
 */
export function readOptions(
  loss: string,
  given: unknown,
  options: ReadonlySet<string>,
  elsewhere?: Elsewhere,
): Options {
  const source = sourceOf(loss, given, options)
  const read: Record<string, unknown> = {}
  for (const option in source) {
    if (!options.has(option)) throw unknownOption(loss, option, options, elsewhere)
    const value = plainValue(loss, option, source[option])
    if (value !== undefined) read[option] = value
  }
  return read
}

/**
 * As {@link readOptions}, of a call; what it leaves to the bound options is taken from there. Settings that are the same as those of
 * the call before are the very object of then: a training step has the same ones each time. `gradNames` are the gradients of a loss of
 * several arrays.
 */
export function readCall(
  loss: string,
  given: unknown,
  options: ReadonlySet<string>,
  elsewhere: Elsewhere | undefined,
  bound: NamedBuffers,
  before: Compared | undefined,
  gradNames?: readonly string[],
): CallOptions {
  const source = sourceOf(loss, given, options)
  let { grads } = bound
  let { gradOutput, grad, out, targetGrad, accumulate }: { [Name in keyof Buffers]?: unknown } = bound
  let settings: Record<string, unknown> | undefined
  // How many settings are those of before, in their order.
  let same = 0
  for (const option in source) {
    // Every loss has a gradient, and nearly every call a buffer for it.
    if (option !== 'grad' && !options.has(option)) throw unknownOption(loss, option, options, elsewhere)
    const value = source[option]
    if (value === undefined) continue
    if (option === 'grad') grad = value
    else if (option === 'gradOutput') gradOutput = value
    else if (option === 'out') out = value
    else if (option === 'accumulate') accumulate = value
    else if (gradNames?.includes(option)) grads = { ...grads, [option]: value as boolean }
    else if (option === 'targetGrad') targetGrad = value
    else if (settings === undefined && before?.names[same] === option && before.values[same] === value) same++
    else {
      settings ??= firstOf(before, same)
      settings[option] = plainValue(loss, option, value)
    }
  }
  if (settings === undefined && same > 0) settings = same === before!.names.length ? before!.all : firstOf(before, same)
  return { gradOutput, grad, out, targetGrad, accumulate, grads, settings } as CallOptions
}

/** The settings of a call, to be compared with those of the next. */
export interface Compared {
  readonly all: Record<string, unknown>
  readonly names: readonly string[]
  /** Numbers, words and flags: the inside of anything else may have changed since. */
  readonly values: readonly unknown[]
}

/** What {@link readCall} compares with; undefined where some setting may change inside. */
export function toCompare(settings: Options): Compared | undefined {
  const values = Object.values(settings)
  if (values.some((value) => value !== null && typeof value === 'object')) return undefined
  return { all: settings, names: Object.keys(settings), values }
}

function firstOf(settings: Compared | undefined, count: number): Record<string, unknown> {
  const some: Record<string, unknown> = {}
  for (let i = 0; i < count; i++) some[settings!.names[i]] = settings!.values[i]
  return some
}

/** As {@link readOptions}, but that arrays and tensors are the caller's own. */
export function readProperties(loss: string, given: unknown, options: ReadonlySet<string>): Options {
  const source = sourceOf(loss, given, options)
  const read: Record<string, unknown> = {}
  for (const option in source) {
    if (!options.has(option)) throw unknownOption(loss, option, options)
    read[option] = source[option]
  }
  return read
}

/** An object whose enumerable properties are the options. */
function sourceOf(loss: string, given: unknown, options: ReadonlySet<string>): Options {
  if (typeof given === 'object' && given !== null) {
    if (isLiteral(given)) return given as Options
    if (isRecord(given)) return instanceOptions(given, options)
  }
  const way = optionOf(given, options)
  throw new TypeError(`${loss}: options must be a plain object, got ${describe(given)}${way}`)
}

function unknownOption(loss: string, option: string, options: ReadonlySet<string>, elsewhere?: Elsewhere): TypeError {
  const guess = elsewhere?.(option) ?? guessOf(option, options)
  const all = [...options].join(', ')
  return new TypeError(`${loss}: there is no option ${option}; there are ${all}${guess && `; ${guess}`}`)
}

/**
 * The options of an instance of a class, or of any other object that inherits: each is looked up by its name, since getters of a
 * class are not enumerable. Other fields and getters are kept, to be refused, unless their names begin with `_`.
 */
function instanceOptions(given: Options, options: ReadonlySet<string>): Record<string, unknown> {
  const read: Record<string, unknown> = {}
  for (const name of options) {
    const value = given[name]
    if (value !== undefined) read[name] = value
  }
  for (let owner: object | null = given; owner !== null && !isRoot(owner); owner = Object.getPrototypeOf(owner)) {
    for (const name of Object.getOwnPropertyNames(owner)) {
      if (options.has(name) || name.startsWith('_')) continue
      const property = Object.getOwnPropertyDescriptor(owner, name)
      if (property?.enumerable || property?.get) read[name] = undefined
    }
  }
  return read
}

/** Whether it is the prototype that all objects of a realm have. */
const isRoot = (owner: object) => Object.hasOwn(owner, 'hasOwnProperty') && Object.getPrototypeOf(owner) === null

/** An array, a tensor or a record of the caller's without any code of the caller's. */
function plainValue(loss: string, option: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  if (Array.isArray(value)) return itemsOf(value)
  if (isTensor(value) || 'data' in value) return tensorOf(loss, option, value)
  return isRecord(value) ? { ...value } : value
}

/** The option that a value is probably meant for, where it stands in the place of all. */
function optionOf(value: unknown, options: ReadonlySet<string>): string {
  if (typeof value === 'string' && options.has('reduction')) return `; a reduction is { reduction: '${value}' }`
  if (value instanceof Map) return '; convert it with Object.fromEntries'
  const isArray = Array.isArray(value) || ArrayBuffer.isView(value)
  return isArray && options.has('weight') ? '; weights are { weight }' : ''
}

function guessOf(option: string, options: ReadonlySet<string>): string {
  const name = plain(option)
  // MONAI's are weights of classes, and ours, of nearly the same name, the factor of a part.
  const part = option === 'ce_weight' ? 'ceWeight' : option === 'focal_weight' ? 'focalWeight' : undefined
  if (part !== undefined && options.has('weight')) {
    return `did you mean weight, of one per class${options.has(part) ? `, or ${part}, the factor of the part` : ''}?`
  }
  for (const known of options) if (plain(known) === name) return `did you mean ${known}?`
  const guess = Object.hasOwn(foreign, name) ? foreign[name] : []
  for (const [needed, words] of guess) if (needed === '' || options.has(needed)) return words
  const close = nearest(option, options)
  return close === undefined ? '' : `did you mean ${close}?`
}

/** `pos_weight` and `posWeight` are the same. */
const plain = (name: string) => name.replaceAll(/[_-]/g, '').toLowerCase()

/** The word that fewest edits make of this one, where they are few for its length. */
export function nearest(word: string, words: Iterable<string>): string | undefined {
  let best: string | undefined
  let least = Math.max(1, Math.floor(word.length * 0.4)) + 1
  for (const candidate of words) {
    const edits = distance(plain(word), plain(candidate))
    if (edits < least) [best, least] = [candidate, edits]
  }
  return best
}

/** Levenshtein's: how many letters have to be put in, left out or replaced. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + Number(a[i - 1] !== b[j - 1])))
    }
    row = next
  }
  return row[b.length]
}
