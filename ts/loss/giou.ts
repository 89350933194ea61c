import { geometryOf, missOf, OF_BOXES } from '../expression/boxes.js'
import { expressionLoss } from '../expression/define.js'
import { add, div, mul, sub } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { BoxOptions } from './iou.js'

/**
 * Generalised IoU loss: 1 − I/(U + ε) + (H − U)/(H + ε) of each box and its target, where I is the area of their intersection, U
 * that of their union, and H that of the smallest box around both.
 *
 * The gradient by a coordinate is −(I'·(U + ε) − I·U')/(U + ε)² + ((H' − U')·(H + ε) − (H − U)·H')/(H + ε)², times gradOutput / denominator,
 * where I', U' and H' are the slopes of the areas. It pulls boxes together that do not overlap.
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
 * import { giou } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 0, 1, 1)
 * const target = Float32Array.of(3, 0, 4, 1)
 * giou(input, target) // → 1.5
 * giou.backward(input, target).map((g) => Math.round(g * 1e3)) // → [125, 0, -250, 0]
 * @see torchvision `torchvision.ops.generalized_box_iou_loss`; Rezatofighi et al., Generalized Intersection over Union (2019)
 */
export const giou: Loss<Floats, Floats, BoxOptions> = /* @__PURE__ */ expressionLoss({
  name: 'giou',
  ...OF_BOXES,
  loss({ input, target }, { format, eps }) {
    const geometry = geometryOf(format, input, target)
    const area = mul(...geometry.hull)
    return add(missOf(geometry, eps), div(sub(area, geometry.union), add(area, eps)))
  },
})
