//! |d| < β: d²/2β, else |d| − β/2, d = x − t

use super::l1::sign;
use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::simd::Lanes;

/// Absolute error with a parabola of width β around 0.
#[derive(Clone, Copy)]
pub struct SmoothL1 {
    beta: f32,
}

impl From<Params> for SmoothL1 {
    /// `params[0]` is β ≥ 0; with 0 it is the absolute error.
    fn from(params: Params) -> Self {
        Self { beta: params[0] }
    }
}

impl Pointwise for SmoothL1 {
    const LIGHT: bool = true;

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let half = v.splat(0.5);
        let beta = v.splat(self.beta);
        let d = v.sub(x, t);
        let size = v.abs(d);
        // At |d| = β the line, as PyTorch; NaN takes the line as well and stays NaN. d/β may be NaN at β = 0, where the
        // parabola is never taken.
        let inside = v.lt(size, beta);
        let ratio = v.div(d, beta);
        let parabola = v.mul(v.mul(half, d), ratio);
        let line = v.sub(size, v.mul(half, beta));
        let dx = v.select(inside, ratio, sign(v, d));
        Eval {
            value: v.select(inside, parabola, line),
            dx,
            dt: v.neg(dx),
        }
    }
}
