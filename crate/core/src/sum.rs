//! The one order of summation.
//!
//! Lane j of a vector takes the elements ≡ j mod 16 of a block; at the block's end the lanes fold 16 → 8 → 4 → 2 → 1 in
//! f32, and the block's sum is added to an f64 total. The order depends on neither the instruction set nor the number of
//! threads, so neither do the bits.
//!
//! The vectors of a block add up by fours, see [`Fours`], so that a value goes through at most 13 roundings. Equal numbers, whose
//! errors would not make up for each other, add without an error: twice and four times a float are floats, and three times it is
//! rounded so that the fourth makes it right again. `extreme.test.ts` holds the mean of a constant array to 1e-7.

use crate::simd::{Chunk, LANES, Room, Scalar, Simd};

/// Elements of one block. `ts/sum.ts` has the same number.
pub const BLOCK: usize = 1024;

/// Scores of a row that is a unit of its own, so that threads get their share of a few such rows.
const LONG: usize = 4096;

/// Positions of a sample whose losses make one block: about as many as have [`BLOCK`] scores. `ts/sum.ts` has the same.
#[must_use]
pub fn positions_of_unit(classes: usize, last: bool) -> usize {
    if last && classes >= LONG {
        1
    } else {
        (BLOCK / classes.max(1)).next_power_of_two().max(LANES)
    }
}

/// Vectors of one of [`Fours`].
pub(crate) const FOUR: usize = 4;

/// No sum of a four counts in single precision that is as large, so that no sum of a block overflows. `ts/sum.ts` has the same.
pub(crate) const LARGE: f32 = f32::from_bits((117 + 127) << 23);

/// The sums of the fours of a block. They are in memory, since formulas need the registers.
pub(crate) type Fours = Room<{ BLOCK / LANES / FOUR }>;

/// The sum of a block whose fours add up to these, and which of them it leaves out, as bits: those of which some lane is [`LARGE`],
/// ∞ or NaN. Double precision is for those.
///
/// With `positive` no value is less than 0, and the sum says whether there are any.
#[inline(always)]
pub(crate) fn sum_of_fours<S: Simd>(s: S, fours: &[Chunk], positive: bool) -> (f64, u32) {
    let zero = s.splat(0.0);
    let (mut sum, mut sizes) = (zero, zero);
    for sixteen in fours.chunks(FOUR) {
        let mut of_sixteen = zero;
        for four in sixteen {
            let four = s.load(four);
            of_sixteen = s.add(of_sixteen, four);
            if !positive {
                sizes = s.add(sizes, s.abs(four));
            }
        }
        sum = s.add(sum, of_sixteen);
    }
    if s.all(s.lt(if positive { sum } else { sizes }, s.splat(LARGE))) {
        (f64::from(s.sum(sum)), 0)
    } else {
        without_large(fours)
    }
}

/// The same, four by four.
#[cold]
#[inline(never)]
fn without_large(fours: &[Chunk]) -> (f64, u32) {
    let mut large = 0;
    for (k, four) in fours.iter().enumerate() {
        if !four.iter().all(|lane| lane.get().abs() < LARGE) {
            large |= 1 << k;
            four.iter().for_each(|lane| lane.set(0.0));
        }
    }
    (sum_of_fours(Scalar, fours, true).0, large)
}
