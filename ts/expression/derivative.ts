/**
 * Derivatives in reverse mode. An adjoint carries the conditions under which it counts and is multiplied without them; the choice
 * between it and 0 comes last. So the slope of a branch that is not taken may be infinite or NaN, and nothing of it gets through.
 */

import {
  abs,
  add,
  and,
  type Condition,
  constant,
  div,
  eq,
  exp,
  isNotNegative,
  LEAST,
  le,
  log,
  lt,
  max,
  mul,
  mulsign,
  type Node,
  neg,
  not,
  type Operand,
  or,
  sigmoid,
  square,
  type Value,
  where,
} from './node.js'

/** A condition, and whether it must hold or must not. */
type Literal = readonly [condition: Condition, holds: boolean]

/** A slope, and all the conditions under which it counts. */
interface Adjoint {
  readonly guard: readonly Literal[]
  readonly slope: Value
}

const isSame = ([c, holds]: Literal, [d, also]: Literal): boolean => c === d && holds === also
const has = (guard: readonly Literal[], literal: Literal): boolean => guard.some((other) => isSame(other, literal))
const opposite = ([c, holds]: Literal): Literal => [c, !holds]
const without = (guard: readonly Literal[], other: readonly Literal[]): readonly Literal[] =>
  guard.filter((literal) => !has(other, literal))

function literalOf(c: Condition, holds: boolean): Literal {
  return c.kind === 'not' ? literalOf(c.conditions[0], !holds) : [c, holds]
}

/** All of a guard as one condition. */
const allOf = (guard: readonly Literal[]): Condition => guard.map(([c, holds]) => (holds ? c : not(c))).reduce(and)

/** The slope where its guard holds, elsewhere 0. */
function guarded(guard: readonly Literal[], slope: Value): Value {
  return guard.reduceRight<Value>((inner, [c, holds]) => (holds ? where(c, inner, 0) : where(c, 0, inner)), slope)
}

/** The sum of all adjoints of a node. */
function merged(adjoints: readonly Adjoint[]): Adjoint {
  const list = [...adjoints]
  while (mergeOnePair(list)) {}
  return list.reduce(united)
}

/** Merges the first two that {@link paired} can, in place of the first. */
function mergeOnePair(list: Adjoint[]): boolean {
  for (let i = 0; i < list.length; i++) {
    for (let j = i + 1; j < list.length; j++) {
      const pair = paired(list[i], list[j])
      if (pair === undefined) continue
      list.splice(j, 1)
      list[i] = pair
      return true
    }
  }
  return false
}

/** Two adjoints with the same guard, or with guards that differ in one condition, which holds for one and not for the other. */
function paired(a: Adjoint, b: Adjoint): Adjoint | undefined {
  const [onlyA, onlyB] = [without(a.guard, b.guard), without(b.guard, a.guard)]
  if (onlyA.length === 0 && onlyB.length === 0) return { guard: a.guard, slope: add(a.slope, b.slope) }
  if (onlyA.length !== 1 || onlyB.length !== 1 || !isSame(onlyA[0], opposite(onlyB[0]))) return undefined
  return { guard: without(a.guard, onlyA), slope: chosen(onlyA[0], a.slope, b.slope) }
}

const chosen = ([c, holds]: Literal, a: Value, b: Value): Value => (holds ? where(c, a, b) : where(c, b, a))

/** Two adjoints with any guards. */
function united(a: Adjoint, b: Adjoint): Adjoint {
  const common = a.guard.filter((literal) => has(b.guard, literal))
  const [onlyA, onlyB] = [without(a.guard, common), without(b.guard, common)]
  // Where neither counts the sum is 0, and must not meet what is infinite there.
  const either = (x: readonly Literal[], y: readonly Literal[]): readonly Literal[] =>
    x.length > 0 && y.length > 0 ? [...common, literalOf(or(allOf(x), allOf(y)), true)] : common
  // With c of one and ¬c ∧ d of the other, one choice is enough, and c ∨ (¬c ∧ d) is c ∨ d.
  const absorbed = (x: Adjoint, y: Adjoint, alone: readonly Literal[], other: readonly Literal[]) => {
    if (alone.length !== 1 || !has(other, opposite(alone[0]))) return undefined
    return { guard: either(alone, without(other, [opposite(alone[0])])), slope: chosen(alone[0], x.slope, y.slope) }
  }
  const absorption = absorbed(a, b, onlyA, onlyB) ?? absorbed(b, a, onlyB, onlyA)
  if (absorption !== undefined) return absorption
  const exclusive = onlyA.some((literal) => has(onlyB, opposite(literal)))
  if (a.slope === b.slope && exclusive) return { guard: either(onlyA, onlyB), slope: a.slope }
  return { guard: either(onlyA, onlyB), slope: add(guarded(onlyA, a.slope), guarded(onlyB, b.slope)) }
}

/** Arguments through which a derivative goes. */
function differentiable(node: Node): readonly Value[] {
  if (node.kind === 'detach' || node.kind === 'sign') return []
  return node.kind === 'custom' ? node.args.filter((_, i) => i % 2 === 1) : node.args
}

/** The nodes that depend on `leaves`, of which the value has a derivative, each after its arguments; the others are false. */
function dependenceOf(value: Value, leaves: readonly Value[]): Map<Value, boolean> {
  const depends = new Map<Value, boolean>()
  const visit = (node: Value): boolean => {
    const before = depends.get(node)
    if (before !== undefined) return before
    let isDependent = leaves.includes(node)
    for (const arg of differentiable(node)) isDependent = visit(arg) || isDependent
    depends.set(node, isDependent)
    return isDependent
  }
  visit(value)
  return depends
}

/** Whether the value has a derivative by a leaf. */
export function dependsOn(value: Value, leaf: Value): boolean {
  return dependenceOf(value, [leaf]).get(value) === true
}

/** d(value)/d(leaf) for each leaf. */
export function gradientsOf(value: Value, leaves: readonly Value[]): Value[] {
  const depends = dependenceOf(value, leaves)
  const isActive = (node: Value): boolean => depends.get(node) === true
  const adjoints = new Map<Value, Adjoint[]>([[value, [{ guard: [], slope: constant(1) }]]])
  const gradients = new Map<Value, Value>()
  for (const node of [...depends.keys()].reverse()) {
    const incoming = adjoints.get(node)
    if (incoming === undefined || !isActive(node)) continue
    const { guard, slope } = merged(incoming)
    if (leaves.includes(node)) {
      gradients.set(node, guarded(guard, slope))
      continue
    }
    for (const [to, contribution, ...conditions] of contributionsOf(node, slope, isActive)) {
      if (!isActive(to) || (contribution.kind === 'const' && contribution.value === 0)) continue
      const added = without(conditions, guard)
      // What must hold and must not never counts.
      if (added.some((literal) => has(guard, opposite(literal)))) continue
      const list = adjoints.get(to) ?? []
      list.push({ guard: [...guard, ...added], slope: contribution })
      adjoints.set(to, list)
    }
  }
  return leaves.map((leaf) => gradients.get(leaf) ?? constant(0))
}

const BOUNDED: ReadonlySet<string> = new Set(
  'input param const add sub neg abs sign min max clamp softplus sigmoid tanh atan detach'.split(' '),
)

/** Whether no slope within is infinite, whatever the inputs are. */
function isBounded(node: Value): boolean {
  let known = bounded.get(node)
  if (known === undefined) {
    known = node.uniform || (BOUNDED.has(node.kind) && node.args.every(isBounded))
    bounded.set(node, known)
  }
  return known
}

const bounded = new WeakMap<Value, boolean>()

/** What an argument gets of the slope of a node, and under which conditions. */
type Contribution = readonly [to: Value, slope: Value, ...guard: Literal[]]

/** What all arguments get of a slope. */
function contributionsOf(node: Value, slope: Value, isActive: (arg: Value) => boolean): readonly Contribution[] {
  const [a, b, c] = node.args
  const times = (factor: Operand) => mul(slope, factor)
  const guardOf = (isNeeded: boolean, condition: () => Literal): Literal[] => (isNeeded ? [condition()] : [])
  switch (node.kind) {
    case 'add':
      return [
        [a, slope],
        [b, slope],
      ]
    case 'sub':
      return [
        [a, slope],
        [b, neg(slope)],
      ]
    case 'mul':
      if (a === b) return [[a, times(mul(2, a))]]
      return [
        [a, times(b)],
        [b, times(a)],
      ]
    case 'mul0': {
      // The slope by a factor of 0 is the other one, but where that is infinite 0 · ∞ is 0 and stays 0.
      const isLeft = () => literalOf(or(not(eq(a, 0)), lt(abs(b), Infinity)), true)
      return [
        [a, times(b), ...guardOf(!isSurelyFinite(b), isLeft)],
        [b, times(a), ...guardOf(!isBounded(b), () => literalOf(eq(a, 0), false))],
      ]
    }
    case 'div': {
      // One factor for all rows merges with others.
      const byQuotient = b.uniform ? mul(div(1, b), slope) : div(slope, b)
      // By the quotient, since b² may leave the range.
      return [
        [a, byQuotient],
        [b, neg(mul(byQuotient, node))],
      ]
    }
    case 'neg':
      return [[a, neg(slope)]]
    case 'abs':
      return [[a, mulsign(slope, a)]]
    case 'mulsign':
      return [[a, mulsign(slope, b)]]
    case 'sqrt':
      // The slope at 0 is infinite, and 0 is taken for it.
      return [[a, div(times(0.5), node), ...guardOf(!isPositive(a), () => literalOf(lt(0, node), true))]]
    case 'exp':
      return [[a, times(node)]]
    case 'expm1':
      // Not by expm1(a) + 1, which cancels where a is far below 0.
      return [[a, times(exp(a))]]
    case 'log':
      return [[a, div(slope, a)]]
    case 'log1p':
      return [[a, div(slope, add(1, a))]]
    case 'softplus':
      return [[a, times(sigmoid(a))]]
    case 'sigmoid':
      // Not by 1 − sigmoid(a), which cancels.
      return [[a, times(mul(node, sigmoid(neg(a))))]]
    case 'tanh': {
      // Not by 1 − tanh², which cancels.
      const twice = mul(2, a)
      return [[a, times(mul(4, mul(sigmoid(twice), sigmoid(neg(twice)))))]]
    }
    case 'atan':
      return [[a, div(slope, add(1, square(a)))]]
    case 'pow': {
      // y·x^y/x and x^y·ln x, both finite at 0 for y > 0.
      const base = max(a, LEAST)
      const byBase: Contribution = [a, times(div(mul(b, node), base))]
      return isActive(b) ? [byBase, [b, times(mul(node, log(base)))]] : [byBase]
    }
    case 'min':
    case 'max': {
      const [low, high] = node.kind === 'min' ? [a, b] : [b, a]
      if (isActive(a) && isActive(b)) {
        // All goes to the first at a tie. A slope of 0 there would stop PPO, whose arms are equal inside of the clip.
        const isFirst = literalOf(le(low, high), true)
        return [
          [a, slope, isFirst],
          [b, slope, opposite(isFirst)],
        ]
      }
      return [
        [a, slope, literalOf(lt(low, high), true)],
        [b, slope, literalOf(lt(high, low), true)],
      ]
    }
    case 'clamp': {
      const [isAboveLow, isBelowHigh] = [literalOf(lt(b, a), true), literalOf(lt(a, c), true)]
      return [
        [a, slope, isAboveLow, isBelowHigh],
        [b, slope, opposite(isAboveLow)],
        [c, slope, isAboveLow, opposite(isBelowHigh)],
      ]
    }
    case 'where': {
      const isTaken = literalOf(node.conditions[0], true)
      return [
        [a, slope, isTaken],
        [b, slope, opposite(isTaken)],
      ]
    }
    case 'custom':
      return node.args.flatMap((arg, i): Contribution[] => (i % 2 === 1 ? [[arg, times(node.args[i + 1])]] : []))
    default:
      throw new Error(`there is no derivative of ${node.kind}`)
  }
}

const FINITE: ReadonlySet<string> = new Set(['sigmoid', 'tanh', 'atan', 'sign', 'const', 'param'])

/** Whether a value is surely finite, but for NaN. */
const isSurelyFinite = (node: Value): boolean =>
  FINITE.has(node.kind) && (node.kind !== 'const' || Math.abs(node.value) < Infinity)

/** Whether a value is surely more than 0, but for NaN. */
function isPositive(node: Value): boolean {
  if (node.kind === 'const') return node.value > 0
  const [a, b] = node.args
  return node.kind === 'add' && isNotNegative(a) && isNotNegative(b) && (isPositive(a) || isPositive(b))
}
