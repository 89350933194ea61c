/**
 * The programs of a dozen losses, and of those of the library, as text. `node dist/__test__/expression/programs.js` writes them to
 * programs.txt and library.txt, which are held to: another program has other last bits, and those are a promise of a major version.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
import { combinationsOf, drawnLosses } from '../drawn.js'
import { root } from '../examples.js'
import { argumentsOf, cases, gradNames } from './losses.js'

export const file = join(root, '__test__', 'expression', 'programs.txt')

/** What each loss says of its programs: with one gradient, with all, for weights, and with an exponent that is no half number. */
export function programs(): string {
  const texts = cases.flatMap((one) => {
    const asked = Object.fromEntries(
      gradNames(one, argumentsOf(one))
        .slice(1)
        .map((name) => [name, true]),
    )
    const variants: Record<string, unknown>[] = [asked, { ...asked, weight: [1] }]
    if (one.grads.length > 1) {
      const none = Object.fromEntries(Object.keys(asked).map((name, k) => [name, k === 0]))
      variants.push(none)
    }
    if (one.loss.name === 'sigmoidFocal') variants.push({ gamma: 1.3 })
    return [String(one.loss), ...variants.map((options) => one.loss.explain(options))]
  })
  return `${texts.join('\n\n')}\n`
}

export const libraryFile = join(root, '__test__', 'expression', 'library.txt')

/** The same of the losses of the library, with all their gradients and each combination of what is true, false or a word. */
export function libraryPrograms(): string {
  const texts = drawnLosses.flatMap(({ loss, definition }) => {
    const names = definition.inputs.flatMap(({ grad, gradName }) => (grad && gradName !== 'grad' ? [gradName] : []))
    const asked = Object.fromEntries(names.map((name) => [name, true]))
    const flags = combinationsOf(definition).filter((options) =>
      definition.params.every(({ name, values }) => values !== undefined || !(name in options)),
    )
    return flags.flatMap((options) => {
      const bound = loss.with(options) as unknown as { explain(options: object): string }
      return [String(bound), bound.explain(asked), bound.explain({ ...asked, weight: [1] })]
    })
  })
  return `${texts.join('\n\n')}\n`
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(file, programs())
  writeFileSync(libraryFile, libraryPrograms())
}
