//! The loop over pairs of rows.
//!
//! The pairs go by units ([`positions_of_unit`]), whose classes are read at once. For each pair:
//!
//! 1. a pass over both rows gives their products, in double precision: element i belongs to lane i mod 8, and the lanes fold 8 → 4 → 2 → 1;
//! 2. the loss makes the value and the factors of the rows of them, which the weight of the pair and the upstream gradient multiply;
//! 3. a second pass, which finds the rows in the cache, writes the gradients: that by the second row first, since that by the first may
//!    be written over its row.
//!
//! A pair that counts for nothing has the value 0 and gradients of 0, whatever it holds. Values add up in the order of the rows, and units
//! in that of the call. Nothing is computed again: there is double precision from the products to the stored floats.

use super::{Args, Embedding, Products};
use crate::layout::positions::NOTHING;
use crate::share::Total;
use crate::simd::{Cells, Kernel, Simd, one_by_one};
use crate::sum::{BLOCK, positions_of_unit};
use core::cell::Cell;
use core::hint::black_box;

/// Lanes of the sums, in double precision: element i of a row belongs to lane i mod 8. `ts/backend/ts/embedding.ts` has the same.
const WIDTH: usize = 8;

/// As many elements.
type Few = [Cell<f32>; WIDTH];

/// The denominator may be so small that its inverse is ∞, which makes NaN of 0. By this factor all that is not 0 is too large for
/// a float, and products with it still are doubles. `ts/backend/ts/embedding.ts` has the same.
const LARGEST: f64 = 1e150;

pub(super) struct Rows<'a, L> {
    pub loss: L,
    pub args: &'a Args<'a>,
}

impl<L: Embedding> Kernel for Rows<'_, L> {
    type Out = f64;

    /// The set only says for which instructions plain Rust is compiled: there are no vectors of doubles.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let Args { x, size, marks, .. } = *self.args;
        let unit = positions_of_unit(size, true);
        let all = (self.args.share).elements(unit, x.len().checked_div(size).unwrap_or(0));
        let mut total = Total::new(self.args.share, self.args.sum);
        let mut classes = [0; BLOCK];
        for first in all.clone().step_by(unit) {
            let classes = &mut classes[..unit.min(all.end - first)];
            marks.classes(first, classes);
            let mut sum = 0.0;
            for (i, &class) in classes.iter().enumerate() {
                sum += self.row(first + i, class != NOTHING);
            }
            total.add(sum);
        }
        total.get()
    }
}

impl<L: Embedding> Rows<'_, L> {
    /// Writes the gradients of a pair, and its value, which is returned too.
    #[inline(always)]
    fn row(&self, row: usize, counts: bool) -> f64 {
        let args = self.args;
        let range = row * args.size..(row + 1) * args.size;
        let (x, y) = (&args.x[range.clone()], &args.y[range.clone()]);
        let (mut value, mut slopes) = (0.0, Products::default());
        if counts {
            let positive = args.signs.is_none_or(|signs| signs.at(row) > 0.0);
            let eval = self.loss.eval(products(x, y), positive);
            let weight = (args.sample_weight).map_or(1.0, |weight| f64::from(weight.at(row)));
            let upstream = match args.grad_output {
                Some(upstream) => f64::from(upstream[row].get()),
                None => args.scale.clamp(-LARGEST, LARGEST),
            };
            value = eval.value * weight;
            slopes = eval.slopes.times(weight * upstream);
        }
        if let Some(out) = args.out {
            out[row].set(value as f32);
        }
        // First that by y: the other may go over x.
        if let Some(dy) = args.dy {
            gradient(&dy[range.clone()], y, x, slopes.yy, slopes.xy, false);
        }
        if let Some(dx) = args.dx {
            gradient(&dx[range], x, y, slopes.xx, slopes.xy, args.accumulate);
        }
        value
    }
}

/// The products of two rows.
#[inline(always)]
fn products(x: Cells, y: Cells) -> Products {
    let mut lanes = [[0.0; WIDTH]; 3];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks(), y.as_chunks());
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (doubles(x), doubles(y));
        for j in 0..WIDTH {
            lanes[0][j] += x[j] * x[j];
            lanes[1][j] += x[j] * y[j];
            lanes[2][j] += y[j] * y[j];
        }
        one_by_one();
    }
    // The compiler makes vectors of what goes to memory: of sums that it follows to their end it does not, which takes four times as
    // long.
    let mut lanes = black_box(lanes);
    for (j, (x, y)) in x_tail.iter().zip(y_tail).enumerate() {
        let (x, y) = (f64::from(x.get()), f64::from(y.get()));
        lanes[0][j] += x * x;
        lanes[1][j] += x * y;
        lanes[2][j] += y * y;
    }
    let [xx, xy, yy] = lanes.map(|[a, b, c, d, e, f, g, h]| {
        let [a, b, c, d] = [a + e, b + f, c + g, d + h];
        (a + c) + (b + d)
    });
    Products { xx, xy, yy }
}

#[inline(always)]
fn doubles(few: &Few) -> [f64; WIDTH] {
    few.each_ref().map(|cell| f64::from(cell.get()))
}

/// Writes a·x + b·y, or adds it to what is there; `to` may be the memory of `x`. Where both factors are 0 it is 0 whatever the rows
/// hold, and not −0.
#[inline(always)]
fn gradient(to: Cells, x: Cells, y: Cells, a: f64, b: f64, accumulate: bool) {
    if a == 0.0 && b == 0.0 {
        if !accumulate {
            to.iter().for_each(|to| to.set(0.0));
        }
        return;
    }
    let ((chunks, tail), (x, x_tail), (y, y_tail)) =
        (to.as_chunks::<WIDTH>(), x.as_chunks(), y.as_chunks());
    for ((to, x), y) in chunks.iter().zip(x).zip(y) {
        let (x, y) = (doubles(x), doubles(y));
        let mut sums = [0.0; WIDTH];
        for j in 0..WIDTH {
            sums[j] = (a * x[j] + b * y[j]) as f32;
        }
        if accumulate {
            for (sum, to) in sums.iter_mut().zip(to) {
                *sum += to.get();
            }
        }
        for (to, sum) in to.iter().zip(sums) {
            to.set(sum);
        }
        one_by_one();
    }
    for ((to, x), y) in tail.iter().zip(x_tail).zip(y_tail) {
        let own = (a * f64::from(x.get()) + b * f64::from(y.get())) as f32;
        to.set(if accumulate { to.get() + own } else { own });
    }
}
