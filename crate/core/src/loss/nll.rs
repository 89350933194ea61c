//! −x_y, x the logarithms of probabilities

use crate::family::softmax::{Kind, Softmax};
use crate::loss::Params;
use crate::simd::Lanes;

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

    #[inline(always)]
    fn value<V: Lanes>(self, v: V, log_p: V::F32) -> V::F32 {
        v.sub(v.splat(0.0), log_p)
    }
    #[inline(always)]
    fn slope<V: Lanes>(self, v: V, _: V::F32) -> V::F32 {
        v.splat(1.0)
    }
}
