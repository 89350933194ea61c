/** Arrays as callers give them. */

import type { LabelArray, NumberArray } from '../call/marks.js'
import type { DynamicTensor, TensorLike } from '../check.js'

/** An array, or a tensor of another library. */
export type Floats = Float32Array | TensorLike<Float32Array> | DynamicTensor

/** Floats, or integers of 0 and 1. */
export type Probabilities = Floats | Labels

/** Class indices, or a tensor of them. */
export type Labels = LabelArray | TensorLike<LabelArray> | DynamicTensor

/** One value per position, per sample, or for the first axes of the positions: 0, or false, says that they count for nothing. */
export type Mask = NumberArray | readonly boolean[] | TensorLike<NumberArray> | DynamicTensor
