//! The one order of summation.
//!
//! Lane j of a vector takes the elements ≡ j mod 16 of a block; at the block's end the lanes fold 16 → 8 → 4 → 2 → 1 in
//! f32, and the block's sum is added to an f64 total. The order depends on neither the instruction set nor the number of
//! threads, so neither do the bits. The error is about that of one block: 1e-7 relative at worst, 1e-9 seen.

use crate::simd::LANES;

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
