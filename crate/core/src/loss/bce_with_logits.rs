//! (1 − t)·x + (1 + (w − 1)·t)·ln(1 + e^−x), w the weight of the positive class

use crate::family::pointwise::{Eval, Pointwise};
use crate::loss::Params;
use crate::math::sigmoid::sigmoid;
use crate::simd::Simd;

/// Binary cross-entropy of σ(x).
#[derive(Clone, Copy)]
pub struct BceWithLogits {
    /// Target t becomes t·keep + shift.
    keep: f32,
    shift: f32,
}

impl BceWithLogits {
    /// `params[0]` is the label smoothing ε: t becomes t(1 − ε) + ε/2.
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            keep: 1.0 - params[0],
            shift: 0.5 * params[0],
        }
    }
}

impl Pointwise for BceWithLogits {
    /// With L = ln(1 + e^−|x|) and k = 1 − t + w·t the value is |x|·(x ≥ 0 ? 1 − t : w·t) + k·L, whose terms have the
    /// same sign for t in [0, 1], and the derivative is (1 − t)·σ(x) − w·t·σ(−x): nothing cancels at a hard target.
    #[inline(always)]
    fn eval<S: Simd>(self, s: S, x: S::F32, t: S::F32, w: S::F32) -> Eval<S> {
        let t = s.mul_add(t, s.splat(self.keep), s.splat(self.shift));
        let p = sigmoid(s, x);
        let negatives = s.sub(s.splat(1.0), t);
        let positives = s.mul(w, t);
        let zero = s.splat(0.0);
        let side = s.select(s.lt(x, zero), positives, negatives);
        // ∞ · 0 is 0 here: an infinite logit on the right side costs nothing. NaN is not equal to 0 and stays.
        let far = s.select(s.eq(side, zero), zero, s.mul(s.abs(x), side));
        let value = s.mul_add(s.add(negatives, positives), p.softplus, far);
        // A NaN logit must reach the value even where `side` is 0: `softplus` is NaN then.
        let dx = s.sub(s.mul(negatives, p.plus), s.mul(positives, p.minus));
        // −x + (w − 1)·softplus(−x), by the smoothing's factor.
        let minus_x = s.neg(x);
        let softplus = s.add(s.select(s.lt(x, zero), minus_x, zero), p.softplus);
        let excess = s.sub(w, s.splat(1.0));
        let tilt = s.select(s.eq(excess, zero), zero, s.mul(excess, softplus));
        let dt = s.mul(s.add(minus_x, tilt), s.splat(self.keep));
        Eval { value, dx, dt }
    }
}
