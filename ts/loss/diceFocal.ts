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

/** Options of {@link diceFocal}. */
export interface DiceFocalOptions extends CompoundOptions {
  /** What makes probabilities of the logits, for both parts. Default `'sigmoid'`. */
  activation?: 'sigmoid' | 'softmax'
  /** Weight of the focal loss. Default 1. */
  focalWeight?: number
  /** γ ≥ 0: how much easy elements are played down. Default 2. */
  gamma?: number
  /**
   * α of the focal loss: with `'sigmoid'` the weight in [0, 1] of the positive class; with `'softmax'` a factor or one per class.
   * `null` (default) for none.
   */
  alpha?: number | Float32Array | readonly number[] | null
}

/**
 * Dice plus focal loss as MONAI has it: diceWeight · `dice` + focalWeight · focal, without α unless given, and with the background
 * left out of both parts by `includeBackground: false` (of the focal part with `'sigmoid'` only, since a softmax has no class
 * to spare).
 *
 * The gradient is that of each part times its weight, times gradOutput.
 *
 * - `input`: logits [N, C, d1, …]; see `classAxis`. `target`: a mask or soft labels in the shape of the input, or a class index
 *   for each position.
 * - `'mean'` (default) and `'sum'` reduce each part by itself: Dice over samples and classes, the focal loss over the elements
 *   (sigmoid) or positions (softmax) that count. `valueAndGrad` has the unweighted values as `parts`: `{ dice, focal }`.
 * - `weight`, `mask` and `ignoreIndex` hold for both parts.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { diceFocal } from 'fused-loss'
 *
 * const logits = Float32Array.of(2, -1, 0.5, -2)
 * const mask = Float32Array.of(1, 0, 1, 1)
 * const { value, parts } = diceFocal.valueAndGrad(logits, mask, { focalWeight: 3 })
 * Math.abs(value - (parts.dice + 3 * parts.focal)) < 1e-6 // → true
 * @see MONAI `DiceFocalLoss`
 */
export const diceFocal: Loss<
  Floats,
  RegionTarget,
  DiceFocalOptions,
  'mean',
  Parts<'focal' | 'dice'>
> = /* @__PURE__ */ compound({
  family: 'compound',
  name: 'diceFocal',
  region: definitionOf(dice) as RegionDefinition,
  part: 'focal',
  parts: {
    sigmoid: definitionOf(sigmoidFocal) as PointwiseDefinition,
    softmax: definitionOf(softmaxFocal) as SoftmaxDefinition,
  },
  partOptions: { gamma: undefined, alpha: null },
  foreground: true,
})
