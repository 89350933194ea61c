/** docs/article.md: its calls give what its snippets give in PyTorch, and its pictures and tables are what comes out. */

import { execFile } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { plots } from '../examples/plots.js'
import { blocksOf, root, run } from './examples.js'

type Expected = number | readonly number[] | { readonly [name: string]: Expected }

interface Entry {
  readonly section: string
  /** The snippet that gave the numbers. */
  readonly python: string
  /** By the names that the call has for them. */
  readonly expected: { readonly value: number; readonly grad: readonly number[] } & {
    readonly [name: string]: Expected
  }
}

const page = readFileSync(join(root, 'docs', 'article.md'), 'utf8')
const { torch, entries }: { torch: string; entries: readonly Entry[] } = JSON.parse(
  readFileSync(join(root, '__test__', 'fixtures', 'article.json'), 'utf8'),
)

const sections = page
  .split(/^## /m)
  .slice(1)
  .map((text) => ({
    title: text.slice(0, text.indexOf('\n')),
    snippets: blocksOf(text, 'python'),
    calls: blocksOf(text, 'js'),
    pictures: [...text.matchAll(/^!\[[^\]]+\]\(plots\/([^)]+)\)$/gm)].map((match) => match[1]),
  }))
const losses = sections.filter(({ calls }) => calls.length > 0)

/** Largest error that passes, in parts of the largest number of an array. */
const TOLERANCE = 1e-6

/** What is not as expected, and where. */
function problems(what: string, got: unknown, expected: Expected): string[] {
  if (typeof expected === 'object' && !Array.isArray(expected)) {
    const names = Object.keys(expected)
    const others = Object.keys(got as object).filter((name) => !names.includes(name))
    return [
      ...others.map((name) => `${what}.${name} is compared with nothing`),
      ...Object.entries(expected).flatMap(([name, value]) =>
        problems(`${what}.${name}`, (got as Record<string, unknown>)[name], value),
      ),
    ]
  }
  const a = got instanceof Float32Array ? Array.from(got) : [got]
  const b = [expected].flat() as number[]
  if (a.length !== b.length) return [`${what} has ${a.length} elements, not ${b.length}`]
  // Dice is 1 minus a ratio, and the parts of a sum may cancel: their errors do not.
  const largest = Array.isArray(expected) ? Math.max(...b.map(Math.abs)) : Math.max(1, Math.abs(b[0]))
  return b.flatMap((value, i) =>
    Math.abs((a[i] as number) - value) <= TOLERANCE * largest ? [] : [`${what}[${i}] is ${a[i]}, not ${value}`],
  )
}

/** The variables that lines with a call of fused-loss declare. A call whose result has no name could not be compared. */
function resultsOf(code: string): string[] {
  const [, imported] = code.match(/^import \{ (.+) \} from 'fused-loss'$/m)!
  const call = new RegExp(`\\b(?:${imported.replaceAll(', ', '|')})\\b`)
  return code.split('\n').flatMap((line) => {
    // Not in a comment or a text, and not the name of a member, as in `parts.dice`.
    if (line.startsWith('import ') || !call.test(line.replace(/\/\/.*|'[^']*'|\.\w+/g, ''))) return []
    const declared = line.match(/^const (?:\{ (.+?) \}|(\w+)) = /)
    if (!declared) throw new Error(`its result has no name: ${line}`)
    return (declared[1] ?? declared[2]).split(', ')
  })
}

test('each snippet of the page stands beside a call', (t) => {
  const snippets = sections.flatMap(({ title, snippets }) => snippets.map((python) => ({ section: title, python })))
  t.deepEqual(
    snippets,
    entries.map(({ section, python }) => ({ section, python })),
    'docs/article.py has not run on this page',
  )
  for (const { title, snippets, calls } of sections) t.is(calls.length, snippets.length, title)
  t.is(losses.length, 9)
  const fences = page.match(/^```\w+/gm) ?? []
  t.is(fences.length, 2 * entries.length, 'there is code in another language, or before the first section')
})

for (const { title, calls } of losses) {
  test(`${title} is that of PyTorch ${torch}`, async (t) => {
    const rows = entries.filter(({ section }) => section === title)
    t.is(calls.length, rows.length)
    for (const [i, code] of calls.entries()) {
      const names = resultsOf(code)
      const { expected } = rows[i]
      t.deepEqual([...names].sort(), Object.keys(expected).sort(), code)
      const results = await run(`article-${title.replace(/\W+/g, '-')}-${i}`, code, names)
      t.true(results.claims > 0, 'no line says what comes out')
      for (const name of names) t.deepEqual(problems(name, results[name], expected[name]), [])
    }
  })
}

/** Numbers apart from the text around them. */
const split = (svg: string) => {
  const number = /-?\d+(?:\.\d+)?/g
  return { text: svg.trim().replace(number, '#'), numbers: (svg.match(number) ?? []).map(Number) }
}

test('each loss has its picture, as npm run docs:plots draws it', (t) => {
  for (const { title, pictures } of losses) t.is(pictures.length, 1, title)
  const drawn = plots()
  const named = losses.flatMap(({ pictures }) => pictures).sort()
  t.deepEqual([...drawn.keys()].sort(), named)
  t.deepEqual(readdirSync(join(root, 'docs', 'plots')).sort(), named)
  for (const [name, svg] of drawn) {
    const now = split(svg)
    const then = split(readFileSync(join(root, 'docs', 'plots', name), 'utf8'))
    t.true(now.text === then.text, name)
    // Curves are rounded to tenths of a pixel, and the last bits of a loss are others on another backend.
    const apart = now.numbers.filter((x, i) => !(Math.abs(x - then.numbers[i]) < 0.11))
    t.is(apart.length, 0, name)
  }
})

/** The rows of tables, as cells. */
const cellsOf = (text: string) =>
  text
    .split('\n')
    .filter((line) => /^\|(?! -)/.test(line))
    .map((line) =>
      line
        .slice(1, -1)
        .split('|')
        .map((cell) => cell.trim()),
    )

test('the tables of recall are those of npm run example:imbalance', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [join(root, 'dist', 'examples', 'imbalance.js')])
  const shown = cellsOf(page.slice(page.indexOf('## What class weights do')))
  const printed = cellsOf(stdout)
  t.is(printed.length, 8)
  // An image or two may fall otherwise where the last bits of the loss are others: those are parts of a percent.
  const rounded = (rows: string[][], other: string[][]) =>
    rows.map((row, i) => row.map((cell, j) => (Math.abs(Number(cell) - Number(other[i]?.[j])) <= 1 ? 'same' : cell)))
  t.deepEqual(rounded(printed, shown), rounded(shown, printed))
  const captions = stdout.split('\n').filter((line) => /^(Recall|Is it) /.test(line))
  t.is(captions.length, 2)
  for (const caption of captions) t.true(page.includes(caption), caption)
})
