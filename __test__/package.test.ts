/** What npm packs: whoever reads the README in the package, or on the page of the registry, finds what it links to. */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import test from 'ava'
import { root } from './examples.js'

/** The paths of all files that `npm pack` would put into the package. */
function packed(): ReadonlySet<string> {
  const windows = process.platform === 'win32'
  const args = ['pack', '--dry-run', '--json', '--ignore-scripts']
  const { stdout, stderr, status } = spawnSync('npm', args, { cwd: root, encoding: 'utf8', shell: windows })
  if (status !== 0) throw new Error(stderr)
  const [{ files }] = JSON.parse(stdout) as [{ files: { path: string }[] }]
  return new Set(files.map(({ path }) => path))
}

/** The files that a page links to, or shows as pictures, in Markdown or HTML, as paths from the root of the package. */
function linksOf(page: string, text: string): string[] {
  // Code is no link, though it may look like one.
  const prose = text.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, 'code')
  const found = [
    ...prose.matchAll(/\]\(\s*<?([^)\s>]*)/g),
    ...prose.matchAll(/^\s*\[[^\]]+\]:\s*<?(\S+?)>?\s*$/gm),
    ...prose.matchAll(/\b(?:href|src)=["']([^"']*)["']/g),
  ].map(([, link]) => link.replace(/#.*$/, ''))
  const relative = found.filter((link) => link !== '' && !/^[a-z][a-z0-9+.-]*:/i.test(link))
  return relative.map((link) => posix.normalize(posix.join(posix.dirname(page), link)))
}

/** The modules that one imports, itself among them, as paths from the root of the package. */
function reachedFrom(entry: string): ReadonlySet<string> {
  const reached = new Set([entry])
  // A set is walked with what is added meanwhile.
  for (const path of reached) {
    const text = readFileSync(join(root, path), 'utf8')
    for (const [, from] of text.matchAll(/(?:from|import\(?)\s*['"](\.[^'"]*)['"]/g)) {
      const module = posix.join(posix.dirname(path), from)
      reached.add(path.endsWith('.d.ts') ? module.replace(/\.js$/, '.d.ts') : module)
    }
  }
  return reached
}

test('the links of a page', (t) => {
  const page = [
    'See [a](a.md#part), ![picture](../b.svg "title"), [c](https://example.org/c.md), [d](#d) and [e][1].',
    '`[none](none.md)` <img src="f.svg"> <a href=\'mailto:someone@example.org\'>g</a>',
    '```js',
    'call[0](none.js)',
    '```',
    '[1]: e.md',
  ].join('\n')
  t.deepEqual(linksOf('docs/page.md', page).sort(), ['b.svg', 'docs/a.md', 'docs/e.md', 'docs/f.svg'])
})

test('no link of the README or of a page of docs leads out of the package', (t) => {
  const files = packed()
  // CONTRIBUTING.md is about a clone, and links to its files.
  const pages = [...files].filter((path) => path === 'README.md' || /^docs\/.*\.md$/.test(path))
  t.true(pages.includes('README.md') && pages.includes('docs/article.md'))
  for (const page of pages) {
    const links = linksOf(page, readFileSync(join(root, page), 'utf8'))
    t.true(links.length > 0, page)
    t.deepEqual(
      links.filter((link) => !files.has(link)),
      [],
      `${page}: these are not in the package`,
    )
  }
})

test('what the package names as its entries is in it', (t) => {
  const files = packed()
  const { exports, types } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const entry of [types, exports['.'].types, exports['.'].default, exports['./package.json']]) {
    t.true(files.has(posix.normalize(entry)), entry)
  }
  t.true(files.has('LICENSE'))
  t.false([...files].some((path) => /^(__test__|benches|crate|dist\/__test__)\//.test(path)))
})

test('what is drawn for tests is in no package, and no entry imports it', (t) => {
  const isDrawn = (path: string) => /(^|\/)draws?\.[\w.]+$/.test(path)
  t.true(isDrawn('ts/draws.ts') && isDrawn('dist/ts/family/region/draw.d.ts') && !isDrawn('docs/drawn.ts'))
  t.deepEqual([...packed()].filter(isDrawn), [])
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const entry of [exports['.'], exports['./expression']].flatMap(({ types, default: code }) => [types, code])) {
    const reached = reachedFrom(posix.normalize(entry))
    t.true(reached.size > 10, entry)
    t.deepEqual([...reached].filter(isDrawn), [], entry)
  }
})
