/**
 * `npm run bench:counts`: instructions per element of value and gradient, as valgrind counts them. Unlike times they are the
 * same from run to run, on a busy machine too.
 */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { fail } from './options.js'

/** Elements of a run, in whole calls. A run of half as many takes the start of the process out of the count. */
const ELEMENTS = 204_800

const VALGRIND = 'valgrind --tool=callgrind --callgrind-out-file=/dev/null'

if (spawnSync('valgrind', ['--version']).status !== 0) {
  fail("valgrind was not found: install the package 'valgrind', such as with apt-get install valgrind")
}
const levels = ['scalar', process.arch === 'arm64' ? 'neon' : 'avx2']
const losses = count([]).stdout.trim().split('\n')
const table = new Table({ head: ['loss', ...levels], colAligns: ['left', 'right', 'right'], style: { head: [] } })
for (const loss of losses) table.push([loss, ...levels.map((level) => perElement(loss, level).toFixed(2))])
console.log(table.toString())
console.log('Instructions per element of value and gradient; losses over classes have 10.')

function perElement(loss: string, level: string): number {
  return (instructions(loss, level, ELEMENTS) - instructions(loss, level, ELEMENTS / 2)) / (ELEMENTS / 2)
}

function instructions(loss: string, level: string, elements: number): number {
  const { stderr } = count(['--config', `target.'cfg(all())'.runner='${VALGRIND}'`], [loss, level, `${elements}`])
  const found = /Collected\s*:\s*(\d+)/.exec(stderr)
  return found ? Number(found[1]) : fail(`valgrind counted nothing for ${loss} with ${level}: ${stderr}`)
}

function count(config: readonly string[], args: readonly string[] = []) {
  const example = ['run', '--release', '--quiet', '--locked', '-p', 'fused-loss-core', '--example', 'count']
  const root = fileURLToPath(new URL('../../', import.meta.url))
  const run = spawnSync('cargo', [...config, ...example, '--', ...args], { cwd: root, encoding: 'utf8' })
  return run.status === 0 ? run : fail(run.stderr || `${run.error?.message}`)
}
