// Builds what changed: the addon, the WebAssembly module, the compiled TypeScript. `npm run build` runs it, and so do
// `npm start`, `npm test` and `npm run bench` before they begin.

import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
process.chdir(root)
