//! (1 − t)·x + (1 + (w − 1)·t)·ln(1 + e^−x), w the weight of the positive class

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::math::sigmoid::{sigmoid, tail};
use crate::simd::Lanes;

/// Binary cross-entropy of σ(x).
#[derive(Clone, Copy)]
pub struct BceWithLogits {
    /// Target t becomes t·keep + shift.
    keep: f32,
    shift: f32,
}

impl From<Params> for BceWithLogits {
    /// `params[0]` is the label smoothing ε: t becomes t(1 − ε) + ε/2.
    fn from(params: Params) -> Self {
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
        tail(v, x)
    }

    #[inline(always)]
    fn has_defaults(self, aux: f32) -> bool {
        self.keep == 1.0 && aux == 1.0
    }

    /// With L = ln(1 + e^−|x|), n = 1 − t, p = w·t and the side s = x < 0 ? p : n that a large logit is charged for, the value
    /// is |x|·s + (n + p)·L, whose terms have the same sign for t in [0, 1], and the derivative n·σ(x) − p·σ(−x) is
    /// ±(s − (n + p)·σ(−|x|)): nothing cancels at a hard target, where s is 0 or n + p.
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
        let value = v.mul_add(both, p.softplus, far(v, abs_x, side));
        let dx = v.sub(side, v.mul(both, p.small));
        let dx = v.neg_where(negative, dx);

        // −x + (w − 1)·softplus(−x), by the smoothing's factor.
        let excess = v.sub(w, v.splat(1.0));
        let softplus = v.add(v.select(negative, abs_x, zero), p.softplus);
        let tilt = v.zero_where(v.eq(excess, zero), v.mul(excess, softplus));
        let dt = v.mul(v.sub(tilt, x), v.splat(self.keep));
        Eval { value, dx, dt }
    }

    /// With w = 1 and no smoothing n + p is 1.
    #[inline(always)]
    fn eval_defaults<V: Lanes>(self, v: V, x: V::F32, e: V::F32, t: V::F32) -> Eval<V> {
        let negative = v.lt(x, v.splat(0.0));
        let p = sigmoid(v, e);
        let side = v.select(negative, t, v.sub(v.splat(1.0), t));
        Eval {
            value: v.add(far(v, v.abs(x), side), p.softplus),
            dx: v.neg_where(negative, v.sub(side, p.small)),
            dt: v.neg(x),
        }
    }
}

/// |x|·side. ∞ · 0 is 0 here: an infinite logit on the right side costs nothing. NaN reaches the value by `softplus`.
#[inline(always)]
pub(super) fn far<V: Lanes>(v: V, abs_x: V::F32, side: V::F32) -> V::F32 {
    v.zero_where(v.eq(side, v.splat(0.0)), v.mul(abs_x, side))
}
