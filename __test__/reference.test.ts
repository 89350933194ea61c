/** The softmax reference's chain rule against differences of the whole position. */

import test from 'ava'
import { filled, generator, normal } from './data.js'
import { lossesOf } from './losses.js'
import { softmaxDifferences, softmaxGradient } from './reference.js'

for (const { definition } of lossesOf('softmax')) {
  if (definition.kind !== 'scores') continue
  test(`gradient of the reference of ${definition.name}`, (t) => {
    const random = generator(1)
    for (const classes of [1, 2, 5, 9]) {
      for (const gamma of [0, 0.5, 2]) {
        for (const temperature of [1, 0.4, 3]) {
          for (const hard of [true, false]) {
            const numbers = { ignoreIndex: -100, labelSmoothing: 0, temperature, gamma }
            const x = Array.from(filled(classes, () => normal(random, 2)))
            const y = Math.floor(random() * classes)
            const target = x.map((_, c) => (hard ? Number(c === y) : random()))
            const gradient = softmaxGradient(definition, x, target, numbers)
            softmaxDifferences(definition, x, target, numbers).forEach((g, c) => {
              t.true(Math.abs(g - gradient[c]) < 1e-7, `class ${c} of ${classes}: ${g}, ${gradient[c]}`)
            })
          }
        }
      }
    }
  })
}
