/**
 * What tests, benches and docs draw for the losses of every family: a family that is not here does not compile. No module that a user
 * loads imports this one.
 */

import type { Definition } from './definitions.js'
import { expressionDrawing } from './expression/draw.js'
import type { Drawing } from './family/draw.js'
import { embeddingDrawing } from './family/embedding/draw.js'
import { pointwiseDrawing } from './family/pointwise/draw.js'
import { compoundDrawing, regionDrawing } from './family/region/draw.js'
import { softmaxDrawing } from './family/softmax/draw.js'

/** The families of the library's losses. A sum of losses is made by its caller. */
export type FamilyName = Exclude<Definition['family'], 'combined'>
export type DefinitionOf<F extends FamilyName> = Extract<Definition, { readonly family: F }>

/** In the order of the README. */
const drawings = {
  pointwise: pointwiseDrawing,
  softmax: softmaxDrawing,
  expression: expressionDrawing,
  embedding: embeddingDrawing,
  region: regionDrawing,
  compound: compoundDrawing,
} satisfies { readonly [F in FamilyName]: Drawing<DefinitionOf<F>> }

export const families = Object.keys(drawings) as readonly FamilyName[]

/** What is drawn for a loss of the library. */
export function drawingOf(definition: Definition): Drawing<Definition> {
  return drawings[definition.family as FamilyName] as Drawing<Definition>
}
