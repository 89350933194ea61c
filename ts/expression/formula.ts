/** Expressions in words that people read. */

import type { Node, Value } from './node.js'

/** How tightly an operator binds. */
const SUM = 1
const PRODUCT = 2
const SIGN = 3
const ATOM = 4

type Text = readonly [text: string, binding: number]

/** How nodes without arguments are called. */
export interface Names {
  readonly inputs: readonly string[]
  readonly params: readonly string[]
}

/** Lines of formulas: what occurs more than once has a name of its own, t1, t2 …, and a line before the first use. */
export function formulasOf(roots: readonly (readonly [name: string, node: Value])[], names: Names): string[] {
  const uses = new Map<Node, number>()
  const count = (node: Node): void => {
    const before = uses.get(node) ?? 0
    uses.set(node, before + 1)
    if (before > 0) return
    node.args.forEach(count)
    node.conditions.forEach(count)
  }
  for (const [, node] of roots) count(node)

  const lines: string[] = []
  const known = new Map<Node, string>()
  const text = (node: Node): Text => {
    const name = known.get(node)
    if (name !== undefined) return [name, ATOM]
    const written = write(node, text, names)
    if (uses.get(node)! < 2 || node.args.length + node.conditions.length === 0) return written
    const fresh = `t${known.size + 1}`
    known.set(node, fresh)
    lines.push(`${fresh} = ${written[0]}`)
    return [fresh, ATOM]
  }
  for (const [name, node] of roots) {
    const [written] = text(node)
    lines.push(`${name} = ${written}`)
  }
  return lines
}

function write(node: Node, text: (node: Node) => Text, names: Names): Text {
  const all = [...node.conditions, ...node.args]
  /** An operand that stands beside an operator of this binding. */
  const beside = (operand: Node, binding: number): string => {
    const [written, strength] = text(operand)
    return strength >= binding ? written : `(${written})`
  }
  const infix = (operator: string, binding: number, right = binding): Text => [
    `${beside(all[0], binding)} ${operator} ${beside(all[1], right)}`,
    binding,
  ]
  switch (node.kind) {
    case 'const':
      return [shortest(node.value), node.value < 0 ? SIGN : ATOM]
    case 'param':
      return [names.params[node.value], ATOM]
    case 'scale':
      return ['scale', ATOM]
    case 'input':
      return [names.inputs[node.value] + (node.column < 0 ? '' : `[${node.column}]`), ATOM]
    case 'add':
      return infix('+', SUM)
    case 'sub':
      return infix('−', SUM, PRODUCT)
    case 'mul':
      return all[0] === all[1] ? [`${beside(all[0], ATOM)}²`, ATOM] : infix('·', PRODUCT)
    case 'div':
      return infix('/', PRODUCT, SIGN)
    case 'neg':
      return [`−${beside(all[0], SIGN)}`, SIGN]
    case 'abs':
      return [`|${text(all[0])[0]}|`, ATOM]
    case 'lt':
      return infix('<', SUM)
    case 'le':
      return infix('≤', SUM)
    case 'eq':
      return infix('=', SUM)
    case 'custom':
    case 'detach':
      return text(all[0])
    default:
      return [`${node.kind}(${all.map((operand) => text(operand)[0]).join(', ')})`, ATOM]
  }
}

/** A 32-bit float with as few digits as tell it from its neighbours. */
function shortest(value: number): string {
  for (let digits = 1; digits < 9; digits++) {
    const text = value.toPrecision(digits)
    if (Math.fround(Number(text)) === value) return String(Number(text)).replace('-', '−')
  }
  return String(value).replace('-', '−')
}
