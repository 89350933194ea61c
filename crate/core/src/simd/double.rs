//! One `f64`: the formulas in double precision, for the few blocks whose numbers leave the range of `f32`.

use super::{ByLane, Lanes};

/// A vector of one lane. Every constant of a formula is an `f32`, so functions are as exact as they are in single precision.
#[derive(Clone, Copy, Debug)]
pub struct Double;

/// What stands for the exponent 0 in the numbers that [`Lanes::exponent_from_low_bits`] takes: 1.5 · 2²³ + 127.
const ORIGIN: f64 = 12_583_039.0;

/// Bits of √½.
const SQRT_HALF_BITS: i64 = 0x3FE6_A09E_667F_3BCD;

impl Lanes for Double {
    type F32 = f64;
    type Mask = bool;

    const EXP_ZERO: f32 = -760.0;
    const EXP_MIN: f32 = -745.0;
    const EXP_MAX: f32 = 709.7;
    const EXPM1_MIN: f32 = -40.0;
    const EXP2_RANGE: [f32; 2] = [-1075.0, 1024.0];

    #[inline(always)]
    fn splat(self, value: f32) -> f64 {
        f64::from(value)
    }
    #[inline(always)]
    fn add(self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f64, b: f64) -> f64 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f64, b: f64) -> f64 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f64, b: f64) -> f64 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
    #[inline(always)]
    fn neg(self, a: f64) -> f64 {
        -a
    }
    #[inline(always)]
    fn abs(self, a: f64) -> f64 {
        a.abs()
    }
    #[inline(always)]
    fn max(self, a: f64, b: f64) -> f64 {
        if a > b { a } else { b }
    }
    #[inline(always)]
    fn min(self, a: f64, b: f64) -> f64 {
        if a < b { a } else { b }
    }
    #[inline(always)]
    fn sqrt(self, a: f64) -> f64 {
        a.sqrt()
    }
    #[inline(always)]
    fn le(self, a: f64, b: f64) -> bool {
        a <= b
    }
    #[inline(always)]
    fn lt(self, a: f64, b: f64) -> bool {
        a < b
    }
    #[inline(always)]
    fn eq(self, a: f64, b: f64) -> bool {
        a == b
    }
    #[inline(always)]
    fn select(self, mask: bool, a: f64, b: f64) -> f64 {
        if mask { a } else { b }
    }
    #[inline(always)]
    fn zero_where(self, mask: bool, v: f64) -> f64 {
        if mask { 0.0 } else { v }
    }
    #[inline(always)]
    fn neg_where(self, mask: bool, v: f64) -> f64 {
        if mask { -v } else { v }
    }

    /// An `f32` of this size is a whole number. A double keeps the fraction, which is a part of the exponent here.
    #[inline(always)]
    fn exponent_from_low_bits(self, v: f64) -> f64 {
        (v - ORIGIN).exp2()
    }
    #[inline(always)]
    fn split_exponent(self, v: f64) -> (f64, f64) {
        if v < f64::MIN_POSITIVE {
            // Formulas look for the subnormal numbers of single precision, and exponentials give those of double precision too.
            const TWO_64: f64 = 18_446_744_073_709_551_616.0;
            let (m, n) = self.split_exponent((v * TWO_64).max(f64::MIN_POSITIVE));
            return (m, n - 64.0);
        }
        let bits = v.to_bits().cast_signed();
        let n = bits.wrapping_sub(SQRT_HALF_BITS) >> 52;
        let m = bits.wrapping_sub(n << 52).cast_unsigned();
        (f64::from_bits(m), n as f64)
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, a: f64, b: f64) -> f64 {
        f.eval(a, b)
    }
}
