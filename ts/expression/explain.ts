/** What a loss that is an expression is made of, in words. */

import type { NamedBuffers } from '../family/several.js'
import type { ExpressionDescription, ExpressionSettings } from './call.js'
import { formulasOf, type Names } from './formula.js'
import { inGraph, isNotNegative, type Node } from './node.js'
import type { Ready } from './programs.js'
import { evaluateUniforms } from './uniforms.js'

/** Where an operation leaves the range of single precision. */
const LIMITS: Readonly<Record<string, string>> = {
  exp: 'is ∞ from 88.73 on',
  expm1: 'is ∞ from 88.73 on',
  log: 'is −∞ at 0 and NaN below',
  log1p: 'is −∞ at −1 and NaN below',
  div: 'is ±∞ or NaN where the divisor is 0',
  sqrt: 'is NaN below 0',
}

/** The program of a call with these options, with all its gradients. */
export function explain(
  { name, inputs, params, programs }: ExpressionDescription,
  settings: ExpressionSettings,
  buffers: NamedBuffers,
): string {
  const isRaw =
    settings.weight !== undefined ||
    settings.sampleWeight !== undefined ||
    settings.mask !== undefined ||
    settings.reduction === 'none' ||
    buffers.accumulate === true
  const asked = Object.values(buffers.grads).some((grad) => grad !== undefined && grad !== false)
  const grads = inputs.flatMap(({ grad, gradName }, k) => {
    const given = gradName === 'grad' || !asked || (buffers.grads[gradName] ?? false) !== false
    return grad && given ? [k] : []
  })
  const kind = isRaw ? 'raw' : 'plain'
  const { program, listing, uniforms }: Ready = programs.compile(
    { kind, grads, value: true, inPlace: false },
    settings.params,
  )
  const names: Names = { inputs: inputs.map((input) => input.name), params: params.map((param) => param.name) }
  const agreement = program.exact
    ? 'exact: all backends have the same bits'
    : 'close: backends differ in the last digits'
  const count = listing.split('\n').length
  const operands = [
    ...inputs.map((input, k) => `in${k} ${input.name}${input.columns === 1 ? '' : `, ${input.columns} columns`}`),
    ...program.outputs.map((_, k) => `out${k} ${outputName(program.grads, grads, inputs, k, kind)}`),
    ...formulasOf(
      uniforms.map((node, k) => [`u${k}`, node]),
      names,
    ),
  ]
  return [
    `${name}: ${count} ${count === 1 ? 'instruction' : 'instructions'}, ${program.registers} registers; ${agreement}`,
    ...listing.split('\n').map((line) => `  ${line}`),
    ...operands,
    ...limitsOf(name, () => programs.expression(settings.params), settings.params, names),
  ].join('\n')
}

function outputName(
  widths: readonly number[],
  grads: readonly number[],
  inputs: ExpressionDescription['inputs'],
  output: number,
  kind: 'plain' | 'raw',
): string {
  if (kind === 'plain') return inputs[grads[output]].gradName
  let first = 0
  for (const [k, width] of widths.entries()) {
    if (output < first + width) {
      const { gradName } = inputs[grads[k]]
      return width === 1 ? `${gradName}, unscaled` : `${gradName}, unscaled, column ${output - first}`
    }
    first += width
  }
  return 'value'
}

function limitOf({ kind, args }: Node, params: readonly number[]): string | undefined {
  if ((kind === 'pow' || kind === 'sqrt') && isNotNegative(args[0])) return undefined
  if (kind !== 'pow') return LIMITS[kind]
  const [, exponent] = args
  if (!exponent.uniform) return 'counts a negative base as 0, since the exponent is not the same for all rows'
  const [evaluated] = evaluateUniforms([exponent], params, 1).values
  return Number.isInteger(evaluated) ? undefined : 'counts a negative base as 0, since the exponent is no whole number'
}

/** A line for each operation that may leave the range, or its domain. */
function limitsOf(loss: string, trace: () => Node, params: readonly number[], names: Names): string[] {
  return inGraph(loss, () => {
    const lines: string[] = []
    const seen = new Set<Node>()
    const walk = (node: Node): void => {
      if (seen.has(node) || node.uniform) return
      seen.add(node)
      node.args.forEach(walk)
      const limit = limitOf(node, params)
      if (limit === undefined) return
      const [line] = formulasOf([['', node as never]], names).slice(-1)
      lines.push(`${line.replace(/^ = /, '')} ${limit}`)
    }
    walk(trace())
    return lines
  })
}
