import { geometryOf, missOf, OF_BOXES, separationOf } from '../expression/boxes.js'
import { expressionLoss } from '../expression/define.js'
import { add } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { BoxOptions } from './iou.js'

/**
 * Distance IoU loss: 1 − I/(U + ε) + ρ²/(D + ε) of each box and its target, where I is the area of their intersection, U that of
 * their union, ρ the distance of their centres, and D the squared diagonal of the smallest box around both.
 *
 * The gradient by a coordinate is −(I'·(U + ε) − I·U')/(U + ε)² + (δ·(D + ε) − ρ²·D')/(D + ε)², times gradOutput / denominator, where I', U' and
 * D' are the slopes of I, U and D, and δ is the difference of the centres on the corner's axis. It pulls boxes together that do not
 * overlap.
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
 * import { diou } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 0, 3, 4)
 * const target = Float32Array.of(3, 4, 6, 8)
 * diou(input, target) // → 1.25
 * diou.backward(input, target).map((g) => Math.round(g * 100)) // → [0, 0, -3, -4]
 * @see torchvision `torchvision.ops.distance_box_iou_loss`; Zheng et al., Distance-IoU Loss (2020)
 */
export const diou: Loss<Floats, Floats, BoxOptions> = /* @__PURE__ */ expressionLoss({
  name: 'diou',
  ...OF_BOXES,
  loss({ input, target }, { format, eps }) {
    const geometry = geometryOf(format, input, target)
    return add(missOf(geometry, eps), separationOf(geometry, eps))
  },
})
