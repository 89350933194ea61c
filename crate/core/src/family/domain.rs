//! Whether values are where a loss is defined.

use crate::simd::{Cells, Kernel, LANES, Level, Simd};
use crate::sum::BLOCK;
use core::cell::Cell;

/// Index of the first value that is not in [low, high]; NaN is not.
#[must_use]
pub fn first_outside(level: Level, values: Cells, low: f32, high: f32) -> Option<usize> {
    level.run(FirstOutside { values, low, high })
}

struct FirstOutside<'a> {
    values: Cells<'a>,
    low: f32,
    high: f32,
}

impl Kernel for FirstOutside<'_> {
    type Out = Option<usize>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<usize> {
        let (low, high) = (s.splat(self.low), s.splat(self.high));
        for (b, block) in self.values.chunks(BLOCK).enumerate() {
            // Without branches; where something is found, a second look says where.
            let mut found = s.splat(0.0);
            let (whole, tail) = block.as_chunks::<LANES>();
            let tail = s.load_head(tail, self.low);
            for x in whole.iter().map(|chunk| s.load(chunk)).chain([tail]) {
                // NaN becomes `low`, to which it is not equal.
                let held = s.max(x, low);
                let held = s.select(s.lt(held, high), held, high);
                found = s.select(s.eq(held, x), found, s.splat(1.0));
            }
            if s.sum(found) == 0.0 {
                continue;
            }
            let outside = |x: &Cell<f32>| !(self.low..=self.high).contains(&x.get());
            if let Some(i) = block.iter().position(outside) {
                return Some(b * BLOCK + i);
            }
        }
        None
    }
}
