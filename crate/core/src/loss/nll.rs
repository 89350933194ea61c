//! −x_y, x the logarithms of probabilities

use crate::family::Params;
use crate::family::softmax::{Kind, Softmax};

/// Negative log likelihood.
#[derive(Clone, Copy)]
pub struct Nll;

impl Nll {
    /// Takes no parameters.
    #[must_use]
    pub fn new(_: Params) -> Self {
        Self
    }
}

impl Softmax for Nll {
    const KIND: Kind = Kind::LogProbabilities;
}
