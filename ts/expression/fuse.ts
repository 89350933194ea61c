/** Trees of two or three operations that are one instruction: what passes between them stays out of memory. */

import { type Item, isComputed, reachable, usesOf } from './lower.js'
import { LOGISTIC, type Mnemonic, OPERATIONS, type OperationName } from './operations.js'

/** An operand of the instruction, or an operation of patterns. */
type Pattern = string | readonly [Mnemonic, ...Pattern[]]

/**
 * Whether a tree leaves out a rounding: that of the product in a sum, which the other term must allow. `whole` trees change no bit.
 */
type Rounds = 'fused' | 'whole'

const product: Pattern = ['mul', 'a', 'b']
const dot: Pattern = ['add', product, ['mul', 'c', 'e']]
const dotsub: Pattern = ['sub', product, ['mul', 'c', 'e']]
const plus: Pattern = ['add', product, 'c']
const minus: Pattern = ['sub', product, 'c']
const from: Pattern = ['sub', 'c', product]
const difference: Pattern = ['sub', 'a', 'b']

/** The first that fits is taken, from the roots downwards. */
const TREES: readonly (readonly [Mnemonic, Rounds, Pattern])[] = [
  ['dotmul', 'whole', ['mul', dot, 'f']],
  ['dotsubmul', 'whole', ['mul', dotsub, 'f']],
  ['sumdot', 'whole', ['sum', dot]],
  ['sumdotsub', 'whole', ['sum', dotsub]],
  ['dot', 'whole', dot],
  ['dotsub', 'whole', dotsub],
  ['mul4', 'whole', ['mul', product, ['mul', 'c', 'e']]],
  ['subsubmul', 'whole', ['mul', difference, ['sub', 'c', 'e']]],
  ['minmaxsub', 'whole', ['sub', ['min', 'a', 'b'], ['max', 'c', 'e']]],
  ['maxminsub', 'whole', ['sub', ['max', 'a', 'b'], ['min', 'c', 'e']]],
  ['fmamul', 'fused', ['mul', plus, 'e']],
  ['maddmul', 'whole', ['mul', plus, 'e']],
  ['fmsmul', 'fused', ['mul', minus, 'e']],
  ['msubmul', 'whole', ['mul', minus, 'e']],
  ['fnmamul', 'fused', ['mul', from, 'e']],
  ['nmaddmul', 'whole', ['mul', from, 'e']],
  ['sumfma', 'fused', ['sum', plus]],
  ['summadd', 'whole', ['sum', plus]],
  ['sumfms', 'fused', ['sum', minus]],
  ['sumfnma', 'fused', ['sum', from]],
  ['submulmul', 'whole', ['mul', ['mul', difference, 'c'], 'e']],
  ['addmulmul', 'whole', ['mul', ['mul', ['add', 'a', 'b'], 'c'], 'e']],
  ['fma', 'fused', plus],
  ['madd', 'whole', plus],
  ['fms', 'fused', minus],
  ['msub', 'whole', minus],
  ['fnma', 'fused', from],
  ['nmadd', 'whole', from],
  ['selltmul', 'whole', ['mul', ['sellt', 'a', 'b', 'c', 'e'], 'f']],
  ['sellemul', 'whole', ['mul', ['selle', 'a', 'b', 'c', 'e'], 'f']],
  ['sumsellt', 'whole', ['sum', ['sellt', 'a', 'b', 'c', 'e']]],
  ['sumselle', 'whole', ['sum', ['selle', 'a', 'b', 'c', 'e']]],
  ['summul', 'whole', ['sum', product]],
  ['sumadd', 'whole', ['sum', ['add', 'a', 'b']]],
  ['sumsub', 'whole', ['sum', difference]],
  ['summax', 'whole', ['sum', ['max', 'a', 'b']]],
  ['addmul', 'whole', ['mul', ['add', 'a', 'b'], 'c']],
  ['submul', 'whole', ['mul', difference, 'c']],
  ['mulmul', 'whole', ['mul', product, 'c']],
  ['divmul', 'whole', ['mul', ['div', 'a', 'b'], 'c']],
  ['subabs', 'whole', ['abs', difference]],
  ['minsub', 'whole', ['sub', ['min', 'a', 'b'], 'c']],
  ['maxsub', 'whole', ['sub', ['max', 'a', 'b'], 'c']],
  ['addsub', 'whole', ['sub', ['add', 'a', 'b'], 'c']],
  ['addadd', 'whole', ['add', ['add', 'a', 'b'], 'c']],
  ['subsub', 'whole', ['sub', difference, 'c']],
  ['submax', 'whole', ['max', difference, 'c']],
  ['mulmax', 'whole', ['max', product, 'c']],
]

const SUMS: ReadonlySet<Mnemonic> = new Set<Mnemonic>(['add', 'sub'])
const COMMUTES: ReadonlySet<Mnemonic> = new Set<Mnemonic>(['add', 'mul'])

/** Whether all of a program's operations are exact. */
export function isExact(roots: readonly Item[]): boolean {
  return reachable(roots).every(({ operation }) => {
    if (operation in LOGISTIC) return false
    return !(operation in OPERATIONS) || OPERATIONS[operation as OperationName].exact
  })
}

/** Operations that pass on a product, or a difference of products, as it was rounded. */
const PASSING: ReadonlySet<Mnemonic> = new Set<Mnemonic>(
  'mov add sub neg abs min max mulsign sel sellt selle seleq'.split(' ') as Mnemonic[],
)

/** Operations that choose by these of their arguments, so that the last bit of one may decide what comes of it. */
const DECIDING: Partial<Record<Mnemonic, readonly number[]>> = {
  lt: [0, 1],
  le: [0, 1],
  eq: [0, 1],
  sign: [0],
  mulsign: [1],
  sel: [0],
  sellt: [0, 1],
  selle: [0, 1],
  seleq: [0, 1],
  mul0: [0],
  // Near 0 their slopes have no bound.
  sqrt: [0],
  log: [0],
  pow: [0],
}

const PRODUCTS: ReadonlySet<Mnemonic> = new Set<Mnemonic>(['mul', 'mul0', 'div'])

/** The sums and differences of one product and something that is no rounded product and has none among its own terms. */
function singleIn(roots: readonly Item[], deciding: ReadonlySet<Item>): Set<Item> {
  const known = new Map<Item, boolean>()
  const hasProduct = (item: Item): boolean => {
    let has = known.get(item)
    if (has === undefined) {
      has =
        isComputed(item) &&
        (PRODUCTS.has(item.operation) || (PASSING.has(item.operation) && item.args.some(hasProduct)))
      known.set(item, has)
    }
    return has
  }
  const isSingle = (item: Item): boolean => {
    const [a, b] = item.args
    return SUMS.has(item.operation) && !deciding.has(item) && hasProduct(a) !== hasProduct(b)
  }
  return new Set(reachable(roots).filter(isSingle))
}

/** The items that decide something, as they are or as a term or factor of what does. */
function decidingIn(roots: readonly Item[]): Set<Item> {
  const found = new Set<Item>()
  const add = (item: Item): void => {
    if (found.has(item) || !isComputed(item)) return
    found.add(item)
    if (!(item.operation in OPERATIONS) || OPERATIONS[item.operation as OperationName].exact) item.args.forEach(add)
  }
  for (const { operation, args } of reachable(roots)) for (const k of DECIDING[operation] ?? []) add(args[k])
  return found
}

/**
 * Puts trees of operations together, in place, in a program that is not exact with one rounding less where a product is added to
 * what has none: x·y − z. Of two products one would be rounded and the other not, and the difference of equal ones would be the
 * error of one and not 0; and what decides a comparison must be the same whether an instruction set has such an instruction or not.
 */
export function fuse(roots: readonly Item[], kind: 'exact' | 'close'): void {
  const uses = usesOf(roots)
  const trees = kind === 'exact' ? TREES.filter(([, rounds]) => rounds === 'whole') : TREES
  const single = kind === 'exact' ? new Set<Item>() : singleIn(roots, decidingIn(roots))
  /** Whether an item is this operation, and one other item alone needs its value. */
  const isLone = (item: Item, operation: Mnemonic): boolean =>
    item.operation === operation && isComputed(item) && uses.get(item) === 1
  const match = (pattern: Pattern, rounds: Rounds, item: Item, found: Map<string, Item>, isTop: boolean): boolean => {
    if (typeof pattern === 'string') {
      found.set(pattern, item)
      return true
    }
    const [operation, ...parts] = pattern
    if (isTop ? item.operation !== operation || !isComputed(item) : !isLone(item, operation)) return false
    if (rounds === 'fused' && SUMS.has(operation) && !single.has(item)) return false
    const orders = COMMUTES.has(operation) ? [item.args, [...item.args].reverse()] : [item.args]
    return orders.some((args) => {
      const operands = new Map<string, Item>()
      if (!parts.every((part, k) => match(part, rounds, args[k], operands, false))) return false
      for (const [name, operand] of operands) found.set(name, operand)
      return true
    })
  }
  const seen = new Set<Item>()
  const visit = (item: Item): void => {
    if (seen.has(item)) return
    seen.add(item)
    for (const [operation, rounds, pattern] of trees) {
      const found = new Map<string, Item>()
      if (!match(pattern, rounds, item, found, true)) continue
      item.operation = operation
      item.args = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, operand]) => operand)
      break
    }
    item.args.forEach(visit)
  }
  roots.forEach(visit)
}
