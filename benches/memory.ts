/**
 * `npm run bench:memory`: by how much the process grows at its peak, beyond the caller's arrays, in one call for value and
 * gradient of 64 million elements. Fails where it is more than 4 MB for each thread that the machine has.
 */

import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import type { Types } from './data.js'

const ELEMENTS = 64_000_000
const ALLOWED = 4 * availableParallelism()

const script = fileURLToPath(new URL('memoryCase.js', import.meta.url))
const table = new Table({
  head: ['loss', 'target and mask', 'MB at the peak'],
  colAligns: ['left', 'left', 'right'],
  style: { head: [] },
})
const bytes: Types = { target: 'Uint8Array' }
const wide: Types = { target: 'BigInt64Array' }
const mask: Types = { mask: true }
const cases: readonly { loss: string; classes?: number; types?: Types }[] = [
  { loss: 'mse' },
  { loss: 'mse', types: mask },
  { loss: 'bceWithLogits' },
  { loss: 'bceWithLogits', types: bytes },
  { loss: 'bceWithLogits', types: { ...wide, ...mask } },
  { loss: 'crossEntropy', classes: 1000 },
  { loss: 'crossEntropy', classes: 2, types: bytes },
  { loss: 'crossEntropy', classes: 2, types: { ...wide, ...mask } },
  { loss: 'crossEntropy distribution', classes: 2, types: mask },
  { loss: 'dice sigmoid' },
  { loss: 'dice sigmoid', types: { ...bytes, ...mask } },
  { loss: 'dice softmax', classes: 21, types: bytes },
  { loss: 'bceDice', types: bytes },
]
for (const { loss, classes, types = {} } of cases) {
  const elements = ELEMENTS - (ELEMENTS % (classes ?? 1))
  const given = JSON.stringify({ loss, elements, ...(classes && { classes }), types })
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, given], {
    env: { ...process.env, FUSED_LOSS_BACKEND: 'native' },
    encoding: 'utf8',
  })
  if (status !== 0) {
    console.error(`bench:memory: ${loss}: ${stderr || `ended with ${signal ?? status}`}`)
    process.exit(1)
  }
  const megabytes = Number(stdout) / 2 ** 20
  if (megabytes > ALLOWED) process.exitCode = 1
  table.push([loss, [types.target, types.mask && 'mask'].filter(Boolean).join(', '), megabytes.toFixed(2)])
}
console.log(table.toString())
console.log(
  `Beyond the caller's arrays; ${process.exitCode ? 'more than' : 'within'} the ${ALLOWED} MB that are allowed.`,
)
