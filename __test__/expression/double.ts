/** The loss of one row in double precision, from the nodes of its expression alone: neither programs nor derivatives take part. */

import type { ExpressionDescription } from '../../ts/expression/call.js'
import { inGraph, type Node } from '../../ts/expression/node.js'
import { computed } from '../../ts/expression/uniforms.js'

/** A function of all numbers of a row, with the given options. What is detached has the value that it has at `base`. */
export function formulaOf(
  { name, params, programs, inputs }: ExpressionDescription,
  options: Readonly<Record<string, unknown>>,
): (row: readonly number[], base?: readonly number[]) => number {
  const values = params.map((param) => {
    const given = options[param.name]
    // Programs know numbers as 32-bit floats.
    return given === undefined ? param.default : param.numberOf(given)
  })
  const singles = values.map(Math.fround)
  const root = inGraph(name, () => programs.expression(values))
  const first: number[] = []
  let columns = 0
  for (const input of inputs) {
    first.push(columns)
    columns += input.columns
  }
  const at = (row: readonly number[], base: readonly number[]) => {
    const known = new Map<Node, number>()
    const evaluate = (node: Node): number => {
      const before = known.get(node)
      if (before !== undefined) return before
      let value: number
      if (node.kind === 'input') value = row[first[node.value] + Math.max(0, node.column)]
      else if (node.kind === 'detach' && row !== base) value = at(base, base)(node)
      else value = computed(node, evaluate, singles, 1)
      known.set(node, value)
      return value
    }
    return evaluate
  }
  return (row, base = row) => at(row, base)(root)
}
