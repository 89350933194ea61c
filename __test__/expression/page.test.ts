/** The pages on expressions: their examples run, and the reference names every builder. */

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import * as expressions from '../../ts/expression/index.js'
import { blocksOf, root, run } from '../examples.js'

const read = (name: string) => readFileSync(join(root, 'docs', name), 'utf8')

for (const name of ['expressions', 'your-own-loss']) {
  test(`the examples of ${name} run as pasted`, async (t) => {
    const blocks = blocksOf(read(`${name}.md`), 'js|ts')
    t.true(blocks.length > 0)
    for (const [i, code] of blocks.entries()) {
      const isShown = /^const shown =/m.test(code)
      t.true(isShown || (await run(`${name}-${i}`, code)).claims > 0, code)
    }
  })
}

test('what a page shows as text is what its example has', async (t) => {
  const page = read('your-own-loss.md')
  const pairs = [...page.matchAll(/^```js\n((?:(?!```)[\s\S])*)```\n\n```text\n([\s\S]*?)^```/gm)]
  t.true(pairs.length > 0)
  for (const [i, [, code, text]] of pairs.entries()) {
    t.is((await run(`shown-${i}`, code, ['shown'])).shown, text.trimEnd())
  }
})

test('the reference names all that the package exports', (t) => {
  for (const name of Object.keys(expressions)) t.regex(read('expressions.md'), new RegExp(`\`${name}\\b`), name)
})

test('the reference names the options that no parameter may be called by', (t) => {
  const page = read('expressions.md')
  const [, list] = /option of every loss: ([^.]*)\./.exec(page)!
  const named = [...list.matchAll(/`(\w+)`/g)].map(([, name]) => name)
  const refused = (name: string) => () =>
    expressions.defineLoss({
      name: 'own',
      inputs: { x: expressions.input },
      params: { [name]: 1 },
      loss: ({ x }) => x,
    })
  const error = t.throws(refused('mask'))
  const [, all] = /as (.*) are$/.exec(error!.message)!
  t.deepEqual(named.sort(), all.split(', ').sort())
  for (const name of named) t.throws(refused(name), { message: /must have another name/ })
})
