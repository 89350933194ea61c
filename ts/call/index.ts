/** Every kind of call. A further one is a file here, and a loop for the backend in TypeScript. */

import { type EmbeddingCall, embeddingKind } from './embedding.js'
import { type ExpressionCall, expressionKind } from './expression.js'
import { type PointwiseCall, pointwiseKind } from './pointwise.js'
import { type RegionCall, regionKind } from './region.js'
import { type OutsideCall, outsideKind, type WeightCall, weightKind } from './scan.js'
import { type SoftmaxCall, softmaxKind } from './softmax.js'

export type Call = PointwiseCall | SoftmaxCall | RegionCall | ExpressionCall | OutsideCall | WeightCall | EmbeddingCall

export const kinds = [
  pointwiseKind,
  softmaxKind,
  regionKind,
  expressionKind,
  outsideKind,
  weightKind,
  embeddingKind,
] as const
