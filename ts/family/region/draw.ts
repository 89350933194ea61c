/** What tests, benches and docs draw for losses of planes. */

import type { Activation } from '../../call/region.js'
import { activations } from '../../call/region.js'
import { type Drawing, type Form, MODERATE, ofElements, ofPositions, samplesOf } from '../draw.js'
import * as pointwise from '../pointwise/draw.js'
import * as softmax from '../softmax/draw.js'
import type { CompoundDefinition, RegionDefinition } from './definition.js'

const arrays = { weight: 'class', sampleWeight: 'sample', mask: 'position' } as const
const choices = {
  smoothNr: [1e-5, 1.5],
  smoothDr: [1e-5, 1.5],
  batch: [false, true],
  emptyClass: ['zero', 'skip'],
}

/** By the activation, of one channel and of several, with each kind of target. */
function formsBy(activation: Activation, form: Pick<Form, 'options' | 'values' | 'arrays' | 'choices'>): Form[] {
  const input = ofElements('input', activation === 'none' ? 'probability' : 'real', { gradName: 'grad' })
  const shares = { ...(form.values !== undefined && { gradName: 'targetGrad' }), bits: true } as const
  const several: Form = {
    ...form,
    inputs: [input, ofPositions('target', 'label')],
    axis: 'class',
    classes: [2, Number.POSITIVE_INFINITY],
    choices: { ...form.choices, classAxis: [1], includeBackground: [true, false], ignoreIndex: [1, [1, -100]] },
  }
  const { ignoreIndex, ...others } = several.choices
  const dense: Form = { ...several, inputs: [input, ofElements('target', 'share', shares)], choices: others }
  if (activation === 'softmax') return [several, dense]
  const one: Form = {
    ...several,
    inputs: [input, ofElements('target', 'probability', shares)],
    classes: [1, 1],
    choices: { ...others, includeBackground: [true] },
  }
  return [one, several, dense]
}

function regionForms(definition: RegionDefinition): readonly Form[] {
  return activations.flatMap((activation) =>
    formsBy(activation, {
      options: activation === 'none' ? {} : { activation },
      values: definition.joint ? 'sample' : 'plane',
      arrays,
      choices: {
        ...choices,
        ...samplesOf(definition.params),
        ...(definition.squared && { squaredPred: [false, true] }),
        // Probabilities are scores too.
        ...(activation === 'none' && { activation: ['none', 'sigmoid'] }),
      },
    }),
  )
}

/** With the options of the part that are those of the whole, and a weight for each. */
function compoundForms({ part, parts, partOptions }: CompoundDefinition): readonly Form[] {
  const [first] = Object.keys(parts)
  return Object.entries(parts).flatMap(([activation, definition]) => {
    const own = definition.family === 'pointwise' ? pointwise.ownChoices(definition) : softmax.ownChoices(definition)
    const shared = <T>(record: Readonly<Record<string, T>>) =>
      Object.fromEntries(Object.entries(record).filter(([name]) => name in partOptions))
    return formsBy(activation as Activation, {
      options: activation === first ? {} : { activation },
      values: undefined,
      arrays: { ...arrays, ...shared(own.arrays) },
      choices: {
        ...choices,
        ...shared({ labelSmoothing: [0, 0.1, 1], ...own.choices }),
        squaredPred: [false, true],
        diceWeight: [1, 0.5],
        [`${part}Weight`]: [1, 2.5],
      },
    }).map((form) => ({ ...form, parts: [part, 'dice'] }))
  })
}

const isOf = (classes: number, activation?: string) => (form: Form) =>
  form.options.activation === activation && form.classes![0] === classes

export const regionDrawing: Drawing<RegionDefinition> = {
  group: () => 'of planes',
  forms: regionForms,
  timed(definition) {
    const forms = regionForms(definition)
    return [
      { form: forms.find(isOf(1))! },
      { title: 'sigmoid', form: forms.find(isOf(1, 'sigmoid'))! },
      { title: 'softmax', form: forms.find(isOf(2, 'softmax'))!, layout: 'planes', lengths: softmax.PLANES },
    ]
  },
  // Classes whose targets add up to less have weights above the range of a float, and so have gradients.
  bounds: ({ joint }) => (joint ? [1e-12, MODERATE[1]] : MODERATE),
}

export const compoundDrawing: Drawing<CompoundDefinition> = {
  group: () => 'of both',
  forms: compoundForms,
  timed(definition) {
    const [form] = compoundForms(definition)
    return form.classes![1] === 1 ? [{ form }] : [{ form, layout: 'planes', lengths: softmax.PLANES }]
  },
  bounds: () => MODERATE,
}
