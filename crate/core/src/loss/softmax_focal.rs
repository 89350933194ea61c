//! −q^γ·ln p, q = 1 − p

use crate::family::Params;
use crate::family::softmax::Softmax;
use crate::math::pow::Exponent;
use crate::simd::Lanes;

/// Softmax cross-entropy played down where the probability of the class is high.
#[derive(Clone, Copy)]
pub struct SoftmaxFocal {
    gamma: f32,
    exponent: Exponent,
}

impl From<Params> for SoftmaxFocal {
    /// `params[0]` is γ ≥ 0.
    fn from(params: Params) -> Self {
        Self {
            gamma: params[0],
            exponent: Exponent::new(params[0]),
        }
    }
}

impl SoftmaxFocal {
    /// q^γ. The branches go the same way for all vectors of a call.
    #[inline(always)]
    fn power<V: Lanes>(self, v: V, q: V::F32) -> V::F32 {
        if self.gamma == 2.0 {
            v.mul(q, q)
        } else if self.gamma == 0.0 {
            v.splat(1.0)
        } else {
            self.exponent.pow(v, q)
        }
    }
}

impl Softmax for SoftmaxFocal {
    #[inline(always)]
    fn gamma(self) -> f32 {
        self.gamma
    }

    #[inline(always)]
    fn value<V: Lanes>(self, v: V, log_p: V::F32, q: V::F32) -> V::F32 {
        v.mul(self.power(v, q), v.sub(v.splat(0.0), log_p))
    }

    /// q^γ·(1 + γ·p·(−ln p)/q): the ratio goes to 1 as q goes to 0, and p·ln p to 0 as p does.
    #[inline(always)]
    fn slope<V: Lanes>(self, v: V, [log_p, p, q]: [V::F32; 3]) -> V::F32 {
        let (zero, one) = (v.splat(0.0), v.splat(1.0));
        let ratio = v.select(v.eq(q, zero), one, v.div(v.neg(log_p), q));
        let share = v.zero_where(v.eq(p, zero), v.mul(p, ratio));
        v.mul(self.power(v, q), v.mul_add(v.splat(self.gamma), share, one))
    }
}
