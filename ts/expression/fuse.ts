/** Trees of two or three operations that are one instruction: what passes between them stays out of memory. */

import { type Item, isComputed, reachable, usesOf } from './lower.js'
import { LOGISTIC, type Mnemonic, OPERATIONS, type OperationName } from './operations.js'

/** An operand of the instruction, or an operation of patterns. */
type Pattern = string | readonly [Mnemonic, ...Pattern[]]

/** Which programs a tree is for: one rounding less makes a program close. */
type Programs = 'close' | 'exact' | 'both'

const product: Pattern = ['mul', 'a', 'b']
const dot: Pattern = ['add', product, ['mul', 'c', 'e']]
const dotsub: Pattern = ['sub', product, ['mul', 'c', 'e']]
const plus: Pattern = ['add', product, 'c']
const minus: Pattern = ['sub', product, 'c']
const from: Pattern = ['sub', 'c', product]
const difference: Pattern = ['sub', 'a', 'b']

/** The first that fits is taken, from the roots downwards. */
const TREES: readonly (readonly [Mnemonic, Programs, Pattern])[] = [
  ['fdotmul', 'close', ['mul', dot, 'f']],
  ['dotmul', 'exact', ['mul', dot, 'f']],
  ['fdotsubmul', 'close', ['mul', dotsub, 'f']],
  ['dotsubmul', 'exact', ['mul', dotsub, 'f']],
  ['sumfdot', 'close', ['sum', dot]],
  ['sumdot', 'exact', ['sum', dot]],
  ['sumfdotsub', 'close', ['sum', dotsub]],
  ['sumdotsub', 'exact', ['sum', dotsub]],
  ['fdot', 'close', dot],
  ['dot', 'exact', dot],
  ['fdotsub', 'close', dotsub],
  ['dotsub', 'exact', dotsub],
  ['mul4', 'both', ['mul', product, ['mul', 'c', 'e']]],
  ['subsubmul', 'both', ['mul', difference, ['sub', 'c', 'e']]],
  ['minmaxsub', 'both', ['sub', ['min', 'a', 'b'], ['max', 'c', 'e']]],
  ['maxminsub', 'both', ['sub', ['max', 'a', 'b'], ['min', 'c', 'e']]],
  ['fmamul', 'close', ['mul', plus, 'e']],
  ['maddmul', 'exact', ['mul', plus, 'e']],
  ['fmsmul', 'close', ['mul', minus, 'e']],
  ['msubmul', 'exact', ['mul', minus, 'e']],
  ['fnmamul', 'close', ['mul', from, 'e']],
  ['nmaddmul', 'exact', ['mul', from, 'e']],
  ['sumfma', 'close', ['sum', plus]],
  ['summadd', 'exact', ['sum', plus]],
  ['sumfms', 'close', ['sum', minus]],
  ['sumfnma', 'close', ['sum', from]],
  ['submulmul', 'both', ['mul', ['mul', difference, 'c'], 'e']],
  ['addmulmul', 'both', ['mul', ['mul', ['add', 'a', 'b'], 'c'], 'e']],
  ['fma', 'close', plus],
  ['madd', 'exact', plus],
  ['fms', 'close', minus],
  ['msub', 'exact', minus],
  ['fnma', 'close', from],
  ['nmadd', 'exact', from],
  ['selltmul', 'both', ['mul', ['sellt', 'a', 'b', 'c', 'e'], 'f']],
  ['sellemul', 'both', ['mul', ['selle', 'a', 'b', 'c', 'e'], 'f']],
  ['sumsellt', 'both', ['sum', ['sellt', 'a', 'b', 'c', 'e']]],
  ['sumselle', 'both', ['sum', ['selle', 'a', 'b', 'c', 'e']]],
  ['summul', 'both', ['sum', product]],
  ['sumadd', 'both', ['sum', ['add', 'a', 'b']]],
  ['sumsub', 'both', ['sum', difference]],
  ['summax', 'both', ['sum', ['max', 'a', 'b']]],
  ['addmul', 'both', ['mul', ['add', 'a', 'b'], 'c']],
  ['submul', 'both', ['mul', difference, 'c']],
  ['mulmul', 'both', ['mul', product, 'c']],
  ['divmul', 'both', ['mul', ['div', 'a', 'b'], 'c']],
  ['subabs', 'both', ['abs', difference]],
  ['minsub', 'both', ['sub', ['min', 'a', 'b'], 'c']],
  ['maxsub', 'both', ['sub', ['max', 'a', 'b'], 'c']],
  ['addsub', 'both', ['sub', ['add', 'a', 'b'], 'c']],
  ['addadd', 'both', ['add', ['add', 'a', 'b'], 'c']],
  ['subsub', 'both', ['sub', difference, 'c']],
  ['submax', 'both', ['max', difference, 'c']],
  ['mulmax', 'both', ['max', product, 'c']],
]

const COMMUTES: ReadonlySet<Mnemonic> = new Set<Mnemonic>(['add', 'mul'])

/** Whether all of a program's operations are exact. */
export function isExact(roots: readonly Item[]): boolean {
  return reachable(roots).every(({ operation }) => {
    if (operation in LOGISTIC) return false
    return !(operation in OPERATIONS) || OPERATIONS[operation as OperationName].exact
  })
}

/**
 * Puts trees of operations together, in place. Trees for exact programs change no bit of any program; those for close ones leave out
 * a rounding.
 */
export function fuse(roots: readonly Item[], kind: 'exact' | 'close'): void {
  const trees = TREES.filter(([, programs]) => programs === 'both' || programs === kind)
  const uses = usesOf(roots)
  /** Whether an item is this operation, and one other item alone needs its value. */
  const isLone = (item: Item, operation: Mnemonic): boolean =>
    item.operation === operation && isComputed(item) && uses.get(item) === 1
  const match = (pattern: Pattern, item: Item, found: Map<string, Item>, isTop: boolean): boolean => {
    if (typeof pattern === 'string') {
      found.set(pattern, item)
      return true
    }
    const [operation, ...parts] = pattern
    if (isTop ? item.operation !== operation || !isComputed(item) : !isLone(item, operation)) return false
    const orders = COMMUTES.has(operation) ? [item.args, [...item.args].reverse()] : [item.args]
    return orders.some((args) => {
      const own = new Map<string, Item>()
      if (!parts.every((part, k) => match(part, args[k], own, false))) return false
      for (const [name, operand] of own) found.set(name, operand)
      return true
    })
  }
  const seen = new Set<Item>()
  const visit = (item: Item): void => {
    if (seen.has(item)) return
    seen.add(item)
    for (const [operation, , pattern] of trees) {
      const found = new Map<string, Item>()
      if (!match(pattern, item, found, true)) continue
      item.operation = operation
      item.args = [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, operand]) => operand)
      break
    }
    item.args.forEach(visit)
  }
  roots.forEach(visit)
}
