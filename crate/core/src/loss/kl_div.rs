//! t·(ln t − x), x the logarithm of a probability; with a target in logarithms eᵗ·(t − x)

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::math::exp::exp;
use crate::math::log::log;
use crate::simd::Lanes;

/// Kullback-Leibler divergence of the input from the target.
#[derive(Clone, Copy)]
pub struct KlDiv {
    log_target: bool,
}

impl From<Params> for KlDiv {
    /// `params[0]` is 1 where the target comes as a logarithm, 0 where it does not.
    fn from(params: Params) -> Self {
        Self {
            log_target: params[0] != 0.0,
        }
    }
}

impl Pointwise for KlDiv {
    /// A target of 0 costs nothing, whatever it is compared with: 0 · ∞ and 0 · ln 0 are 0. Its derivative by the target is
    /// −x, as if 0 · ln 0 were constant, since the true one is −∞. A negative target has no logarithm, and is NaN.
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, _: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let zero = v.splat(0.0);
        let one = v.splat(1.0);
        // The branch goes the same way for all vectors of a call.
        let (value, dx, dt) = if self.log_target {
            let p = exp(v, t);
            let difference = v.sub(t, x);
            let value = product(v, p, difference);
            let dt = product(v, p, v.add(difference, one));
            (value, v.neg(p), dt)
        } else {
            let difference = v.sub(log(v, t), x);
            let nothing = v.eq(t, zero);
            let value = product(v, t, difference);
            let dt = v.select(nothing, v.neg(x), v.add(difference, one));
            (value, v.neg(t), dt)
        };
        // A NaN of the input must show, although the derivative by it does not depend on it.
        let known = v.eq(x, x);
        Eval {
            value: v.select(known, value, x),
            dx: v.select(known, dx, x),
            dt: v.select(known, dt, x),
        }
    }
}

/// a · b, where 0 · ∞ and 0 · NaN are 0.
#[inline(always)]
fn product<V: Lanes>(v: V, a: V::F32, b: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    let product = v.zero_where(v.eq(a, zero), v.mul(a, b));
    v.zero_where(v.eq(b, zero), product)
}
