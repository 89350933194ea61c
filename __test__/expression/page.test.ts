/** The page on expressions: its examples run, and it names every builder. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import * as expressions from '../../ts/expression/index.js'
import { blocksOf, root, run } from '../examples.js'

const page = readFileSync(join(root, 'docs', 'expressions.md'), 'utf8')

test('its examples run as pasted', async (t) => {
  const blocks = blocksOf(page, 'js|ts')
  t.true(blocks.length > 0)
  for (const [i, code] of blocks.entries()) t.true((await run(`expressions-${i}`, code)).claims > 0)
})

test('it names all that the package exports', (t) => {
  for (const name of Object.keys(expressions)) t.regex(page, new RegExp(`\`${name}\\b`), name)
})
