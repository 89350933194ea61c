//! −t·max(ln x, −100) − (1 − t)·max(ln(1 − x), −100)

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::math::log::{log, log1m};
use crate::simd::Lanes;

/// No logarithm counts for less, so that a certain and wrong prediction costs 100 and not ∞.
const FLOOR: f32 = -100.0;
/// No x·(1 − x) counts for less in the derivative.
const LEAST_VARIANCE: f32 = 1e-12;

/// Binary cross-entropy of probabilities.
#[derive(Clone, Copy)]
pub struct Bce {
    /// Target t becomes t·keep + shift, and 1 − t becomes (1 − t)·keep + shift.
    keep: f32,
    shift: f32,
}

impl From<Params> for Bce {
    /// `params[0]` is the label smoothing ε: t becomes t(1 − ε) + ε/2.
    fn from(params: Params) -> Self {
        Self {
            keep: 1.0 - params[0],
            shift: 0.5 * params[0],
        }
    }
}

impl Pointwise for Bce {
    /// The derivative (x − t)/max(x(1 − x), 10⁻¹²) is that of the logarithms without their floor: at 0 and 1 it is large
    /// but finite, and still says which way to go.
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let one = v.splat(1.0);
        let (keep, shift) = (v.splat(self.keep), v.splat(self.shift));
        let on = v.mul_add(t, keep, shift);
        let off = v.mul_add(v.sub(one, t), keep, shift);
        let log_on = v.max(log(v, x), v.splat(FLOOR));
        let log_off = v.max(log1m(v, x), v.splat(FLOOR));
        // Both terms have the same sign: nothing cancels. The negative of their sum would be −0 for a certain and right prediction;
        // of the negatives one is +0 there.
        let value = v.mul_add(v.neg(on), log_on, v.neg(v.mul(off, log_off)));
        let variance = v.mul(x, v.sub(one, x));
        let dx = v.div(v.sub(x, on), v.max(variance, v.splat(LEAST_VARIANCE)));
        let dt = v.mul(v.sub(log_off, log_on), keep);
        Eval { value, dx, dt }
    }
}
