//! eˣ for x ≤ 0: losses subtract the maximum first, or take −|x|.

use crate::simd::Simd;

/// Largest error on [`DOMAIN_MIN`, 0], in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.3;

/// Below this eˣ is not a normal number any more, and the result is 0.
pub const DOMAIN_MIN: f32 = -87.33654;

const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// 1.5 · 2²³ + 127: adding it leaves round(x · log₂e) + 127 in the low bits.
const MAGIC: f32 = 12_583_039.0;
/// −ln 2 in two parts; the first has so few bits that its product with the integer is exact.
const MINUS_LN2_HIGH: f32 = -0.69314575;
const MINUS_LN2_LOW: f32 = -1.4286068e-6;
/// Minimax polynomial of (eᵗ − 1)/t on [−½ ln 2, ½ ln 2], lowest power first (XNNPACK's rr2-p5).
const C1: f32 = 0.9999997;
const C2: f32 = 0.4999915;
const C3: f32 = 0.16667652;
const C4: f32 = 0.041897822;
const C5: f32 = 0.008289291;

/// eˣ for x ≤ 0 or NaN. e^−∞ = 0; NaN stays NaN, since every comparison with it is false.
#[inline(always)]
pub fn exp_nonpositive<S: Simd>(s: S, x: S::F32) -> S::F32 {
    let biased = s.mul_add(x, s.splat(LOG2_E), s.splat(MAGIC));
    let power = s.exponent_from_low_bits(biased);
    let n = s.sub(biased, s.splat(MAGIC));
    let t = s.mul_add(n, s.splat(MINUS_LN2_HIGH), x);
    let t = s.mul_add(n, s.splat(MINUS_LN2_LOW), t);

    // By pairs (Estrin): a chain of three where Horner has four.
    let t2 = s.mul(t, t);
    let c12 = s.mul_add(t, s.splat(C2), s.splat(C1));
    let c34 = s.mul_add(t, s.splat(C4), s.splat(C3));
    let p = s.mul_add(s.mul_add(t2, s.splat(C5), c34), t2, c12);

    let exp = s.mul_add(s.mul(t, power), p, power);
    s.select(s.lt(x, s.splat(DOMAIN_MIN)), s.splat(0.0), exp)
}
