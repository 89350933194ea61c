/** What tests, benches and docs draw for losses of rows. */

import type { EmbeddingDefinition } from '../../definition.js'
import { type Drawing, type Form, ofElements, ofPositions, samplesOf } from '../draw.js'

/** How many numbers a row has. */
const SIZES = [32, 768]

/** Those that are true or false go with any arguments. */
function flagsOf(params: EmbeddingDefinition['params']): Record<string, readonly boolean[]> {
  const flags = Object.entries(params).filter(([, param]) => !('samples' in param) && !('words' in param))
  return Object.fromEntries(flags.map(([name]) => [name, [true, false]]))
}

function formOf({ rows, signs, params }: EmbeddingDefinition): Form {
  const arrays = rows.map((name, k) => ofElements(name, 'real', { gradName: k === 0 ? 'grad' : `${name}Grad` }))
  return {
    inputs: signs ? [...arrays, ofPositions('target', 'sign')] : arrays,
    options: {},
    axis: 'row',
    values: 'position',
    arrays: { sampleWeight: 'position', mask: 'position' },
    choices: { ...samplesOf(params), ...flagsOf(params), ...(signs && { zeroOne: [false] }) },
  }
}

export const embeddingDrawing: Drawing<EmbeddingDefinition> = {
  group: () => 'of rows',
  forms: (definition) => [formOf(definition)],
  // A direction changes the more the shorter the row is, where every row but 0 has one.
  bounds: () => [1e-30, 1e30],
  timed: (definition) => [{ form: formOf(definition), layout: 'rows', lengths: SIZES }],
}
