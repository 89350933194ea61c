/**
 * `npm run bench:expressions`: value and gradient of losses as programs, beside the kernels written by hand for the same
 * losses, by turns in one process for each case, on one thread.
 *
 *     --loss mse,huber           only these losses
 *     --backend native,wasm      only these backends
 *     --size 16384               numbers of elements
 *     --sets avx2,scalar         these instruction sets of native, not only the best
 *     --time 2                   seconds for each case
 */

import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { ask } from './child.js'
import type { ExpressionCase, ExpressionName, ExpressionTimes } from './expressionCase.js'
import { fail, integersOf, listOf, positiveOf } from './options.js'

const LOSSES: readonly ExpressionName[] = ['mse', 'huber', 'bceWithLogits', 'sigmoidFocal']
const BACKENDS = ['native', 'wasm', 'ts'] as const

const { values } = parseArgs({
  options: {
    loss: { type: 'string' },
    backend: { type: 'string', default: 'native,wasm' },
    size: { type: 'string', default: '16384,4194304' },
    sets: { type: 'string' },
    time: { type: 'string', default: '1' },
  },
})
const script = fileURLToPath(new URL('expressionCase.js', import.meta.url))
const table = new Table({
  head: ['loss', 'backend', 'elements', 'kernel, ns', 'program, ns', 'ratio'],
  colAligns: ['left', 'left', 'right', 'right', 'right', 'right'],
  style: { head: [] },
})
for (const backend of listOf('backend', values.backend, BACKENDS)) {
  const sets = backend === 'native' ? (values.sets?.split(',') ?? [undefined]) : [undefined]
  for (const instructionSet of sets) {
    for (const elements of integersOf('size', values.size, 1)) {
      for (const loss of listOf('loss', values.loss, LOSSES)) {
        const seconds = positiveOf('time', values.time)
        const given: ExpressionCase = { loss, elements, seconds, instructionSet }
        const times = ask<ExpressionTimes>(process.execPath, [script, JSON.stringify(given)], {
          FUSED_LOSS_BACKEND: backend,
        })
        if (typeof times === 'string') fail(`${loss}, ${backend}: ${times}`)
        const { kernel, program } = times
        const numbers = [kernel, program, program / kernel].map((n) => n.toFixed(2))
        table.push([loss, instructionSet ?? backend, elements, ...numbers])
      }
    }
  }
}
console.log(table.toString())
