//! −ln p_y, p = softmax(x)

use crate::family::softmax::Softmax;
use crate::loss::Params;
use crate::simd::Simd;

/// Softmax cross-entropy.
#[derive(Clone, Copy)]
pub struct CrossEntropy;

impl CrossEntropy {
    /// Takes no parameters of its own: weights, smoothing and temperature belong to the family.
    #[must_use]
    pub fn new(_: Params) -> Self {
        Self
    }
}

impl Softmax for CrossEntropy {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, log_p: S::F32) -> S::F32 {
        // Not `neg`: the loss of a certain row is 0, not −0.
        s.sub(s.splat(0.0), log_p)
    }
    #[inline(always)]
    fn slope<S: Simd>(self, s: S, _: S::F32) -> S::F32 {
        s.splat(1.0)
    }
}
