//! (x − t)²

use crate::family::pointwise::{Eval, Pointwise};
use crate::loss::Params;
use crate::simd::Simd;

/// Squared error.
#[derive(Clone, Copy)]
pub struct Mse;

impl Mse {
    /// Takes no parameters.
    #[must_use]
    pub fn new(_: Params) -> Self {
        Self
    }
}

impl Pointwise for Mse {
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F32, t: S::F32, _: S::F32) -> Eval<S> {
        let d = s.sub(x, t);
        let dx = s.add(d, d);
        Eval {
            value: s.mul(d, d),
            dx,
            dt: s.neg(dx),
        }
    }
}
