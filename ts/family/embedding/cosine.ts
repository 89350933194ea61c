/** The cosine of the angle between two rows, as `Products::cosine` in `crate/core/src/family/embedding/mod.rs` has it. */

import type { PairValue } from '../../definition.js'

const NONE: PairValue = { value: 0, xx: 0, xy: 0, yy: 0 }

/**
 * The cosine by the products of the rows, whose squared norms are taken for larger by `added`. That of a row with a norm of at most
 * `least` is 0, and does not change.
 */
export function cosine(xx: number, xy: number, yy: number, least: number, added: number): PairValue {
  // NaN of one row shows, though the other is 0.
  if ((Math.sqrt(xx) <= least || Math.sqrt(yy) <= least) && !Number.isNaN(xy)) return NONE
  const [x, y] = [xx + added, yy + added]
  const norms = Math.sqrt(x) * Math.sqrt(y)
  const value = Math.max(-1, Math.min(xy / norms, 1))
  return { value, xx: -value / x, xy: 1 / norms, yy: -value / y }
}

/** `base` − cos, and its derivatives. */
export function less(base: number, { value, xx, xy, yy }: PairValue): PairValue {
  return { value: base - value, xx: -xx, xy: -xy, yy: -yy }
}
