/** The README's table of losses, from the losses themselves: `node scripts/losses.mjs` writes it. */

import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = new URL('../', import.meta.url)
const readme = new URL('README.md', root)
const [start, end] = ['<!-- losses: written by npm run docs:losses -->', '<!-- /losses -->']

/** The table as Markdown. */
export async function table() {
  const library = await import(new URL('dist/ts/index.js', root).href)
  const { commonOptions } = await import(new URL('dist/ts/family/loss.js', root).href)
  const { optionsOf } = await import(new URL('dist/ts/family/inside.js', root).href)
  const { definitionOf } = await import(new URL('dist/ts/definitions.js', root).href)
  const { drawingOf, families } = await import(new URL('dist/ts/draws.js', root).href)
  const rows = Object.values(library).flatMap((loss) => {
    const definition = definitionOf(loss)
    if (definition === undefined) return []
    const { name, family } = definition
    const group = drawingOf(definition).group(definition)
    const options = [...optionsOf(loss)]
      .filter((option) => !commonOptions.includes(option))
      .map((name) => `\`${name}\``)
    return [{ name, family, group, meaning: sentence(name), options: options.join(', ') }]
  })
  // In the order of the families, but losses of two of them may be of one group.
  const groups = new Set(
    families.flatMap((family) => rows.flatMap((row) => (row.family === family ? [row.group] : []))),
  )
  const lines = [...groups].flatMap((group) => {
    const own = rows.filter((row) => row.group === group)
    return own.map(({ name, meaning, options }, i) => {
      const cells = [i === 0 ? group : '', `[\`${name}\`](ts/loss/${name}.ts)`, meaning, options]
      return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
    })
  })
  return [
    '|  | loss | value | options beside the [common ones](#calling-a-loss) |',
    '| - | - | - | - |',
    ...lines,
  ].join('\n')
}

/** The first sentence of a loss's documentation. */
function sentence(name) {
  const source = readFileSync(new URL(`ts/loss/${name}.ts`, root), 'utf8')
  const [, text] = source.match(new RegExp(`/\\*\\*\\n((?: \\*.*\\n)+?) \\*/\\nexport const ${name}:`))
  const paragraph = text
    .split('\n *\n')[0]
    .replace(/^ \* ?/gm, '')
    .replaceAll('\n', ' ')
  return paragraph.match(/^.*?\.(?= |$)/)[0].slice(0, -1)
}

/** What stands between the markers. */
export function written() {
  const text = readFileSync(readme, 'utf8')
  return text.slice(text.indexOf(start) + start.length, text.indexOf(end))
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const text = readFileSync(readme, 'utf8')
  const [before, after] = [text.slice(0, text.indexOf(start) + start.length), text.slice(text.indexOf(end))]
  writeFileSync(fileURLToPath(readme), `${before}\n\n${await table()}\n\n${after}`)
}
