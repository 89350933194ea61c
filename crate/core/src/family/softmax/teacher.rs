//! T²·KL(softmax(t/T) ‖ softmax(x/T)): the target is a second softmax.
//!
//! The divergence of two softmaxes that are nearly the same is of second order in the difference of the scores, and that of the
//! logarithms of both has no digit of it. So the difference of the scores comes first, D_c = (x_c − t_c) − (x_k − t_k) with the
//! teacher's largest class k, and with U_c = T·(ln t_c − ln p_c) = T·ln Σ t·e^(D/T) − D_c, u = U/T,
//!
//! - T²·KL = Σ T²·t·(e^−u − 1 + u), where no term is negative,
//! - T·(p_c − t_c) = T·t_c·(e^−u − 1),
//! - T·t_c·(ln t_c − ln p_c − KL) = t_c·(Σ t·D − D_c).
//!
//! Where |u| ≤ 1 both exponentials are polynomials, elsewhere t·e^−u = p is of the student's own softmax, and nothing cancels.
//! The factors of T stay with the differences, which keeps all of it in range for every T, and the differences are quarters of
//! those of the scores, which keeps them in range too where scores are ±3e38.

use super::tiles::{EachTile, Exponents, KEPT, Sum, blocks, fill, walk};
use super::{Args, Extra, Scale};
use crate::family::axis::{Tile, put, total};
use crate::math::exp::{Exp, second_order};
use crate::math::log::{log_positive, log1p};
use crate::simd::{Cells, Chunk, LANES, Level, Simd};
use core::ops::Range;

pub(super) fn run(level: Level, args: Args) -> f64 {
    let Some((extra, target)) = args.extra.and_then(|extra| Some((extra, extra.target?))) else {
        panic!("no teacher");
    };
    walk(level, args, Distilled(args, extra, target))
}

/// A difference of two differences of scores, of which each is at most 3.4e38, has no more than four times as much.
const UNIT: f32 = 0.25;

#[derive(Clone, Copy)]
struct Distilled<'a>(Args<'a>, Extra<'a>, Cells<'a>);

impl EachTile<4> for Distilled<'_> {
    #[inline(always)]
    fn tile<S: Simd, T: Tile>(&self, s: S, tile: T, kept: [&[Chunk]; 4]) -> f64 {
        distill(s, self, tile, kept)
    }
}

/// Both softmaxes of a tile.
#[derive(Clone, Copy)]
struct Pair<'a, S: Simd, T: Tile> {
    student: Exponents<'a, T>,
    teacher: Exponents<'a, T>,
    /// The largest scores of both.
    max: [S::F32; 2],
    /// 1/Σ e^z of both.
    inverse: [S::F32; 2],
    /// The student's score at the teacher's largest class.
    at_top: S::F32,
    temperature: S::F32,
    inverse_temperature: S::F32,
    /// What of a score the differences are made of, and its inverse.
    unit: S::F32,
    whole: S::F32,
    /// Whether the gradient by the teacher is asked for.
    by_teacher: bool,
    /// p/t at that class: what makes t·e^(D/T) of a p.
    ratio: S::F32,
}

/// `kept` has room for the scores and e^z of both.
#[inline(always)]
fn distill<S: Simd, T: Tile>(
    s: S,
    Distilled(args, extra, target): &Distilled,
    tile: T,
    kept: [&[Chunk]; 4],
) -> f64 {
    let scale = Scale::new(args.temperature);
    let of = |x, h, e| Exponents {
        tile,
        x,
        scale,
        h,
        e,
    };
    let student = of(args.x, kept[0], kept[1]);
    let teacher = of(*target, kept[2], kept[3]);
    let max = [student.max(s), teacher.max(s)];
    let (mut own, mut others) = (Sum::new(s), Sum::new(s));
    let mut at_top = s.splat(f32::NEG_INFINITY);
    for block in blocks(tile.steps()) {
        own.add(s, student.first::<S, true>(s, max[0], block.clone())[0]);
        others.add(s, teacher.first::<S, true>(s, max[1], block.clone())[0]);
        let [x, t] = [kept[0], kept[2]].map(|kept| &kept[..block.len()]);
        for (x, t) in x.iter().zip(t) {
            at_top = s.select(s.eq(s.load(t), max[1]), s.load(x), at_top);
        }
    }
    let at_top = tile.max(s, at_top);
    let sums = [own.get(s, tile), others.get(s, tile)];
    let temperature = s.splat(args.temperature);
    let h = s.mul_add(
        at_top,
        s.splat(scale.half),
        s.mul(max[0], s.splat(-scale.half)),
    );
    let z = s.mul(h, s.splat(scale.sharp));
    let [e] = s.map_compact(Exp, [z]);
    let pair = Pair {
        student,
        teacher,
        max,
        inverse: sums.map(|sum| s.div(s.splat(1.0), sum)),
        // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
        at_top: s.max(s.splat(f32::MIN), at_top),
        temperature,
        inverse_temperature: s.splat(1.0 / args.temperature),
        unit: s.splat(UNIT),
        whole: s.splat(1.0 / UNIT),
        by_teacher: extra.dt.is_some(),
        ratio: s.div(sums[0], s.mul(e, sums[1])),
    };

    let (mut shift, mut mean) = (Sum::new(s), Sum::new(s));
    for block in blocks(tile.steps()) {
        let sums = pair.differences(s, block);
        shift.add(s, sums[0]);
        mean.add(s, sums[1]);
    }
    let (shift, mean) = (shift.get(s, tile), mean.get(s, tile));
    // T·ln Σ t·e^(D/T). That of a small sum is exact; the other has errors that the divergence sees in second order only.
    let sum = pair.over_temperature(s, shift);
    let tiny = s.lt(s.abs(sum), s.splat(f32::EPSILON / 4.0));
    let slope = s.select(tiny, s.splat(1.0), s.div(log1p(s, sum), sum));
    let logs = s.sub(log_positive(s, sums[0]), log_positive(s, sums[1]));
    let far = s.sub(
        s.mul(logs, s.mul(temperature, pair.unit)),
        s.mul(h, s.splat(UNIT / scale.half)),
    );
    let near = s.lt(s.abs(sum), s.splat(0.25));
    let shift = s.select(near, s.mul(shift, slope), far);

    let (first, count) = (tile.position(), tile.count());
    let mut upstreams = [args.scale; LANES];
    if let Some(upstream) = args.grad_output {
        fill(&mut upstreams, &upstream[first..first + count]);
    }
    let weights = match extra.sample_weight {
        Some(weight) => s.to_array(weight.load(s, first, count)),
        None => [1.0; LANES],
    };
    for (upstream, weight) in upstreams.iter_mut().zip(weights) {
        *upstream *= weight;
    }
    let counts = tile.per_position(s, args.marks.counts(first, count));
    let ignored = s.eq(counts, s.splat(0.0));
    let hide = |kept: &[Chunk]| {
        if !args.marks.is_everything() {
            for kept in kept {
                s.store(kept, s.zero_where(ignored, s.load(kept)));
            }
        }
    };
    let factor = tile.per_position(s, upstreams);
    let mut value = Sum::new(s);
    for block in blocks(tile.steps()) {
        if tile.steps() > KEPT {
            pair.differences(s, block.clone());
        }
        value.add(s, pair.terms(s, block.clone(), shift, mean, factor));
        let [dx_block, dt_block] = [kept[1], kept[3]].map(|kept| &kept[..block.len()]);
        if let Some(dx) = args.dx {
            hide(dx_block);
            tile.store(s, dx, block.clone(), dx_block, extra.accumulate);
        }
        if let Some(dt) = extra.dt {
            hide(dt_block);
            tile.store(s, dt, block.clone(), dt_block, false);
        }
    }
    let value = s.mul(value.get(s, tile), tile.per_position(s, weights));
    let value = s.zero_where(ignored, value);
    if let Some(out) = args.out {
        put(s, tile, out, value);
    }
    total(s, tile, value)
}

impl<S: Simd, T: Tile> Pair<'_, S, T> {
    /// A difference as one of exponents.
    #[inline(always)]
    fn over_temperature(&self, s: S, difference: S::F32) -> S::F32 {
        s.mul(s.mul(difference, self.whole), self.inverse_temperature)
    }

    /// Σ T·t·(e^(D/T) − 1) and Σ t·D of a block. D takes the place of the student's scores, p and t those of e^z.
    #[inline(always)]
    fn differences(&self, s: S, block: Range<usize>) -> [S::F32; 2] {
        self.student.block::<S, true>(s, self.max[0], block.clone());
        self.teacher.block::<S, true>(s, self.max[1], block.clone());
        let zero = s.splat(0.0);
        let (mut shift, mut mean) = (zero, zero);
        let tops = [self.at_top, self.max[1]].map(|x| s.mul(x, self.unit));
        let [top, top_lost] = difference(s, tops[0], tops[1]);
        let temperature = s.mul(self.temperature, self.unit);
        let count = block.len();
        let student = self.student.h[..count].iter().zip(&self.student.e[..count]);
        let teacher = self.teacher.h[..count].iter().zip(&self.teacher.e[..count]);
        for ((x, own), (target, other)) in student.zip(teacher) {
            let scores = [x, target].map(|x| s.mul(s.load(x), self.unit));
            let [d, lost] = difference(s, scores[0], scores[1]);
            let d = s.add(s.sub(d, top), s.sub(lost, top_lost));
            let p = s.mul(s.load(own), self.inverse[0]);
            let t = s.mul(s.load(other), self.inverse[1]);
            let exponent = self.over_temperature(s, d);
            // e^v − 1 = v + v²·G(−v)
            let small = s.mul_add(exponent, second_order(s, s.neg(exponent)), s.splat(1.0));
            let small = s.mul(s.mul(t, d), small);
            let large = s.mul(s.sub(s.mul(p, self.ratio), t), temperature);
            let own_shift = s.select(s.lt(s.splat(1.0), s.abs(exponent)), large, small);
            // A t that is 0 may be one too small for a number, and its t·e^(D/T) is none the less the student's p.
            let none = s.eq(t, zero);
            shift = s.add(shift, s.select(none, large, own_shift));
            if self.by_teacher {
                mean = s.add(mean, s.zero_where(none, s.mul(t, d)));
            }
            s.store(x, d);
            s.store(own, p);
            s.store(other, t);
        }
        [shift, mean]
    }

    /// The value of a block. The gradients take the places of p and t.
    #[inline(always)]
    fn terms(
        &self,
        s: S,
        block: Range<usize>,
        shift: S::F32,
        mean: S::F32,
        factor: S::F32,
    ) -> S::F32 {
        let (zero, one) = (s.splat(0.0), s.splat(1.0));
        let mut value = zero;
        let count = block.len();
        let differences = self.student.h[..count].iter();
        let both = self.student.e[..count].iter().zip(&self.teacher.e[..count]);
        for (d, (own, other)) in differences.zip(both) {
            let (d, p, t) = (s.load(d), s.load(own), s.load(other));
            let none = s.eq(t, zero);
            let gap = s.sub(shift, d);
            let u = self.over_temperature(s, gap);
            let far = s.lt(one, s.abs(u));
            let g = second_order(s, u);
            // 0 · ∞ is 0 here: what the teacher rules out costs nothing.
            let t_gap = s.zero_where(none, s.mul(t, gap));
            // T·(p − t)
            let apart = s.mul(s.sub(p, t), self.temperature);
            let minus_slope = s.sub(one, s.mul(u, g));
            let t_gap = s.mul(t_gap, self.whole);
            let by_student = s.select(far, apart, s.mul(s.neg(t_gap), minus_slope));
            let by_student = s.select(none, apart, by_student);
            let away = s.mul(s.add(apart, t_gap), self.temperature);
            let near = s.mul(s.mul(s.mul(t_gap, gap), g), self.whole);
            let own_value = s.select(far, away, near);
            value = s.add(value, s.select(none, away, own_value));
            s.store(own, s.mul(by_student, factor));
            if self.by_teacher {
                let by_teacher = s.zero_where(none, s.mul(t, s.sub(mean, d)));
                s.store(other, s.mul(s.mul(by_teacher, factor), self.whole));
            }
        }
        value
    }
}

/// a − b, and what it loses where the first is finite.
#[inline(always)]
fn difference<S: Simd>(s: S, a: S::F32, b: S::F32) -> [S::F32; 2] {
    let d = s.sub(a, b);
    let back = s.sub(a, d);
    let lost = s.sub(s.sub(a, s.add(d, back)), s.sub(b, back));
    let finite = s.lt(s.abs(d), s.splat(f32::INFINITY));
    [d, s.select(finite, lost, s.splat(0.0))]
}
