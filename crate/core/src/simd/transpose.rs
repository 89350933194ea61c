//! Rows of scores as columns, so that lanes are rows.

use super::{Cells, LANES, Simd};
use core::cell::Cell;

/// Rows and columns of a square.
pub const SIDE: usize = 8;

/// [`SIDE`] runs of as many elements, some distance apart.
#[derive(Clone, Copy)]
pub struct Square<'a> {
    memory: Cells<'a>,
    stride: usize,
}

impl<'a> Square<'a> {
    /// The runs that begin at `start` and every `stride` elements behind it.
    #[inline(always)]
    fn new(memory: Cells<'a>, start: usize, stride: usize) -> Self {
        let memory = &memory[start..];
        // In this order: a stride that is no longer than memory can be does not overflow.
        let inside = stride <= memory.len() && memory.len() >= (SIDE - 1) * stride + SIDE;
        assert!(inside, "no square");
        Self { memory, stride }
    }

    /// Run number `i`.
    #[inline(always)]
    pub(super) fn run(self, i: usize) -> &'a [Cell<f32>; SIDE] {
        assert!(i < SIDE);
        // SAFETY: `new` saw that all runs lie in the memory.
        unsafe { &*self.memory.as_ptr().add(i * self.stride).cast() }
    }
}

/// Rows of `width` elements, one behind the other, and the same elements in vectors of 16 rows: one vector of each column, then
/// those of the next 16 rows.
#[derive(Clone, Copy)]
pub struct Transposed<'a> {
    /// Element c of row r is at `r · width + c`.
    pub rows: Cells<'a>,
    /// At least 1.
    pub width: usize,
    /// Element c of row r is at `(r / 16 · width + c) · 16 + r % 16`.
    pub columns: Cells<'a>,
}

impl Transposed<'_> {
    /// Copies the first rows into the columns. Columns behind the width may be written too, where it is less than a square.
    #[inline(always)]
    pub fn to_columns<S: Simd>(self, s: S, count: usize) {
        self.copy::<S, false>(s, count);
    }

    /// The reverse. What a square writes behind a narrow row is written again with the next ones.
    #[inline(always)]
    pub fn to_rows<S: Simd>(self, s: S, count: usize) {
        self.copy::<S, true>(s, count);
    }

    #[inline(always)]
    fn copy<S: Simd, const TO_ROWS: bool>(self, s: S, count: usize) {
        let Self {
            rows,
            width,
            columns,
        } = self;
        let column = |r: usize, c: usize| (r / LANES * width + c) * LANES + r % LANES;
        let rows = if TO_ROWS {
            &rows[..count * width]
        } else {
            rows
        };
        // Rows that are copied by squares: those for which both memories have room.
        let side = width.max(SIDE);
        let mut whole = count / SIDE * SIDE;
        while whole > 0
            && ((whole - 1) * width + side > rows.len()
                || column(whole - 1, side - 1) >= columns.len())
        {
            whole -= SIDE;
        }
        for r in (0..whole).step_by(SIDE) {
            for c in (0..side).step_by(SIDE) {
                // The last square ends with the row, and so copies some elements twice.
                let c = c.min(side - SIDE);
                let row = Square::new(rows, r * width + c, width);
                let column = Square::new(columns, column(r, c), LANES);
                if TO_ROWS {
                    s.transpose(column, row);
                } else {
                    s.transpose(row, column);
                }
            }
        }
        for r in whole..count {
            let row = &rows[r * width..(r + 1) * width];
            for (c, row) in row.iter().enumerate() {
                let column = &columns[column(r, c)];
                if TO_ROWS {
                    row.set(column.get());
                } else {
                    column.set(row.get());
                }
            }
        }
    }
}
