/** What caches and memory allow on one thread: a bare loop that reads and writes as many bytes as a loss. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** How many arrays of the input's length a call reads and writes. */
export interface Traffic {
  readonly reads: number
  readonly writes: number
}

interface Line extends Traffic {
  readonly elements: number
  readonly ns: number
}

/** Nanoseconds per element, for the sizes that were measured. */
export type Limit = (elements: number, traffic: Traffic) => number | undefined

/** Throws where the loop cannot be built, such as without cargo. */
export function measureLimit(sizes: readonly number[]): Limit {
  const example = ['run', '--release', '--quiet', '--locked', '-p', 'fused-loss-core', '--example', 'limit']
  const cwd = fileURLToPath(new URL('../../', import.meta.url))
  const run = spawnSync('cargo', [...example, '--', ...sizes.map(String)], { cwd, encoding: 'utf8' })
  if (run.status !== 0) throw run.error ?? new Error(run.stderr)
  const lines: readonly Line[] = run.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  const key = (elements: number, { reads, writes }: Traffic) => `${elements} ${reads} ${writes}`
  const limits = new Map(lines.map((line) => [key(line.elements, line), line.ns]))
  return (elements, traffic) => limits.get(key(elements, traffic))
}
