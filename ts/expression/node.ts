/**
 * Expressions: nodes of a graph in which equal nodes are one node, and what is known is folded as it is built.
 *
 * A graph lives as long as one definition is traced or compiled. The builders put nodes into the graph in use, which {@link inGraph}
 * opens; a node of another graph is refused. The rules of simplification decide the last bits of every loss that is written as an
 * expression, so they stay as they are within a major version (`__test__/expression/programs.test.ts` holds them).
 */

import { describe } from '../check.js'

/** What a node computes. Of `custom` the arguments are the value, then each argument of the derivative and its slope. */
export type Kind =
  | 'const'
  | 'param'
  | 'scale'
  | 'input'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'neg'
  | 'abs'
  | 'sign'
  | 'mulsign'
  | 'sqrt'
  | 'min'
  | 'max'
  | 'clamp'
  | 'mul0'
  | 'exp'
  | 'expm1'
  | 'log'
  | 'log1p'
  | 'softplus'
  | 'sigmoid'
  | 'tanh'
  | 'pow'
  | 'atan'
  | 'where'
  | 'detach'
  | 'custom'
  | 'lt'
  | 'le'
  | 'eq'
  | 'and'
  | 'or'
  | 'not'

/** Whether a node is a number or a condition, which only `where`, `and`, `or` and `not` take. */
export type Type = 'number' | 'condition'

const HINT =
  'an expression has no value before the loss is called; write add, sub, mul, div, neg for + - * / and lt, le, eq, where for < <= === ?:'

/** A node of a graph. */
export class Node<T extends Type = Type> {
  constructor(
    readonly graph: Graph,
    readonly id: number,
    readonly type: T,
    readonly kind: Kind,
    readonly args: readonly Value[],
    readonly conditions: readonly Condition[],
    /** Of a constant its value, of a parameter or an input its number. */
    readonly value: number,
    /** Of a column of an input its number; −1 where the input has one number per row. */
    readonly column: number,
    /** Whether it is the same for all rows, so that a call computes it once. */
    readonly uniform: boolean,
    /** How many nodes, one within the other, there are at most; 1 where it has no arguments. */
    readonly depth: number,
  ) {}

  /** `a * b` or `a < b` written as JavaScript ends up here. */
  valueOf(): never {
    throw new TypeError(said(HINT))
  }

  [Symbol.toPrimitive](): never {
    throw new TypeError(said(HINT))
  }
}

/** A number per row. */
export type Value = Node<'number'>
/** True or false per row. */
export type Condition = Node<'condition'>
/** What builders take for a number. */
export type Operand = Value | number

/** All nodes of one definition, by what they compute. */
export type Graph = Map<string, Node>

let graph: Graph | undefined
let loss = ''
let most = Number.POSITIVE_INFINITY
// Whether uniform factors stay apart, since the product of some has left single precision.
let isApart = false

/** What a definition may have: the walks over a graph recurse, and the time that a program takes grows faster than its length. */
const MOST_DEEP = 500
const MOST_NODES = 5000

/** Runs a function whose builders fill a graph of their own; `name` is that of the loss, for errors; `apart` keeps uniform factors apart. */
export function inGraph<R>(name: string, work: () => R, apart = false): R {
  return inOwnGraph(name, work, Number.POSITIVE_INFINITY, apart)
}

/** The same for the function of a definition: a graph that is too large is refused before anything walks over it. */
export function inDefinition<R>(name: string, work: () => R): R {
  return inOwnGraph(name, work, MOST_NODES, false)
}

function inOwnGraph<R>(name: string, work: () => R, mostNodes: number, apart: boolean): R {
  const before = { graph, loss, most, isApart }
  graph = new Map()
  loss = name
  most = mostNodes
  isApart = apart
  try {
    return work()
  } finally {
    graph = before.graph
    loss = before.loss
    most = before.most
    isApart = before.isApart
  }
}

/** A message that names the loss, where one is being defined. */
const said = (message: string): string => (loss === '' ? message : `${loss}: ${message}`)

const { fround } = Math
const CONDITIONS: ReadonlySet<Kind> = new Set<Kind>(['lt', 'le', 'eq', 'and', 'or', 'not'])

function make(
  kind: Kind,
  args: readonly Value[],
  conditions: readonly Condition[] = [],
  value = 0,
  column = -1,
): Node<never> {
  const nodes = inUse(kind)
  const operands = [...args, ...conditions]
  const ids = operands.map((node) => node.id)
  const key = `${kind} ${ids} ${Object.is(value, -0) ? '-0' : value} ${column}`
  let node = nodes.get(key)
  if (node === undefined) {
    const uniform = kind !== 'input' && args.every((a) => a.uniform) && conditions.every((c) => c.uniform)
    const type = CONDITIONS.has(kind) ? 'condition' : 'number'
    const depth = operands.reduce((deepest, operand) => Math.max(deepest, operand.depth), 0) + 1
    if (nodes.size >= most || (depth > MOST_DEEP && most < Number.POSITIVE_INFINITY)) throw tooLarge()
    node = new Node(nodes, nodes.size, type, kind, args, conditions, value, column, uniform, depth)
    nodes.set(key, node)
  }
  return node as Node<never>
}

const tooLarge = () =>
  new RangeError(
    said(
      `the loss is too large: there may be ${MOST_DEEP} operations one within the other, and ${MOST_NODES} of them; make it of several losses`,
    ),
  )

/** Whether a node is one of the graph in use. */
export const isOwn = (node: Node): boolean => node.graph === graph

/** The graph in use. */
function inUse(name: string): Graph {
  if (graph !== undefined) return graph
  throw new TypeError(`${name}: expressions are built within the function loss of defineLoss`)
}

function sameGraph(name: string, node: Node): void {
  if (node.graph !== graph) {
    throw new TypeError(
      said(`${name}: a node of another definition cannot be used; build it within this function loss`),
    )
  }
}

/** What came as an argument of a builder, as a node. */
function value(name: string, given: Operand): Value {
  inUse(name)
  if (typeof given === 'number') {
    if (Number.isNaN(given)) throw new RangeError(said(`${name}: a constant must not be NaN`))
    if (Number.isFinite(given) && !Number.isFinite(fround(given))) {
      throw new RangeError(said(`${name}: a constant must be a 32-bit float, which reaches to 3.4e38, got ${given}`))
    }
    if (given !== 0 && fround(given) === 0) {
      throw new RangeError(said(`${name}: a constant must be a 32-bit float, which is 0 below 1.4e-45, got ${given}`))
    }
    return constant(given)
  }
  if (!((given as unknown) instanceof Node)) {
    const hint = Array.isArray(given) ? '; of rows it is one column, as box[0] is' : ''
    throw new TypeError(said(`${name}: an argument must be an expression or a number, got ${describe(given)}${hint}`))
  }
  if ((given.type as Type) === 'condition') {
    throw new TypeError(
      said(`${name}: an argument must be a number, got a condition; where(condition, 1, 0) makes one of it`),
    )
  }
  sameGraph(name, given)
  return given
}

function condition(name: string, given: Condition): Condition {
  if (!((given as unknown) instanceof Node) || (given.type as Type) !== 'condition') {
    const what = (given as unknown) instanceof Node ? 'a number' : describe(given)
    throw new TypeError(said(`${name}: the condition must come from lt, le, gt, ge, eq, and, or or not, got ${what}`))
  }
  sameGraph(name, given)
  return given
}

export const constant = (number: number): Value => make('const', [], [], fround(number))
export const param = (index: number): Value => make('param', [], [], index)
/** The factor of the gradients: upstream gradient over the denominator. */
export const scale = (): Value => make('scale', [])
export const inputNode = (index: number, column = -1): Value => make('input', [], [], index, column)

const is = (node: Value, number: number): boolean => node.kind === 'const' && node.value === number
const areConstant = (a: Value, b: Value): boolean => a.kind === 'const' && b.kind === 'const'
const ordered = <N extends Node>(a: N, b: N): [N, N] => (a.id <= b.id ? [a, b] : [b, a])

/** The smallest normal number. */
const NORMAL = 2 ** -126

/** Whether single precision holds a product or quotient of these: it is a normal number, or 0 or infinite by one of them. */
export function isHeld(result: number, a: number, b: number): boolean {
  const size = Math.abs(fround(result))
  if (size >= NORMAL && size < Infinity) return true
  return !(Math.abs(a) < Infinity && Math.abs(b) < Infinity && a !== 0 && b !== 0)
}

/** −x */
export function neg(x: Operand): Value {
  const a = value('neg', x)
  if (a.kind === 'const') return constant(-a.value)
  if (a.kind === 'neg') return a.args[0]
  if (a.kind === 'sub') return sub(a.args[1], a.args[0])
  if (a.kind === 'mul' && a.args[0].uniform && !a.uniform) return mul(neg(a.args[0]), a.args[1])
  return make('neg', [a])
}

/** x + y */
export function add(x: Operand, y: Operand): Value {
  const [a, b] = [value('add', x), value('add', y)]
  if (areConstant(a, b)) return constant(a.value + b.value)
  if (is(a, 0)) return b
  if (is(b, 0)) return a
  if (a === b) return mul(2, a)
  if (b.kind === 'neg') return sub(a, b.args[0])
  if (a.kind === 'neg') return sub(b, a.args[0])
  return factored(a, b, add) ?? make('add', ordered(a, b))
}

/** x − y */
export function sub(x: Operand, y: Operand): Value {
  const [a, b] = [value('sub', x), value('sub', y)]
  if (areConstant(a, b)) return constant(a.value - b.value)
  if (is(b, 0)) return a
  if (is(a, 0)) return neg(b)
  if (b.kind === 'neg') return add(a, b.args[0])
  if (a.kind === 'neg') return neg(add(a.args[0], b))
  return factored(a, b, sub) ?? make('sub', [a, b])
}

/** How many factors of a product are looked at: squares of squares have more than there is time for. */
const MOST_GATHERED = 64

const counts = new WeakMap<Value, number>()

/** How many factors a product has, each as often as it occurs. */
function countOf(node: Value): number {
  if (node.kind !== 'mul') return 1
  let count = counts.get(node)
  if (count === undefined) {
    count = countOf(node.args[0]) + countOf(node.args[1])
    counts.set(node, count)
  }
  return count
}

/** Factors of a product, each as often as it occurs; a product of too many is one factor. */
const factors = (node: Value): Value[] =>
  node.kind === 'mul' && countOf(node) <= MOST_GATHERED ? node.args.flatMap(factors) : [node]

/** p·a ± p·b as p·(a ± b), where the two have a factor in common that is not uniform. */
function factored(a: Value, b: Value, combine: (a: Operand, b: Operand) => Value): Value | undefined {
  if (a.kind !== 'mul' && b.kind !== 'mul') return undefined
  const [left, right] = [factors(a), factors(b)]
  const common: Value[] = []
  for (const factor of [...left]) {
    const at = right.indexOf(factor)
    if (at < 0 || factor.uniform) continue
    right.splice(at, 1)
    left.splice(left.indexOf(factor), 1)
    common.push(factor)
  }
  if (common.length === 0) return undefined
  return mul(product(common), combine(product(left), product(right)))
}

const product = (list: readonly Value[]): Value => list.reduce<Value>(mul, constant(1))

/**
 * x · y. Uniform factors go to the front and are gathered there, signs too, so that they merge with the factor of the gradients. A
 * factor of 0 makes 0 of all the others; where they may be infinite at run time it is `mul0` that does so.
 */
export function mul(x: Operand, y: Operand): Value {
  let [a, b] = [value('mul', x), value('mul', y)]
  if (areConstant(a, b) && isHeld(a.value * b.value, a.value, b.value)) return constant(a.value * b.value)
  if (b.uniform && !a.uniform) [a, b] = [b, a]
  else if (a.uniform === b.uniform) [a, b] = ordered(a, b)
  if (is(a, 1) || is(b, 0)) return b
  if (is(b, 1) || is(a, 0)) return a
  if (is(a, -1)) return neg(b)
  if (is(b, -1)) return neg(a)
  if (a.kind === 'neg' && b.kind === 'neg') return mul(a.args[0], b.args[0])
  if (a.uniform && b.uniform) {
    if (a.kind === 'neg') return neg(mul(a.args[0], b))
    return b.kind === 'neg' ? neg(mul(a, b.args[0])) : make('mul', [a, b])
  }
  if (a.uniform) {
    if (b.kind === 'neg') return mul(neg(a), b.args[0])
    if (isApart) return timesEach(a, b)
    if (b.kind === 'mul' && b.args[0].uniform) return mul(mul(a, b.args[0]), b.args[1])
    return make('mul', [a, b])
  }
  if (a.kind === 'neg') return neg(mul(a.args[0], b))
  if (b.kind === 'neg') return neg(mul(a, b.args[0]))
  // Squares stay as they are, since (u·x)² has one factor less than u²·x².
  if (a !== b) {
    if (a.kind === 'mul' && a.args[0].uniform) return mul(a.args[0], mul(a.args[1], b))
    if (b.kind === 'mul' && b.args[0].uniform) return mul(b.args[0], mul(a, b.args[1]))
  }
  return make('mul', [a, b])
}

/** The product with a uniform, factor by factor. */
function timesEach(a: Value, b: Value): Value {
  const [first, second] = a.args
  if (a.kind === 'mul') return mul(first, mul(second, b))
  if (a.kind === 'div') return div(mul(first, b), second)
  if (a.kind === 'neg' && (first.kind === 'mul' || first.kind === 'div')) return neg(timesEach(first, b))
  return make('mul', [a, b])
}

/** Whether 1/x is as exact as x: of powers of two, while it is a normal number. */
const isInvertible = ({ kind, value }: Value): boolean => {
  const size = Math.abs(value)
  return kind === 'const' && size >= NORMAL && size <= 1 / NORMAL && Number.isInteger(Math.log2(size))
}

/**
 * x / y. Only a divisor that is a power of two becomes a factor, since any other would round twice; of a product with a uniform factor
 * it is that which is divided.
 */
export function div(x: Operand, y: Operand): Value {
  const [a, b] = [value('div', x), value('div', y)]
  if (areConstant(a, b) && b.value !== 0 && isHeld(a.value / b.value, a.value, b.value))
    return constant(a.value / b.value)
  if (is(b, 1) || is(a, 0)) return a
  if (b.uniform && !a.uniform) {
    if (isInvertible(b)) return mul(constant(1 / b.value), a)
    if (a.kind === 'neg') return neg(div(a.args[0], b))
    if (isApart) return byEach(a, b)
    return a.kind === 'mul' && a.args[0].uniform ? mul(div(a.args[0], b), a.args[1]) : make('div', [a, b])
  }
  if (a.kind === 'neg') return neg(div(a.args[0], b))
  if (a.kind === 'mul' && a.args[0].uniform && !a.uniform) return mul(a.args[0], div(a.args[1], b))
  return make('div', [a, b])
}

/** The quotient by a uniform, factor by factor. */
function byEach(a: Value, b: Value): Value {
  const [first, second] = b.args
  if (b.kind === 'mul') return div(div(a, first), second)
  return b.kind === 'div' ? div(mul(second, a), first) : make('div', [a, b])
}

/** x² */
export function square(x: Operand): Value {
  const a = value('square', x)
  return mul(a, a)
}

/** |x|; its slope at 0 is 0. */
export function abs(x: Operand): Value {
  const a = value('abs', x)
  if (a.kind === 'neg') return abs(a.args[0])
  return a.kind === 'const' ? constant(Math.abs(a.value)) : make('abs', [a])
}

/** −1, 1, or x itself where that is 0 or NaN; its slope is 0. */
export const sign = (x: Operand): Value => make('sign', [value('sign', x)])

/** x·sign(y) for the slope of |y|: y itself where that is 0 or NaN. */
export function mulsign(x: Operand, y: Operand): Value {
  const [a, b] = [value('mulsign', x), value('mulsign', y)]
  if (a.kind === 'neg') return neg(mulsign(a.args[0], b))
  return is(a, 1) ? sign(b) : make('mulsign', [a, b])
}

/** √x; its slope at 0 is 0, so that √(x² + y²) has a gradient at the origin. */
export const sqrt = (x: Operand): Value => make('sqrt', [value('sqrt', x)])
/** e^x */
export const exp = (x: Operand): Value => make('exp', [value('exp', x)])
/** e^x − 1, to all digits near 0. */
export const expm1 = (x: Operand): Value => make('expm1', [value('expm1', x)])
/** ln x */
export const log = (x: Operand): Value => make('log', [value('log', x)])
/** ln(1 + x), to all digits near 0. */
export const log1p = (x: Operand): Value => make('log1p', [value('log1p', x)])
/** ln(1 + e^x), which neither overflows nor cancels. */
export const softplus = (x: Operand): Value => make('softplus', [value('softplus', x)])
/** 1/(1 + e^−x). For 1 − sigmoid(x), which cancels, write sigmoid(neg(x)). */
export const sigmoid = (x: Operand): Value => make('sigmoid', [value('sigmoid', x)])
/** ln sigmoid(x), to all digits on both sides. */
export const logSigmoid = (x: Operand): Value => neg(softplus(neg(value('logSigmoid', x))))
/** The hyperbolic tangent. */
export const tanh = (x: Operand): Value => make('tanh', [value('tanh', x)])
/** The arc tangent. */
export const atan = (x: Operand): Value => make('atan', [value('atan', x)])

/** The larger power that is made of products. */
const MOST_FACTORS = 8

/** The smallest normal number. */
export const LEAST = 2 ** -126

/**
 * x^y. Where y is a whole number that is the same for all rows, a constant or what is computed of parameters, any x has its power, and 1
 * to 8 are products. With any other y a negative x, which rounding may leave in the place of 0, counts as 0 and has the slope 0. NaN
 * stays NaN.
 */
export function pow(x: Operand, y: Operand): Value {
  const [a, b] = [value('pow', x), value('pow', y)]
  if (b.kind === 'const') {
    if (b.value === 0) return constant(1)
    if (b.value === 0.5) return root(a)
    if (Number.isInteger(b.value)) {
      return b.value > 0 && b.value <= MOST_FACTORS ? power(a, b.value) : wholePower(a, b, b.value % 2 !== 0)
    }
  }
  return make('pow', [a, b])
}

/** √x as a power: a negative x counts as 0, as it does with the exponents beside ½. */
function root(a: Value): Value {
  if (isNotNegative(a)) return sqrt(a)
  const node = sqrt(max(a, 0))
  return custom(node, [a, where(lt(0, node), div(0.5, node), 0)])
}

/** x^n of a whole number n of which it is known whether it is odd: the power of |x|, with its sign where n is odd. */
function wholePower(a: Value, n: Value, isOdd: boolean): Value {
  if (isNotNegative(a)) return make('pow', [a, n])
  const size = abs(a)
  const node: Value = make('pow', [size, n])
  const slope = mul(n, div(node, max(size, LEAST)))
  const signed = (of: Value) => where(lt(a, 0), neg(of), of)
  return isOdd ? custom(signed(node), [a, slope]) : custom(node, [a, signed(slope)])
}

const notNegative = new WeakMap<Node, boolean>()

/** Whether a value is surely not negative, but for NaN. */
export function isNotNegative(node: Value): boolean {
  let known = notNegative.get(node)
  if (known === undefined) {
    known = lookedUp(node)
    notNegative.set(node, known)
  }
  return known
}

function lookedUp({ kind, args, value }: Value): boolean {
  const [a, b] = args
  switch (kind) {
    case 'const':
      return value >= 0
    case 'mul':
      return a === b || (isNotNegative(a) && isNotNegative(b))
    case 'add':
      return isNotNegative(a) && isNotNegative(b)
    case 'max':
      return isNotNegative(a) || isNotNegative(b)
    case 'clamp':
      return isNotNegative(b)
    default:
      return kind === 'abs' || kind === 'exp' || kind === 'sqrt' || kind === 'sigmoid'
  }
}

function power(a: Value, n: number): Value {
  if (n === 1) return a
  return n % 2 === 1 ? mul(a, power(a, n - 1)) : square(power(a, n / 2))
}

/** A uniform argument comes second, whatever the order that was written. */
const varyingFirst = (a: Value, b: Value): [Value, Value] => (a.uniform && !b.uniform ? [b, a] : [a, b])

/** The smaller one, or NaN where either is NaN. The slope goes to the first at a tie if both can move, otherwise it is 0 there. */
export function min(x: Operand, y: Operand): Value {
  const [a, b] = varyingFirst(value('min', x), value('min', y))
  if (areConstant(a, b)) return constant(Math.min(a.value, b.value))
  return a === b ? a : make('min', [a, b])
}

/** The larger one, or NaN where either is NaN. The slope goes to the first at a tie if both can move, otherwise it is 0 there. */
export function max(x: Operand, y: Operand): Value {
  const [a, b] = varyingFirst(value('max', x), value('max', y))
  if (areConstant(a, b)) return constant(Math.max(a.value, b.value))
  return a === b ? a : make('max', [a, b])
}

/** x held within low and high; its slope is 0 outside and at both ends. */
export const clamp = (x: Operand, low: Operand, high: Operand): Value =>
  make('clamp', [value('clamp', x), value('clamp', low), value('clamp', high)])

/** x · y, where 0 · ∞ is 0: an outcome of no weight costs nothing. */
export function mul0(x: Operand, y: Operand): Value {
  const [a, b] = [value('mul0', x), value('mul0', y)]
  if (a.kind === 'const' || (b.kind === 'const' && Math.abs(b.value) < Infinity)) return mul(a, b)
  return make('mul0', [a, b])
}

/** x · ln y, and 0 where x is 0. */
export const xlogy = (x: Operand, y: Operand): Value => mul0(value('xlogy', x), log(value('xlogy', y)))

const truth = (holds: boolean): Condition => {
  // Of constants, so that there is a condition which is known.
  return make('eq', [constant(0), constant(holds ? 0 : 1)])
}

/** Whether a condition is known, and what it is. */
export function known(c: Condition): boolean | undefined {
  if (c.kind === 'not') {
    const inner = known(c.conditions[0])
    return inner === undefined ? undefined : !inner
  }
  const [a, b] = c.args
  if (c.args.length < 2 || !areConstant(a, b)) return undefined
  if (c.kind === 'lt') return a.value < b.value
  return c.kind === 'le' ? a.value <= b.value : a.value === b.value
}

/** x < y */
export function lt(x: Operand, y: Operand): Condition {
  const [a, b] = [value('lt', x), value('lt', y)]
  return areConstant(a, b) ? truth(a.value < b.value) : make('lt', [a, b])
}

/** x ≤ y */
export function le(x: Operand, y: Operand): Condition {
  const [a, b] = [value('le', x), value('le', y)]
  return areConstant(a, b) ? truth(a.value <= b.value) : make('le', [a, b])
}

/** x > y */
export function gt(x: Operand, y: Operand): Condition {
  const [a, b] = [value('gt', x), value('gt', y)]
  return lt(b, a)
}

/** x ≥ y */
export function ge(x: Operand, y: Operand): Condition {
  const [a, b] = [value('ge', x), value('ge', y)]
  return le(b, a)
}

/** x = y */
export function eq(x: Operand, y: Operand): Condition {
  const [a, b] = ordered(value('eq', x), value('eq', y))
  return areConstant(a, b) ? truth(a.value === b.value) : make('eq', [a, b])
}

/** Whether the condition does not hold. */
export function not(c: Condition): Condition {
  condition('not', c)
  const holds = known(c)
  if (holds !== undefined) return truth(!holds)
  return c.kind === 'not' ? c.conditions[0] : make('not', [], [c])
}

/** Whether both hold. */
export function and(c: Condition, d: Condition): Condition {
  const [a, b] = [condition('and', c), condition('and', d)]
  if (a === b || known(b) === true) return a
  if (known(a) !== undefined) return known(a) ? b : a
  return known(b) === false ? b : make('and', [], ordered(a, b))
}

/** Whether one of them holds, or both. */
export function or(c: Condition, d: Condition): Condition {
  const [a, b] = [condition('or', c), condition('or', d)]
  if (a === b || known(b) === false) return a
  if (known(a) !== undefined) return known(a) ? a : b
  return known(b) === true ? b : make('or', [], ordered(a, b))
}

/** Whether a factor is surely finite: parameters and the scale are checked, what is computed of them may be infinite. */
function isSurelyFinite(node: Value): boolean {
  if (node.kind === 'const') return Number.isFinite(node.value)
  return node.kind === 'param' || node.kind === 'scale' || (node.kind === 'neg' && isSurelyFinite(node.args[0]))
}

/** x where the condition holds, otherwise y. Neither value nor gradient of the other one is looked at, whatever it is. */
export function where(c: Condition, x: Operand, y: Operand): Value {
  condition('where', c)
  const [a, b] = [value('where', x), value('where', y)]
  if (a === b) return a
  const holds = known(c)
  if (holds !== undefined) return holds ? a : b
  if (c.kind === 'not') return where(c.conditions[0], b, a)
  // Where one arm is 0, the sign or a uniform factor of the other goes to what follows.
  if (is(b, 0)) return outOfArm(a, (arm) => where(c, arm, b)) ?? make('where', [a, b], [c])
  if (is(a, 0)) return outOfArm(b, (arm) => where(c, a, arm)) ?? make('where', [a, b], [c])
  return make('where', [a, b], [c])
}

function outOfArm(arm: Value, put: (arm: Value) => Value): Value | undefined {
  if (arm.uniform) return undefined
  if (arm.kind === 'neg') return neg(put(arm.args[0]))
  return arm.kind === 'mul' && isSurelyFinite(arm.args[0]) ? mul(arm.args[0], put(arm.args[1])) : undefined
}

/** x, which counts as a constant for the derivative. */
export const detach = (x: Operand): Value => make('detach', [value('detach', x)])

/** A value whose derivative is not derived: each pair is an expression within it and the slope by that. */
export function custom(result: Operand, ...slopes: readonly (readonly [Value, Operand])[]): Value {
  const pairs = slopes.flatMap((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2) {
      throw new TypeError(said('custom: after the value there must be pairs [expression, slope]'))
    }
    return [value('custom', pair[0]), value('custom', pair[1])]
  })
  return make('custom', [value('custom', result), ...pairs])
}

/**
 * An expression of another graph, built anew in the one in use; parameters that `constants` has by their numbers are these, and of the
 * powers in `isOdd` the exponent is a whole number, odd or even. So the function of a definition runs once, and no code of its author in
 * a call.
 */
export function rebuilt(
  root: Value,
  constants: ReadonlyMap<number, number>,
  isOdd: ReadonlyMap<Node, boolean> = new Map(),
): Value {
  const done = new Map<Node, Node>()
  const visit = <T extends Type>(node: Node<T>): Node<T> => {
    let made = done.get(node)
    if (made === undefined) {
      const [args, odd] = [node.args.map(visit), isOdd.get(node)]
      made =
        odd !== undefined && args[1].kind !== 'const'
          ? wholePower(args[0], args[1], odd)
          : rebuild(node, args, node.conditions.map(visit), constants)
      done.set(node, made)
    }
    return made as Node<T>
  }
  return visit(root)
}

const UNARY = { neg, abs, sign, sqrt, exp, expm1, log, log1p, softplus, sigmoid, tanh, atan, detach } as const
const BINARY = { add, sub, mul, div, mulsign, min, max, mul0, pow, lt, le, eq } as const

function rebuild(
  { kind, value, column }: Node,
  args: readonly Value[],
  conditions: readonly Condition[],
  constants: ReadonlyMap<number, number>,
): Node {
  if (kind in UNARY) return UNARY[kind as keyof typeof UNARY](args[0])
  if (kind in BINARY) return BINARY[kind as keyof typeof BINARY](args[0], args[1])
  switch (kind) {
    case 'const':
      return constant(value)
    case 'param': {
      const known = constants.get(value)
      return known === undefined ? param(value) : constant(known)
    }
    case 'input':
      return inputNode(value, column)
    case 'clamp':
      return clamp(args[0], args[1], args[2])
    case 'where':
      return where(conditions[0], args[0], args[1])
    case 'and':
      return and(conditions[0], conditions[1])
    case 'or':
      return or(conditions[0], conditions[1])
    case 'not':
      return not(conditions[0])
    case 'custom':
      return make('custom', args)
    default:
      throw new Error(`${kind} is not of a definition`)
  }
}
