/** What tests, benches and docs draw for losses of the library that are expressions. */

import type { Drawing, Form } from '../family/draw.js'
import type { ExpressionDescription } from './call.js'
import type { ParamOf } from './params.js'

/** The values to try, or the default. Labels are drawn as −1 and 1. */
function valuesOf(param: ParamOf): readonly unknown[] {
  if (param.name === 'zeroOne') return [false]
  return param.samples.length > 0 ? param.samples : [param.optionOf(param.default)]
}

function formOf({ name, inputs, params, draws }: ExpressionDescription): Form {
  if (draws === undefined) throw new Error(`${name} is none of the library, and does not say what to draw`)
  return {
    inputs: inputs.map(({ name, columns, grad, gradName }, k) => {
      return { name, kind: draws[k], extent: 'element', columns, ...(grad && { gradName }) }
    }),
    options: {},
    values: 'element',
    arrays: { weight: 'element', sampleWeight: 'position', mask: 'position' },
    choices: Object.fromEntries(params.map((param) => [param.name, valuesOf(param)])),
  }
}

export const expressionDrawing: Drawing<ExpressionDescription> = {
  group: ({ inputs }) => (inputs.some(({ columns }) => columns > 1) ? 'of boxes' : 'of an element'),
  forms: (definition) => [formOf(definition)],
  timed: (definition) => [{ form: formOf(definition) }],
}
