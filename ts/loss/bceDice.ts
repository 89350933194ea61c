import type { PointwiseDefinition } from '../definition.js'
import { definitionOf } from '../definitions.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import {
  type CompoundOptions,
  compound,
  type Parts,
  type RegionDefinition,
  type RegionTarget,
} from '../family/region/index.js'
import { bceWithLogits } from './bceWithLogits.js'
import { dice } from './dice.js'

/** Options of {@link bceDice}. */
export interface BceDiceOptions extends CompoundOptions {
  /** Weight of the cross-entropy. Default 1. */
  bceWeight?: number
  /** Weight of the positive class in the cross-entropy: a number, or one per class. Default 1. */
  posWeight?: number | Float32Array | readonly number[]
  /** ε in [0, 1]: the cross-entropy's target t becomes t(1 − ε) + ε/2. Default 0. */
  labelSmoothing?: number
}

/**
 * Binary cross-entropy plus Dice of the same logits: bceWeight · `bceWithLogits` + diceWeight · `dice` with the activation
 * sigmoid, whose exponential serves both.
 *
 * The gradient is that of each part times its weight, times gradOutput.
 *
 * - `input`: logits [N, C, d1, …]; see `classAxis`. `target`: a mask or soft labels in the shape of the input, or a class index
 *   for each position, which is a mask per class.
 * - `'mean'` (default) and `'sum'` reduce each part by itself: the cross-entropy over all elements that count, Dice over samples
 *   and classes. `valueAndGrad` has the unweighted values as `parts`: `{ bce, dice }`.
 * - `weight`, `mask` and `ignoreIndex` hold for both parts; `includeBackground` and the smoothing for Dice.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { bceDice, bceWithLogits, dice } from 'fused-loss'
 *
 * const logits = Float32Array.of(2, -1, 0.5, -2)
 * const mask = Float32Array.of(1, 0, 1, 1)
 * const { value, parts } = bceDice.valueAndGrad(logits, mask, { diceWeight: 0.5 })
 * Math.abs(value - (parts.bce + 0.5 * parts.dice)) < 1e-6 // → true
 * Math.abs(parts.bce - bceWithLogits(logits, mask)) < 1e-6 // → true
 * Math.abs(parts.dice - dice(logits, mask, { activation: 'sigmoid' })) < 1e-6 // → true
 * @see `bceWithLogits` and `dice`
 */
export const bceDice: Loss<
  Floats,
  RegionTarget,
  BceDiceOptions,
  'mean',
  Parts<'bce' | 'dice'>
> = /* @__PURE__ */ compound({
  family: 'compound',
  name: 'bceDice',
  region: definitionOf(dice) as RegionDefinition,
  part: 'bce',
  parts: { sigmoid: definitionOf(bceWithLogits) as PointwiseDefinition },
  partOptions: { posWeight: undefined, labelSmoothing: undefined },
})
