//! What single precision cannot hold: (3·10³⁸)² is ∞, ∞ · 0 is NaN and (10⁻³⁰)² is 0, though the mean, or the product with a weight,
//! may be a float. Such elements are computed again by the same formula over one `f64`.
//!
//! What single precision holds stays as it is, so that no element's bits depend on its neighbours.

use super::general::Formula;
use super::{Args, Extra};
use crate::layout::stream::Stream;
use crate::precision::{delicate, fits};
use crate::simd::{Cells, Chunk, LANES};
use crate::sum::FOUR;
use core::ops::Range;

/// A block of a call whose numbers have left the range of single precision.
pub(super) struct Block<'a> {
    pub args: &'a Args<'a>,
    pub extra: &'a Extra<'a>,
    pub range: Range<usize>,
    /// The input, where the gradient has been written over it.
    pub old: Option<&'a [Chunk]>,
    /// What the gradient has been added to.
    pub before: Option<&'a [Chunk]>,
    /// The weighted values that are in the sum; without weights they lack nothing.
    pub values: Option<&'a [Chunk]>,
    /// The fours that are left out of the sum, as bits.
    pub large: u32,
    /// Whether the gradients of these have not been stored.
    pub held: bool,
}

impl Block<'_> {
    /// What the sum of the block lacks.
    #[cold]
    #[inline(never)]
    pub fn in_double(self, formula: &dyn Formula) -> f64 {
        let (args, extra) = (self.args, self.extra);
        let slopes = args.dx.is_some() || extra.dt.is_some();
        let wide = slopes && extra.grad_output.is_none() && !fits(args.scale);
        // The smallest denominators make even a double ∞.
        let scale = args.scale.clamp(-f64::MAX, f64::MAX);
        let at = |chunks: Option<&[Chunk]>, k: usize| {
            chunks.map(|chunks| chunks.as_flattened()[k].get())
        };
        let mut lacking = 0.0;
        let first = self.range.start;
        for vector in self.range.clone().step_by(LANES) {
            let count = LANES.min(self.range.end - vector);
            let counts = extra.marks.counts(vector, count);
            let mut own = 0.0;
            for i in vector..vector + count {
                let k = i - first;
                let large = self.large >> (k / (FOUR * LANES)) & 1 == 1;
                let x = at(self.old, k).unwrap_or(args.x[i].get());
                let t = args.t.at(i);
                let aux = extra.aux.map_or(args.aux, |aux| aux.at(i));
                if self.held
                    && large
                    && let Some(dx) = args.dx
                {
                    dx[i].set(formula.slope(x, t, aux) * args.scale as f32);
                }
                let [value, dx, dt] = if counts[i - vector] == 0.0 {
                    [0.0; 3]
                } else {
                    formula.in_double(x.into(), t.into(), aux.into())
                };
                let weight = weight(extra.weight, i) * weight(extra.sample_weight, i);
                let upstream = extra.grad_output.map(|upstream| upstream[i].get().into());
                let factor = weight * upstream.unwrap_or(scale);
                let set = |output: Option<Cells>, always: bool, double: f64| {
                    if let Some(output) = output
                        && (always || !output[i].get().is_finite())
                    {
                        output[i].set(double as f32);
                    }
                };
                let before = at(self.before, k).map_or(0.0, f64::from);
                set(args.dx, wide || delicate(dx, factor), before + dx * factor);
                set(extra.dt, wide || delicate(dt, factor), dt * factor);
                let apart = self.values.is_some() && delicate(value, weight);
                set(extra.out, apart, value * weight);
                if large {
                    own += value * weight;
                } else if apart {
                    own += value * weight - at(self.values, k).map_or(0.0, f64::from);
                }
            }
            lacking += own;
        }
        lacking
    }
}

/// A weight of an element.
fn weight(stream: Option<Stream>, i: usize) -> f64 {
    stream.map_or(1.0, |stream| stream.at(i).into())
}
