/** From nodes to items: what one instruction computes, and what it reads. Equal items are one item. */

import { type Condition, constant, mul, type Node, neg, type Value } from './node.js'
import { LOGISTIC, type LogisticName, type Mnemonic } from './operations.js'

/** Something that is computed, or a leaf: a uniform, or an input. */
export interface Item {
  operation: Mnemonic
  args: Item[]
  /** Of leaves: the node, whose value is there already. */
  readonly leaf: Value | undefined
  /** Which result of its only argument, a logistic operation, it is. */
  readonly result: number | undefined
  /** The output that it is written to. */
  output: number | undefined
  /** The column of that output, where it has several that are written one by one. */
  column: number | undefined
}

/** Whether an item has an instruction of its own. */
export const isComputed = (item: Item): boolean => item.leaf === undefined && item.result === undefined

/** From this many selections on, a condition of several parts is computed once and for all of them. */
const MANY = 3

/** A condition of more comparisons than this is computed, too: what selects by it would be selected by each of them. */
const MOST_PARTS = 16

const parts = new WeakMap<Condition, number>()

/** Of how many comparisons a condition is made, each as often as it occurs. */
function partsOf(c: Condition): number {
  let count = parts.get(c)
  if (count === undefined) {
    count = c.conditions.reduce((sum, inner) => sum + partsOf(inner), c.args.length > 0 ? 1 : 0)
    parts.set(c, count)
  }
  return count
}

/** Lowers nodes; all of one program by the same lowering. */
export class Lowering {
  readonly #items = new Map<string, Item>()
  readonly #ids = new Map<Item, number>()
  readonly #lowered = new Map<Node, Item>()
  readonly #selections: ReadonlyMap<Condition, number>

  constructor(roots: readonly Value[]) {
    this.#selections = selectionsOf(roots)
  }

  /** The item of a value. */
  lower(node: Node): Item {
    let item = this.#lowered.get(node)
    if (item === undefined) {
      item = node.uniform || node.kind === 'input' ? this.#leaf(node as Value) : this.#computed(node)
      this.#lowered.set(node, item)
    }
    return item
  }

  /** An item of an operation. */
  item(operation: Mnemonic, ...args: Item[]): Item {
    return this.#unique(`${operation} ${this.#key(args)}`, () => newItem(operation, args))
  }

  #key(args: readonly Item[]): string {
    return args.map((arg) => this.#ids.get(arg)).join()
  }

  #unique(key: string, create: () => Item): Item {
    let item = this.#items.get(key)
    if (item === undefined) {
      item = create()
      this.#ids.set(item, this.#ids.size)
      this.#items.set(key, item)
    }
    return item
  }

  #leaf(leaf: Value): Item {
    return this.#unique(`leaf ${leaf.id}`, () => newItem('mov', [], { leaf }))
  }

  #computed(node: Node): Item {
    const [a, b] = node.args
    switch (node.kind) {
      case 'softplus':
        return this.#softplus(a)
      case 'sigmoid': {
        const [x, isNegative] = unsigned(a)
        return this.#result(this.lower(x), isNegative ? 1 : 0)
      }
      case 'tanh': {
        // (1 − e^−2|x|)/(1 + e^−2|x|) with the sign of x: nothing of it cancels.
        const twice = this.lower(mul(2, a))
        const tail = this.item('tail', twice)
        const size = this.item('mul', this.item('omtail', twice, tail), this.item('rcp1p', tail))
        return this.item('mulsign', size, this.lower(a))
      }
      case 'clamp':
        return this.item('max', this.item('min', this.lower(a), this.lower(node.args[2])), this.lower(b))
      case 'where':
        return this.#chosen(node.conditions[0], this.lower(a), this.lower(b))
      case 'and':
        return this.item('mul', ...node.conditions.map((c) => this.lower(c)))
      case 'or':
        return this.item('max', ...node.conditions.map((c) => this.lower(c)))
      case 'not':
        return this.item('sub', this.lower(constant(1)), this.lower(node.conditions[0]))
      case 'detach':
      case 'custom':
        return this.lower(a)
      default:
        return this.item(node.kind as Mnemonic, ...node.args.map((arg) => this.lower(arg)))
    }
  }

  #softplus(a: Value): Item {
    const [x, isNegative] = unsigned(a)
    if (isNegative && x.kind === 'mul' && x.args[0].kind === 'const' && x.args[1].kind === 'abs') {
      // ln(1 + e^−c·|z|) with c > 0 is all that is left of it.
      return this.item('log1pu', this.item('tail', this.lower(mul(x.args[0], x.args[1].args[0]))))
    }
    if (isNegative && x.kind === 'abs') return this.item('log1pu', this.item('tail', this.lower(x.args[0])))
    return this.#result(this.lower(x), isNegative ? 3 : 2)
  }

  /** One of the four numbers of a logit, which are computed together. */
  #result(x: Item, result: number): Item {
    const all = this.item('logistic', x)
    return this.#unique(`result ${result} ${this.#key([all])}`, () => newItem('mov', [all], { result }))
  }

  #chosen(c: Condition, a: Item, b: Item): Item {
    const [x, y] = c.args
    const compared = () => [this.lower(x), this.lower(y), a, b]
    if (c.uniform || (c.args.length === 0 && (this.#selections.get(c)! >= MANY || partsOf(c) > MOST_PARTS))) {
      return c.kind === 'not' ? this.#chosen(c.conditions[0], b, a) : this.item('sel', this.lower(c), a, b)
    }
    const [first, second] = c.conditions
    switch (c.kind) {
      case 'lt':
        return this.item('sellt', ...compared())
      case 'le':
        return this.item('selle', ...compared())
      case 'eq':
        return this.item('seleq', ...compared())
      case 'not':
        return this.#chosen(first, b, a)
      case 'and':
        return this.#chosen(first, this.#chosen(second, a, b), b)
      default:
        return this.#chosen(first, a, this.#chosen(second, a, b))
    }
  }

  /** Of several quotients with one divisor, one division: the others are products with its result. */
  shareDivisions(roots: readonly Item[]): void {
    const all = reachable(roots)
    const divisors = new Map<Item, number>()
    for (const { operation, args } of all) {
      // What is the same for all rows has a quotient that is rounded once.
      if (operation === 'div' && !args[1].leaf?.uniform) divisors.set(args[1], (divisors.get(args[1]) ?? 0) + 1)
    }
    for (const item of all) {
      if (item.operation !== 'div' || (divisors.get(item.args[1]) ?? 0) < 2) continue
      const [dividend, divisor] = item.args
      if (dividend.leaf?.kind === 'const' && dividend.leaf.value === 1) continue
      item.operation = 'mul'
      item.args = [dividend, this.item('div', this.lower(constant(1)), divisor)]
    }
  }
}

/** An item of its own, which is no other one's. */
export function newItem(operation: Mnemonic, args: Item[], more: Partial<Item> = {}): Item {
  return { operation, args, leaf: undefined, result: undefined, output: undefined, column: undefined, ...more }
}

/** All items that roots need, each after what it reads. */
export function reachable(roots: readonly Item[]): Item[] {
  const seen = new Set<Item>()
  const all: Item[] = []
  const walk = (item: Item): void => {
    if (seen.has(item)) return
    seen.add(item)
    item.args.forEach(walk)
    all.push(item)
  }
  roots.forEach(walk)
  return all
}

/** How many items read each item; what is a root is read once more. */
export function usesOf(roots: readonly Item[]): Map<Item, number> {
  const uses = new Map<Item, number>()
  for (const root of roots) uses.set(root, (uses.get(root) ?? 0) + 1)
  for (const item of reachable(roots)) {
    for (const arg of item.args) uses.set(arg, (uses.get(arg) ?? 0) + 1)
  }
  return uses
}

/** The logistic operation of each item that is some of its results says which operation it is. */
export function nameLogistics(roots: readonly Item[]): Map<Item, Map<number, Item>> {
  const results = new Map<Item, Map<number, Item>>()
  for (const item of reachable(roots)) {
    if (item.result === undefined) continue
    const [all] = item.args
    results.set(all, (results.get(all) ?? new Map<number, Item>()).set(item.result, item))
  }
  for (const [all, used] of results) {
    const fits = (name: LogisticName) =>
      [...used.keys()].every((result) => LOGISTIC[name].results.includes(result as never))
    all.operation = fits('sigmoid') ? 'sigmoid' : fits('softplus') ? 'softplus' : 'logistic'
  }
  return results
}

/** A value of which only the size counts, and whether the sign of the given one is the other. */
function unsigned(a: Value): [base: Value, isNegative: boolean] {
  if (a.kind === 'neg') return [a.args[0], true]
  if (a.kind === 'mul' && a.args[0].kind === 'const' && a.args[0].value < 0) return [neg(a), true]
  return [a, false]
}

/** How many selections go by each condition. */
function selectionsOf(roots: readonly Value[]): Map<Condition, number> {
  const counts = new Map<Condition, number>()
  const seen = new Set<Node>()
  const walk = (node: Node): void => {
    if (seen.has(node)) return
    seen.add(node)
    if (node.kind === 'where') counts.set(node.conditions[0], (counts.get(node.conditions[0]) ?? 0) + 1)
    node.args.forEach(walk)
    node.conditions.forEach(walk)
  }
  roots.forEach(walk)
  return counts
}
