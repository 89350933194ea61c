//! |d| ≤ δ: d²/2, else δ·(|d| − δ/2), d = x − t

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::simd::Lanes;

/// Squared error that turns into a line at δ.
#[derive(Clone, Copy)]
pub struct Huber {
    delta: f32,
}

impl From<Params> for Huber {
    /// `params[0]` is δ > 0.
    fn from(params: Params) -> Self {
        Self { delta: params[0] }
    }
}

impl Pointwise for Huber {
    const LIGHT: bool = true;

    /// The derivative is d held within ±δ, so that there is no kink. NaN is not outside and stays NaN.
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let half = v.splat(0.5);
        let delta = v.splat(self.delta);
        let d = v.sub(x, t);
        let size = v.abs(d);
        let outside = v.lt(delta, size);
        let parabola = v.mul(v.mul(half, d), d);
        let line = v.mul(delta, v.sub(size, v.mul(half, delta)));
        let bound = v.neg_where(v.lt(d, v.splat(0.0)), delta);
        let dx = v.select(outside, bound, d);
        Eval {
            value: v.select(outside, line, parabola),
            dx,
            dt: v.neg(dx),
        }
    }
}
