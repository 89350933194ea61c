//! The loops, one file per family of losses. A loss gives the formula of one vector; the family walks the memory, sums,
//! scales and stores.

pub mod axis;
pub mod domain;
pub mod pointwise;
pub mod region;
pub mod softmax;
pub mod stream;
