//! ln x for positive normal x.

use crate::simd::Simd;

/// Largest error over the positive normal numbers, in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.5;

/// ln(1 + r) = r + r² · P(r)/Q(r) on [√½ − 1, √2 − 1] (YNNPACK's rational).
const P: [f32; 3] = [-0.49999964, -0.3312779, -0.005229335];
const Q: [f32; 3] = [1.0, 1.329217, 0.3965804];
const LN_2: f32 = core::f32::consts::LN_2;

/// ln x; ln ∞ = ∞, NaN stays NaN. Zero, negative and subnormal x are outside the domain.
#[inline(always)]
pub fn log_positive<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let (m, n) = s.split_exponent(x);
    let r = s.sub(m, s.splat(1.0));
    let p = s.mul_add(r, s.mul_add(r, s.splat(P[2]), s.splat(P[1])), s.splat(P[0]));
    let q = s.mul_add(r, s.mul_add(r, s.splat(Q[2]), s.splat(Q[1])), s.splat(Q[0]));
    let log1p = s.mul_add(s.mul(r, r), s.div(p, q), r);
    let log = s.mul_add(n, s.splat(LN_2), log1p);
    // The bits of ∞ and NaN split into something finite.
    s.select(s.lt(x, s.splat(f32::INFINITY)), log, x)
}
