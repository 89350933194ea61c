import { type BoxFormat, geometryOf, missOf, OF_BOXES } from '../expression/boxes.js'
import { expressionLoss } from '../expression/define.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { PointwiseOptions } from '../family/pointwise/index.js'

/** Options of {@link iou}, {@link giou}, {@link diou} and {@link ciou}. */
export interface BoxOptions extends Omit<PointwiseOptions, 'ignoreIndex'> {
  /** What the four numbers of a box are: two corners, the low one and the sides, or the centre and the sides. Default `'xyxy'`. */
  format?: BoxFormat
  /** ε ≥ 0: added to every divisor. Default 1e-7. */
  eps?: number
}

/**
 * IoU loss: 1 − I/(U + ε) of each box and its target, where I is the area of their intersection and U that of their union.
 *
 * The gradient by a coordinate is −(I'·(U + ε) − I·U')/(U + ε)² · gradOutput / denominator, where I' and U' are the slopes of the areas. It is 0
 * where the boxes do not overlap: `giou`, `diou` and `ciou` pull them together there.
 *
 * - `input`, `target`: boxes [N, 4] of the same number, four numbers each. A box whose corners are the wrong way round is taken as the
 *   formula says.
 * - `format`: what the numbers are: `'xyxy'` (default) two corners, the low one first, `'xywh'` the low corner, width and height,
 *   `'cxcywh'` the centre, width and height. The gradient is by these numbers.
 * - `eps` ε ≥ 0: added to every divisor. Default 1e-7.
 * - `weight`: factor per box.
 * - `'mean'` (default) divides the sum by the number of boxes that count, with weights too, or with `meanBy: 'weight'` by the sum of the
 *   weights; `'sum'` does not divide; `'none'` returns the value of each box. The mean over nothing is NaN (`emptyMean`) with a gradient
 *   of zeros.
 * - The gradient is [N, 4], and is 0 for a box that is its target. Where a side of one lies on that of the other each has half of the slope.
 *   All backends give the same bits. NaN reaches the value and the box's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { iou } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 0, 2, 2)
 * const target = Float32Array.of(0, 0, 2, 4)
 * iou(input, target) // → 0.5
 * iou.backward(input, target).map((g) => Math.round(g * 1e4)) // → [625, 625, -625, -2500]
 * @see torchvision `torchvision.ops.box_iou`; Yu et al., UnitBox (2016)
 */
export const iou: Loss<Floats, Floats, BoxOptions> = /* @__PURE__ */ expressionLoss({
  name: 'iou',
  ...OF_BOXES,
  loss: ({ input, target }, { format, eps }) => missOf(geometryOf(format, input, target), eps),
})
