//! Rows of many scores with class indices, one after the other.
//!
//! The rows of a unit go 16 at a time. Each row is finished while it is in the first-level cache:
//!
//! 1. the largest score;
//! 2. e^((x − max)/T), by blocks of 1,024 scores, into `dx` or, without a gradient, into scratch. The e^z of the label is taken out of
//!    their sum, so that 1 − p_y keeps its digits where p_y is nearly 1;
//! 3. the gradient in place of e^z, which is one factor times e^z less what smoothing asks for; the label's element comes last.
//!
//! After 16 rows their sums are one vector each ([`Batch`]), of which logarithms and values are computed at once.
//!
//! Within a block the vectors add up by fours, in four sums that overlap; blocks add up in double precision. Of the values of a unit,
//! row i is in lane i mod 16; the lanes fold at its end, and units add up in double precision.
//!
//! A row is computed again in double precision ([`position`]) where [`Watch`] says that a factor lifts what is below the normal numbers,
//! or that its value is too small since the label is nearly certain. The latter shows only when `dx` is written: where that is `x`, there
//! is a copy of the row.

use super::double::{Watch, position};
use super::tiles::{GROUP, weigh};
use super::{Args, Loop, Scale, Softmax};
use crate::math::exp::exp_nonpositive;
use crate::math::log::log1p;
use crate::share::Total;
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Map, Room, Simd};
use crate::sum::BLOCK;
use core::cell::Cell;

/// Scores that are asked for before they are needed, at least.
const MIN_SCORES_AHEAD: usize = 512;

/// The numbers that are the same for all rows of a call.
pub(super) struct Call {
    pub scale: Scale,
    pub inverse_temperature: f32,
    /// The factor of the gradient over T, rounded once.
    pub scaled: f32,
    /// 1 − ε
    pub keep: f32,
    /// ε/C
    pub spread: f32,
    /// W = Σ w_c
    pub total_weight: f64,
}

impl Call {
    #[inline(always)]
    pub(super) fn new(args: &Args) -> Self {
        Self {
            scale: Scale::new(args.temperature),
            inverse_temperature: 1.0 / args.temperature,
            scaled: (args.scale / f64::from(args.temperature)) as f32,
            keep: 1.0 - args.label_smoothing,
            spread: args.label_smoothing / args.classes as f32,
            total_weight: match args.weight {
                Some(weight) if args.label_smoothing > 0.0 => {
                    weight.iter().map(|w| f64::from(w.get())).sum()
                }
                _ => args.classes as f64,
            },
        }
    }

    /// The values of 16 rows, one in each lane.
    #[inline(always)]
    pub(super) fn value<S: Simd, L: Softmax>(
        &self,
        s: S,
        loss: L,
        sums: Sums<S::F32>,
        weight: S::F32,
    ) -> S::F32 {
        let log_sum = sums.log_sum(s);
        if !L::LINEAR {
            let [_, q] = sums.odds(s);
            let log_p = s.sub(s.mul(sums.h_y, s.splat(self.scale.sharp)), log_sum);
            return weigh(s, loss.value(s, log_p, q), weight);
        }
        // Σ t_c·(ln Σ e^z − z_c), both terms of one sign, where z itself may be too large for a number.
        let nothing = s.eq(weight, s.splat(0.0));
        let mut all = weight;
        let mut below = s.zero_where(nothing, s.mul(weight, sums.h_y));
        if self.spread > 0.0 {
            all = s.add(
                all,
                s.splat((f64::from(self.spread) * self.total_weight) as f32),
            );
            below = s.add(below, sums.weighted);
        }
        let below = s.mul(below, s.splat(self.scale.sharp));
        s.sub(s.mul(all, log_sum), below)
    }
}

/// What a row comes to before its logarithm is taken, with h and z = h·sharp as [`Scale`] has them.
#[derive(Clone, Copy)]
pub(super) struct Sums<F> {
    /// Σ e^z without the label: it keeps its digits where the label is nearly certain, and over the whole sum it is 1 − p_y.
    pub rest: F,
    /// e^z at the label
    pub e_y: F,
    /// h at the label
    pub h_y: F,
    /// Σ ε/C·w_c·h_c, for the smoothing term
    pub weighted: F,
}

impl<F: Copy> Sums<F> {
    /// ln Σ e^z. Where the label is the largest its e^z is 1, and nothing is rounded but the logarithm; elsewhere the sum has
    /// another 1.
    #[inline(always)]
    fn log_sum<V: Lanes<F32 = F>>(&self, v: V) -> F {
        log1p(v, v.add(self.rest, v.sub(self.e_y, v.splat(1.0))))
    }

    /// [p_y, 1 − p_y]
    #[inline(always)]
    fn odds<V: Lanes<F32 = F>>(&self, v: V) -> [F; 2] {
        let inverse = v.div(v.splat(1.0), v.add(self.rest, self.e_y));
        [v.mul(self.e_y, inverse), v.mul(self.rest, inverse)]
    }
}

/// 16 rows, one in each lane. A row that is ignored or not there keeps the default, and counts 0.
struct Batch {
    rest: [f32; LANES],
    e_y: [f32; LANES],
    h_y: [f32; LANES],
    weighted: [f32; LANES],
    /// (1 − ε)·w_y
    weight: [f32; LANES],
    /// The rows that were computed in double precision, as bits, with their values and the sum of those.
    lost: u32,
    values: [f32; LANES],
    apart: f64,
}

impl Batch {
    #[inline(always)]
    fn new() -> Self {
        Self {
            rest: [0.0; LANES],
            e_y: [1.0; LANES],
            h_y: [0.0; LANES],
            weighted: [0.0; LANES],
            weight: [0.0; LANES],
            lost: 0,
            values: [0.0; LANES],
            apart: 0.0,
        }
    }

    #[inline(always)]
    fn set(&mut self, j: usize, row: &Row, sums: &Sums<f32>) {
        self.rest[j] = sums.rest;
        self.e_y[j] = sums.e_y;
        self.h_y[j] = sums.h_y;
        self.weighted[j] = sums.weighted;
        self.weight[j] = row.weight;
    }

    #[cold]
    fn set_double(&mut self, j: usize, value: f64) {
        self.lost |= 1 << j;
        self.values[j] = value as f32;
        self.apart += value;
    }

    /// Writes the values of the rows that were computed in double precision.
    #[cold]
    fn put(&self, out: Cells) {
        for (j, out) in out.iter().enumerate() {
            if (self.lost >> j) & 1 != 0 {
                out.set(self.values[j]);
            }
        }
    }
}

/// A row that is not ignored.
struct Row<'a> {
    x: Cells<'a>,
    y: usize,
    /// (1 − ε)·w_y
    weight: f32,
    /// Upstream factor over T.
    scale: f32,
}

/// All rows, 16 at a time: sums row by row, then logarithms, values and factors of all 16 in one vector each.
pub(super) struct Rows;

impl Loop for Rows {
    #[inline(always)]
    fn run<S: Simd, L: Softmax>(s: S, loss: L, args: &Args, watch: Watch) -> f64 {
        let call = Call::new(args);
        let mut total = Total::new(args.share, args.sum);
        // The scores of a row are needed once more where its value turns out to be too small, and `dx` may be `x`.
        let in_place = args.dx.is_some_and(|dx| dx.as_ptr() == args.x.as_ptr());
        let copies = in_place && watch.certain > 0.0;
        let copy = vec![Cell::new(0.0); if copies { args.classes } else { 0 }];
        for block in args.blocks() {
            let mut lanes = s.splat(0.0);
            let mut apart = 0.0;
            for first in (block.first..block.end).step_by(LANES) {
                let mut labels = [0; LANES];
                let labels = &mut labels[..LANES.min(block.end - first)];
                args.marks.classes(first, labels);
                let batch = wide_rows(s, loss, args, &call, watch, &copy, first, labels);
                let sums = Sums {
                    rest: s.vector(batch.rest),
                    e_y: s.vector(batch.e_y),
                    h_y: s.vector(batch.h_y),
                    weighted: s.vector(batch.weighted),
                };
                let value = call.value(s, loss, sums, s.vector(batch.weight));
                if let Some(out) = args.out {
                    let out = &out[first..first + labels.len()];
                    s.store_head(out, value);
                    if batch.lost != 0 {
                        batch.put(out);
                    }
                }
                apart += batch.apart;
                lanes = s.add(lanes, value);
            }
            total.add(f64::from(s.sum(lanes)) + apart);
        }
        total.get()
    }
}

/// Row number `index`, or nothing where it is ignored.
#[inline(always)]
fn row_at<'a>(args: &Args<'a>, call: &Call, index: usize, label: i32) -> Option<Row<'a>> {
    let y = label as usize;
    // The labels were checked; a label that another thread changed since must still not reach past the row. What is ignored is
    // negative, and so past the end too.
    if y >= args.classes {
        return None;
    }
    let scale = match args.grad_output {
        Some(upstream) => call.inverse_temperature * upstream[index].get(),
        None => call.scaled,
    };
    Some(Row {
        x: &args.x[index * args.classes..(index + 1) * args.classes],
        y,
        weight: call.keep * args.weight.map_or(1.0, |weight| weight[y].get()),
        scale,
    })
}

/// dx_c = factor·e_c − spread·w_c but for the label, which has its own. Lanes are rows, or all the same row.
pub(super) struct Gradient<S: Simd> {
    pub factor: S::F32,
    pub at_label: S::F32,
    pub spread: S::F32,
}

impl<S: Simd> Gradient<S> {
    /// With s_c the weighted target of class c it is p_c·Σ s − s_c. At the label that is written as the sum of the others' s
    /// less (1 − p_y)·Σ s, of which nothing is lost where p_y is nearly 1. `others` is W − w_y.
    ///
    /// A slope that does not depend on ln p, as that of cross-entropy, leaves no logarithm here.
    #[inline(always)]
    pub(super) fn new<L: Softmax>(
        s: S,
        loss: L,
        call: &Call,
        sums: Sums<S::F32>,
        [weight, others, scale]: [S::F32; 3],
    ) -> Self {
        let [p, q] = sums.odds(s);
        let log_p = s.sub(s.mul(sums.h_y, s.splat(call.scale.sharp)), sums.log_sum(s));
        let slope = s.mul(loss.slope(s, [log_p, p, q]), weight);
        let mut all = s.mul(slope, scale);
        let spread = s.mul(s.splat(call.spread), scale);
        let mut elsewhere = s.splat(0.0);
        if call.spread > 0.0 {
            all = s.mul_add(spread, s.splat(call.total_weight as f32), all);
            elsewhere = s.mul(spread, others);
        }
        let factor = s.div(all, s.add(sums.rest, sums.e_y));
        Self {
            factor,
            at_label: s.sub(elsewhere, s.mul(sums.rest, factor)),
            spread,
        }
    }
}

/// Each row is finished while it is in the first-level cache.
#[inline(always)]
fn wide_rows<S: Simd, L: Softmax>(
    s: S,
    loss: L,
    args: &Args,
    call: &Call,
    watch: Watch,
    copy: Cells,
    first: usize,
    labels: &[i32],
) -> Batch {
    let mut batch = Batch::new();
    let lost = if watch.lifted {
        watch.lost(args, first, labels.len())
    } else {
        0
    };
    for (j, &label) in labels.iter().enumerate() {
        let range = (first + j) * args.classes..(first + j + 1) * args.classes;
        let row = row_at(args, call, first + j, label);
        let dx = args.dx.map(|dx| &dx[range]);
        let Some(row) = row else {
            dx.into_iter().flatten().for_each(|dx| dx.set(0.0));
            continue;
        };
        if (lost >> j) & 1 != 0 {
            batch.set_double(j, position(args, loss.gamma(), first + j, label, None));
            continue;
        }
        for (copy, x) in copy.iter().zip(row.x) {
            copy.set(x.get());
        }
        let sums = wide_sums(s, row.x, dx, row.y, args.weight, call);
        if watch.is_certain(sums.rest) {
            let x = if copy.is_empty() { row.x } else { copy };
            batch.set_double(j, position(args, loss.gamma(), first + j, label, Some(x)));
            continue;
        }
        batch.set(j, &row, &sums);
        if let Some(dx) = dx {
            let of_label = args.weight.map_or(1.0, |weight| weight[row.y].get());
            let others = (call.total_weight - f64::from(of_label)) as f32;
            let sums = Sums {
                rest: s.splat(sums.rest),
                e_y: s.splat(sums.e_y),
                h_y: s.splat(sums.h_y),
                weighted: s.splat(sums.weighted),
            };
            let numbers = [row.weight, others, row.scale].map(|number| s.splat(number));
            let gradient = Gradient::new(s, loss, call, sums, numbers);
            wide_gradient(s, dx, row.y, args.weight, call, gradient);
        }
    }
    batch
}

/// Maximum of a row, then exponentials, which stay in `dx` until the sum is known.
#[inline(always)]
fn wide_sums<S: Simd>(
    s: S,
    x: Cells,
    dx: Option<Cells>,
    y: usize,
    weight: Option<Cells>,
    call: &Call,
) -> Sums<f32> {
    let max = row_max(s, x);
    // Before the exponentials: `dx` may be `x`.
    let h_y = call.scale.below(x[y].get(), max);
    let weighted = if call.spread > 0.0 {
        s.vectorize(Weighted {
            x,
            weight,
            half: call.scale.half,
            minus_max: -max * call.scale.half,
            spread: call.spread,
        })
    } else {
        0.0
    };
    // Without a gradient there is only this place for the exponentials of a block.
    let mut memory = Room::<{ BLOCK / LANES }>::new();
    let memory = memory.zeros(if dx.is_some() {
        0
    } else {
        BLOCK.min(x.len()).div_ceil(LANES)
    });
    let (mut rest, mut e_y) = (0.0, 0.0);
    for (b, block) in x.chunks(BLOCK).enumerate() {
        let e = match dx {
            Some(dx) => &dx[b * BLOCK..][..block.len()],
            None => &memory.as_flattened()[..block.len()],
        };
        let mut sum = s.vectorize(Exponentials {
            x: block,
            e,
            max,
            inverse_temperature: call.inverse_temperature,
            ahead: x.len().max(MIN_SCORES_AHEAD),
        });
        if let Some(at_label) = e.get(y.wrapping_sub(b * BLOCK)) {
            e_y = at_label.get();
            // Where the label has the smaller part of the sum, nothing is lost by taking it away again.
            if sum < 2.0 * e_y {
                at_label.set(0.0);
                let (chunks, tail) = e.as_chunks();
                sum = sum_of(s, chunks, s.load_head(tail, 0.0));
            } else {
                sum -= e_y;
            }
        }
        rest += f64::from(sum);
    }
    Sums {
        rest: rest as f32,
        e_y,
        h_y,
        weighted,
    }
}

/// e^((x − max)/T) from x, max and 1/T. All of it by parts, where the set has them, so that constants stay in registers.
#[derive(Clone, Copy)]
pub(super) struct Below;

impl Map<3, 1> for Below {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, max, inverse_temperature]: [V::F32; 3]) -> [V::F32; 1] {
        [exp_nonpositive(
            v,
            v.mul(v.sub(x, max), inverse_temperature),
        )]
    }
}

/// e^((x − max)/T) of a block of a row, and their sum. A kernel of its own, for which the registers are enough, and one for all
/// loops over rows.
struct Exponentials<'a> {
    x: Cells<'a>,
    e: Cells<'a>,
    max: f32,
    inverse_temperature: f32,
    /// How far ahead scores are asked for.
    ahead: usize,
}

impl Kernel for Exponentials<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let (max, inverse_temperature) = (s.splat(self.max), s.splat(self.inverse_temperature));
        let (x, x_tail) = self.x.as_chunks::<LANES>();
        let (e, e_tail) = self.e.as_chunks::<LANES>();
        // The next row comes in while this one is computed: the pass for the maximum has nothing else to do than to wait for it.
        // Out of the caches that takes two thirds of the time, and in the cache it changes next to nothing. Stores past the caches
        // take nearly twice as long, since rows seldom end with a line of the cache.
        for (x, e) in x.iter().zip(e) {
            s.prefetch(x, self.ahead);
            s.prefetch(e, self.ahead);
            let [exp] = s.map(Below, [s.load(x), max, inverse_temperature]);
            s.store(e, exp);
        }
        let mut last = s.splat(0.0);
        if !x_tail.is_empty() {
            let x = s.load_head(x_tail, f32::NEG_INFINITY);
            [last] = s.map_compact(Below, [x, max, inverse_temperature]);
            s.store_head(e_tail, last);
        }
        // In a loop of its own, as the other has no register to spare.
        sum_of(s, e, last)
    }
}

/// Sum of the vectors of a block. Four sums overlap, and each is made of fours, so that a number goes through at most 14
/// roundings, where in a plain sum each vector is one more.
#[inline(always)]
fn sum_of<S: Simd>(s: S, vectors: &[Chunk], first: S::F32) -> f32 {
    let (sixteens, rest) = vectors.as_chunks::<16>();
    let zero = s.splat(0.0);
    let mut sums = [first, zero, zero, zero];
    for sixteen in sixteens {
        let mut lanes = [0, 1, 2, 3].map(|j| s.load(&sixteen[j]));
        for four in &sixteen.as_chunks::<4>().0[1..] {
            for (lanes, vector) in lanes.iter_mut().zip(four) {
                *lanes = s.add(*lanes, s.load(vector));
            }
        }
        for (sum, lanes) in sums.iter_mut().zip(lanes) {
            *sum = s.add(*sum, lanes);
        }
    }
    let (fours, odd) = rest.as_chunks::<4>();
    let mut lanes = [zero; 4];
    for four in fours {
        for (lanes, vector) in lanes.iter_mut().zip(four) {
            *lanes = s.add(*lanes, s.load(vector));
        }
    }
    for (lanes, vector) in lanes.iter_mut().zip(odd) {
        *lanes = s.add(*lanes, s.load(vector));
    }
    for (sum, lanes) in sums.iter_mut().zip(lanes) {
        *sum = s.add(*sum, lanes);
    }
    let [a, b, c, d] = sums;
    s.sum(s.add(s.add(a, b), s.add(c, d)))
}

/// From e in `dx` to the gradient in `dx`; all lanes are the same row.
#[inline(always)]
fn wide_gradient<S: Simd>(
    s: S,
    dx: Cells,
    y: usize,
    weight: Option<Cells>,
    call: &Call,
    gradient: Gradient<S>,
) {
    let Gradient {
        factor,
        at_label,
        spread,
    } = gradient;
    if call.spread > 0.0 {
        s.vectorize(Smoothed {
            dx,
            weight,
            factor: s.to_array(factor)[0],
            spread: s.to_array(spread)[0],
        });
    } else {
        let (chunks, tail) = dx.as_chunks::<LANES>();
        for chunk in chunks {
            s.store(chunk, s.mul(s.load(chunk), factor));
        }
        if !tail.is_empty() {
            s.store_head(tail, s.mul(s.load_head(tail, 0.0), factor));
        }
    }
    dx[y].set(s.to_array(at_label)[0]);
}

/// The gradient of a row but for the label, where there is smoothing. A function of its own, as most calls have none.
struct Smoothed<'a> {
    dx: Cells<'a>,
    weight: Option<Cells<'a>>,
    factor: f32,
    spread: f32,
}

impl Kernel for Smoothed<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (factor, spread) = (s.splat(self.factor), s.splat(self.spread));
        let (chunks, tail) = self.dx.as_chunks::<LANES>();
        for (c, chunk) in chunks.iter().enumerate() {
            let w = weights(s, self.weight, c * LANES, LANES);
            let g = s.mul(s.load(chunk), factor);
            s.store(chunk, s.sub(g, s.mul(w, spread)));
        }
        let w = weights(s, self.weight, chunks.len() * LANES, tail.len());
        let g = s.mul(s.load_head(tail, 0.0), factor);
        s.store_head(tail, s.sub(g, s.mul(w, spread)));
    }
}

/// Largest score of a row, where none is NaN. A NaN makes the row NaN by its exponential.
#[inline(always)]
fn row_max<S: Simd>(s: S, x: Cells) -> f32 {
    let (x, tail) = x.as_chunks::<LANES>();
    let mut max = s.load_head(tail, f32::NEG_INFINITY);
    for x in x {
        max = s.max(max, s.load(x));
    }
    s.max_lane(max)
}

/// Σ ε/C·w_c·h_c of a row. Not in the loop of the exponentials, which most calls run without it.
struct Weighted<'a> {
    x: Cells<'a>,
    weight: Option<Cells<'a>>,
    half: f32,
    minus_max: f32,
    spread: f32,
}

impl Kernel for Weighted<'_> {
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let Self { x, weight, .. } = self;
        let (half, minus_max) = (s.splat(self.half), s.splat(self.minus_max));
        let mut sum = 0.0;
        for (b, x) in x.chunks(BLOCK).enumerate() {
            let mut lanes = s.splat(0.0);
            for (g, x) in x.chunks(GROUP * LANES).enumerate() {
                let mut of_group = s.splat(0.0);
                for (c, x) in x.chunks(LANES).enumerate() {
                    let h = s.mul_add(s.load_head(x, 0.0), half, minus_max);
                    let first = b * BLOCK + (g * GROUP + c) * LANES;
                    let w = s.mul(weights(s, weight, first, x.len()), s.splat(self.spread));
                    let weighted = s.zero_where(s.eq(w, s.splat(0.0)), s.mul(h, w));
                    of_group = s.add(of_group, s.head(weighted, x.len()));
                }
                lanes = s.add(lanes, of_group);
            }
            sum += f64::from(s.sum(lanes));
        }
        sum as f32
    }
}

/// Weights of the `count` classes from `first`; 1 where there are none.
#[inline(always)]
fn weights<S: Simd>(s: S, weight: Option<Cells>, first: usize, count: usize) -> S::F32 {
    match weight {
        Some(weight) => s.load_head(&weight[first..first + count], 0.0),
        None => s.splat(1.0),
    }
}
