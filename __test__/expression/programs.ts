/**
 * The programs of a dozen losses, as text. `node dist/__test__/expression/programs.js` writes them to programs.txt, which is held to:
 * another program has other last bits, and those are a promise of a major version.
 */

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { argv } from 'node:process'
import { fileURLToPath } from 'node:url'
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

if (argv[1] === fileURLToPath(import.meta.url)) writeFileSync(file, programs())
