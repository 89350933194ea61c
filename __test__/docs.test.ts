/** What the documentation says is true: its examples run, and what they say after an arrow is what comes out. */

import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import test from 'ava'
import { definitionOf } from '../ts/family/loss.js'
import * as library from '../ts/index.js'
import { version } from '../ts/version.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
// Inside the package, so that the examples import it by its own name.
const folder = join(root, 'dist', '__test__', 'examples')

/** TypeScript sources below a folder. */
const sources = (folder: string) =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name))

/** The code of `@example` blocks. */
function examplesOf(source: string): string[] {
  const blocks = source.match(/\/\*\*[\s\S]*?\*\//g) ?? []
  return blocks.flatMap((block) => {
    const text = block.replace(/^\s*\/?\*+\/?[ ]?/gm, '')
    return [...text.matchAll(/@example\n([\s\S]*?)(?=\n@|$)/g)].map((match) => match[1])
  })
}

/** `expression // → value` becomes a comparison. */
function runnable(code: string): string {
  const lines = code.split('\n').map((line) => {
    const claim = line.match(/^(.*\S)\s*\/\/ → (.*)$/)
    return claim ? `check(${claim[1]}, ${claim[2]}, ${JSON.stringify(line)})` : line
  })
  return `import assert from 'node:assert'
export let claims = 0
const check = (got, expected, line) => {
  claims++
  assert.deepStrictEqual(ArrayBuffer.isView(got) ? Array.from(got, (v) => v + 0) : got, expected, line)
}
${lines.join('\n')}
`
}

async function claimsOf(name: string, code: string): Promise<number> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}.mjs`)
  writeFileSync(file, runnable(code))
  return (await import(pathToFileURL(file).href)).claims
}

for (const [name, loss] of Object.entries(library)) {
  if (definitionOf(loss) === undefined) continue
  test(`the documentation of ${name}`, async (t) => {
    const source = readFileSync(join(root, 'ts', 'loss', `${name}.ts`), 'utf8')
    const examples = examplesOf(source)
    t.true(examples.length > 0, 'has no @example')
    t.regex(source, /@throws/)
    t.regex(source, /@see/)
    let claims = 0
    for (const [i, code] of examples.entries()) claims += await claimsOf(`${name}-${i}`, code)
    t.true(claims > 0, 'no line says what comes out')
  })
}

test('the other examples of the sources run', async (t) => {
  let count = 0
  for (const file of sources(join(root, 'ts'))) {
    if (dirname(file).endsWith('loss')) continue
    for (const code of examplesOf(readFileSync(file, 'utf8'))) await claimsOf(`other-${count++}`, code)
  }
  t.true(count > 0)
})

test('the examples of the README run as pasted', async (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/```(?:js|ts)\n([\s\S]*?)```/g)].map((match) => match[1])
  t.true(blocks.length > 0)
  let claims = 0
  for (const [i, code] of blocks.entries()) claims += await claimsOf(`readme-${i}`, code)
  t.true(claims > 0)
})

test('the README lists every loss', (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const listed = [...readme.matchAll(/^\| `(\w+)` `\(/gm)].map((match) => match[1])
  const losses = Object.entries(library).flatMap(([name, loss]) => (definitionOf(loss) ? [name] : []))
  t.deepEqual(listed.sort(), losses.sort())
})

test('files that the README and CONTRIBUTING name are there', (t) => {
  for (const page of ['README.md', 'CONTRIBUTING.md']) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, path] of text.matchAll(/\]\(([^)#:]+)\)/g)) t.true(existsSync(join(root, path)), `${page}: ${path}`)
  }
})

test('one version everywhere', (t) => {
  t.is(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version, version)
  t.is(readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/^version = "(.*)"/m)?.[1], version)
})
