/**
 * `npm run bench:memory`: by how much the process grows at its peak, beyond the caller's arrays, in one call for value and
 * gradient of 64 million elements. Fails where it is more than 4 MB for each thread that the machine has.
 */

import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const ELEMENTS = 64_000_000
const ALLOWED = 4 * availableParallelism()

const script = fileURLToPath(new URL('memoryCase.js', import.meta.url))
const table = new Table({ head: ['loss', 'MB at the peak'], colAligns: ['left', 'right'], style: { head: [] } })
for (const [loss, classes] of [['mse'], ['bceWithLogits'], ['crossEntropy', 1000], ['dice sigmoid']] as const) {
  const size = classes === undefined ? { elements: ELEMENTS } : { elements: ELEMENTS, classes }
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, [script, JSON.stringify({ loss, ...size })], {
    env: { ...process.env, FUSED_LOSS_BACKEND: 'native' },
    encoding: 'utf8',
  })
  if (status !== 0) {
    console.error(`bench:memory: ${loss}: ${stderr || `ended with ${signal ?? status}`}`)
    process.exit(1)
  }
  const megabytes = Number(stdout) / 2 ** 20
  if (megabytes > ALLOWED) process.exitCode = 1
  table.push([loss, megabytes.toFixed(2)])
}
console.log(table.toString())
console.log(
  `Beyond the caller's arrays; ${process.exitCode ? 'more than' : 'within'} the ${ALLOWED} MB that are allowed.`,
)
