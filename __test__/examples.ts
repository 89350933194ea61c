/** Runs the code that the documentation shows. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const root = fileURLToPath(new URL('../..', import.meta.url))
// Inside the package, so that the examples import it by its own name.
const folder = join(root, 'dist', '__test__', 'examples')

/** The blocks of code in a page. Languages are separated by `|`. */
export const blocksOf = (page: string, languages: string) =>
  [...page.matchAll(new RegExp(`^\`\`\`(?:${languages})\n([\\s\\S]*?)^\`\`\``, 'gm'))].map((match) => match[1])

/** `expression // → value` becomes a comparison. */
function runnable(code: string, names: readonly string[]): string {
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
export { ${names.join(', ')} }
`
}

/** Runs code, and returns how many claims held and what those of its variables are that `names` has. */
export async function run(
  name: string,
  code: string,
  names: readonly string[] = [],
): Promise<{ readonly claims: number; readonly [name: string]: unknown }> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${name}.mjs`)
  writeFileSync(file, runnable(code, names))
  return import(pathToFileURL(file).href)
}
