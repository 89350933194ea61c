//! mᵞ for m in [0, 1] and a γ that is the same for all.

use super::exp::{MAGIC, exp_reduced};
use super::log::log_mantissa;
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
