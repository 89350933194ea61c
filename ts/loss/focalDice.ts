import type { PointwiseDefinition, SoftmaxDefinition } from '../definition.js'
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
import { dice } from './dice.js'
import { sigmoidFocal } from './sigmoidFocal.js'
import { softmaxFocal } from './softmaxFocal.js'

/** Options of {@link focalDice}. */
export interface FocalDiceOptions extends CompoundOptions {
  /** What makes probabilities of the logits, for both parts. Default `'sigmoid'`. */
  activation?: 'sigmoid' | 'softmax'
  /** Weight of the focal loss. Default 1. */
  focalWeight?: number
  /** γ ≥ 0: how much easy elements are played down. Default 2. */
  gamma?: number
  /**
   * α of the focal loss: with `'sigmoid'` the weight in [0, 1] of the positive class, 0.25 unless given; with `'softmax'` a factor
   * or one per class, `null` unless given. `null` for none.
   */
  alpha?: number | Float32Array | readonly number[] | null
}

/**
 * Focal loss plus Dice of the same logits: focalWeight · focal + diceWeight · `dice`, where one activation serves both: with
 * `'sigmoid'` (default) focal is `sigmoidFocal`, with `'softmax'` it is `softmaxFocal`.
 *
 * The gradient is that of each part times its weight, times gradOutput.
 *
 * - `input`: logits [N, C, d1, …]; see `classAxis`. `target`: a mask or soft labels in the shape of the input, or a class index
 *   for each position.
 * - `'mean'` (default) and `'sum'` reduce each part by itself: the focal loss over the elements (sigmoid) or positions (softmax)
 *   that count, Dice over samples and classes. `valueAndGrad` has the unweighted values as `parts`: `{ focal, dice }`.
 * - `weight`, `mask` and `ignoreIndex` hold for both parts; `includeBackground` and the smoothing for Dice.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { dice, focalDice, sigmoidFocal } from 'fused-loss'
 *
 * const logits = Float32Array.of(2, -1, 0.5, -2)
 * const mask = Float32Array.of(1, 0, 1, 1)
 * const { value, parts } = focalDice.valueAndGrad(logits, mask)
 * Math.abs(value - (parts.focal + parts.dice)) < 1e-6 // → true
 * Math.abs(parts.focal - sigmoidFocal(logits, mask)) < 1e-6 // → true
 * @see `sigmoidFocal`, `softmaxFocal` and `dice`
 */
export const focalDice: Loss<
  Floats,
  RegionTarget,
  FocalDiceOptions,
  'mean',
  Parts<'focal' | 'dice'>
> = /* @__PURE__ */ compound({
  family: 'compound',
  name: 'focalDice',
  region: definitionOf(dice) as RegionDefinition,
  part: 'focal',
  parts: {
    sigmoid: definitionOf(sigmoidFocal) as PointwiseDefinition,
    softmax: definitionOf(softmaxFocal) as SoftmaxDefinition,
  },
  partOptions: { gamma: undefined, alpha: undefined },
})
