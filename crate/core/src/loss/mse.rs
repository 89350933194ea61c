//! (x − t)²

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::simd::Lanes;

/// Squared error.
#[derive(Clone, Copy)]
pub struct Mse;

impl From<Params> for Mse {
    /// Takes no parameters.
    fn from(_: Params) -> Self {
        Self
    }
}

impl Pointwise for Mse {
    const LIGHT: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let d = v.sub(x, t);
        let dx = v.add(d, d);
        Eval {
            value: v.mul(d, d),
            dx,
            dt: v.neg(dx),
        }
    }
}
