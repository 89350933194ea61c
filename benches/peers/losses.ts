/** The losses that `npm run bench:peers` compares, and cases of them. */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { allForms, argumentsOf, type Form, inputsOf } from '../data.js'
import type { PeerCase } from './common.js'

/** A loss that is compared. */
export interface PeerLoss {
  /** As peers know it. */
  readonly name: string
  /** As the tables name it. */
  readonly title: string
  readonly form: Form
  /** Scores or numbers of a row, where there are rows. */
  readonly classes?: number
  /** Planes of the one sample, where there are planes. */
  readonly planes?: number
}

/** All losses of an element and all expressions, by their definitions, and some of positions, planes and rows. */
export const losses: readonly PeerLoss[] = [
  ...allOf('pointwise'),
  lossOf('dice sigmoid', { planes: 4 }),
  lossOf('crossEntropy', { classes: 10 }),
  lossOf('crossEntropy', { classes: 1000 }),
  lossOf('nll', { classes: 10 }),
  ...allOf('expression'),
  lossOf('tripletMargin', { classes: 128 }),
]

/** Those of a family, with the options that they have by themselves. */
function allOf(family: string): readonly PeerLoss[] {
  const names = [...allForms].flatMap(([name, { definition }]) => {
    return definition.family === family && definition.name === name ? [name] : []
  })
  return names.map((name) => lossOf(name))
}

function lossOf(form: string, size: Pick<PeerLoss, 'classes' | 'planes'> = {}): PeerLoss {
  const found = allForms.get(form)!
  const { name } = found.definition
  const by = inputsOf(found).flatMap((input) => (input.gradName === undefined ? [] : [input.name]))
  const axis = found.definition.family === 'embedding' ? 'D' : 'C'
  const classes = size.classes === undefined ? '' : `, ${axis} = ${size.classes}`
  return { name, title: `${name}${classes}${by.length > 1 ? `, by ${by.join(' and ')}` : ''}`, form: found, ...size }
}

/** How many numbers the first input has: whole rows or positions, as many as fit. */
export function elementsOf(loss: PeerLoss, size: number): number {
  const width = widthOf(loss)
  return Math.floor(size / width) * width
}

const widthOf = ({ form, classes, planes }: PeerLoss): number => classes ?? planes ?? inputsOf(form)[0].columns

/** A case of so many numbers, with its data in files, which those of the next case replace. */
export function caseOf(loss: PeerLoss, elements: number, folder: string, seconds: number): PeerCase {
  const { name, form, classes, planes } = loss
  const rows = elements / widthOf(loss)
  const arrays = argumentsOf(form, classes === undefined ? { elements } : { elements, classes })
  const inputs = inputsOf(form).map(({ kind, columns, gradName }, k) => {
    const file = join(folder, `input${k}`)
    writeFileSync(file, arrays[k])
    const labels = kind === 'label'
    const width = labels ? 1 : (classes ?? columns)
    const flat = width === 1 ? [rows] : [rows, width]
    const shape = planes === undefined ? flat : [1, planes, rows]
    return { file, shape, labels, ...(gradName === undefined ? {} : { gradName }) }
  })
  const isShaped = classes !== undefined || planes !== undefined
  const options = isShaped ? { ...form.options, shape: inputs[0].shape } : form.options
  return { loss: name, inputs, options, seconds }
}
