//! |x − t|

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::simd::Lanes;

/// Absolute error.
#[derive(Clone, Copy)]
pub struct L1;

impl From<Params> for L1 {
    /// Takes no parameters.
    fn from(_: Params) -> Self {
        Self
    }
}

impl Pointwise for L1 {
    const LIGHT: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let d = v.sub(x, t);
        let dx = sign(v, d);
        Eval {
            value: v.abs(d),
            dx,
            dt: v.neg(dx),
        }
    }
}

/// −1, 0 or 1: the sub-gradient 0 at the kink. NaN stays NaN.
#[inline(always)]
pub(super) fn sign<V: Lanes>(v: V, d: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    let positive = v.select(v.lt(zero, d), v.splat(1.0), d);
    v.select(v.lt(d, zero), v.splat(-1.0), positive)
}
