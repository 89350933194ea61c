//! α_t·m^γ·bce(x, t), m = σ(x)·(1 − t) + σ(−x)·t the miss, α_t = α·t + (1 − α)·(1 − t)

use crate::family::pointwise::{Eval, Pointwise};
use crate::loss::Params;
use crate::loss::bce_with_logits::far;
use crate::math::pow::Exponent;
use crate::math::sigmoid::{sigmoid, tail};
use crate::simd::Lanes;

/// Focal loss of σ(x).
#[derive(Clone, Copy)]
pub struct SigmoidFocal {
    gamma: f32,
    exponent: Exponent,
    /// α_t = tilt·t + base
    tilt: f32,
    base: f32,
}

impl SigmoidFocal {
    /// `params` are γ ≥ 0 and α in [0, 1], or −1 for none.
    #[must_use]
    pub fn new([gamma, alpha]: Params) -> Self {
        let (tilt, base) = if alpha < 0.0 {
            (0.0, 1.0)
        } else {
            (2.0 * alpha - 1.0, 1.0 - alpha)
        };
        Self {
            gamma,
            exponent: Exponent::new(gamma),
            tilt,
            base,
        }
    }

    /// m^γ. The branches go the same way for all vectors of a call.
    #[inline(always)]
    fn power<V: Lanes>(self, v: V, m: V::F32) -> V::F32 {
        if self.gamma == 2.0 {
            v.mul(m, m)
        } else if self.gamma == 0.0 {
            // Also where m is 0, or NaN: that reaches the loss by its other factor.
            v.splat(1.0)
        } else {
            // A miss of 0 or NaN counts as the smallest normal number: the other factor is 0 or NaN there.
            self.exponent.pow(v, m)
        }
    }
}

impl Pointwise for SigmoidFocal {
    const PREPARES: bool = true;

    #[inline(always)]
    fn prepare<V: Lanes>(self, v: V, x: V::F32) -> V::F32 {
        tail(v, x)
    }

    /// With the side s = x < 0 ? t : 1 − t that a large logit is charged for, m = s·σ(|x|) + (1 − s)·σ(−|x|), and the derivative
    /// is ±α_t·m^γ·(s − σ(−|x|) − γ·bce·(1 − 2s)·σ(x)·σ(−x)/m). The quotient is at most 1, and at a hard target it is σ(x) or
    /// σ(−x): nothing is divided by a small number that is not in the numerator too, so it is finite for any γ.
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, e: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        let zero = v.splat(0.0);
        let negative = v.lt(x, zero);
        let p = sigmoid(v, e);
        let side = v.select(negative, t, v.sub(v.splat(1.0), t));
        let bce = v.add(far(v, v.abs(x), side), p.softplus);

        let m = v.mul_add(side, v.sub(p.large, p.small), p.small);
        let alpha = v.mul_add(v.splat(self.tilt), t, v.splat(self.base));
        let weight = v.mul(alpha, self.power(v, m));

        let product = v.mul(p.large, p.small);
        let quotient = v.zero_where(v.eq(product, zero), v.div(product, m));
        let gamma = v.splat(self.gamma);
        let turn = v.mul(v.mul_add(side, v.splat(-2.0 * self.gamma), gamma), quotient);
        // An infinite bce has a quotient of 0.
        let bent = v.zero_where(v.eq(turn, zero), v.mul(bce, turn));
        let dx = v.mul(weight, v.sub(v.sub(side, p.small), bent));
        Eval {
            value: v.mul(weight, bce),
            dx: v.neg_where(negative, dx),
            // Not offered: no one trains the target of a focal loss.
            dt: zero,
        }
    }
}
