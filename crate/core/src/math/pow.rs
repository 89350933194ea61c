//! mᵞ for m in [0, 1] and a γ that is the same for all; xʸ for x ≥ 0 and any y.

use super::exp::{MAGIC, TWO_MINUS_64, exp_reduced};
use super::log::{TWO_24, log_mantissa};
use crate::simd::Lanes;

/// Largest error for the exponents that `tests/math.rs` tries, in units in the last place of the true value.
pub const MAX_ULP: f64 = 6.2;

const LOG2_E: f32 = core::f32::consts::LOG2_E;
const LN_2: f32 = core::f32::consts::LN_2;

/// An exponent γ ≥ 0.
#[derive(Clone, Copy)]
pub struct Exponent {
    /// γ in two parts; the first has so few bits that its product with the exponent of a float is exact.
    high: f32,
    low: f32,
    /// γ·log₂e
    log2: f32,
}

impl Exponent {
    /// Splits γ. Beyond 1e38, where the product with log₂e would overflow, it makes no difference to any m.
    #[must_use]
    pub fn new(gamma: f32) -> Self {
        let gamma = gamma.min(1e38);
        let high = f32::from_bits(gamma.to_bits() & 0xFFFF_FF00);
        Self {
            high,
            low: gamma - high,
            log2: gamma * LOG2_E,
        }
    }

    /// mᵞ; 0 where it is below the normal numbers. Where m is below them, or NaN, it counts as the smallest of them.
    ///
    /// By way of γ·ln m the error would grow with the logarithm, to 10⁻⁵ at m = 10⁻⁸. With m = 2ⁿ·f the integer part of
    /// γ·log₂m = γ·n + γ·log₂f goes into the result's exponent, and only the rest is rounded.
    #[inline(always)]
    pub fn pow<V: Lanes>(self, v: V, m: V::F32) -> V::F32 {
        let (mantissa, n) = v.split_exponent(v.max(m, v.splat(f32::MIN_POSITIVE)));
        self.exp(v, log_mantissa(v, mantissa), n)
    }

    /// e^(γ·(log + n·ln 2))
    #[inline(always)]
    fn exp<V: Lanes>(self, v: V, log: V::F32, n: V::F32) -> V::F32 {
        let high = v.mul(v.splat(self.high), n);
        let low = v.mul_add(v.splat(self.log2), log, v.mul(v.splat(self.low), n));
        let y = v.add(high, low);
        let biased = v.add(y, v.splat(MAGIC));
        let whole = v.sub(biased, v.splat(MAGIC));
        let rest = v.add(v.sub(high, whole), low);
        let power = v.exponent_from_low_bits(biased);
        let pow = exp_reduced(v, v.mul(rest, v.splat(LN_2)), power);
        v.zero_where(v.lt(y, v.splat(-126.0)), pow)
    }
}

/// Largest error of [`pow`] for |y| ≤ 4, in units in the last place of the true value. Beyond it is up to 1.4 · |y|: the logarithm of x
/// is not known to more digits.
pub const POW_MAX_ULP: f64 = 5.0;

/// Beyond this it makes no difference to any x how large an exponent is.
const LARGEST_EXPONENT: f32 = 1e36;

/// max(x, 0)ʸ: at x ≤ 0 it is 0 for y > 0, 1 for y = 0 and ∞ for y < 0, at x = ∞ the reverse. NaN in x or y gives NaN, also where the
/// other alone would say what the result is.
#[inline(always)]
pub fn pow<V: Lanes>(v: V, x: V::F32, y: V::F32) -> V::F32 {
    let (zero, infinity) = (v.splat(0.0), v.splat(f32::INFINITY));
    // The bits of a subnormal have no exponent to split off, so it is made normal first.
    let subnormal = v.lt(x, v.splat(f32::MIN_POSITIVE));
    let normal = v.select(subnormal, v.mul(x, v.splat(TWO_24)), x);
    let (mantissa, n) = v.split_exponent(normal);
    let n = v.sub(n, v.select(subnormal, v.splat(24.0), zero));
    let log = log_mantissa(v, mantissa);
    let limit = v.splat(LARGEST_EXPONENT);
    let exponent = v.min(v.max(v.neg(limit), y), limit);
    // As in `Exponent`: the product of n with the upper bits of y is exact.
    let c = v.mul(exponent, v.splat(257.0));
    let y_high = v.sub(c, v.sub(c, exponent));
    let y_low = v.sub(exponent, y_high);
    let high = v.mul(y_high, n);
    let low = v.mul_add(v.mul(exponent, v.splat(LOG2_E)), log, v.mul(y_low, n));
    let sum = v.add(high, low);
    let biased = v.add(sum, v.splat(MAGIC));
    let whole = v.sub(biased, v.splat(MAGIC));
    let rest = v.add(v.sub(high, whole), low);
    // As in `exp`: the power is kept away from both ends, and a last product puts that right.
    let positive = v.lt(zero, sum);
    let shift = v.select(positive, v.splat(-1.0), v.splat(64.0));
    let unshift = v.select(positive, v.splat(2.0), v.splat(TWO_MINUS_64));
    let power = v.exponent_from_low_bits(v.add(biased, shift));
    let pow = v.mul(exp_reduced(v, v.mul(rest, v.splat(LN_2)), power), unshift);
    let [least, most] = V::EXP2_RANGE.map(|limit| v.splat(limit));
    let pow = v.zero_where(v.lt(sum, least), pow);
    let pow = v.select(v.lt(sum, most), pow, infinity);
    // At x ≤ 0 and ∞ the logarithm is infinite, with the sign of y or against it.
    let above = v.select(v.lt(zero, y), infinity, zero);
    let below = v.select(v.lt(y, zero), infinity, zero);
    let pow = v.select(v.lt(zero, x), pow, below);
    let pow = v.select(v.lt(x, infinity), pow, above);
    let pow = v.select(v.eq(y, zero), v.splat(1.0), pow);
    let pow = v.select(v.eq(x, x), pow, x);
    v.select(v.eq(y, y), pow, y)
}
