/** The order of instructions. It changes no result, only how many registers there are and how long a division is waited for. */

import { type Item, isComputed, reachable, usesOf } from './lower.js'
import { LOGISTIC, type LogisticName, OPERATIONS, type OperationName } from './operations.js'

/** Cycles of an item, about. */
function costOf(item: Item): number {
  if (!isComputed(item)) return 0
  const { operation } = item
  if (operation in LOGISTIC) return LOGISTIC[operation as LogisticName].cost
  return operation in OPERATIONS ? OPERATIONS[operation as OperationName].cost : 1
}

/** From here on an operation takes so long that what follows runs beside it. */
const LONG = 15

/**
 * Items that have an instruction, in an order of execution: long operations as early as they can be, then what sets most registers
 * free, then what most others wait for. With `outputsLast` whatever is written to an output comes as late as it can, since its memory
 * may be that of an input.
 */
export function schedule(roots: readonly Item[], outputsLast: boolean): Item[] {
  const all = reachable(roots)
  const heights = new Map<Item, number>()
  for (const item of [...all].reverse()) {
    const height = (heights.get(item) ?? 0) + costOf(item)
    for (const arg of item.args) heights.set(arg, Math.max(heights.get(arg) ?? 0, height))
  }
  const left = usesOf(roots)
  const waiting = all.filter(isComputed)
  const done = new Set(all.filter((item) => item.leaf !== undefined))
  // The results of a logistic operation are there with it.
  const isDone = (item: Item) => done.has(item.result === undefined ? item : item.args[0])
  const freed = (item: Item) => new Set(item.args.filter((arg) => arg.leaf === undefined && left.get(arg) === 1)).size
  const rank = (item: Item): number => {
    const last = outputsLast && item.output !== undefined ? -1e9 : 0
    return last + (costOf(item) >= LONG ? 1e6 : 0) + 1000 * freed(item) + (heights.get(item) ?? 0)
  }
  const sequence: Item[] = []
  while (waiting.length > 0) {
    const ready = waiting.filter((item) => item.args.every(isDone))
    const next = ready.reduce((best, item) => (rank(item) > rank(best) ? item : best))
    for (const arg of next.args) left.set(arg, left.get(arg)! - 1)
    sequence.push(next)
    done.add(next)
    waiting.splice(waiting.indexOf(next), 1)
  }
  return sequence
}
