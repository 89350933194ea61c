/** `npm run bench:sizes`: kilobytes of what is compiled, and of what a download of it takes (gzip, level 9). */

import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { terminalTable } from './report.js'

const dist = fileURLToPath(new URL('../', import.meta.url))

const compiled = ['native', 'wasm'].flatMap((folder) =>
  readdirSync(join(dist, folder), { recursive: true })
    .map((name) => join(dist, folder, String(name)))
    .filter((file) => ['.node', '.wasm'].includes(extname(file)))
    .map((file) => ({ name: relative(dist, file), bytes: readFileSync(file) })),
)
// The package leaves out what is drawn for tests.
const scripts = readdirSync(join(dist, 'ts'), { recursive: true })
  .map((name) => join(dist, 'ts', String(name)))
  .filter((file) => extname(file) === '.js' && !/\bdraws?\.js$/.test(file))
const code = { name: 'ts, JavaScript', bytes: Buffer.concat(scripts.map((file) => readFileSync(file))) }

const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)}`
const rows = [...compiled, code].map(({ name, bytes }) => [
  name,
  kilobytes(bytes.length),
  kilobytes(gzipSync(bytes, { level: 9 }).length),
])
console.log(terminalTable({ head: ['file', 'KB', 'compressed'], rows }))
