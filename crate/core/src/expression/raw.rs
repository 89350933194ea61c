//! What becomes of values and slopes, whatever the program that gave them.

use super::interpreter::Call;
use super::precise::{Doubles, is_large};
use crate::layout::positions::{NOTHING, Positions};
use crate::layout::stream::Stream;
use crate::precision::{LIFT, delicate, fits};
use crate::simd::{Cells, Chunk, Kernel, LANES, Simd};
use crate::sum::{BLOCK, FOUR, sum_of_fours};
use core::cell::Cell;
use core::ops::Range;

/// Streams of a call: everything has one element for each row.
#[derive(Clone, Copy)]
pub struct Raw<'a> {
    /// Columns of each gradient. The program's outputs are its slopes, one for each of them, and the value behind these.
    pub columns: &'a [usize],
    /// Whether there is a value.
    pub value: bool,
    /// Factor of the gradients: the upstream gradient over the denominator of `mean`.
    pub scale: f64,
    /// Weight of each row's value and gradients.
    pub weight: Option<Stream<'a>>,
    /// The same of each sample; both count where both are given.
    pub sample_weight: Option<Stream<'a>>,
    /// Which rows count: the others give neither value nor gradients, whatever they hold.
    pub marks: Positions<'a>,
    /// Upstream gradient of each row, in place of `scale`.
    pub grad_output: Option<Cells<'a>>,
    /// The weighted value of each row.
    pub out: Option<Cells<'a>>,
    /// The gradients are added to what is there. None is the memory of an input then.
    pub accumulate: bool,
}

impl Raw<'_> {
    /// Whether all streams are of so many rows.
    pub(super) fn fits(&self, rows: usize) -> bool {
        let streams = [self.weight, self.sample_weight];
        let arrays = [self.grad_output, self.out];
        streams.into_iter().flatten().all(Stream::is_valid)
            && arrays
                .into_iter()
                .flatten()
                .all(|array| array.len() == rows)
            && self.marks.fit(rows)
            && (self.out.is_none() || self.value)
            && (!self.accumulate || !self.columns.is_empty())
    }

    /// Whether single precision does not hold the factor of the gradients with all its digits.
    fn is_wide(&self) -> bool {
        self.grad_output.is_none() && !self.columns.is_empty() && !fits(self.scale)
    }

    /// Writes the weights of some rows, the factors of their gradients, and 0 for those that count for nothing, 1 for others. One
    /// function for all instruction sets: programs take longer than this.
    #[inline(never)]
    fn fill(&self, into: &[Cells; 3], rows: Range<usize>) {
        let [weights, factors, counts] = into.map(|into| &into[..rows.len()]);
        weights.iter().for_each(|weight| weight.set(1.0));
        for stream in [self.weight, self.sample_weight].into_iter().flatten() {
            multiply(weights, stream, rows.start);
        }
        let scale = self.scale as f32;
        for (factor, weight) in factors.iter().zip(weights) {
            factor.set(weight.get() * scale);
        }
        if let Some(upstream) = self.grad_output {
            let both = weights.iter().zip(&upstream[rows.clone()]);
            for (factor, (weight, upstream)) in factors.iter().zip(both) {
                factor.set(weight.get() * upstream.get());
            }
        }
        let mut classes = [0; BLOCK];
        let classes = &mut classes[..rows.len()];
        self.marks.classes(rows.start, classes);
        for (count, &class) in counts.iter().zip(&*classes) {
            count.set(f32::from(u8::from(class != NOTHING)));
        }
    }

    /// Of each gradient its columns, and the place of its first slope among the results.
    fn grads(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut first = 0;
        self.columns.iter().map(move |&columns| {
            first += columns;
            (columns, first - columns)
        })
    }
}

/// Multiplies the weights of the rows from `first` on by those of a stream.
fn multiply(weights: Cells, stream: Stream, first: usize) {
    if stream.inner == 1
        && let Some(run) = stream.values.get(first..first + weights.len())
    {
        for (weight, own) in weights.iter().zip(run) {
            weight.set(weight.get() * own.get());
        }
        return;
    }
    for (i, weight) in weights.iter().enumerate() {
        weight.set(weight.get() * stream.at(first + i));
    }
}

/// Weighs, masks, scales, adds, stores and sums the results of a unit.
pub(super) struct Epilogue<'a> {
    pub raw: &'a Raw<'a>,
    pub call: &'a Call<'a>,
    pub unit: Range<usize>,
    pub fours: &'a [Chunk],
}

impl Kernel for Epilogue<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self {
            raw,
            call,
            unit,
            fours,
        } = self;
        let (results, grads) = (&call.results, call.args.grads);
        let value = call.args.program.outputs().len() - usize::from(raw.value);
        raw.fill(&call.factors, unit.clone());
        let zero = s.splat(0.0);
        let mut four = zero;
        // 0 while all gradients are finite, NaN from then on.
        let mut finite = zero;
        // The largest slope and factor: beside numbers below the normal ones they leave too few digits.
        let mut largest = zero;
        for (k, at) in unit.clone().step_by(LANES).enumerate() {
            let rows = at..unit.end.min(at + LANES);
            let count = rows.len();
            let chunk = |j: usize| &results[j].as_chunks::<LANES>().0[k];
            let [weight, factor, counts] = call
                .factors
                .map(|factors| s.load(&factors.as_chunks::<LANES>().0[k]));
            let ignored = s.eq(counts, zero);
            largest = s.max(largest, s.abs(s.head(weight, count)));
            if !raw.columns.is_empty() {
                largest = s.max(largest, s.abs(s.head(factor, count)));
            }
            for ((columns, first), grad) in raw.grads().zip(grads) {
                if columns > 1 {
                    // It waits in the scratch.
                    for j in first..first + columns {
                        let slope = s.load(chunk(j));
                        largest = s.max(largest, s.abs(s.head(slope, count)));
                        let gradient = product(s, slope, factor, ignored);
                        s.store(chunk(j), gradient);
                        finite = s.mul_add(s.head(gradient, count), zero, finite);
                    }
                    continue;
                }
                let grad = &grad[rows.clone()];
                let slope = s.load(chunk(first));
                largest = s.max(largest, s.abs(s.head(slope, count)));
                let mut gradient = product(s, slope, factor, ignored);
                if raw.accumulate {
                    let before = s.load_head(grad, 0.0);
                    s.store(chunk(first), before);
                    gradient = s.add(before, gradient);
                }
                s.store_head(grad, gradient);
                finite = s.mul_add(s.head(gradient, count), zero, finite);
            }
            if raw.value {
                let weighted = product(s, s.load(chunk(value)), weight, ignored);
                s.store(chunk(value), weighted);
                if let Some(out) = raw.out {
                    s.store_head(&out[rows], weighted);
                }
                // What is behind the last row may be anything.
                four = s.add(four, s.head(weighted, count));
                if k % FOUR == FOUR - 1 || at + count == unit.end {
                    s.store(&fours[k / FOUR], four);
                    four = zero;
                }
            }
        }
        for ((columns, first), grad) in raw.grads().zip(grads) {
            if columns > 1 {
                let rows = &grad[unit.start * columns..unit.end * columns];
                spread(&results[first..first + columns], rows, raw.accumulate);
            }
        }
        let (sum, large) = if raw.value {
            sum_of_fours(s, fours, false)
        } else {
            (0.0, 0)
        };
        let lifted = !s.all(s.lt(largest, s.splat(LIFT as f32)));
        if large != 0 || lifted || raw.is_wide() || s.sum(finite).is_nan() {
            return sum + in_double(raw, call, unit, large, lifted);
        }
        sum
    }
}

/// a · b, and 0 where a row counts for nothing, whatever it holds.
#[inline(always)]
fn product<S: Simd>(s: S, a: S::F32, b: S::F32, ignored: S::Mask) -> S::F32 {
    s.zero_where(ignored, s.mul(a, b))
}

/// Writes columns as rows, or adds them; what was there before takes the place of a column that is added.
#[inline(never)]
fn spread(columns: &[Cells], rows: Cells, added: bool) {
    for (i, row) in rows.chunks_exact(columns.len()).enumerate() {
        for (column, to) in columns.iter().zip(row) {
            let before = to.get();
            if added {
                to.set(before + column[i].get());
                column[i].set(before);
            } else {
                to.set(column[i].get());
            }
        }
    }
}

/// Writes those gradients and values of a unit anew that are not finite, or have too few digits, or all gradients by a factor that
/// single precision does not hold; what the sum of the values lacks, of which those of `large` fours, as bits, are left out.
#[cold]
#[inline(never)]
fn in_double(raw: &Raw, call: &Call, unit: Range<usize>, large: u32, lifted: bool) -> f64 {
    let args = call.args;
    let wide = raw.is_wide();
    let value = args.program.outputs().len().saturating_sub(1);
    // The smallest denominators make even a double ∞.
    let scale = raw.scale.clamp(-f64::MAX, f64::MAX);
    let mut lacking = 0.0;
    for vector in unit.clone().step_by(LANES) {
        let rows = vector..unit.end.min(vector + LANES);
        let counts = raw.marks.counts(vector, rows.len());
        let large = is_large(large, vector - unit.start);
        // By vectors, as the loops of the pointwise family add up.
        let mut of_vector = 0.0;
        for row in rows {
            let i = row - unit.start;
            let is_lost = |element: &Cell<f32>| !element.get().is_finite();
            let lost = |(grad, &columns): (&Cells, &usize)| {
                grad[row * columns..(row + 1) * columns].iter().any(is_lost)
            };
            let out = raw.out.map(|out| &out[row]);
            let grads = args.grads.iter().zip(raw.columns);
            if !(large || wide || lifted || out.is_some_and(is_lost) || grads.clone().any(lost)) {
                continue;
            }
            let doubles = Doubles::of(call, unit.start, row);
            let counts = counts[row - vector] != 0.0;
            let result = |k: usize| if counts { doubles.output(k) } else { 0.0 };
            let mut weight = 1.0;
            for stream in [raw.weight, raw.sample_weight].into_iter().flatten() {
                weight *= f64::from(stream.at(row));
            }
            let upstream = raw.grad_output.map(|upstream| upstream[row].get().into());
            let factor = weight * upstream.unwrap_or(scale);
            for ((columns, first), grad) in raw.grads().zip(args.grads) {
                let grad = &grad[row * columns..(row + 1) * columns];
                for (to, k) in grad.iter().zip(first..) {
                    let slope = result(k);
                    if wide || is_lost(to) || delicate(slope, factor) {
                        let before = call.results[k][i].get();
                        let before = if raw.accumulate {
                            f64::from(before)
                        } else {
                            0.0
                        };
                        to.set((before + slope * factor) as f32);
                    }
                }
            }
            if !raw.value {
                continue;
            }
            let apart = delicate(result(value), weight);
            let weighted = result(value) * weight;
            if let Some(out) = out.filter(|out| apart || is_lost(out)) {
                out.set(weighted as f32);
            }
            if large {
                of_vector += weighted;
            } else if apart {
                of_vector += weighted - f64::from(call.results[value][i].get());
            }
        }
        lacking += of_vector;
    }
    lacking
}
