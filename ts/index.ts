export { type BackendInfo, backend, setThreads } from './backend/load.js'
export type { DynamicTensor, TensorLike } from './check.js'
export {
  defineLoss,
  type ExpressionDefinition,
  type ExpressionLoss,
  type ExpressionOptions,
  type ExpressionResult,
} from './expression/define.js'
export { type CombinedLoss, combine, type PartOf, type PartOptions } from './family/combine.js'
export type {
  BackwardOptions,
  BatchReduction,
  CommonOptions,
  Loss,
  LossOf,
  Reduction,
  ReductionOf,
  Value,
  ValueAndGrad,
} from './family/loss.js'
export type { ElementOptions, Floats, PointwiseOptions, Probabilities } from './family/pointwise.js'
export type { LabelArray, Labels, Mask } from './family/positions.js'
export type { Activation, CompoundOptions, PlaneOptions, RegionOptions, RegionTarget } from './family/region/index.js'
export type { ClassAxisOptions, LabelOptions, SoftmaxOptions } from './family/softmax.js'
export { type AsymmetricOptions, asymmetric } from './loss/asymmetric.js'
export { type BceOptions, bce } from './loss/bce.js'
export { type BceDiceOptions, bceDice } from './loss/bceDice.js'
export { type BceWithLogitsOptions, bceWithLogits } from './loss/bceWithLogits.js'
export { type CharbonnierOptions, charbonnier } from './loss/charbonnier.js'
export { ciou } from './loss/ciou.js'
export { crossEntropy } from './loss/crossEntropy.js'
export { type DiceOptions, dice } from './loss/dice.js'
export { type DiceCeOptions, diceCe } from './loss/diceCe.js'
export { type DiceFocalOptions, diceFocal } from './loss/diceFocal.js'
export { diou } from './loss/diou.js'
export { type DistillationOptions, distillation } from './loss/distillation.js'
export { type ExpectileOptions, expectile } from './loss/expectile.js'
export { type FocalDiceOptions, focalDice } from './loss/focalDice.js'
export { type GammaNllOptions, gammaNll } from './loss/gammaNll.js'
export { type GaussianNllOptions, gaussianNll } from './loss/gaussianNll.js'
export { type GeneralizedDiceOptions, generalizedDice } from './loss/generalizedDice.js'
export { giou } from './loss/giou.js'
export { type HingeOptions, hinge } from './loss/hinge.js'
export { hingeEmbedding } from './loss/hingeEmbedding.js'
export { type HuberOptions, huber } from './loss/huber.js'
export { type BoxOptions, iou } from './loss/iou.js'
export { type JaccardOptions, jaccard } from './loss/jaccard.js'
export { type KlDivOptions, klDiv } from './loss/klDiv.js'
export { l1 } from './loss/l1.js'
export { type LaplaceNllOptions, laplaceNll } from './loss/laplaceNll.js'
export { logCosh } from './loss/logCosh.js'
export { type MapeOptions, mape } from './loss/mape.js'
export { type MarginRankingOptions, marginRanking } from './loss/marginRanking.js'
export { mse } from './loss/mse.js'
export { type MsleOptions, msle } from './loss/msle.js'
export { nll } from './loss/nll.js'
export { type PoissonNllOptions, poissonNll } from './loss/poissonNll.js'
export { type QuantileOptions, quantile } from './loss/quantile.js'
export { type RobustOptions, robust } from './loss/robust.js'
export { type SigmoidFocalOptions, sigmoidFocal } from './loss/sigmoidFocal.js'
export { type SmapeOptions, smape } from './loss/smape.js'
export { type SmoothL1Options, smoothL1 } from './loss/smoothL1.js'
export { type SoftMarginOptions, softMargin } from './loss/softMargin.js'
export { type SoftmaxFocalOptions, softmaxFocal } from './loss/softmaxFocal.js'
export { squaredHinge } from './loss/squaredHinge.js'
export { type StudentTNllOptions, studentTNll } from './loss/studentTNll.js'
export { type TverskyOptions, tversky } from './loss/tversky.js'
export { type TweedieOptions, tweedie } from './loss/tweedie.js'
export { type WingOptions, wing } from './loss/wing.js'
export { type ClassWeightOptions, classWeights } from './weights.js'
