/** From an expression to a program: derivatives, lowering, fusing, scheduling, registers. */

import type { OPERANDS, Program } from '../call/expression.js'
import { gradientsOf } from './derivative.js'
import { fuse, isExact } from './fuse.js'
import type { InputTraits } from './inputs.js'
import { type Item, Lowering, nameLogistics, newItem, reachable } from './lower.js'
import { inGraph, inputNode, mul, scale, type Value } from './node.js'
import { encode, outputsAfterInputs } from './registers.js'
import { schedule } from './schedule.js'

/** Which program of a loss. */
export interface Wanted {
  readonly kind: Program['kind']
  /** Numbers of the inputs whose gradients are wanted, in order. */
  readonly grads: readonly number[]
  readonly value: boolean
  /** Whether a gradient may be written over its input. A raw program has memory of its own. */
  readonly inPlace: boolean
  /** Whether uniform factors stay apart, of a raw program: the product of some has left single precision. */
  readonly apart?: boolean
}

/** A program, and what its caller needs beside it. */
export interface Compiled {
  readonly program: Program
  /** Nodes whose values are the uniforms. */
  readonly uniforms: readonly Value[]
  readonly listing: string
  /** Registers, uniforms, inputs and outputs together; interpreters have room for {@link OPERANDS}. */
  readonly operands: number
}

/**
 * Compiles what `trace` builds, in a graph of its own: the order in which nodes are made decides the order of sums, so that no
 * program may depend on what was compiled before.
 *
 * Whatever changes a bit is decided for the value and all gradients together, and only then comes what is wanted of them: a gradient
 * has the same bits whether the value is computed beside it or not.
 */
export function compile(name: string, trace: () => Value, inputs: readonly InputTraits[], wanted: Wanted): Compiled {
  return inGraph(name, () => compileInGraph(trace(), inputs, wanted), wanted.apart)
}

function compileInGraph(value: Value, inputs: readonly InputTraits[], wanted: Wanted): Compiled {
  const isPlain = wanted.kind === 'plain'
  const leaves = inputs.map(({ columns, grad }, k) => (grad ? leavesOf(k, columns) : []))
  const slopes = gradientsOf(value, leaves.flat()).map((slope) => (isPlain ? mul(scale(), slope) : slope))
  const lowering = new Lowering([...slopes, value])
  const items = slopes.map((slope) => lowering.lower(slope))
  const valueItem = isPlain ? newItem('sum', [lowering.lower(value)]) : lowering.lower(value)
  const all = [...items, valueItem]
  lowering.shareDivisions(all)
  const exact = isExact(all)
  fuse(all, exact ? 'exact' : 'close')

  const columns = wanted.grads.map((input) => {
    const first = leaves.slice(0, input).reduce((sum, { length }) => sum + length, 0)
    return items.slice(first, first + leaves[input].length)
  })
  const roots: Item[] = []
  const widths = columns.map(({ length }) => length)
  const outputs = isPlain ? widths : [...columns.flat().map(() => 1), ...(wanted.value ? [1] : [])]
  if (isPlain) {
    columns.forEach((items, output) => {
      if (items.length === 1) roots.push(written(items[0], output))
      else if (items.length === 4) roots.push(newItem('store4', items, { output }))
      else roots.push(...items.map((item, column) => newItem('storec', [item], { output, column })))
    })
    if (wanted.value) roots.push(valueItem)
  } else {
    const results = wanted.value ? [...columns.flat(), valueItem] : columns.flat()
    roots.push(...results.map(written))
  }
  // What the value needs no more may now be one instruction with what needs it.
  fuse(roots, 'exact')
  const results = nameLogistics(roots)
  const inPlace = isPlain && wanted.inPlace
  const scheduled = schedule(roots, inPlace)
  const sequence = inPlace ? outputsAfterInputs(scheduled, wanted.grads) : scheduled
  const inputWidths = inputs.map((input) => input.columns)
  const code = encode(sequence, reachable(roots), results, inputWidths, outputs)
  const program: Program = {
    kind: wanted.kind,
    exact,
    code: code.bytes,
    registers: code.registers,
    uniforms: code.uniforms.length,
    inputs: inputWidths,
    grads: widths,
    value: wanted.value,
    outputs,
  }
  return { program, uniforms: code.uniforms, listing: code.listing, operands: code.operands }
}

/** The nodes of an input. */
export function leavesOf(input: number, columns: number): Value[] {
  return columns === 1 ? [inputNode(input)] : Array.from({ length: columns }, (_, column) => inputNode(input, column))
}

/** What writes an item to an output of one column: the item itself, unless it is a leaf or written to another output already. */
function written(item: Item, output: number): Item {
  if (item.leaf !== undefined || item.result !== undefined || item.output !== undefined) {
    return newItem('mov', [item], { output })
  }
  item.output = output
  return item
}
