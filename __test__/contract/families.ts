/** The contract of every family: a family that has none does not compile. */

import type { DefinitionOf, FamilyName } from '../../ts/draws.js'
import type { Case } from './case.js'
import { pointwiseCases } from './pointwise.js'
import { softmaxCases } from './softmax.js'

/** The cases of a loss, or the test that has a contract of the family's own. */
export const contracts = {
  pointwise: pointwiseCases,
  softmax: softmaxCases,
  expression: 'expression/library.test.ts',
  embedding: 'embedding.test.ts',
  region: 'region.test.ts',
  compound: 'region.test.ts',
} satisfies { readonly [F in FamilyName]: ((definition: DefinitionOf<F>) => Case[]) | string }
