/** Writes the pictures of docs/article.md. Needs the build. */

import { mkdirSync, writeFileSync } from 'node:fs'
import { plots } from '../dist/examples/plots.js'

const folder = new URL('../docs/plots/', import.meta.url)
mkdirSync(folder, { recursive: true })
for (const [name, svg] of plots()) writeFileSync(new URL(name, folder), `${svg}\n`)
