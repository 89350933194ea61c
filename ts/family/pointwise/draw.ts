/** What tests, benches and docs draw for losses of an element. */

import { active } from '../../backend/load.js'
import { everything } from '../../call/marks.js'
import { pointwiseKind } from '../../call/pointwise.js'
import type { PointwiseDefinition } from '../../definition.js'
import { type Drawing, type Form, MODERATE, ofElements, samplesOf } from '../draw.js'

/** The options of a loss that are not those of every loss of an element. */
export function ownChoices({ params, aux }: PointwiseDefinition): Pick<Form, 'arrays' | 'choices'> {
  return {
    arrays: aux === undefined ? {} : { [aux.name]: 'class' },
    choices: { ...samplesOf(params), ...(aux && { [aux.name]: aux.samples, classAxis: [1] }) },
  }
}

/** With the defaults, and with each option that says what targets are. */
function forms(definition: PointwiseDefinition): readonly Form[] {
  const { domain, params } = definition
  const own = ownChoices(definition)
  const form: Form = {
    inputs: [
      ofElements('input', domain.input, { gradName: 'grad' }),
      ofElements('target', domain.target, {
        gradName: 'targetGrad',
        ...(domain.target === 'probability' && { bits: true }),
      }),
    ],
    options: {},
    values: 'element',
    arrays: { weight: 'element', sampleWeight: 'position', mask: 'position', ...own.arrays },
    choices: own.choices,
  }
  const flagged = Object.entries(params).flatMap(([name, param]): Form[] => {
    if (!('target' in param)) return []
    const target = ofElements('target', param.target, { gradName: 'targetGrad' })
    const { [name]: _, ...choices } = form.choices
    return [{ ...form, inputs: [form.inputs[0], target], options: { [name]: true }, choices }]
  })
  return [form, ...flagged]
}

export const pointwiseDrawing: Drawing<PointwiseDefinition> = {
  group: () => 'of an element',
  forms,
  timed(definition) {
    const [form] = forms(definition)
    if (!('gamma' in definition.params)) return [{ form }]
    // Powers of 2 have a loop of their own.
    return [{ form }, { title: 'gamma 1.5', form, options: { gamma: 1.5 } }]
  },
  bounds: () => MODERATE,
  kernel(definition, x, t, dx) {
    const [p0 = 0, p1 = 0] = Object.values(definition.params).map((param) => param.default)
    const aux = definition.aux?.default ?? 0
    const scale = 1 / x.length
    const kernels = active
    const { name: loss } = definition
    return () => {
      const call = { kind: pointwiseKind, loss, definition, marks: everything, x, t, dx, scale, p0, p1, aux }
      return kernels.run({ ...call, extra: undefined })
    }
  },
}
