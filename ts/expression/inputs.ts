/** What an input of a loss is. */

import { describe } from '../check.js'

/** An array of one number, or of `columns` numbers, per row; `grad` says whether there is a gradient by it. */
export interface InputSpec<Columns extends number = number, Grad extends boolean = boolean> {
  readonly columns: Columns
  readonly grad: Grad
}

/** What {@link input} is. */
export type Input = InputSpec<1, true>

/** What {@link rows} makes. */
export type Rows<Columns extends number> = InputSpec<Columns, true>

/** One number per row, with a gradient. */
export const input: Input = Object.freeze({ columns: 1, grad: true })
/** One number per row, without a gradient, such as a target. */
export const fixed: InputSpec<1, false> = Object.freeze({ columns: 1, grad: false })

/** The most columns of a row. */
const MOST_COLUMNS = 16

/** Rows of several numbers, such as boxes [N, 4], with a gradient. They come as that many columns. */
export function rows<const Columns extends number>(columns: Columns): InputSpec<Columns, true> {
  return Object.freeze({ columns: checkedColumns('rows', columns), grad: true })
}

/** Rows of several numbers without a gradient. */
export function fixedRows<const Columns extends number>(columns: Columns): InputSpec<Columns, false> {
  return Object.freeze({ columns: checkedColumns('fixedRows', columns), grad: false })
}

function checkedColumns<Columns extends number>(name: string, columns: Columns): Columns {
  if (typeof columns !== 'number') throw new TypeError(`${name}: columns must be a number, got ${describe(columns)}`)
  if (isColumns(columns)) return columns
  throw new RangeError(`${name}: columns must be an integer from 2 to ${MOST_COLUMNS}, got ${columns}`)
}

const isColumns = (columns: number) => Number.isInteger(columns) && columns >= 2 && columns <= MOST_COLUMNS

/** Whether a value of a definition is one of the above. */
export function isSpec(spec: unknown): spec is InputSpec {
  if (typeof spec !== 'object' || spec === null) return false
  const { columns, grad } = spec as Partial<InputSpec>
  return typeof grad === 'boolean' && (columns === 1 || (typeof columns === 'number' && isColumns(columns)))
}
