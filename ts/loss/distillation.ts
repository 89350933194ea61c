import type { Floats } from '../family/arrays.js'
import type { Loss } from '../family/loss.js'
import { type ClassAxisOptions, softmax } from '../family/softmax/index.js'

/** Options of {@link distillation}. */
export interface DistillationOptions extends ClassAxisOptions<'mean' | 'sum' | 'none' | 'batchmean'> {
  /** T > 0: the scores of both are divided by it. Default 1. */
  temperature?: number
  /** `true` or a buffer: d(value)/d(teacher) as well. */
  targetGrad?: boolean | Float32Array
}

/**
 * Knowledge distillation: T²·KL(t ‖ p) = T²·Σ_c t_c·(ln t_c − ln p_c) of each position, t = softmax(teacher/T) and
 * p = softmax(x/T) over its classes.
 *
 * The gradient by the student is T·(p_c − t_c), that by the teacher T·t_c·(ln t_c − ln p_c − KL), times gradOutput /
 * denominator. The factor T² keeps its size when T changes.
 *
 * - `input`, `target`: scores of the student and of the teacher, [N, C] or [N, C, d1, …], or [N, d1, …, C] with
 *   `classAxis: -1`.
 * - `'batchmean'` (default) divides the sum by N; `'mean'` by the number of positions, N·d1·…; `'sum'` does not divide;
 *   `'none'` returns the value of each position. The mean over nothing is NaN (`emptyMean`) with a gradient of zeros.
 * - Value and gradients keep their digits where student and teacher are nearly the same, and at every temperature; the value is
 *   never negative.
 * - A score of −∞ of the teacher is a class that costs nothing. NaN reaches the value and the position's gradient.
 *
 * @throws TypeError where an argument is of the wrong kind or an option unknown, RangeError where lengths or values do
 *   not fit; nothing is written then
 * @example
 * import { distillation } from 'fused-loss'
 *
 * const student = Float32Array.of(1, 2, 3)
 * const teacher = Float32Array.of(1, 1, 4)
 * distillation(student, teacher, { shape: [1, 3], temperature: 2 }).toFixed(4) // → '0.3195'
 * distillation(student, student, { shape: [1, 3] }) // → 0
 * @see Hinton et al., Distilling the Knowledge in a Neural Network (2015); PyTorch `torch.nn.functional.kl_div` of two
 *   softmaxes
 */
export const distillation: Loss<Floats, Floats, DistillationOptions, 'batchmean'> = /* @__PURE__ */ softmax({
  family: 'softmax',
  name: 'distillation',
  kind: 'teacher',
  params: {},
  reductions: ['batchmean', 'mean', 'sum', 'none'],
  value: (logP) => 0 - logP,
  slope: () => 1,
})
