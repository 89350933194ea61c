//! ln x for positive normal x; ln x for any x; ln(1 + x) from a little below 0 on, and for any x; ln(1 − p) for a probability p.

use super::exp::MAGIC;
use crate::simd::Lanes;

/// Largest error of [`log_positive`] and [`log`] over the positive numbers, in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.5;

/// Largest error of [`log1p`] from [`LOG1P_MIN`] on, in units in the last place of the true value.
pub const LOG1P_MAX_ULP: f64 = 3.2;

/// The least argument of [`log1p`]: 1 + x is above √½ there.
pub const LOG1P_MIN: f32 = -0.29;

/// Largest error of [`log1p_of_any`] above −1, in units in the last place of the true value.
pub const LOG1P_OF_ANY_MAX_ULP: f64 = 3.2;

/// Largest error of [`log1m`] over [0, 1], in units in the last place of the true value.
pub const LOG1M_MAX_ULP: f64 = 2.6;

/// ln(1 + r) = r + r² · P(r)/Q(r) on [√½ − 1, √2 − 1] (YNNPACK's rational).
const P: [f32; 3] = [-0.49999964, -0.3312779, -0.005229335];
const Q: [f32; 3] = [1.0, 1.329217, 0.3965804];
const LN_2: f32 = core::f32::consts::LN_2;
pub(super) const TWO_24: f32 = 16_777_216.0;

/// ln x; ln ∞ = ∞, NaN stays NaN. Zero, negative and subnormal x are outside the domain.
#[inline(always)]
pub fn log_positive<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (m, n) = v.split_exponent(x);
    let log = v.mul_add(n, v.splat(LN_2), log_mantissa(v, m));
    // The bits of ∞ and NaN split into something finite.
    v.select(v.lt(x, v.splat(f32::INFINITY)), log, x)
}

/// ln x: −∞ at ±0, NaN below; subnormal x are right too.
#[inline(always)]
pub fn log<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let zero = v.splat(0.0);
    // The bits of a subnormal have no exponent to split off, so it is made normal first.
    let subnormal = v.lt(x, v.splat(f32::MIN_POSITIVE));
    let normal = v.select(subnormal, v.mul(x, v.splat(TWO_24)), x);
    let (m, n) = v.split_exponent(normal);
    let n = v.sub(n, v.select(subnormal, v.splat(24.0), zero));
    let log = v.mul_add(n, v.splat(LN_2), log_mantissa(v, m));
    let log = v.select(v.lt(x, v.splat(f32::INFINITY)), log, x);
    let edge = v.select(v.eq(x, zero), v.splat(f32::NEG_INFINITY), v.splat(f32::NAN));
    v.select(v.lt(zero, x), log, edge)
}

/// ln(1 + x) for x ≥ [`LOG1P_MIN`], subnormal x included; ln ∞ = ∞, NaN stays NaN. Smaller x are outside the domain.
#[inline(always)]
pub fn log1p<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let one = v.splat(1.0);
    let u = v.add(x, one);
    let (m, n) = v.split_exponent(u);
    // What the sum lost, times 2⁻ⁿ, goes back into the mantissa where it can be seen in the result: with n = 0 that makes it
    // exact, and from n = 2 on the logarithm is so large that it does not matter.
    let lost = v.sub(x, v.sub(u, one));
    let scale = v.max(v.splat(0.0), v.mul_add(n, v.splat(-0.5), one));
    let r = v.mul_add(lost, scale, v.sub(m, one));
    let log = v.mul_add(n, v.splat(LN_2), log1p_reduced(v, r));
    v.select(v.lt(x, v.splat(f32::INFINITY)), log, x)
}

/// ln(1 + x): −∞ at −1, NaN below; ln ∞ = ∞, NaN stays NaN.
#[inline(always)]
pub fn log1p_of_any<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (zero, one) = (v.splat(0.0), v.splat(1.0));
    let u = v.add(x, one);
    let (m, n) = v.split_exponent(u);
    // What the sum lost, times 2⁻ⁿ, makes the mantissa exact again, also where x is near −1 and n far from 0.
    let lost = v.sub(x, v.sub(u, one));
    let scale = v.exponent_from_low_bits(v.sub(v.splat(MAGIC), n));
    let r = v.mul_add(lost, scale, v.sub(m, one));
    let log = v.mul_add(n, v.splat(LN_2), log1p_reduced(v, r));
    // The bits of ∞ and NaN split into something finite.
    let log = v.select(v.lt(u, v.splat(f32::INFINITY)), log, u);
    let edge = v.select(v.eq(u, zero), v.splat(f32::NEG_INFINITY), v.splat(f32::NAN));
    v.select(v.lt(zero, u), log, edge)
}

/// ln(1 − p) for p in [0, 1], −∞ at 1; NaN stays NaN. Other p are outside the domain.
#[inline(always)]
pub fn log1m<V: Lanes>(v: V, p: V::F32) -> V::F32 {
    let one = v.splat(1.0);
    let q = v.sub(one, p);
    let (m, n) = v.split_exponent(q);
    // q is rounded only where p < ½, and n is 0 or −1 there: what was lost, times 2⁻ⁿ, makes the mantissa exact again.
    let lost = v.sub(v.sub(one, q), p);
    let r = v.mul_add(lost, v.sub(one, n), v.sub(m, one));
    let log = v.mul_add(n, v.splat(LN_2), log1p_reduced(v, r));
    v.select(v.eq(q, v.splat(0.0)), v.splat(f32::NEG_INFINITY), log)
}

/// ln m for m in [√½, √2).
#[inline(always)]
pub(super) fn log_mantissa<V: Lanes>(v: V, m: V::F32) -> V::F32 {
    log1p_reduced(v, v.sub(m, v.splat(1.0)))
}

/// ln(1 + r) for r in [√½ − 1, √2 − 1).
#[inline(always)]
fn log1p_reduced<V: Lanes>(v: V, r: V::F32) -> V::F32 {
    let p = v.mul_add(v.mul_add(r, v.splat(P[2]), v.splat(P[1])), r, v.splat(P[0]));
    let q = v.mul_add(v.mul_add(r, v.splat(Q[2]), v.splat(Q[1])), r, v.splat(Q[0]));
    v.mul_add(v.mul(r, r), v.div(p, q), r)
}
