//! The one order of summation.
//!
//! Lane j of a vector takes the elements ≡ j mod 16 of a block; at the block's end the lanes fold 16 → 8 → 4 → 2 → 1 in
//! f32, and the block's sum is added to an f64 total. The order depends on neither the instruction set nor the number of
//! threads, so neither do the bits.
//!
//! The vectors of a block add up by fours, see [`Fours`], so that a value goes through at most 13 roundings. Equal numbers, whose
//! errors would not make up for each other, add without an error: twice and four times a float are floats, and three times it is
//! rounded so that the fourth makes it right again. `extreme.test.ts` holds the mean of a constant array to 1e-7.

use crate::simd::{LANES, Simd};

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

/// The vectors of a block, added up by fours: sums of four vectors, of four such sums, and of all of those.
///
/// Who adds a block says where a four ends, because loops over fours know it without counting. A four that is not full is the
/// last of its block, and need not end.
#[derive(Clone, Copy)]
pub(crate) struct Fours<S: Simd> {
    vectors: S::F32,
    fours: S::F32,
    sixteens: S::F32,
}

impl<S: Simd> Fours<S> {
    /// Nothing yet.
    #[inline(always)]
    pub(crate) fn new(s: S) -> Self {
        let zero = s.splat(0.0);
        Self {
            vectors: zero,
            fours: zero,
            sixteens: zero,
        }
    }

    /// The next vector.
    #[inline(always)]
    pub(crate) fn add(&mut self, s: S, vector: S::F32) {
        self.vectors = s.add(self.vectors, vector);
    }

    /// The sum of the next four vectors.
    #[inline(always)]
    pub(crate) fn add_four(&mut self, s: S, sum: S::F32) {
        self.fours = s.add(self.fours, sum);
    }

    /// The last four vectors are one.
    #[inline(always)]
    pub(crate) fn end_four(&mut self, s: S) {
        self.fours = s.add(self.fours, self.vectors);
        self.vectors = s.splat(0.0);
    }

    /// The last four fours are one.
    #[inline(always)]
    pub(crate) fn end_sixteen(&mut self, s: S) {
        self.sixteens = s.add(self.sixteens, self.fours);
        self.fours = s.splat(0.0);
    }

    /// The sum of the block.
    #[inline(always)]
    pub(crate) fn sum(self, s: S) -> f64 {
        f64::from(s.sum(s.add(self.sixteens, s.add(self.fours, self.vectors))))
    }
}
