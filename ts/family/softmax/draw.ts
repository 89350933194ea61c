/** What tests, benches and docs draw for losses of classes. */

import type { SoftmaxDefinition } from '../../definition.js'
import { type Drawing, type Form, MODERATE, ofElements, ofPositions, samplesOf } from '../draw.js'

/** Numbers of classes of a row, and of planes. */
const ROWS = [10, 1000]
export const PLANES = [21]

/** The options of a loss that are not those of every loss of classes. */
export function ownChoices({ params, alpha }: SoftmaxDefinition): Pick<Form, 'arrays' | 'choices'> {
  return {
    arrays: alpha ? { alpha: 'class' } : {},
    choices: { ...samplesOf(params), ...(alpha && { alpha: [0.5, null] }) },
  }
}

/** With each kind of target. */
function forms(definition: SoftmaxDefinition): readonly [Form, ...Form[]] {
  const { kind } = definition
  const own = ownChoices(definition)
  const temperature = [0.5, 1, 3]
  const form = {
    options: {},
    axis: 'class',
    classes: [1, Number.POSITIVE_INFINITY],
    values: 'position',
    arrays: { sampleWeight: 'position', mask: 'position', ...own.arrays },
    choices: { classAxis: [1], ...own.choices },
  } as const
  const values = kind === 'logProbabilities' ? 'logProbability' : 'real'
  const input = ofElements('input', values, { gradName: 'grad' })
  if (kind === 'teacher') {
    const target = ofElements('target', 'real', { gradName: 'targetGrad' })
    return [{ ...form, inputs: [input, target], choices: { ...form.choices, temperature } }]
  }
  const labels: Form = {
    ...form,
    inputs: [input, ofPositions('target', 'label')],
    arrays: { weight: 'class', ...form.arrays },
    choices: {
      ...form.choices,
      ...(kind === 'scores' && { labelSmoothing: [0, 0.1, 1], temperature }),
      ignoreIndex: [1, [1, -100]],
    },
  }
  if (kind === 'logProbabilities') return [labels]
  const { ignoreIndex, ...choices } = labels.choices
  return [labels, { ...labels, inputs: [input, ofElements('target', 'share', { gradName: 'targetGrad' })], choices }]
}

export const softmaxDrawing: Drawing<SoftmaxDefinition> = {
  group: () => 'of classes',
  forms,
  timed(definition) {
    const [form, distribution] = forms(definition)
    const rows = { form, layout: 'rows', lengths: ROWS } as const
    if (distribution === undefined) return [rows]
    return [
      rows,
      { title: 'axis 1', form, layout: 'planes', lengths: PLANES },
      { ...rows, title: 'distribution', form: distribution },
    ]
  },
  bounds: () => MODERATE,
}
