import type { SoftmaxDefinition } from '../definition.js'
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
import { crossEntropy } from './crossEntropy.js'
import { dice } from './dice.js'

/** Options of {@link diceCe}. */
export interface DiceCeOptions extends CompoundOptions {
  /** Weight of the cross-entropy. Default 1. */
  ceWeight?: number
  /** ε in [0, 1] of the cross-entropy's target. Default 0. */
  labelSmoothing?: number
}

/**
 * Dice plus cross-entropy of the same logits: diceWeight · `dice` with the activation softmax + ceWeight · `crossEntropy`, whose
 * softmax serves both.
 *
 * The gradient is that of each part times its weight, times gradOutput.
 *
 * - `input`: logits [N, C, d1, …]; see `classAxis`. `target`: a class index for each position, or a distribution of classes for
 *   each, in the shape of the input.
 * - `'mean'` (default) and `'sum'` reduce each part by itself: Dice over samples and classes, the cross-entropy as
 *   `crossEntropy` does. `valueAndGrad` has the unweighted values as `parts`: `{ dice, ce }`.
 * - `weight`, `mask` and `ignoreIndex` hold for both parts; `includeBackground` and the smoothing for Dice.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { crossEntropy, diceCe } from 'fused-loss'
 *
 * const logits = Float32Array.of(2, -1, 0.5, -2, 0, 1)
 * const labels = Int32Array.of(0, 1)
 * const { value, parts } = diceCe.valueAndGrad(logits, labels, { shape: [1, 3, 2] })
 * Math.abs(value - (parts.dice + parts.ce)) < 1e-6 // → true
 * Math.abs(parts.ce - crossEntropy(logits, labels, { shape: [1, 3, 2] })) < 1e-6 // → true
 * @see MONAI `DiceCELoss`
 */
export const diceCe: Loss<Floats, RegionTarget, DiceCeOptions, 'mean', Parts<'ce' | 'dice'>> = /* @__PURE__ */ compound(
  {
    family: 'compound',
    name: 'diceCe',
    region: definitionOf(dice) as RegionDefinition,
    part: 'ce',
    parts: {
      softmax: definitionOf(crossEntropy) as SoftmaxDefinition,
    },
    partOptions: { labelSmoothing: undefined },
  },
)
