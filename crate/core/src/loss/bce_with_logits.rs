//! (1 − t)·x + (1 + (w − 1)·t)·ln(1 + e^−x), w the weight of the positive class

use crate::family::pointwise::{Eval, Pointwise};
use crate::loss::Params;
use crate::math::exp::exp_nonpositive;
use crate::math::sigmoid::sigmoid;
use crate::simd::Lanes;

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
    const PREPARES: bool = true;

    #[inline(always)]
    fn prepare<V: Lanes>(self, v: V, x: V::F32) -> V::F32 {
        exp_nonpositive(v, v.neg(v.abs(x)))
    }

    /// With L = ln(1 + e^−|x|), n = 1 − t, p = w·t and the side s = x < 0 ? p : n that a large logit is charged for, the value
    /// is |x|·s + (n + p)·L, whose terms have the same sign for t in [0, 1], and the derivative n·σ(x) − p·σ(−x) is
    /// ±(s·σ(|x|) − (n + p − s)·σ(−|x|)): nothing cancels at a hard target.
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, e: V::F32, t: V::F32, w: V::F32) -> Eval<V> {
        let zero = v.splat(0.0);
        let t = v.mul_add(t, v.splat(self.keep), v.splat(self.shift));
        let abs_x = v.abs(x);
        let negative = v.lt(x, zero);
        let p = sigmoid(v, e);

        let negatives = v.sub(v.splat(1.0), t);
        let positives = v.mul(w, t);
        let both = v.add(negatives, positives);
        let side = v.select(negative, positives, negatives);
        // ∞ · 0 is 0 here: an infinite logit on the right side costs nothing. NaN reaches the value by `softplus`.
        let far = v.zero_where(v.eq(side, zero), v.mul(abs_x, side));
        let value = v.mul_add(both, p.softplus, far);
        let other = v.sub(both, side);
        let dx = v.sub(v.mul(side, p.large), v.mul(other, p.small));
        let dx = v.neg_where(negative, dx);

        // −x + (w − 1)·softplus(−x), by the smoothing's factor.
        let excess = v.sub(w, v.splat(1.0));
        let softplus = v.add(v.select(negative, abs_x, zero), p.softplus);
        let tilt = v.zero_where(v.eq(excess, zero), v.mul(excess, softplus));
        let dt = v.mul(v.sub(tilt, x), v.splat(self.keep));
        Eval { value, dx, dt }
    }
}
