//! σ(x), σ(−x) and ln(1 + e^−|x|) from one exponential and one division.

use super::exp::exp_nonpositive;
use crate::simd::Simd;

/// Largest error of [`log1p_unit`] on [0, 1], in units in the last place of the true value.
pub const LOG1P_MAX_ULP: f64 = 1.85;

/// Largest error of [`Sigmoid::plus`] for x ≥ 0, where it is in [½, 1].
pub const PLUS_MAX_ULP: f64 = 1.6;

/// Largest error of [`Sigmoid::minus`] for x ≥ 0, where it is a normal number.
pub const MINUS_MAX_ULP: f64 = 4.1;

/// Largest error of [`Sigmoid::softplus`] where it is a normal number.
pub const SOFTPLUS_MAX_ULP: f64 = 3.1;

/// ln(1 + z) = z + z² · Q(z) on [0, 1], lowest power first; fitted for this project.
const Q: [f32; 8] = [
    -0.49999648,
    0.3332133,
    -0.24857217,
    0.19153848,
    -0.13754188,
    0.07920883,
    -0.0300683,
    0.0053654225,
];

/// What the binary losses are made of.
pub struct Sigmoid<S: Simd> {
    /// σ(x) = 1/(1 + e^−x)
    pub plus: S::F32,
    /// σ(−x) = 1 − σ(x), without the cancellation
    pub minus: S::F32,
    /// ln(1 + e^−|x|): softplus(±x) is max(±x, 0) + this, so ln σ(x) and ln σ(−x) need no further logarithm
    pub softplus: S::F32,
}

/// All three for any x; NaN gives NaN in all, ±∞ gives 0, 1 and 0.
#[inline(always)]
pub fn sigmoid<S: Simd>(s: S, x: S::F32) -> Sigmoid<S> {
    let e = exp_nonpositive(s, s.neg(s.abs(x)));
    // A true division: with the reciprocal estimate and a Newton step it is slower on Zen 4, and less exact.
    let large = s.div(s.splat(1.0), s.add(s.splat(1.0), e));
    let small = s.mul(e, large);
    let negative = s.lt(x, s.splat(0.0));
    Sigmoid {
        plus: s.select(negative, small, large),
        minus: s.select(negative, large, small),
        softplus: log1p_unit(s, e),
    }
}

/// ln(1 + z) for z in [0, 1]; NaN stays NaN.
#[inline(always)]
pub fn log1p_unit<S: Simd>(s: S, z: S::F32) -> S::F32 {
    // By pairs (Estrin): a chain of four multiply-adds where Horner has nine. The binary losses wait for latencies.
    let q01 = s.mul_add(s.splat(Q[1]), z, s.splat(Q[0]));
    let q23 = s.mul_add(s.splat(Q[3]), z, s.splat(Q[2]));
    let q45 = s.mul_add(s.splat(Q[5]), z, s.splat(Q[4]));
    let q67 = s.mul_add(s.splat(Q[7]), z, s.splat(Q[6]));
    let z2 = s.mul(z, z);
    let low = s.mul_add(q23, z2, q01);
    let high = s.mul_add(q67, z2, q45);
    let q = s.mul_add(high, s.mul(z2, z2), low);
    s.mul_add(z2, q, z)
}
