//! eˣ for x ≤ 0, as losses need it that subtract the maximum first or take −|x|; eˣ and eˣ − 1 for any x; and what e^−u is beside
//! 1 − u.

use crate::simd::{Lanes, Map};

/// Largest error of [`exp_nonpositive`] on [`DOMAIN_MIN`, 0], in units in the last place of the true value.
pub const MAX_ULP: f64 = 2.3;

/// Largest error of [`exp`] up to [`Lanes::EXP_MAX`], subnormal results included.
pub const EXP_MAX_ULP: f64 = 2.4;

/// Below this eˣ is not a normal number any more, and [`exp_nonpositive`] gives a subnormal number or 0.
pub const DOMAIN_MIN: f32 = -87.33654;

/// Largest error of [`expm1`] up to [`Lanes::EXP_MAX`].
pub const EXPM1_MAX_ULP: f64 = 1.5;

/// Largest error of [`one_minus_tail`].
pub const ONE_MINUS_TAIL_MAX_ULP: f64 = 3.1;

/// Largest error of tanh |x| as [`one_minus_tail`] of 2·x by 1 + e^−|2·x|, as a product with the reciprocal.
pub const TANH_MAX_ULP: f64 = 5.6;

pub(super) const TWO_MINUS_64: f32 = 1.0 / 18_446_744_073_709_551_616.0;
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

/// eˣ for x ≤ 0 or NaN. e^−∞ = 0; NaN stays NaN, since `max` gives its second argument then.
#[inline(always)]
pub fn exp_nonpositive<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (t, biased) = reduce(v, v.max(v.splat(V::EXP_ZERO), x));
    exp_reduced(v, t, v.exponent_from_low_bits(biased))
}

/// eˣ; NaN stays NaN.
#[inline(always)]
pub fn exp<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (t, biased) = reduce(v, x);
    // 2¹²⁸ is no float, and 2⁻¹⁵⁰ neither: the power is kept away from both ends, and a last product puts that right,
    // which rounds where the result is subnormal.
    let positive = v.lt(v.splat(0.0), x);
    let shift = v.select(positive, v.splat(-1.0), v.splat(64.0));
    let unshift = v.select(positive, v.splat(2.0), v.splat(TWO_MINUS_64));
    let power = v.exponent_from_low_bits(v.add(biased, shift));
    let exp = v.mul(exp_reduced(v, t, power), unshift);
    let exp = v.zero_where(v.lt(x, v.splat(V::EXP_MIN)), exp);
    v.select(v.lt(v.splat(V::EXP_MAX), x), v.splat(f32::INFINITY), exp)
}

/// eˣ − 1 without the cancellation near 0; −1 at −∞, NaN stays NaN.
#[inline(always)]
pub fn expm1<V: Lanes>(v: V, x: V::F32) -> V::F32 {
    let (t, biased) = reduce(v, v.max(v.splat(V::EXPM1_MIN), x));
    // 2ⁿ·(1 + (eᵗ − 1)) − 1, all of it by half: 2¹²⁸ is no float.
    let half = v.exponent_from_low_bits(v.sub(biased, v.splat(1.0)));
    let u = v.neg(t);
    let rest = v.mul_add(v.mul(t, t), second_order(v, u), t);
    let expm1 = v.mul_add(half, rest, v.sub(half, v.splat(0.5)));
    let expm1 = v.add(expm1, expm1);
    v.select(v.lt(v.splat(V::EXP_MAX), x), v.splat(f32::INFINITY), expm1)
}

/// 1 − e^−|x| without the cancellation near 0, of x and e = e^−|x|; 1 at ±∞, NaN stays NaN. The quotient with 1 + e is tanh |x|/2.
#[inline(always)]
pub fn one_minus_tail<V: Lanes>(v: V, x: V::F32, e: V::F32) -> V::F32 {
    let u = v.abs(x);
    let near = v.mul(u, v.sub(v.splat(1.0), v.mul(u, second_order(v, u))));
    v.select(v.lt(u, v.splat(0.5)), near, v.sub(v.splat(1.0), e))
}

/// (t, n + [`MAGIC`]) with x = n·ln 2 + t and t in [−½ ln 2, ½ ln 2].
#[inline(always)]
fn reduce<V: Lanes>(v: V, x: V::F32) -> (V::F32, V::F32) {
    let biased = v.mul_add(x, v.splat(LOG2_E), v.splat(MAGIC));
    let n = v.sub(biased, v.splat(MAGIC));
    let t = v.mul_add(n, v.splat(MINUS_LN2_HIGH), x);
    (v.mul_add(n, v.splat(MINUS_LN2_LOW), t), biased)
}

/// eᵗ · `power` for t in [−½ ln 2, ½ ln 2].
#[inline(always)]
pub(super) fn exp_reduced<V: Lanes>(v: V, t: V::F32, power: V::F32) -> V::F32 {
    // The chain is long (Horner), but exponentials fill loops of their own, where as many overlap as the scheduler holds: the
    // fewer operations the better. By pairs (Estrin) crossEntropy takes 1.1 times as long on Zen 3.
    let mut p = v.splat(C5);
    for c in [C4, C3, C2, C1] {
        p = v.mul_add(p, t, v.splat(c));
    }
    v.mul_add(v.mul(t, power), p, power)
}

/// Largest error of [`second_order`] on [−1, 1], in units in the last place of the true value.
pub const SECOND_ORDER_MAX_ULP: f64 = 1.5;

/// Polynomial of (e^−u − 1 + u)/u² on [−1, 1], lowest power first; fitted for this project.
const G: [f32; 8] = [
    0.5,
    -0.16666667,
    0.041666735,
    -0.008333339,
    0.0013885397,
    -0.00019838102,
    2.5358513e-05,
    -2.8062802e-06,
];

/// G(u) = (e^−u − 1 + u)/u² for u in [−1, 1], where ½ is at 0; NaN stays NaN. From it are e^−u − 1 = −u·(1 − u·G(u)) and the
/// divergence's e^−u − 1 + u = u²·G(u), without the cancellation near 0.
#[inline(always)]
pub fn second_order<V: Lanes>(v: V, u: V::F32) -> V::F32 {
    let mut g = v.splat(G[7]);
    for i in [6, 5, 4, 3, 2, 1, 0] {
        g = v.mul_add(g, u, v.splat(G[i]));
    }
    g
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
