//! −x_y, x the logarithms of probabilities

use crate::family::Params;
use crate::family::softmax::{Kind, Softmax};

/// Negative log likelihood.
#[derive(Clone, Copy)]
pub struct Nll;

impl From<Params> for Nll {
    /// Takes no parameters.
    fn from(_: Params) -> Self {
        Self
    }
}

impl Softmax for Nll {
    const KIND: Kind = Kind::LogProbabilities;
}
