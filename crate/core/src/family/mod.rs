//! The loops, one folder or file for each family of losses. A loss gives the formula of one vector; the family walks the memory, sums,
//! scales and stores.

pub mod embedding;
pub mod pointwise;
pub mod region;
pub mod softmax;

/// Scalar parameters of a loss, in the order of its registry row; 0 where it has fewer.
pub type Params = [f32; 2];
