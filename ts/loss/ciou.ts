import { geometryOf, missOf, OF_BOXES, separationOf, turnOf } from '../expression/boxes.js'
import { expressionLoss } from '../expression/define.js'
import { add, detach, div, mul, square } from '../expression/node.js'
import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import type { BoxOptions } from './iou.js'

/**
 * Complete IoU loss: 1 − I/(U + ε) + ρ²/(D + ε) + α·v of each box and its target: `diou`, and how much their proportions differ,
 * v = (4/π²)·(atan(w/h) − atan(w'/h'))², with α = v/(1 − I/(U + ε) + v + ε), a factor that counts as a constant for the gradient.
 *
 * The gradient by a coordinate is that of `diou` and α·(8/π²)·Δ·∂Δ, times gradOutput / denominator, where Δ is the difference of the angles: its
 * slope by the width is h/(w² + h²), and by the height −w/(w² + h²).
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
 *   A box without width and height has no proportions, and v is 0. NaN reaches the value and the box's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { ciou } from 'fused-loss'
 *
 * const input = Float32Array.of(0, 0, 2, 2)
 * const target = Float32Array.of(0, 0, 2, 4)
 * ciou(input, target).toFixed(4) // → '0.5532'
 * ciou.backward(input, target).map((g) => Math.round(g * 1e3)) // → [62, 28, -62, -305]
 * @see torchvision `torchvision.ops.complete_box_iou_loss`; Zheng et al., Distance-IoU Loss (2020)
 */
export const ciou: Loss<Floats, Floats, BoxOptions> = /* @__PURE__ */ expressionLoss({
  name: 'ciou',
  ...OF_BOXES,
  loss({ input, target }, { format, eps }) {
    const geometry = geometryOf(format, input, target)
    const miss = missOf(geometry, eps)
    const v = mul(4 / Math.PI ** 2, square(turnOf(geometry)))
    const alpha = detach(div(v, add(add(miss, v), eps)))
    return add(add(miss, separationOf(geometry, eps)), mul(alpha, v))
  },
})
