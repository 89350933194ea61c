//! −ln p_y, p = softmax(x)

use crate::family::Params;
use crate::family::softmax::Softmax;

/// Softmax cross-entropy.
#[derive(Clone, Copy)]
pub struct CrossEntropy;

impl From<Params> for CrossEntropy {
    /// Takes no parameters of its own: weights, smoothing and temperature belong to the family.
    fn from(_: Params) -> Self {
        Self
    }
}

impl Softmax for CrossEntropy {
    const LINEAR: bool = true;
}
