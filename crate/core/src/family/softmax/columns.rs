//! Rows of few scores with class indices, 16 rows at a time: lanes are rows, so that nothing is summed across lanes and no lane is
//! empty.
//!
//! For each 64 rows of a unit, or fewer where scratch holds no more:
//!
//! 1. the scores are transposed into scratch, where 16 rows have one vector for each class;
//! 2. classes, weights and upstream gradients are read, one for each row ([`NewRows`]);
//! 3. of each 16 rows ([`Rows::values`]) a pass gives the largest scores, another e^z and Σ e^z without the label, and a last one the
//!    gradients in place of e^z; in between come the values;
//! 4. the gradients are transposed back, into `dx`.
//!
//! Sums over classes add up by groups of 8. Of the values of a unit, row i is in lane i mod 16; the lanes fold at its end, and units add
//! up in double precision.
//!
//! Rows of which single precision loses something, as [`Watch`] says, are computed again in double ([`in_double`]) from their scores in
//! `x`, which are all there before step 4; their values add up beside those of the lanes.

use super::double::{Watch, position};
use super::rows::{Below, Call, Gradient, Sums};
use super::tiles::{GROUP, KEPT};
use super::{Args, Loop, Softmax};
use crate::layout::axis::{to_columns, to_rows};
use crate::share::Total;
use crate::simd::{Chunk, Kernel, LANES, Room, SIDE, Simd, Transposed};
use core::cell::Cell;

/// Rows that are in memory of its own at a time, at most: the steps of a call are short loops over them, which overlap where
/// those over 16 wait for one another.
const ROWS: usize = 64;

pub(super) struct Columns;

impl Loop for Columns {
    #[inline(always)]
    fn run<S: Simd, L: Softmax>(s: S, loss: L, args: &Args, watch: Watch) -> f64 {
        let call = Call::new(args);
        let classes = args.classes;
        let most = ROWS.min(KEPT / classes.max(1) * LANES);
        // A square of rows with fewer scores is written whole.
        let tiles = most.min(args.positions()).div_ceil(LANES);
        let mut memory = Room::<KEPT>::new();
        let memory = memory.zeros(KEPT.min(tiles * classes + SIDE));
        let mut total = Total::new(args.share, args.sum);
        for block in args.blocks() {
            let mut lanes = s.splat(0.0);
            let mut apart = 0.0;
            for first in (block.first..block.end).step_by(most) {
                let count = most.min(block.end - first);
                let transposed = |rows| Transposed {
                    rows,
                    width: classes,
                    columns: memory.as_flattened(),
                };
                // Squares read past rows of few scores, but not what another thread may be writing.
                let scores = &args.x[first * classes..block.end * classes];
                to_columns(s, transposed(scores), count);
                let rows = s.vectorize(NewRows {
                    args,
                    call: &call,
                    first,
                    count,
                });
                let lost = if watch.lifted {
                    watch.lost(args, first, count)
                } else {
                    0
                };
                for at in (0..count).step_by(LANES) {
                    let scores = &memory[at / LANES * classes..][..classes];
                    let (mut value, rest) = rows.values(s, loss, args, &call, at, scores);
                    if let Some(out) = args.out {
                        s.store_head(&out[first + at..first + count.min(at + LANES)], value);
                    }
                    let certain = s.lt(rest, s.splat(watch.certain));
                    let others = s.zero_where(certain, s.splat(1.0));
                    if lost != 0 || !s.all(s.eq(others, s.splat(1.0))) {
                        let mut values = s.to_array(value);
                        let rests = s.to_array(rest);
                        for j in 0..LANES.min(count - at) {
                            let label = rows.label[at + j] as i32;
                            let is_lost = (lost >> (at + j)) & 1 != 0 || watch.is_certain(rests[j]);
                            if label >= 0 && is_lost {
                                values[j] = 0.0;
                                let index = first + at + j;
                                apart += in_double(args, loss.gamma(), index, label, scores, j);
                            }
                        }
                        value = s.vector(values);
                    }
                    lanes = s.add(lanes, value);
                }
                if let Some(dx) = args.dx {
                    to_rows(s, transposed(&dx[first * classes..]), count);
                }
            }
            total.add(f64::from(s.sum(lanes)) + apart);
        }
        total.get()
    }
}

/// What some neighbouring rows have beside their scores.
struct Rows {
    /// The class, or −1 where a row is ignored or not there.
    label: [f32; ROWS],
    /// (1 − ε)·w_y
    weight: [f32; ROWS],
    /// Upstream factor over T.
    scale: [f32; ROWS],
    /// W − w_y, for the smoothing term.
    others: [f32; ROWS],
}

/// Makes [`Rows`], in a function that is one for all losses.
struct NewRows<'a> {
    args: &'a Args<'a>,
    call: &'a Call,
    first: usize,
    count: usize,
}

impl Kernel for NewRows<'_> {
    type Out = Rows;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> Rows {
        let Self {
            args,
            call,
            first,
            count,
        } = self;
        let mut rows = Rows {
            label: [-1.0; ROWS],
            weight: [call.keep; ROWS],
            scale: [call.scaled; ROWS],
            others: [(call.total_weight - 1.0) as f32; ROWS],
        };
        let mut labels = [0; ROWS];
        let labels = &mut labels[..count];
        args.marks.classes(first, labels);
        for (label, &y) in rows.label.iter_mut().zip(&*labels) {
            // The labels were checked; one that another thread changed since is ignored. What is ignored is negative.
            let is_class = (y as usize) < args.classes;
            *label = if is_class { y as f32 } else { -1.0 };
        }
        if let Some(weight) = args.weight {
            let numbers = rows.weight.iter_mut().zip(&mut rows.others);
            for ((of_label, others), &y) in numbers.zip(&*labels) {
                let weight = weight.get(y as usize).map_or(0.0, Cell::get);
                *of_label *= weight;
                *others = (call.total_weight - f64::from(weight)) as f32;
            }
        }
        if let Some(upstream) = args.grad_output {
            for (scale, upstream) in rows.scale.iter_mut().zip(&upstream[first..first + count]) {
                *scale = call.inverse_temperature * upstream.get();
            }
        }
        rows
    }
}

impl Rows {
    /// The values of the 16 rows from number `at`, and their gradients in place of their scores. Also Σ e^z without the label.
    #[inline(always)]
    fn values<S: Simd, L: Softmax>(
        &self,
        s: S,
        loss: L,
        args: &Args,
        call: &Call,
        at: usize,
        scores: &[Chunk],
    ) -> (S::F32, S::F32) {
        let of_sixteen = |lanes: &[f32; ROWS]| s.vector(*lanes[at..].first_chunk().unwrap());
        let label = of_sixteen(&self.label);
        let ignored = s.lt(label, s.splat(0.0));
        let mut max = s.splat(f32::NEG_INFINITY);
        for x in scores {
            max = s.max(max, s.load(x));
        }
        let half = s.splat(call.scale.half);
        let minus_max = s.mul(max, s.splat(-call.scale.half));
        let inverse_temperature = s.splat(call.inverse_temperature);
        let smooth = L::LINEAR && call.spread > 0.0;
        let mut weighted = s.splat(0.0);
        // In a loop of its own, as most calls have no smoothing.
        if smooth {
            for (g, group) in scores.chunks(GROUP).enumerate() {
                let mut of_group = s.splat(0.0);
                for (c, x) in group.iter().enumerate() {
                    let weight = call.spread * class_weight(args, g * GROUP + c);
                    if weight != 0.0 {
                        let h = s.mul_add(s.load(x), half, minus_max);
                        of_group = s.add(of_group, s.mul(h, s.splat(weight)));
                    }
                }
                weighted = s.add(weighted, of_group);
            }
        }
        let grad = args.dx.is_some();
        let [mut rest, mut e_y, mut x_y] = [s.splat(0.0); 3];
        for (g, group) in scores.chunks(GROUP).enumerate() {
            let mut of_group = s.splat(0.0);
            for (c, x) in group.iter().enumerate() {
                let c = g * GROUP + c;
                let score = s.load(x);
                let [e] = s.map(Below, [score, max, inverse_temperature]);
                let y = s.eq(label, s.splat(c as f32));
                of_group = s.add(of_group, s.zero_where(y, e));
                e_y = s.select(y, e, e_y);
                x_y = s.select(y, score, x_y);
                if grad {
                    s.store(x, e);
                }
            }
            rest = s.add(rest, of_group);
        }
        let h_y = s.mul_add(x_y, half, minus_max);
        let weight = of_sixteen(&self.weight);
        let sums = Sums {
            rest,
            e_y,
            h_y,
            weighted,
        };
        let value = call.value(s, loss, sums, weight);
        if grad {
            let numbers = [weight, of_sixteen(&self.others), of_sixteen(&self.scale)];
            let gradient = Gradient::new(s, loss, call, sums, numbers);
            for (c, e) in scores.iter().enumerate() {
                let mut g = s.mul(s.load(e), gradient.factor);
                if smooth {
                    let weight = s.splat(class_weight(args, c));
                    g = s.sub(g, s.mul(weight, gradient.spread));
                }
                let y = s.eq(label, s.splat(c as f32));
                g = s.select(y, gradient.at_label, g);
                s.store(e, s.zero_where(ignored, g));
            }
        }
        (s.zero_where(ignored, value), rest)
    }
}

/// A row whose numbers single precision cannot hold, from its scores in memory, which are written over later: its gradient goes into
/// lane `j` too, which is what is written.
#[cold]
#[inline(never)]
fn in_double(args: &Args, gamma: f32, index: usize, label: i32, scores: &[Chunk], j: usize) -> f64 {
    let value = position(args, gamma, index, label, None);
    if let Some(dx) = args.dx {
        for (scores, g) in scores.iter().zip(&dx[index * args.classes..]) {
            scores[j].set(g.get());
        }
    }
    value
}

fn class_weight(args: &Args, class: usize) -> f32 {
    args.weight.map_or(1.0, |weight| weight[class].get())
}
