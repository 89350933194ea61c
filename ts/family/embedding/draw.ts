/** What tests, benches and docs draw for losses of pairs of rows. */

import type { EmbeddingDefinition } from '../../definition.js'
import { type Drawing, type Form, ofElements, ofPositions, samplesOf } from '../draw.js'

/** How many numbers a row has. */
const SIZES = [32, 768]

function formOf({ rows, signs, params }: EmbeddingDefinition): Form {
  const arrays = rows.map((name, k) => ofElements(name, 'real', { gradName: k === 0 ? 'grad' : `${name}Grad` }))
  return {
    inputs: signs ? [...arrays, ofPositions('target', 'sign')] : arrays,
    options: {},
    axis: 'row',
    values: 'position',
    arrays: { sampleWeight: 'position', mask: 'position' },
    choices: { ...samplesOf(params), ...(signs && { zeroOne: [false] }) },
  }
}

export const embeddingDrawing: Drawing<EmbeddingDefinition> = {
  group: () => 'of pairs of rows',
  forms: (definition) => [formOf(definition)],
  timed: (definition) => [{ form: formOf(definition), layout: 'rows', lengths: SIZES }],
}
