//! σ(|x|), σ(−|x|) and ln(1 + e^−|x|) from one exponential and one division.

use super::exp::exp_nonpositive;
use crate::simd::Lanes;

/// Largest error of [`log1p_unit`] on [0, 1], in units in the last place of the true value.
pub const LOG1P_MAX_ULP: f64 = 2.0;

/// Largest error of [`Sigmoid::large`].
pub const LARGE_MAX_ULP: f64 = 1.6;

/// Largest error of [`Sigmoid::small`] where it is a normal number.
pub const SMALL_MAX_ULP: f64 = 4.1;

/// Largest error of [`Sigmoid::softplus`] where it is a normal number.
pub const SOFTPLUS_MAX_ULP: f64 = 3.4;

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

/// What the binary losses are made of. They see which side of 0 a logit is on, and mirror what depends on it.
pub struct Sigmoid<V: Lanes> {
    /// σ(|x|) = 1/(1 + e^−|x|)
    pub large: V::F32,
    /// σ(−|x|) = 1 − σ(|x|), without the cancellation
    pub small: V::F32,
    /// ln(1 + e^−|x|): softplus(±x) is max(±x, 0) + this, so ln σ(x) and ln σ(−x) need no further logarithm
    pub softplus: V::F32,
}

/// e^−|x|, from which [`sigmoid`] has all it gives.
#[inline(always)]
pub fn tail<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    exp_nonpositive(v, v.neg(v.abs(x)))
}

/// All three from the [`tail`] of x; NaN gives NaN in all, 0 gives 1, 0 and 0.
#[inline(always)]
pub fn sigmoid<V: Lanes>(v: V, e: V::F32) -> Sigmoid<V> {
    // A true division: with the reciprocal estimate and a Newton step it is slower on Zen 4, and less exact.
    let large = v.div(v.splat(1.0), v.add(v.splat(1.0), e));
    Sigmoid {
        large,
        small: v.mul(e, large),
        softplus: log1p_unit(v, e),
    }
}

/// ln(1 + z) for z in [0, 1]; NaN stays NaN.
#[inline(always)]
pub fn log1p_unit<V: Lanes>(v: V, z: V::F32) -> V::F32 {
    // By pairs (Estrin): a chain of four multiply-adds where Horner has nine. The binary losses wait for latencies.
    let q01 = v.mul_add(v.splat(Q[1]), z, v.splat(Q[0]));
    let q23 = v.mul_add(v.splat(Q[3]), z, v.splat(Q[2]));
    let q45 = v.mul_add(v.splat(Q[5]), z, v.splat(Q[4]));
    let q67 = v.mul_add(v.splat(Q[7]), z, v.splat(Q[6]));
    let z2 = v.mul(z, z);
    let low = v.mul_add(q23, z2, q01);
    let high = v.mul_add(q67, z2, q45);
    let q = v.mul_add(high, v.mul(z2, z2), low);
    v.mul_add(z2, q, z)
}
