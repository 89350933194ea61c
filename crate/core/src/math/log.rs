//! ln x for positive normal x.

use crate::simd::Lanes;

/// Largest error over the positive normal numbers, in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.5;

/// ln(1 + r) = r + r² · P(r)/Q(r) on [√½ − 1, √2 − 1] (YNNPACK's rational).
const P: [f32; 3] = [-0.49999964, -0.3312779, -0.005229335];
const Q: [f32; 3] = [1.0, 1.329217, 0.3965804];
const LN_2: f32 = core::f32::consts::LN_2;

/// ln x; ln ∞ = ∞, NaN stays NaN. Zero, negative and subnormal x are outside the domain.
#[inline(always)]
pub fn log_positive<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (m, n) = v.split_exponent(x);
    let log = v.mul_add(n, v.splat(LN_2), log_mantissa(v, m));
    // The bits of ∞ and NaN split into something finite.
    v.select(v.lt(x, v.splat(f32::INFINITY)), log, x)
}

/// ln m for m in [√½, √2).
#[inline(always)]
pub(super) fn log_mantissa<V: Lanes>(v: V, m: V::F32) -> V::F32 {
    let r = v.sub(m, v.splat(1.0));
    let p = v.mul_add(v.mul_add(r, v.splat(P[2]), v.splat(P[1])), r, v.splat(P[0]));
    let q = v.mul_add(v.mul_add(r, v.splat(Q[2]), v.splat(Q[1])), r, v.splat(Q[0]));
    v.mul_add(v.mul(r, r), v.div(p, q), r)
}
