//! The one order of summation.
//!
//! Lane j of a vector takes the elements ≡ j mod 16 of a block; at the block's end the lanes fold 16 → 8 → 4 → 2 → 1 in
//! f32, and the block's sum is added to an f64 total. The order depends on neither the instruction set nor the number of
//! threads, so neither do the bits. The error is about that of one block: 1e-7 relative at worst, 1e-9 seen.

/// Elements of one block. `ts/sum.ts` has the same number.
pub const BLOCK: usize = 1024;

/// Rows of one block, where a row has a loss: fewer, since a block is the least that is worth passing on.
pub const ROWS: usize = 64;
