//! The loop over rows, two or three of them at a time.
//!
//! They go by units ([`positions_of_unit`]), whose classes are read at once. For each pair or triple of rows:
//!
//! 1. a pass over two rows for each comparison, in double precision: element i belongs to lane i mod 8, and the lanes fold
//!    8 → 4 → 2 → 1;
//! 2. the loss makes of these numbers the value and its derivatives by them, which the weight and the upstream gradient multiply;
//! 3. a pass for each gradient, which finds the rows in the cache.
//!
//! What counts for nothing has the value 0 and gradients of 0, whatever it holds. Values add up in the order of the rows, and units
//! in that of the call. Nothing is computed again: there is double precision from the comparisons to the stored floats.

use super::compare::{Compared, Slopes, compare};
use super::gradient::{OfTwo, gradient, gradient_of_two};
use super::{Args, Embedding, Measure, PAIRS};
use crate::layout::positions::NOTHING;
use crate::share::Total;
use crate::simd::{Kernel, Simd};
use crate::sum::{BLOCK, positions_of_unit};

/// The denominator may be so small that its inverse is ∞, which makes NaN of 0. By this factor all that is not 0 is too large for
/// a float, and products with it still are doubles. `ts/backend/ts/embedding.ts` has the same.
const LARGEST: f64 = 1e150;

pub(super) struct Rows<'a, const TWO: bool, L: Embedding + ?Sized> {
    pub loss: &'a L,
    pub args: &'a Args<'a>,
}

impl<const TWO: bool, L: Embedding + ?Sized> Kernel for Rows<'_, TWO, L> {
    type Out = f64;

    /// The set only says for which instructions plain Rust is compiled: there are no vectors of doubles.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let Args { x, size, marks, .. } = *self.args;
        let unit = positions_of_unit(size, true);
        let all = (self.args.share).elements(unit, x.len().checked_div(size).unwrap_or(0));
        let mut total = Total::new(self.args.share, self.args.sum);
        let mut classes = [0; BLOCK];
        let measure = self.loss.measure();
        let pairs = &PAIRS[..if TWO { 1 } else { self.loss.pairs() }];
        for first in all.clone().step_by(unit) {
            let classes = &mut classes[..unit.min(all.end - first)];
            marks.classes(first, classes);
            let mut sum = 0.0;
            for (i, &class) in classes.iter().enumerate() {
                sum += self.row(first + i, class != NOTHING, measure, pairs);
            }
            total.add(sum);
        }
        total.get()
    }
}

impl<const TWO: bool, L: Embedding + ?Sized> Rows<'_, TWO, L> {
    /// Writes the gradients of a row, and its value, which is returned too.
    #[inline(always)]
    fn row(&self, row: usize, counts: bool, measure: Measure, pairs: &[[usize; 2]]) -> f64 {
        let args = self.args;
        let range = row * args.size..(row + 1) * args.size;
        let z = if TWO { None } else { args.z };
        let rows = [Some(args.x), Some(args.y), z].map(|rows| match rows {
            Some(rows) => &rows[range.clone()],
            None => &[],
        });
        let mut value = 0.0;
        let mut compared = [Compared::default(); 3];
        if counts {
            for (compared, &[i, j]) in compared.iter_mut().zip(pairs) {
                *compared = compare(measure, rows[i], rows[j]);
            }
            let positive = args.signs.is_none_or(|signs| signs.at(row) > 0.0);
            let numbers = compared.map(|compared| compared.value);
            let eval = self.loss.eval(numbers, positive);
            let weight = (args.sample_weight).map_or(1.0, |weight| f64::from(weight.at(row)));
            let upstream = match args.grad_output {
                Some(upstream) => f64::from(upstream[row].get()),
                None => args.scale.clamp(-LARGEST, LARGEST),
            };
            value = eval.value * weight;
            for (compared, factor) in compared.iter_mut().zip(eval.factors) {
                // A comparison without influence leaves nothing, not even NaN.
                compared.slopes = if factor == 0.0 {
                    Slopes::default()
                } else {
                    compared.slopes.times(factor)
                };
                compared.slopes = compared.slopes.times(weight * upstream);
            }
        }
        if let Some(out) = args.out {
            out[row].set(value as f32);
        }
        // Last that by the first row: it may go over it.
        if let (true, Measure::Cosine { .. }) = (TWO, measure) {
            let ([x, y, _], Slopes { xx, xy, yy }) = (rows, compared[0].slopes);
            for (to, own, other, factor) in [(args.dy, y, x, yy), (args.dx, x, y, xx)] {
                if let Some(to) = to {
                    let to = &to[range.clone()];
                    gradient_of_two(to, own, other, args.accumulate, OfTwo(factor, xy));
                }
            }
            return value;
        }
        for (own, to) in [args.dx, args.dy, args.dz].into_iter().enumerate().rev() {
            if let Some(to) = to {
                let to = &to[range.clone()];
                gradient(to, measure, own, rows, &compared, args.accumulate);
            }
        }
        value
    }
}
