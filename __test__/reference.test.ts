/** The softmax reference's chain rule against differences of the whole row. */

import test from 'ava'
import { definitionOf } from '../ts/family/loss.js'
import * as library from '../ts/index.js'
import { filled, generator, normal } from './data.js'
import { softmaxReference, softmaxRowGradient } from './reference.js'

for (const loss of Object.values(library)) {
  const definition = definitionOf(loss)
  if (definition?.family !== 'softmax') continue
  test(`gradient of the reference of ${definition.name}`, (t) => {
    const random = generator(1)
    for (const classes of [1, 2, 5, 9]) {
      for (const labelSmoothing of [0, 0.3, 1]) {
        for (const temperature of [1, 0.4, 3]) {
          for (const weight of [undefined, Array.from({ length: classes }, () => random() + 0.1)]) {
            const numbers = { weight, ignoreIndex: -100, labelSmoothing, temperature }
            const x = filled(classes, () => normal(random, 2))
            const y = Math.floor(random() * classes)
            const { dx } = softmaxReference(definition, x, Int32Array.of(y), classes, numbers)
            const differences = softmaxRowGradient(definition, Array.from(x), y, numbers)
            differences.forEach((g, c) => {
              t.true(Math.abs(g - dx[c]) < 1e-8, `class ${c} of ${classes}: ${g}, ${dx[c]}`)
            })
          }
        }
      }
    }
  })
}
