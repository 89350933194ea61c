/** What the documentation says is true: its examples run, and what they say after an arrow is what comes out. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import test from 'ava'
import { definitionOf } from '../ts/definitions.js'
import * as library from '../ts/index.js'
import { version } from '../ts/version.js'
import { blocksOf, root, run } from './examples.js'

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

for (const [name, loss] of Object.entries(library)) {
  if (definitionOf(loss) === undefined) continue
  test(`the documentation of ${name}`, async (t) => {
    const source = readFileSync(join(root, 'ts', 'loss', `${name}.ts`), 'utf8')
    const examples = examplesOf(source)
    t.true(examples.length > 0, 'has no @example')
    t.regex(source, /@throws/)
    t.regex(source, /@see/)
    let claims = 0
    for (const [i, code] of examples.entries()) claims += (await run(`${name}-${i}`, code)).claims
    t.true(claims > 0, 'no line says what comes out')
  })
}

test('the other examples of the sources run', async (t) => {
  let count = 0
  for (const file of sources(join(root, 'ts'))) {
    if (dirname(file).endsWith('loss')) continue
    for (const code of examplesOf(readFileSync(file, 'utf8'))) await run(`other-${count++}`, code)
  }
  t.true(count > 0)
})

test('the examples of the README run as pasted', async (t) => {
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  const blocks = blocksOf(readme, 'js|ts')
  t.true(blocks.length > 0)
  let claims = 0
  for (const [i, code] of blocks.entries()) claims += (await run(`readme-${i}`, code)).claims
  t.true(claims > 0)
})

test('the table of losses in the README is that of the losses', async (t) => {
  const { table, written } = await import(new URL('../../scripts/losses.mjs', import.meta.url).href)
  // The formatter pads the cells.
  const plain = (text: string) => text.replace(/ +/g, ' ').replace(/-+/g, '-').trim()
  t.is(plain(written()), plain(await table()), 'npm run docs:losses writes it')
  for (const [name, loss] of Object.entries(library)) {
    if (definitionOf(loss) !== undefined) t.true(written().includes(`[\`${name}\`]`), name)
  }
})

test('what the pages link to is there', (t) => {
  const docs = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  const anchorsOf = (text: string) =>
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    )
  for (const page of ['README.md', 'CONTRIBUTING.md', ...docs.map((name) => join('docs', name))]) {
    const text = readFileSync(join(root, page), 'utf8')
    for (const [, path, anchor] of text.matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)) {
      const file = path === '' ? join(root, page) : join(root, dirname(page), path)
      t.true(existsSync(file), `${page}: ${path}`)
      if (anchor !== undefined) t.true(anchorsOf(readFileSync(file, 'utf8')).includes(anchor), `${page}: #${anchor}`)
    }
  }
})

test('one version everywhere', (t) => {
  t.is(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version, version)
  t.is(readFileSync(join(root, 'Cargo.toml'), 'utf8').match(/^version = "(.*)"/m)?.[1], version)
})
