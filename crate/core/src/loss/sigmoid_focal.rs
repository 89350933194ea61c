//! α_t·q_t^γ·bce(x, t), q_t = 1 − p_t = σ(x)·(1 − t) + σ(−x)·t, α_t = α·t + (1 − α)·(1 − t); q_t^γ is the modulator

use crate::family::Params;
use crate::family::pointwise::{Eval, Pointwise};
use crate::loss::bce_with_logits::far;
use crate::math::exp::{exp_nonpositive, second_order};
use crate::math::pow::Exponent;
use crate::math::sigmoid::{sigmoid, tail};
use crate::simd::{ByLane, Lanes};

/// Above this γ the rounding of q_t shows in its power.
const STEEP: f32 = 8.0;

/// Focal loss of σ(x).
#[derive(Clone, Copy)]
pub struct SigmoidFocal {
    gamma: f32,
    exponent: Exponent,
    /// α_t = tilt·t + base
    tilt: f32,
    base: f32,
    /// Whether it is 0 at one of the hard targets.
    one_sided: bool,
}

impl From<Params> for SigmoidFocal {
    /// `params` are γ ≥ 0 and α in [0, 1], or −1 for none.
    fn from([gamma, alpha]: Params) -> Self {
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
            one_sided: alpha == 0.0 || alpha == 1.0,
        }
    }
}

impl SigmoidFocal {
    /// q_t^γ. The branches go the same way for all vectors of a call; without `STEEP_TOO` one is left out, for γ that are not: its code
    /// takes a quarter of the speed from the others.
    #[inline(always)]
    fn modulator<V: Lanes, const STEEP_TOO: bool>(
        self,
        v: V,
        x: V::F32,
        t: V::F32,
        q_t: V::F32,
    ) -> V::F32 {
        if self.gamma == 2.0 {
            v.mul(q_t, q_t)
        } else if self.gamma == 0.0 {
            // Also where q_t is 0, or NaN: that reaches the loss by its other factor.
            v.splat(1.0)
        } else if STEEP_TOO && self.gamma > STEEP {
            v.by_lane(Steep::<false>(f64::from(self.gamma)), x, t)
        } else {
            // A q_t of 0 or NaN counts as the smallest normal number: the other factor is 0 or NaN there.
            self.exponent.pow(v, q_t)
        }
    }

    /// With the side s = x < 0 ? t : 1 − t that a large logit is charged for, q_t = s·σ(|x|) + (1 − s)·σ(−|x|), and the derivative
    /// is ±α_t·q_t^γ·(s − σ(−|x|) − γ·bce·(1 − 2s)·σ(x)·σ(−x)/q_t). The quotient is at most 1, and at a hard target it is σ(x) or
    /// σ(−x): nothing is divided by a small number that is not in the numerator too, so it is finite for any γ.
    #[inline(always)]
    fn value_and_slope<V: Lanes, const STEEP_TOO: bool>(
        self,
        v: V,
        x: V::F32,
        e: V::F32,
        t: V::F32,
    ) -> Eval<V> {
        let zero = v.splat(0.0);
        let negative = v.lt(x, zero);
        let p = sigmoid(v, e);
        let side = v.select(negative, t, v.sub(v.splat(1.0), t));
        let abs_x = v.abs(x);
        let far = far(v, abs_x, side);

        let q_t = v.mul_add(side, v.sub(p.large, p.small), p.small);
        let alpha_t = v.mul_add(v.splat(self.tilt), t, v.splat(self.base));
        let modulator = self.modulator::<V, STEEP_TOO>(v, x, t, q_t);
        let weight = v.mul(alpha_t, modulator);
        let counted = if self.one_sided {
            // 0 · ∞ is 0 here: what has no weight costs nothing, however far it is. NaN reaches the value by `softplus`.
            v.zero_where(v.eq(alpha_t, zero), far)
        } else {
            far
        };
        let bce = v.add(counted, p.softplus);

        let product = v.mul(p.large, p.small);
        let quotient = v.zero_where(v.eq(product, zero), v.div(product, q_t));
        let gamma = v.splat(self.gamma);
        let turn = v.mul(v.mul_add(side, v.splat(-2.0 * self.gamma), gamma), quotient);
        // An infinite bce has a quotient of 0.
        let bent = v.zero_where(v.eq(turn, zero), v.mul(bce, turn));
        let dx = v.mul(weight, v.sub(v.sub(side, p.small), bent));

        let value = if STEEP_TOO && self.gamma > STEEP {
            let value = v.mul(
                alpha_t,
                v.by_lane(Steep::<true>(f64::from(self.gamma)), x, t),
            );
            // Its bce may be infinite, as above; NaN stays NaN.
            v.select(
                v.eq(q_t, q_t),
                v.zero_where(v.eq(alpha_t, zero), value),
                q_t,
            )
        } else {
            v.mul(weight, bce)
        };

        Eval {
            value,
            dx: v.neg_where(negative, dx),
            // See `by_target`.
            dt: zero,
        }
    }
}

/// q_t^γ of a logit and its target for a large γ, which is held here. By way of ln q_t, whose error the power multiplies: where q_t is near
/// 1 it is known from what q_t lacks of 1. With `COST` the power times bce(x, t), which may be large where the power is below the
/// numbers of single precision; a power of 0 makes 0 of an infinite one.
#[derive(Clone, Copy)]
struct Steep<const COST: bool>(f64);

impl<const COST: bool> ByLane for Steep<COST> {
    fn eval(self, x: f64, t: f64) -> f64 {
        let e = (-x.abs()).exp();
        let large = 1.0 / (1.0 + e);
        let small = e * large;
        let (side, rest) = if x < 0.0 { (t, 1.0 - t) } else { (1.0 - t, t) };
        let q_t = side * large + rest * small;
        let log = if q_t > 0.5 {
            (-side * small - rest * large).ln_1p()
        } else {
            q_t.ln()
        };
        let modulator = (self.0 * log).exp();
        if !COST {
            return modulator;
        }
        // 0 · ∞ is 0: a target that is met costs nothing, however far the logit is.
        let far = if side == 0.0 { 0.0 } else { x.abs() * side };
        if modulator == 0.0 {
            0.0
        } else {
            modulator * (far + e.ln_1p())
        }
    }
}

impl Pointwise for SigmoidFocal {
    const PREPARES: bool = true;
    const TARGET_APART: bool = true;
    const DEFAULTS_ONLY: bool = true;

    #[inline(always)]
    fn prepare<V: Lanes>(self, v: V, x: V::F32) -> V::F32 {
        tail(v, x)
    }

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, e: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        self.value_and_slope::<V, true>(v, x, e, t)
    }

    #[inline(always)]
    fn has_defaults(self, _: f32) -> bool {
        self.gamma <= STEEP
    }

    #[inline(always)]
    fn eval_defaults<V: Lanes>(self, v: V, x: V::F32, e: V::F32, t: V::F32) -> Eval<V> {
        self.value_and_slope::<V, false>(v, x, e, t)
    }

    /// q_t^γ·(α_t'·bce ± α_t·(γ·bce·(σ(|x|) − σ(−|x|))/q_t + |x|)), + where x < 0. Within the second term nothing cancels. At a q_t
    /// of 0 bce is 0 too, and bce/q_t is 1.
    #[inline(always)]
    fn by_target<V: Lanes>(self, v: V, x: V::F32, t: V::F32) -> V::F32 {
        let (zero, one) = (v.splat(0.0), v.splat(1.0));
        let e = tail(v, x);
        let p = sigmoid(v, e);
        let abs_x = v.abs(x);
        let side = v.select(v.lt(x, zero), t, v.sub(one, t));
        let bce = v.add(far(v, abs_x, side), p.softplus);
        // σ(|x|) − σ(−|x|) = (1 − e^−|x|)·σ(|x|), of which a subtraction leaves nothing near 0.
        let near = v.sub(one, v.mul(abs_x, second_order(v, abs_x)));
        let rise = v.select(v.lt(one, abs_x), v.sub(one, e), v.mul(abs_x, near));
        let apart = v.mul(rise, p.large);
        let q_t = v.mul_add(side, apart, p.small);
        let ratio = v.select(v.eq(q_t, zero), v.splat(1.0), v.div(bce, q_t));
        // Where the q_t of a hard target is below the normal numbers, a small power of it is not.
        let hidden = v.zero_where(v.lt(zero, side), v.splat(f32::MIN_POSITIVE));
        let gone = exp_nonpositive(v, v.mul(v.splat(-self.gamma), abs_x));
        let modulator = v.select(
            v.lt(q_t, hidden),
            gone,
            self.modulator::<V, true>(v, x, t, q_t),
        );

        let alpha_t = v.mul_add(v.splat(self.tilt), t, v.splat(self.base));
        let tilted = v.zero_where(
            v.eq(v.splat(self.tilt), zero),
            v.mul(v.splat(self.tilt), bce),
        );
        let steep = v.mul(v.mul(v.splat(self.gamma), ratio), apart);
        let steep = v.zero_where(v.eq(v.splat(self.gamma), zero), steep);
        let turned = v.zero_where(v.eq(alpha_t, zero), v.mul(alpha_t, v.add(steep, abs_x)));
        let dt = v.add(tilted, v.neg_where(v.lt(zero, x), turned));
        let dt = v.zero_where(v.eq(modulator, zero), v.mul(modulator, dt));
        // A power takes no notice of NaN, in the logit or in the target.
        v.select(v.eq(q_t, q_t), dt, q_t)
    }
}
