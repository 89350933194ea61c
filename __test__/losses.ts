/** All losses of the library, found by their definitions, with what is drawn for them. */

import { type Definition, definitionOf } from '../ts/definitions.js'
import { type DefinitionOf, drawingOf, type FamilyName } from '../ts/draws.js'
import type { Drawing, Form } from '../ts/family/draw.js'
import * as library from '../ts/index.js'
import { type Loose, loose } from './everywhere.js'

export interface LibraryLoss<D extends Definition = Definition> {
  readonly name: string
  readonly loss: Loose
  readonly definition: D
  readonly drawing: Drawing<Definition>
  readonly forms: readonly Form[]
}

export const losses: readonly LibraryLoss[] = Object.entries<unknown>(library).flatMap(([name, loss]) => {
  const definition = definitionOf(loss)
  if (definition === undefined) return []
  const drawing = drawingOf(definition)
  return [{ name, loss: loose(loss), definition, drawing, forms: drawing.forms(definition) }]
})

/** Those of one family, for what is a test of it alone. */
export function lossesOf<F extends FamilyName>(family: F): readonly LibraryLoss<DefinitionOf<F>>[] {
  const own: readonly LibraryLoss<never>[] = losses.filter(({ definition }) => definition.family === family) as never
  return own
}

/** Whether calls of this form may have so many classes. */
export function fits({ classes }: Form, count: number): boolean {
  return classes === undefined || (count >= classes[0] && count <= classes[1])
}
