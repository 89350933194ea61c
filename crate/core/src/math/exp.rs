//! eˣ for x ≤ 0: losses subtract the maximum first, or take −|x|.

use crate::simd::{Lanes, Map};

/// Largest error on [`DOMAIN_MIN`, 0], in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.4;

/// Below this eˣ is not a normal number any more, and the result is 0.
pub const DOMAIN_MIN: f32 = -87.33654;

const LOG2_E: f32 = core::f32::consts::LOG2_E;
/// 1.5 · 2²³ + 127: adding it leaves round(x · log₂e) + 127 in the low bits.
pub(super) const MAGIC: f32 = 12_583_039.0;
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
pub fn exp_nonpositive<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let biased = v.mul_add(x, v.splat(LOG2_E), v.splat(MAGIC));
    let power = v.exponent_from_low_bits(biased);
    let n = v.sub(biased, v.splat(MAGIC));
    let t = v.mul_add(n, v.splat(MINUS_LN2_HIGH), x);
    let t = v.mul_add(n, v.splat(MINUS_LN2_LOW), t);

    let exp = exp_reduced(v, t, power);
    v.zero_where(v.lt(x, v.splat(DOMAIN_MIN)), exp)
}

/// eᵗ · `power` for t in [−½ ln 2, ½ ln 2].
#[inline(always)]
pub(super) fn exp_reduced<V: Lanes>(v: V, t: V::F32, power: V::F32) -> V::F32 {
    // By pairs (Estrin): a chain of three where Horner has four.
    let t2 = v.mul(t, t);
    let c12 = v.mul_add(t, v.splat(C2), v.splat(C1));
    let c34 = v.mul_add(t, v.splat(C4), v.splat(C3));
    let p = v.mul_add(v.mul_add(t2, v.splat(C5), c34), t2, c12);
    v.mul_add(v.mul(t, power), p, power)
}

/// Largest error of [`one_minus_exp`] on [−87, 0], in units in the last place of the true value.
pub const ONE_MINUS_MAX_ULP: f64 = 2.0;

/// Polynomial of (eᵗ − 1 − t)/t² on [−½ ln 2, 0], lowest power first; fitted for this project.
const D: [f32; 5] = [0.49999994, 0.16666521, 0.04166827, 0.008368677, 0.001382041];

/// 1 − eˣ for x ≤ 0 or NaN, without the cancellation near 0.
#[inline(always)]
pub fn one_minus_exp<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let far = v.sub(v.splat(1.0), exp_nonpositive(v, x));
    let mut d = v.splat(D[4]);
    for i in [3, 2, 1, 0] {
        d = v.mul_add(d, x, v.splat(D[i]));
    }
    let near = v.neg(v.mul_add(v.mul(x, x), d, x));
    v.select(v.lt(v.splat(-0.35), x), near, far)
}

/// [`exp_nonpositive`] for [`crate::simd::Simd::map`].
#[derive(Clone, Copy)]
pub struct Exp;

impl Map<1, 1> for Exp {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x]: [V::F32; 1]) -> [V::F32; 1] {
        [exp_nonpositive(v, x)]
    }
}
