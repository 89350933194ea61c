/** How the scores of positions lie in memory. */
export interface Axis {
  readonly samples: number
  readonly classes: number
  /** Positions of a sample. */
  readonly positions: number
  /** Whether the classes of a position are neighbours. */
  readonly last: boolean
}

/** So many elements one behind the other. */
export function rowOf(positions: number): Axis {
  return { samples: 1, classes: 1, positions, last: true }
}

/** Index of a position's score for class 0; those for the others are `inner` apart. */
export function firstScore(position: number, inner: number, classes: number): number {
  return Math.floor(position / inner) * inner * classes + (position % inner)
}
