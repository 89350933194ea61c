//! Where the numbers of a call lie: the class axis, labels and masks, and streams that are shorter than the input.

pub mod axis;
pub mod positions;
pub mod stream;
