/** Parts of formulas whose slopes keep what a plain one loses. */

import { custom, le, max, sign, type Value, where } from './node.js'

/** max(0, z), whose slope at 0 is 0, and where z is NaN is NaN too: that of `max` is 0 there. */
export const positivePart = (z: Value): Value => custom(max(0, z), [z, max(0, sign(z))])

/** x itself, whose slope is NaN where x is NaN: where nothing else in the slope depends on x it would hide that. */
export const noticed = (x: Value): Value => custom(x, [x, where(le(x, Infinity), 1, x)])

/** The number that is not less than `least`, with the slope 1 also below it: the slope 0 of `max` would never lift it again. */
export const lifted = (x: Value, least: Value): Value => custom(max(x, least), [x, 1])
