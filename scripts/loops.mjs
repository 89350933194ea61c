// Writes ts/expression/loops.ts: the loops of the TypeScript interpreter, one function for each operation of the table in
// ts/expression/operations.ts, since V8 compiles each for itself, and calls of a formula per element would take several times as
// long. `npx tsc && node scripts/loops.mjs`; a test holds the file to what this returns.

import { writeFileSync } from 'node:fs'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'

const OPERANDS = ['a', 'b', 'c', 'e', 'f']

/** The whole file. */
export function loopsOf(operations) {
  const loops = Object.entries(operations).map(([name, operation]) => loopOf(name, operation))
  const readers = Object.keys(operations).filter((_, k) => loops[k].includes('ints'))
  return `/* Written by scripts/loops.mjs from the formulas of operations.ts. */

import { exp, expNonpositive, log1pUnit, oneMinusTail, pow } from './math.js'

const { fround } = Math

/** An instruction, whose operands are indices into the arrays of a {@link Machine}. */
export interface Step {
  readonly d: number
  readonly a: number
  readonly b: number
  readonly c: number
  readonly e: number
  readonly f: number
}

/** Where the operands of a block are. */
export interface Machine {
  readonly floats: Float32Array[]
  /** The same memory, for selections by masks: a branch on random data is guessed wrong half the time. */
  readonly ints: Int32Array[]
  /** Index of the block's first element. */
  readonly at: number[]
}

export type Loop = (machine: Machine, step: Step, count: number) => void

// What passes between the selections of one formula.
const T = new Float32Array(2)
const TI = new Int32Array(T.buffer)

export const LOOPS = {
${loops.join('\n')}
} as const satisfies Record<string, Loop>

/** The loops that read \`ints\`. */
export const READING_BITS: ReadonlySet<Loop> = new Set<Loop>([
${readers.map((name) => `  LOOPS.${name},`).join('\n')}
])
`
}

function loopOf(name, { operands, formula }) {
  const [, block, expression] = /^\([^)]*\) => (?:\{(.*)\}|(.*))$/s.exec(formula.toString())
  const used = OPERANDS.slice(0, operands)
  const [before, result] = block === undefined ? ['', expression] : /^(.*)return (.*)$/s.exec(block.trim()).slice(1)
  const statements = [before, ...store(result)].map(inSingle).filter((line) => line !== '')
  const isRead = (view) => statements.some((line) => new RegExp(`\\b${view}\\[`).test(line))
  const lines = [`    const { floats, ints, at } = m`, `    const d0 = at[s.d]`]
  for (const operand of ['d', ...used]) {
    const view = operand.toUpperCase()
    if (operand === 'd' ? isRead('D') : new RegExp(`\\b${operand}\\b`).test(statements.join())) {
      lines.push(`    const ${view} = floats[s.${operand}]`)
    }
    if (isRead(`${view}I`)) lines.push(`    const ${view}I = ints[s.${operand}]`)
    if (operand !== 'd') lines.push(`    const ${operand}0 = at[s.${operand}]`)
  }
  if (!isRead('[A-Z]I')) lines[0] = `    const { floats, at } = m`
  lines.push('    for (let k = 0; k < n; k++) {')
  for (const operand of used) {
    // A word that is only selected is not read as a number.
    if (new RegExp(`\\b${operand}\\b`).test(statements.join())) {
      lines.push(`      const ${operand} = ${operand.toUpperCase()}[${operand}0 + k]`)
    }
  }
  lines.push(...statements.map((line) => `      ${line}`), '    }')
  return `  ${name}(m: Machine, s: Step, n: number): void {\n${lines.join('\n')}\n  },`
}

/** Single precision. */
const inSingle = (line) => line.trim().replace(/\br\(/g, 'fround(').replace(/;$/, '')

/** Selections of operands, as masks of bits. */
function store(expression) {
  const whole = /^\(?(?<condition>[^?]*) \? (?<yes>[abcef]) : (?<no>[abcef])\)?$/
  const zero = /^(?<compared>\w) === 0 \? 0 : (?<product>.*)$/.exec(expression)
  if (zero !== null) {
    const { compared, product } = zero.groups
    return [`const keep = -Number(${compared} !== 0)`, `D[d0 + k] = ${product}`, 'DI[d0 + k] &= keep']
  }
  const alone = whole.exec(expression)
  if (alone !== null) return [masked('DI[d0 + k]', alone.groups)]
  const lines = []
  const rest = expression.replace(
    /\(([^()?]*(?:\((?:[^()]|\([^()]*\))*\)[^()?]*)*) \? ([abcef]) : ([abcef])\)/g,
    (_, condition, yes, no) => {
      const at = lines.length
      lines.push(masked(`TI[${at}]`, { condition, yes, no }, at))
      return `T[${at}]`
    },
  )
  return [...lines, `D[d0 + k] = ${rest}`]
}

function masked(to, { condition, yes, no }, at = '') {
  const mask = `-(${condition.includes('|') ? condition : `Number(${condition})`})`
  const word = (operand) => `${operand.toUpperCase()}I[${operand}0 + k]`
  const [first, second] = [word(yes), word(no)]
  return `const mask${at} = ${mask}\n      ${to} = (${first} & mask${at}) | (${second} & ~mask${at})`
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const { OPERATIONS } = await import('../dist/ts/expression/operations.js')
  writeFileSync(new URL('../ts/expression/loops.ts', import.meta.url), loopsOf(OPERATIONS))
}
