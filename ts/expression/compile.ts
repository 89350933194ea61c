/** From an expression to a program: derivatives, lowering, fusing, scheduling, registers. */

import type { Program } from '../backend/contract.js'
import { gradientsOf } from './derivative.js'
import { fuse, isExact } from './fuse.js'
import { type Item, Lowering, nameLogistics, newItem, reachable } from './lower.js'
import { inGraph, inputNode, mul, scale, type Value } from './node.js'
import { encode, fits, outputsAfterInputs } from './registers.js'
import { schedule } from './schedule.js'

/** Which program of a loss. */
export interface Wanted {
  readonly kind: Program['kind']
  /** Numbers of the inputs whose gradients are wanted, in order. */
  readonly grads: readonly number[]
  readonly value: boolean
  /** Whether a gradient may be written over its input. A raw program has memory of its own. */
  readonly inPlace: boolean
}

/** A program, and what its caller needs beside it. */
export interface Compiled {
  readonly program: Program
  /** Nodes whose values are the uniforms. */
  readonly uniforms: readonly Value[]
  readonly listing: string
}

/**
 * Compiles what `trace` builds, in a graph of its own: the order in which nodes are made decides the order of sums, so that no
 * program may depend on what was compiled before. `inputs` are the columns of each input.
 */
export function compile(name: string, trace: () => Value, inputs: readonly number[], wanted: Wanted): Compiled {
  return inGraph(name, () => compileInGraph(name, trace(), inputs, wanted))
}

function compileInGraph(name: string, value: Value, inputs: readonly number[], wanted: Wanted): Compiled {
  const isPlain = wanted.kind === 'plain'
  const columnsOf = (input: number): Value[] =>
    inputs[input] === 1
      ? [inputNode(input)]
      : Array.from({ length: inputs[input] }, (_, column) => inputNode(input, column))
  const leaves = wanted.grads.map(columnsOf)
  const slopes = gradientsOf(value, leaves.flat()).map((slope) => (isPlain ? mul(scale(), slope) : slope))
  const lowering = new Lowering(wanted.value ? [...slopes, value] : slopes)

  const widths = wanted.grads.map((input) => inputs[input])
  const outputs = isPlain ? widths : [...slopes.map(() => 1), ...(wanted.value ? [1] : [])]
  const roots: Item[] = []
  /** What writes an item to an output of one column: the item itself, unless it is a leaf or written to another one already. */
  const landing = (item: Item, output: number): Item => {
    if (item.leaf !== undefined || item.output !== undefined || item.result !== undefined) {
      return newItem('mov', [item], { output })
    }
    item.output = output
    return item
  }
  const items = slopes.map((slope) => lowering.lower(slope))
  const valueItem = wanted.value ? lowering.lower(value) : undefined
  if (isPlain) {
    let first = 0
    widths.forEach((width, output) => {
      const own = items.slice(first, first + width)
      first += width
      if (width === 1) roots.push(landing(own[0], output))
      else if (width === 4) roots.push(newItem('store4', own, { output }))
      else own.forEach((item, column) => roots.push(newItem('storec', [item], { output, column })))
    })
    if (valueItem !== undefined) roots.push(newItem('sum', [valueItem]))
  } else {
    const all = valueItem === undefined ? items : [...items, valueItem]
    all.forEach((item, output) => roots.push(landing(item, output)))
  }

  lowering.shareDivisions(roots)
  fuse(roots)
  const results = nameLogistics(roots)
  const inPlace = isPlain && wanted.inPlace
  const scheduled = schedule(roots, inPlace)
  const sequence = inPlace ? outputsAfterInputs(scheduled, wanted.grads) : scheduled
  const code = encode(sequence, reachable(roots), results, inputs, outputs)
  if (!fits(code)) {
    throw new RangeError(
      `${name}: the loss needs ${code.operands} registers, numbers, inputs and gradients at a time, and there is room for 64; ` +
        'make it of several losses, or give it fewer columns',
    )
  }
  const program: Program = {
    kind: wanted.kind,
    exact: isExact(roots),
    code: code.bytes,
    registers: code.registers,
    uniforms: code.uniforms.length,
    inputs,
    grads: widths,
    value: wanted.value,
    outputs,
  }
  return { program, uniforms: code.uniforms, listing: code.listing }
}
