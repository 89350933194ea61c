/** From scheduled items to bytecode: registers by last use, and operands numbered as the interpreters have them. */

import { type Item, newItem } from './lower.js'
import type { Value } from './node.js'
import { codeOf, LOGISTIC, type Mnemonic, STEP } from './operations.js'

/** An operand before all registers are counted. */
type Place = readonly [file: 'register' | 'uniform' | 'input' | 'output' | 'column', index: number]

/** An instruction, whose operands are in the order of its bytes. */
interface Instruction {
  readonly mnemonic: Mnemonic
  readonly operands: readonly Place[]
}

export interface Code {
  readonly bytes: Uint8Array
  readonly registers: number
  readonly uniforms: readonly Value[]
  /** The instructions in words, one a line. */
  readonly listing: string
  /** Registers, uniforms, inputs and outputs together. */
  readonly operands: number
}

const NONE: Place = ['column', 0]

/**
 * Writes into a register what covers an input that is read later: the output takes it at the end. `covered` is the input of each
 * output.
 */
export function outputsAfterInputs(sequence: readonly Item[], covered: readonly number[]): Item[] {
  const first: Item[] = []
  const moves: Item[] = []
  sequence.forEach((item, at) => {
    const input = item.output === undefined ? undefined : covered[item.output]
    const isRead = (arg: Item) => arg.leaf?.kind === 'input' && arg.leaf.value === input
    const later = input !== undefined && sequence.slice(at + 1).some(({ args }) => args.some(isRead))
    first.push(item)
    if (!later || item.column !== undefined || item.operation === 'store4') return
    moves.push(newItem('mov', [item], { output: item.output }))
    item.output = undefined
  })
  return [...first, ...moves]
}

/** Allocates and encodes. `inputs` and `outputs` are their columns, `results` the items that are results of another one. */
export function encode(
  sequence: readonly Item[],
  all: readonly Item[],
  results: ReadonlyMap<Item, ReadonlyMap<number, Item>>,
  inputs: readonly number[],
  outputs: readonly number[],
): Code {
  const lastUse = new Map<Item, number>()
  sequence.forEach((item, at) => {
    for (const arg of item.args) lastUse.set(arg, at)
  })
  const registerOf = new Map<Item, number>()
  const free: number[] = []
  let registers = 0
  const take = (): number => free.pop() ?? registers++
  const uniforms: Value[] = []
  const code: Instruction[] = []

  const place = (item: Item): Place => {
    const register = registerOf.get(item)
    if (register !== undefined) return ['register', register]
    const { leaf } = item
    if (leaf?.kind === 'input') return ['input', leaf.value]
    if (leaf === undefined) return ['output', item.output!]
    const known = uniforms.indexOf(leaf)
    return ['uniform', known >= 0 ? known : uniforms.push(leaf) - 1]
  }

  // Columns are loaded before all else, so that a gradient may be written over its input.
  const unused: number[] = []
  inputs.forEach((width, input) => {
    const columns = all.filter(({ leaf }) => leaf?.kind === 'input' && leaf.value === input && leaf.column >= 0)
    if (columns.length === 0) return
    const to = Array.from({ length: width }, (_, column) => {
      const item = columns.find(({ leaf }) => leaf!.column === column)
      if (item === undefined && width !== 4) return undefined
      const register = take()
      if (item === undefined) unused.push(register)
      else registerOf.set(item, register)
      return register
    })
    if (width === 4) {
      const operands = to.map((register): Place => ['register', register!])
      code.push({ mnemonic: 'load4', operands: [...operands, ['input', input]] })
      return
    }
    to.forEach((register, column) => {
      if (register === undefined) return
      code.push({
        mnemonic: 'loadc',
        operands: [['register', register], NONE, NONE, ['column', column], ['input', input]],
      })
    })
  })
  free.push(...unused)

  sequence.forEach((item, at) => {
    const args = item.args.map(place)
    const release = (): void => {
      for (const arg of new Set(item.args)) {
        if (lastUse.get(arg) === at && registerOf.has(arg)) free.push(registerOf.get(arg)!)
      }
    }
    const { operation: mnemonic, output } = item
    if (mnemonic in LOGISTIC) {
      // The argument is read after the first results are written, so that its register is none of theirs.
      const used = results.get(item)!
      const to = [0, 1, 2, 3].map((result) => {
        const register = take()
        if (used.has(result)) registerOf.set(used.get(result)!, register)
        return register
      })
      free.push(...to.filter((_, result) => !used.has(result)))
      code.push({ mnemonic, operands: [...to.map((register): Place => ['register', register]), ...args] })
      release()
      return
    }
    release()
    if (mnemonic === 'store4') code.push({ mnemonic, operands: [...args, ['output', output!]] })
    else if (mnemonic === 'storec') {
      code.push({ mnemonic, operands: [NONE, args[0], NONE, ['column', item.column!], ['output', output!]] })
    } else if (mnemonic.startsWith('sum')) code.push({ mnemonic, operands: [NONE, ...args] })
    else {
      const to: Place = output === undefined ? ['register', take()] : ['output', output]
      if (output === undefined) registerOf.set(item, to[1])
      code.push({ mnemonic, operands: [to, ...args] })
    }
  })

  const first = { column: 0, register: 0, uniform: registers, input: 0, output: 0 }
  first.input = first.uniform + uniforms.length
  first.output = first.input + inputs.length
  const operands = first.output + outputs.length
  const bytes = new Uint8Array(STEP * code.length)
  code.forEach(({ mnemonic, operands }, i) => {
    bytes.set([codeOf(mnemonic), ...operands.map(([file, index]) => first[file] + index)], STEP * i)
  })
  return { bytes, registers, uniforms, listing: code.map(inWords).join('\n'), operands }
}

const SHORT = { register: 'r', uniform: 'u', input: 'in', output: 'out', column: 'column' }

function inWords({ mnemonic, operands }: Instruction): string {
  return [
    mnemonic,
    ...operands.filter((place) => place !== NONE).map(([file, index]) => `${SHORT[file]}${index}`),
  ].join(' ')
}
