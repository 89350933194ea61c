//! The losses, one file each: the formula and its derivatives on one vector.

pub mod bce;
pub mod bce_with_logits;
pub mod cosine_embedding;
pub mod cosine_similarity;
pub mod cross_entropy;
pub mod distillation;
pub mod huber;
pub mod kl_div;
pub mod l1;
pub mod mse;
pub mod nll;
pub mod sigmoid_focal;
pub mod smooth_l1;
pub mod softmax_focal;
pub mod triplet_margin;
