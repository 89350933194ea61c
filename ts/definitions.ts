/** All that a loss can be made of. */

import type { EmbeddingDefinition, PointwiseDefinition, SoftmaxDefinition } from './definition.js'
import type { ExpressionDescription } from './expression/call.js'
import type { CombinedDefinition } from './family/combine.js'
import { insideOf } from './family/inside.js'
import type { CompoundDefinition, RegionDefinition } from './family/region/definition.js'

export type Definition =
  | PointwiseDefinition
  | SoftmaxDefinition
  | EmbeddingDefinition
  | RegionDefinition
  | CompoundDefinition
  | CombinedDefinition
  | ExpressionDescription

/** What a public loss is made of: compound losses, tests and benches read it. Undefined for anything else. */
export function definitionOf(loss: unknown): Definition | undefined {
  return insideOf(loss)?.definition as Definition | undefined
}
