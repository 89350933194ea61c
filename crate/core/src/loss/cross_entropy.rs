//! −ln p_y, p = softmax(x)

use crate::family::softmax::Softmax;
use crate::loss::Params;
use crate::simd::Lanes;

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
    const LINEAR: bool = true;

    #[inline(always)]
    fn value<V: Lanes>(self, v: V, log_p: V::F32) -> V::F32 {
        // Not `neg`: the loss of a certain row is 0, not −0.
        v.sub(v.splat(0.0), log_p)
    }
    #[inline(always)]
    fn slope<V: Lanes>(self, v: V, _: V::F32) -> V::F32 {
        v.splat(1.0)
    }
}
