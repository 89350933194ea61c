//! T²·KL(softmax(t/T) ‖ softmax(x/T)): the target is a second softmax.
//!
//! The divergence of two softmaxes that are nearly the same is of second order in the difference of the scores, and that of the
//! logarithms of both has no digit of it. So the difference of the scores comes first, D_c = (x_c − t_c) − (x_k − t_k) with the teacher's
//! largest class k, and then u_c = (Σ t·D − D_c)/T, whose mean is 0. With Q = Σ t·(e^−u − 1 + u), where no term is negative,
//! KL = ln(1 + Q), p_c − t_c = (t_c·(e^−u − 1) − t_c·Q)/(1 + Q) and t_c·(ln t_c − ln p_c − KL) = t_c·u_c.
//!
//! Tiles and their blocks are those of [`super::tiles`]. For each tile:
//!
//! 1. a pass over both arrays gives their largest scores ([`Pair::common`]);
//! 2. another D, the e^z of both, their sums and Σ D·e^z of the teacher ([`Pair::exponentials`]);
//! 3. another the terms of Q, t·u and t·(e^−u − 1), in place of D and of e^z ([`Pair::terms`]);
//! 4. a last one the gradients by both.
//!
//! Where |u| < 1 the exponential is a polynomial, elsewhere t·e^−u = p·(1 + Q) is of the student's own softmax, and nothing cancels. Of two
//! softmaxes that are far apart, with KL > 1, the logarithms of their sums do as well. A tile that loses something goes to [`double`].

use super::double::{self, Watch};
use super::tiles::{EachTile, GROUP, KEPT, Sum, blocks, upstreams, walk};
use super::{Args, Extra, Kind, Scale};
use crate::layout::axis::{Tile, put_values, total};
use crate::math::exp::{Exp, exp_nonpositive, second_order};
use crate::math::log::{log_positive, log1p};
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Level, Map, Simd};
use core::ops::Range;

pub(super) fn run(level: Level, args: Args, watch: Watch) -> f64 {
    let Some((extra, target)) = args.extra.and_then(|extra| Some((extra, extra.target?))) else {
        panic!("no teacher");
    };
    walk(level, args, Distilled(args, extra, target, watch))
}

/// Differences are made of a quarter of each score, since a difference of two differences has four times as much as a score at most:
/// so they are in range where scores are ±3e38. The factors of T stay with the differences, which keeps all of it in range for every T.
const UNIT: f32 = 0.25;

#[derive(Clone, Copy)]
struct Distilled<'a>(Args<'a>, &'a Extra<'a>, Cells<'a>, Watch);

impl EachTile<4> for Distilled<'_> {
    #[inline(always)]
    fn tile<S: Simd>(&self, s: S, tile: Tile, scratch: [&[Chunk]; 4]) -> f64 {
        distill(s, self, tile, scratch)
    }
}

/// Both softmaxes of a tile, by blocks.
#[derive(Clone, Copy)]
struct Pair<'a> {
    tile: Tile,
    x: Cells<'a>,
    teacher: Cells<'a>,
    scale: Scale,
    /// As [`Both`] has it.
    inverse_classes: f32,
    /// Memory of a block: x, then D and t·u; e^z of x, then the gradient by x.
    x_scratch: [&'a [Chunk]; 2],
    /// The same of the teacher.
    t_scratch: [&'a [Chunk]; 2],
}

/// What all classes of a position have in common. Scores and their differences are times [`Scale::half`], which is [`UNIT`] here
/// but for temperatures so low that nothing is near.
#[derive(Clone, Copy)]
struct Common<F> {
    /// The largest scores.
    max: [F; 2],
    /// x − t at the teacher's largest class, and what of it was rounded.
    top: [F; 2],
}

/// `scratch` is for the scores and e^z of both.
#[inline(always)]
fn distill<S: Simd>(
    s: S,
    Distilled(args, extra, target, watch): &Distilled,
    tile: Tile,
    scratch: [&[Chunk]; 4],
) -> f64 {
    let in_double = || {
        let (first, count) = (tile.position(), tile.count());
        double::positions(args, Kind::Teacher, 0.0, first, count)
    };
    if watch.lifted && watch.lost(args, tile.position(), tile.count()) != 0 {
        return in_double();
    }
    let scale = match 1.0 / (args.temperature * UNIT) {
        f32::INFINITY => Scale::new(args.temperature),
        sharp => Scale { half: UNIT, sharp },
    };
    let pair = Pair {
        tile,
        x: args.x,
        teacher: target,
        scale,
        inverse_classes: 1.0 / args.classes.next_power_of_two() as f32,
        x_scratch: [scratch[0], scratch[1]],
        t_scratch: [scratch[2], scratch[3]],
    };
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let sharp = s.splat(scale.sharp);
    let (common, at_top) = pair.common(s);
    let (mut exps_x, mut exps_t, mut mean) = (Sum::new(s), Sum::new(s), Sum::new(s));
    for block in blocks(tile.steps()) {
        if tile.steps() > KEPT {
            pair.load(s, block.clone());
        }
        let sums = pair.exponentials(s, common, block);
        exps_x.add(s, sums[0]);
        exps_t.add(s, sums[1]);
        mean.add(s, sums[2]);
    }
    let [exps_x, exps_t, mean] = [exps_x.get(s, tile), exps_t.get(s, tile), mean.get(s, tile)];
    let inverse = s.div(one, exps_t);
    let mean = s.mul(mean, s.mul(inverse, s.splat(1.0 / pair.inverse_classes)));
    let temperature = s.splat(args.temperature);
    let unit = args.temperature * scale.half;
    // T·KL in units of the differences, but for what is lost where it is small.
    let logs = s.sub(log_positive(s, exps_x), log_positive(s, exps_t));
    let past = s.add(s.sub(at_top, common.max[0]), mean);
    let apart = s.sub(s.mul(logs, s.splat(unit)), past);
    let divergence = s.mul(apart, sharp);
    let far = s.lt(one, divergence);
    let [e] = s.map_compact(Exp, [s.sub(divergence, one)]);
    let ratio = s.select(far, one, s.mul(e, s.splat(core::f32::consts::E)));
    let terms = Terms {
        sharp: scale.sharp,
        unit,
    };
    let numbers = [
        mean,
        inverse,
        s.div(ratio, exps_x),
        s.select(far, s.splat(-1.0), one),
    ];
    let mut value = Sum::new(s);
    for block in blocks(tile.steps()) {
        if tile.steps() > KEPT {
            pair.again(s, common, block.clone());
        }
        value.add(s, pair.terms(s, terms, numbers, block));
    }
    // T²·Q in units of the differences, squared.
    let sum = value.get(s, tile);
    let whole = s.splat(1.0 / scale.half);
    let q = s.mul(s.mul(sum, sharp), sharp);
    let tiny = s.lt(q, s.splat(f32::EPSILON / 4.0));
    let slope = s.select(tiny, one, s.div(log1p(s, q), q));
    let near_value = s.mul(s.mul(s.mul(sum, slope), whole), whole);
    let far_value = s.mul(s.mul(apart, temperature), whole);
    let value = s.select(far, far_value, near_value);
    let (first, count) = (tile.position(), tile.count());
    let counts = tile.per_position(s, args.marks.counts(first, count));
    let ignored = s.eq(counts, zero);
    let small = s.lt(value, s.splat(watch.certain));
    // Where the two are far apart, Q is of other terms, and may be anything.
    let near = s.lt(q, s.splat(watch.near()));
    let usual = s.select(far, one, s.zero_where(near, one));
    let usual = s.select(ignored, one, s.zero_where(small, usual));
    if !s.all(s.eq(usual, one)) {
        return in_double();
    }

    let weights = match extra.sample_weight {
        Some(weight) => s.to_array(weight.load(s, first, count)),
        None => [1.0; LANES],
    };
    let upstreams = upstreams(args, args.scale, 1.0, &weights, first, count);
    let factor = s.mul(tile.per_position(s, upstreams), whole);
    // p − t is (t·(e^−u − 1) − t·Q)/(1 + Q), or what is in the place of the first already.
    let by_student = s.select(far, factor, s.div(factor, s.add(one, q)));
    let back = s.mul(s.zero_where(far, s.mul(sum, sharp)), inverse);
    for block in blocks(tile.steps()) {
        if tile.steps() > KEPT {
            pair.again(s, common, block.clone());
            pair.terms(s, terms, numbers, block.clone());
        }
        let [d, by_x, _, e] = scratch.map(|scratch| &scratch[..block.len()]);
        if let Some(dx) = args.dx {
            for (by_x, e) in by_x.iter().zip(e) {
                let g = s.mul(s.sub(s.load(by_x), s.mul(s.load(e), back)), by_student);
                s.store(by_x, s.zero_where(ignored, g));
            }
            tile.store(s, dx, block.clone(), by_x, extra.accumulate);
        }
        if let Some(dt) = extra.dt {
            for d in d {
                let g = s.mul(s.load(d), factor);
                s.store(d, s.zero_where(ignored, g));
            }
            tile.store(s, dt, block.clone(), d, false);
        }
    }
    let value = s.mul(value, tile.per_position(s, weights));
    let value = s.zero_where(ignored, value);
    if let Some(out) = args.out {
        put_values(s, tile, out, value);
    }
    total(s, tile, value)
}

impl Pair<'_> {
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, block: Range<usize>) {
        let count = block.len();
        let [x, t] = [self.x_scratch[0], self.t_scratch[0]];
        self.tile
            .load(s, self.x, block.clone(), f32::NEG_INFINITY, &x[..count]);
        self.tile
            .load(s, self.teacher, block, f32::NEG_INFINITY, &t[..count]);
    }

    /// Leaves the scores of the last block in their memory. Also the student's score at the teacher's largest class.
    #[inline(always)]
    fn common<S: Simd>(&self, s: S) -> (Common<S::F32>, S::F32) {
        let least = s.splat(f32::NEG_INFINITY);
        let (mut x_max, mut t_max, mut at_top) = (least, least, least);
        for block in blocks(self.tile.steps()) {
            self.load(s, block.clone());
            for (x, t) in self.x_scratch[0][..block.len()]
                .iter()
                .zip(self.t_scratch[0])
            {
                let (x, t) = (s.load(x), s.load(t));
                at_top = s.select(s.lt(t_max, t), x, at_top);
                x_max = s.max(x_max, x);
                t_max = s.max(t_max, t);
            }
        }
        let all = self.tile.max(s, t_max);
        let at_top = self.tile.max(s, s.select(s.eq(t_max, all), at_top, least));
        let half = s.splat(self.scale.half);
        // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
        let at_top = s.mul(s.max(s.splat(f32::MIN), at_top), half);
        let max = [s.mul(self.tile.max(s, x_max), half), s.mul(all, half)];
        let top = difference(s, at_top, max[1]);
        (Common { max, top }, at_top)
    }

    /// From scores to D and both e^z; Σ e^z of both, and Σ D·e^z of the teacher, times `inverse_classes`.
    #[inline(always)]
    fn exponentials<S: Simd>(
        &self,
        s: S,
        common: Common<S::F32>,
        block: Range<usize>,
    ) -> [S::F32; 3] {
        let count = block.len();
        let Common {
            max: [x_max, t_max],
            top: [top, top_lost],
        } = common;
        let both = Both {
            scale: self.scale,
            inverse_classes: self.inverse_classes,
        };
        let zero = s.splat(0.0);
        let mut sums = [zero; 3];
        let [x, e] = self.x_scratch.map(|scratch| scratch[..count].chunks(GROUP));
        let [t, other] = self.t_scratch.map(|scratch| scratch[..count].chunks(GROUP));
        for ((x, e), (t, other)) in x.zip(e).zip(t.zip(other)) {
            let [mut of_x, mut of_t, mut mean] = [zero; 3];
            for ((x, e), (t, other)) in x.iter().zip(e).zip(t.iter().zip(other)) {
                let input = [s.load(x), s.load(t), x_max, t_max, top, top_lost];
                let [d, exp, exp_t, d_exp] = s.map(both, input);
                of_x = s.add(of_x, exp);
                of_t = s.add(of_t, exp_t);
                mean = s.add(mean, d_exp);
                s.store(x, d);
                s.store(e, exp);
                s.store(other, exp_t);
            }
            for (sum, of_group) in sums.iter_mut().zip([of_x, of_t, mean]) {
                *sum = s.add(*sum, of_group);
            }
        }
        sums
    }

    /// Reads and computes a block of a long tile again.
    #[inline(always)]
    fn again<S: Simd>(&self, s: S, common: Common<S::F32>, block: Range<usize>) {
        s.vectorize(Again {
            pair: *self,
            common: Common {
                max: common.max.map(|v| s.to_array(v)),
                top: common.top.map(|v| s.to_array(v)),
            },
            block,
        });
    }

    /// The sum of the values of a block. t·(e^−u − 1) takes the place of the student's e^z, and t·u that of D.
    #[inline(always)]
    fn terms<S: Simd>(
        &self,
        s: S,
        terms: Terms,
        [mean, inverse, ratio, limit]: [S::F32; 4],
        block: Range<usize>,
    ) -> S::F32 {
        let mut value = s.splat(0.0);
        let count = block.len();
        let [d, e] = self.x_scratch.map(|scratch| scratch[..count].chunks(GROUP));
        for ((d, e), other) in d.zip(e).zip(self.t_scratch[1].chunks(GROUP)) {
            let mut of_group = s.splat(0.0);
            for ((d, e), other) in d.iter().zip(e).zip(other) {
                let input = [
                    s.load(d),
                    s.load(e),
                    s.load(other),
                    mean,
                    inverse,
                    ratio,
                    limit,
                ];
                let [of_class, t_gap, by_student] = s.map(terms, input);
                of_group = s.add(of_group, of_class);
                s.store(d, t_gap);
                s.store(e, by_student);
            }
            value = s.add(value, of_group);
        }
        value
    }
}

/// A function of its own, as that is not what most calls do.
struct Again<'a> {
    pair: Pair<'a>,
    common: Common<[f32; LANES]>,
    block: Range<usize>,
}

impl Kernel for Again<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            pair,
            common: Common { max, top },
            block,
        } = self;
        let common = Common {
            max: [s.vector(max[0]), s.vector(max[1])],
            top: [s.vector(top[0]), s.vector(top[1])],
        };
        pair.load(s, block.clone());
        pair.exponentials(s, common, block);
    }
}

/// D, both e^z and D·e^z of the teacher, from both scores and what [`Common`] has.
#[derive(Clone, Copy)]
struct Both {
    scale: Scale,
    /// A power of two that is no more than 1/C, so that no sum of differences is too large for a number.
    inverse_classes: f32,
}

impl Map<6, 4> for Both {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, t, x_max, t_max, top, top_lost]: [V::F32; 6]) -> [V::F32; 4] {
        let (half, sharp) = (v.splat(self.scale.half), v.splat(self.scale.sharp));
        let (x, t) = (v.mul(x, half), v.mul(t, half));
        let e = exp_nonpositive(v, v.mul(v.sub(x, x_max), sharp));
        let other = exp_nonpositive(v, v.mul(v.sub(t, t_max), sharp));
        let [d, lost] = difference(v, x, t);
        let d = v.add(v.sub(d, top), v.sub(lost, top_lost));
        // What the teacher rules out costs nothing: 0 · ∞ is 0 here.
        let scaled = v.mul(d, v.splat(self.inverse_classes));
        let d_other = v.zero_where(v.eq(other, v.splat(0.0)), v.mul(scaled, other));
        [d, e, other, d_other]
    }
}

/// The value of a class, t·u and t·(e^−u − 1), times T² or T and in units of the differences.
#[derive(Clone, Copy)]
struct Terms {
    sharp: f32,
    /// T in units of the differences.
    unit: f32,
}

impl Map<7, 3> for Terms {
    #[inline(always)]
    fn eval<V: Lanes>(
        self,
        v: V,
        [d, e, other, mean, inverse, ratio, limit]: [V::F32; 7],
    ) -> [V::F32; 3] {
        let unit = v.splat(self.unit);
        let gap = v.sub(mean, d);
        let u = v.mul(gap, v.splat(self.sharp));
        let near = v.lt(v.abs(u), limit);
        let t = v.mul(other, inverse);
        let t_gap = v.zero_where(v.eq(other, v.splat(0.0)), v.mul(t, gap));
        let t_gap_g = v.mul(t_gap, second_order(v, u));
        // A t that is 0 may be one too small for a number, and its t·e^−u is none the less of the student's p.
        let apart = v.mul(v.sub(v.mul(e, ratio), t), unit);
        let away = v.mul(v.add(apart, t_gap), unit);
        [
            v.select(near, v.mul(t_gap_g, gap), away),
            t_gap,
            v.select(near, v.sub(v.mul(t_gap_g, u), t_gap), apart),
        ]
    }
}

/// a − b, and what it loses where it is finite.
#[inline(always)]
fn difference<V: Lanes>(v: V, a: V::F32, b: V::F32) -> [V::F32; 2] {
    let d = v.sub(a, b);
    let back = v.sub(a, d);
    let lost = v.sub(v.sub(a, v.add(d, back)), v.sub(b, back));
    let none = v.eq(d, v.splat(f32::NEG_INFINITY));
    [d, v.zero_where(none, lost)]
}
