//! Any combination of streams and outputs.
//!
//! For each block of 1,024 elements:
//!
//! 1. input, target and extra parameter are taken where they lie, or copied where the block is the last and shorter, where they have
//!    another type, and where the gradient goes over the input;
//! 2. the loss fills scratch with values and derivatives ([`Formula::fill`]), a loop of its own for each loss;
//! 3. one loop for all losses ([`Epilogue`]) multiplies them by weights, upstream gradient and scale, makes 0 of what does not count,
//!    adds gradients to what is there, stores and sums;
//! 4. what has left the range of single precision is computed again ([`super::double`]).

use super::double::Block;
use super::{Args, ByTarget, Extra, Pointwise, Prepare, Rest, VECTORS, Whole, prepare, room};
use crate::layout::stream::Stream;
use crate::precision::{LIFT, fits};
use crate::share::Total;
use crate::simd::{
    Cells, Chunk, Double, Kernel, LANES, Level, Map, Room, SMALL, Scalar, Simd, once,
};
use crate::sum::{BLOCK, FOUR, Fours, sum_of_fours};
use core::ops::Range;

/// A loss behind a pointer, so that what losses share is compiled once.
pub(super) trait Formula {
    /// Values and derivatives of a block.
    fn fill(&self, level: Level, from: &Streams, to: &Results);
    /// Value, derivatives by input and target of one element in double precision.
    fn in_double(&self, x: f64, t: f64, aux: f64) -> [f64; 3];
    /// The derivative by the input in single precision, of a loss that takes no longer than the memory.
    fn slope(&self, x: f32, t: f32, aux: f32) -> f32;
}

/// What a block of elements is computed from; behind the last element are zeros.
#[derive(Clone, Copy)]
pub(super) struct Streams<'a> {
    x: &'a [Chunk],
    t: &'a [Chunk],
    aux: &'a [Chunk],
}

/// Scratch for what comes of it.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    value: &'a [Chunk],
    dx: &'a [Chunk],
    /// Where the derivative by the target is asked for.
    dt: Option<&'a [Chunk]>,
}

impl<L: Pointwise> Formula for Whole<L> {
    fn fill(&self, level: Level, from: &Streams, to: &Results) {
        let (loss, from, to) = (self.0, *from, *to);
        level.run(Fill { loss, from, to });
    }

    fn in_double(&self, x: f64, t: f64, aux: f64) -> [f64; 3] {
        let [value, dx, dt] = self.eval(Double, [x, t, aux]);
        let dt = if L::TARGET_APART {
            self.0.by_target(Double, x, t)
        } else {
            dt
        };
        [value, dx, dt]
    }

    fn slope(&self, x: f32, t: f32, aux: f32) -> f32 {
        if !L::LIGHT {
            return 0.0;
        }
        let [_, [slope], _] = self.eval(Scalar::<1>, [[x], [t], [aux]]);
        slope
    }
}

struct Fill<'a, L> {
    loss: L,
    from: Streams<'a>,
    to: Results<'a>,
}

impl<L: Pointwise> Kernel for Fill<'_, L> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { loss, from, to } = self;
        let prepares = L::PREPARES && !SMALL;
        let [x, t, aux] = [from.x, from.t, from.aux];
        // What is prepared waits where the value goes.
        if prepares {
            prepare(s, Prepare(loss), x, to.value);
        }
        let parts = once::<S>(S::PARTS);
        for k in 0..x.len().min(t.len()).min(aux.len()) {
            for part in 0..parts {
                let [x, t, aux] = [x, t, aux].map(|from| s.load_part(&from[k], part));
                let [value, dx, dt] = if prepares {
                    let prepared = s.load_part(&to.value[k], part);
                    s.map_part(Rest(loss), [x, prepared, t, aux])
                } else {
                    s.map_part(Whole(loss), [x, t, aux])
                };
                s.store_part(&to.value[k], part, value);
                s.store_part(&to.dx[k], part, dx);
                if let (Some(to), false) = (to.dt, L::TARGET_APART) {
                    s.store_part(&to[k], part, dt);
                }
            }
        }
        if let (Some(to), true) = (to.dt, L::TARGET_APART) {
            for ((x, t), to) in x.iter().zip(t).zip(to) {
                let [by_target] = s.map_compact(ByTarget(loss), [s.load(x), s.load(t)]);
                s.store(to, by_target);
            }
        }
    }
}

/// The sum of the values of a call.
pub(super) fn general(level: Level, formula: &dyn Formula, args: &Args, extra: &Extra) -> f64 {
    let n = args.x.len();
    let mut rooms = [const { Room::<VECTORS>::new() }; 6];
    let [x_room, t_room, aux_room, value, dx, dt] = rooms.each_mut().map(|own| room(own, n, true));
    let mut fours = Fours::new();
    let fours = fours.zeros(n.min(BLOCK).div_ceil(FOUR * LANES));
    let dt = extra.dt.map(|_| dt);
    if extra.aux.is_none() {
        let cells = aux_room.as_flattened();
        cells.iter().for_each(|cell| cell.set(args.aux));
    }
    let over = args.dx.is_some_and(|dx| core::ptr::eq(dx, args.x));
    let slopes = args.dx.is_some() || extra.dt.is_some();
    let wide = slopes && extra.grad_output.is_none() && !fits(args.scale);
    let mut total = Total::new(args.share, args.sum);
    let all = args.share.elements(BLOCK, n);
    for start in all.clone().step_by(BLOCK) {
        let range = start..all.end.min(start + BLOCK);
        let vectors = range.len().div_ceil(LANES);
        let whole = range.len() == BLOCK;
        let x = &args.x[range.clone()];
        let x = if whole && !over {
            x.as_chunks::<LANES>().0
        } else {
            copy(x, x_room)
        };
        let t = args.t.block(start, range.len(), t_room.as_flattened());
        let t = if whole {
            t.as_chunks::<LANES>().0
        } else {
            copy(t, t_room)
        };
        if let Some(aux) = extra.aux {
            for (i, to) in range.clone().zip(aux_room.as_flattened()) {
                to.set(aux.at(i));
            }
        }
        let from = Streams {
            x: &x[..vectors],
            t,
            aux: aux_room,
        };
        let results = Results { value, dx, dt };
        formula.fill(level, &from, &results);
        let fours = &fours[..range.len().div_ceil(FOUR * LANES)];
        let (mut sum, large, lost) = level.run(Epilogue {
            args,
            extra,
            range: range.clone(),
            results,
            fours,
        });
        if large != 0 || wide || lost {
            let block = Block {
                args,
                extra,
                range,
                old: over.then_some(x),
                before: extra.accumulate.then_some(dx),
                values: Some(value),
                large,
                held: false,
            };
            sum += block.in_double(formula);
        }
        total.add(sum);
    }
    total.get()
}

/// The elements in whole vectors, with zeros behind them.
fn copy<'m>(from: Cells, to: &'m [Chunk]) -> &'m [Chunk] {
    let cells = to.as_flattened();
    for (to, from) in cells.iter().zip(from) {
        to.set(from.get());
    }
    for to in cells
        .iter()
        .take(from.len().next_multiple_of(LANES))
        .skip(from.len())
    {
        to.set(0.0);
    }
    to
}

/// What is done with the results of a block, whatever the loss.
struct Epilogue<'a> {
    args: &'a Args<'a>,
    extra: &'a Extra<'a>,
    range: Range<usize>,
    results: Results<'a>,
    fours: &'a [Chunk],
}

impl Kernel for Epilogue<'_> {
    /// The sum of the values, the fours that are left out of it, as bits, and whether a result may have left the range of single
    /// precision otherwise.
    type Out = (f64, u32, bool);

    /// Weighted values stay in `value`, and what gradients are added to in `dx`.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> (f64, u32, bool) {
        let Self {
            args,
            extra,
            range: block,
            results,
            fours,
        } = self;
        let zero = s.splat(0.0);
        let mut four = zero;
        // 0 while all gradients are finite, NaN from then on.
        let mut finite = zero;
        // The largest derivative and factor: beside numbers below the normal ones they leave too few digits.
        let mut largest = zero;
        let everything = extra.marks.is_everything();
        for (k, at) in block.clone().step_by(LANES).enumerate() {
            let count = LANES.min(block.end - at);
            let range = at..at + count;
            let mut weight = stream_or_1(s, extra.weight, at, count);
            if let Some(own) = extra.sample_weight {
                weight = s.mul(weight, own.load(s, at, count));
            }
            let upstream = match extra.grad_output {
                Some(upstream) => s.load_head(&upstream[range.clone()], 0.0),
                None => s.splat(args.scale as f32),
            };
            let factor = s.mul(weight, upstream);
            let ignored = if everything {
                None
            } else {
                Some(s.eq(s.vector(extra.marks.counts(at, count)), zero))
            };
            let value = product(s, s.load(&results.value[k]), weight, ignored);
            largest = s.max(largest, s.abs(weight));
            largest = s.max(largest, s.abs(factor));
            if let (Some(dt), Some(slopes)) = (extra.dt, results.dt) {
                let slope = s.load(&slopes[k]);
                largest = s.max(largest, s.abs(slope));
                let gradient = product(s, slope, factor, ignored);
                finite = s.mul_add(gradient, zero, finite);
                s.store_head(&dt[range.clone()], gradient);
            }
            if let Some(dx) = args.dx {
                let (dx, slope) = (&dx[range.clone()], s.load(&results.dx[k]));
                largest = s.max(largest, s.abs(slope));
                let mut gradient = product(s, slope, factor, ignored);
                if extra.accumulate {
                    let before = s.load_head(dx, 0.0);
                    s.store(&results.dx[k], before);
                    gradient = s.add(before, gradient);
                }
                finite = s.mul_add(gradient, zero, finite);
                s.store_head(dx, gradient);
            }
            if let Some(out) = extra.out {
                s.store_head(&out[range], value);
            }
            s.store(&results.value[k], value);
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            let whole = count == LANES;
            four = s.add(four, if whole { value } else { s.head(value, count) });
            if k % FOUR == FOUR - 1 || at + count == block.end {
                s.store(&fours[k / FOUR], four);
                four = zero;
            }
        }
        let (sum, large) = sum_of_fours(s, fours, false);
        let small = s.all(s.lt(largest, s.splat(LIFT as f32)));
        (sum, large, s.sum(finite).is_nan() || !small)
    }
}

/// a · b, and 0 where an element counts for nothing, whatever it holds.
#[inline(always)]
fn product<S: Simd>(s: S, a: S::F32, b: S::F32, ignored: Option<S::Mask>) -> S::F32 {
    let product = s.mul(a, b);
    match ignored {
        Some(ignored) => s.zero_where(ignored, product),
        None => product,
    }
}

#[inline(always)]
fn stream_or_1<S: Simd>(s: S, stream: Option<Stream>, start: usize, count: usize) -> S::F32 {
    match stream {
        Some(stream) => stream.load(s, start, count),
        None => s.splat(1.0),
    }
}
