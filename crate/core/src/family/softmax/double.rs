//! Positions in double precision, one after the other: those whose numbers leave the range of single precision on the way, or lose
//! digits there, though the result does not.
//!
//! [`run`] walks the units of a call, [`positions`] a few neighbours and [`position`], or [`distilled`] of two softmaxes, one of them: a
//! pass over its scores gives the largest, another Σ e^z without it, and further ones values and gradients. Values add up in the order of
//! the positions, and units in that of the call.
//!
//! Three kinds of positions come here. Weights and upstream gradients far from 1 are seen before the loops start, and so is a γ so large
//! that it multiplies the rounding of 1 − p; the whole call comes here then. Results below the normal numbers that a weight or an
//! upstream gradient lifts are seen by the loops, as [`Watch`] says, which send the position, or its tile, here.

use super::{Args, Kind};
use crate::layout::positions::NOTHING;
use crate::share::Total;
use crate::simd::{Cells, LANES};

/// Above this γ the rounding of 1 − p shows in its power.
const STEEP: f32 = 8.0;

/// Weights, and their products with upstream gradients, beyond which a call is computed in double precision.
const LIGHT: f64 = 1.0 / HEAVY;
const HEAVY: f64 = 4_294_967_296.0;

/// Smallest normal number.
const LEAST: f64 = f32::MIN_POSITIVE as f64;

/// Below this, smoothing or a target probability may leave the normal numbers once it is weighed.
const FAINT: f32 = 1.0 / (1u64 << 60) as f32;

/// Where e^z is above this power of two, it has all its digits after the products with what is common to a position.
const DEEP: f32 = -118.0;

/// Below this z no factor that the loops take lifts e^z to a normal number.
const NOWHERE: f32 = -112.0;

/// What the loops have to look for, from the numbers that are the same for a call or known before it.
#[derive(Clone, Copy)]
pub(super) struct Watch {
    /// Whether no position is for the loops.
    pub all: bool,
    /// Whether a factor of the gradient is above 1, so that it may lift what is below the normal numbers.
    pub lifted: bool,
    /// Below this Σ e^z without the largest class the value is too small, and a weight or the denominator may lift it. 0 where
    /// nothing is weighed.
    pub certain: f32,
    /// Below this it is so small that nothing lifts the value.
    floor: f32,
    kind: Kind,
    gamma: f32,
}

impl Watch {
    pub(super) fn new(args: &Args, kind: Kind, gamma: f32) -> Self {
        let weight = range(args.weight);
        let stream = args.extra.and_then(|extra| extra.sample_weight);
        let sample = range(stream.map(|stream| stream.values));
        let scale = args.scale.abs();
        let up = match args.grad_output {
            Some(upstream) => range(Some(upstream)),
            None if scale > 0.0 && scale < f64::INFINITY => [scale; 2],
            // A gradient of zeros, or of ∞ and NaN, has no digits to lose.
            None => [1.0; 2],
        };
        let temperature = f64::from(args.temperature);
        let sharp = match kind {
            Kind::Teacher => temperature,
            _ => 1.0 / temperature,
        };
        let light = weight[0] * sample[0];
        let heavy = weight[1] * sample[1];
        let faint = sample[0] * up[0] * sharp.min(1.0);
        let factor = sample[1] * weight[1].max(1.0) * up[1] * sharp.max(1.0);
        let soft = args.extra.is_some_and(|extra| extra.target.is_some());
        let smoothing = args.label_smoothing;
        let all = gamma > STEEP
            || light < LIGHT
            || heavy > HEAVY
            || factor > HEAVY
            || (faint < LEAST && (heavy > 1.0 || soft))
            || (smoothing > 0.0 && smoothing < FAINT);
        // The value of a single class is 0 whatever it weighs.
        let plain = (light == 1.0 && heavy == 1.0) || args.classes < 2;
        // The value is near the power 1 + γ of the sum there.
        let root = |value: f64| {
            let rest = if gamma == 0.0 {
                value
            } else {
                value.powf(1.0 / (1.0 + f64::from(gamma)))
            };
            rest as f32
        };
        let (certain, floor) = if plain {
            (0.0, 0.0)
        } else {
            (
                root(64.0 * LEAST / light.min(1.0)),
                root(0.5 * LEAST / heavy.max(1.0)),
            )
        };
        // A sum below the normal numbers is not what it should be, and may be 0.
        let floor = if floor < 0.5 * f32::MIN_POSITIVE {
            0.0
        } else {
            floor
        };
        Self {
            all,
            lifted: factor > 1.0,
            certain,
            floor,
            kind,
            gamma,
        }
    }

    /// Which of at most 64 neighbouring positions of a sample have a class whose e^z, or whose target, a factor may lift from below
    /// the normal numbers, as bits.
    #[cold]
    #[inline(never)]
    pub(super) fn lost(self, args: &Args, first: usize, count: usize) -> u64 {
        let lost = self.far(args, first, count);
        if lost == 0 {
            return 0;
        }
        // What a position holds that counts for nothing must not show in its neighbours.
        let mut labels = [0; 64];
        let labels = &mut labels[..count];
        args.marks.classes(first, labels);
        let ignored = labels.iter().enumerate();
        ignored.fold(lost, |lost, (j, &label)| {
            lost & !(u64::from(label == NOTHING) << j)
        })
    }

    /// The same, also of positions that count for nothing.
    fn far(self, args: &Args, first: usize, count: usize) -> u64 {
        let target = args.extra.and_then(|extra| extra.target);
        let mut lost = 0;
        if self.lifted {
            lost |= self.all_deep(args, args.x, first, count);
        }
        let Some(target) = target else {
            return lost;
        };
        if self.kind == Kind::Teacher {
            return lost | self.all_deep(args, target, first, count);
        }
        for j in 0..count {
            let row = Row::new(args, first + j);
            let mut targets = row.of(target).iter().step_by(row.step).take(args.classes);
            if targets.any(|t| t.get() != 0.0 && t.get().abs() < FAINT) {
                lost |= 1 << j;
            }
        }
        lost
    }

    /// The same of the scores alone. Few positions reach so far that it takes more than their smallest and their largest score.
    fn all_deep(self, args: &Args, x: Cells, first: usize, count: usize) -> u64 {
        let mut ends = [[i32::MIN, i32::MAX]; 64];
        let ends = &mut ends[..count];
        let step = args.extra.map_or(1, |extra| extra.inner);
        if step == 1 {
            let rows = x[first * args.classes..].chunks_exact(args.classes.max(1));
            for (ends, row) in ends.iter_mut().zip(rows) {
                let [mut max, mut min] = *ends;
                for x in row {
                    let x = order(x.get());
                    max = max.max(x);
                    min = min.min(x);
                }
                *ends = [max, min];
            }
        } else {
            let row = Row::new(args, first);
            for c in 0..args.classes {
                for (ends, x) in ends.iter_mut().zip(&row.of(x)[c * step..]) {
                    let x = order(x.get());
                    *ends = [ends[0].max(x), ends[1].min(x)];
                }
            }
        }
        let reach = 0.25 * -DEEP / (1.0 + self.gamma) * args.temperature;
        let mut deep = 0;
        for (j, [max, min]) in ends.iter().enumerate() {
            // NaN is not near either.
            let near = 0.5 * unorder(*max) - 0.5 * unorder(*min) < 0.5 * reach;
            let row = Row::new(args, first + j);
            if !near && self.deep(args, row.of(x), row.step) {
                deep |= 1 << j;
            }
        }
        deep
    }

    /// Whether some class of a position is so far below the largest, but not too far.
    fn deep(self, args: &Args, x: Cells, step: usize) -> bool {
        const LOG2_E: f32 = core::f32::consts::LOG2_E;
        let [mut max, mut second] = [f32::NEG_INFINITY; 2];
        let scores = || x.iter().step_by(step).take(args.classes).map(|x| x.get());
        for x in scores() {
            second = if x > max {
                max
            } else if x > second {
                x
            } else {
                second
            };
            max = if x > max { x } else { max };
        }
        let half = 0.5 * max;
        let sharp = 2.0 / args.temperature;
        let z = |x: f32| (0.5 * x - half) * sharp;
        let mut least = 0.0_f32;
        for x in scores() {
            let z = z(x);
            least = if z > NOWHERE && z < least { z } else { least };
        }
        // The slope of a loss with a γ is near the power γ of the sum of all but the largest class.
        let slope = if self.gamma == 0.0 {
            0.0
        } else {
            self.gamma * (1.0 - z(second) * LOG2_E).min(512.0)
        };
        // The difference of two softmaxes is a factor more, see [`Self::near`].
        let deep = match self.kind {
            Kind::Teacher => 0.5 * DEEP,
            _ => DEEP,
        };
        if least * LOG2_E < deep {
            return true;
        }
        // Or so near to 0 that nothing lifts it.
        let out = self.gamma * (-z(second) * LOG2_E - (args.classes as f32).log2()) > 160.0;
        least * LOG2_E - slope < deep && !out
    }

    /// Below this a divergence of two softmaxes is of differences that a factor may lift from below the normal numbers.
    pub(super) fn near(self) -> f32 {
        if self.lifted { FAINT } else { 0.0 }
    }

    /// Whether the sum without the largest class is one that [`Self::certain`] means.
    #[inline(always)]
    pub(super) fn is_certain(self, rest: f32) -> bool {
        rest < self.certain && rest >= self.floor
    }
}

/// The smallest and the largest of the numbers but for 0, ∞ and NaN, without their signs; 1 where there are none.
fn range(values: Option<Cells>) -> [f64; 2] {
    let Some(values) = values else {
        return [1.0; 2];
    };
    let mut least = [f32::INFINITY; LANES];
    let mut most = [0.0_f32; LANES];
    let (chunks, tail) = values.as_chunks::<LANES>();
    for chunk in chunks.iter().map(|chunk| &chunk[..]).chain([tail]) {
        for ((v, least), most) in chunk.iter().zip(&mut least).zip(&mut most) {
            let v = v.get().abs();
            let counts = (v > 0.0) & (v < f32::INFINITY);
            *least = if counts & (v < *least) { v } else { *least };
            *most = if counts & (v > *most) { v } else { *most };
        }
    }
    let least = least.into_iter().fold(f32::INFINITY, f32::min);
    let most = most.into_iter().fold(0.0, f32::max);
    if most == 0.0 {
        return [1.0; 2];
    }
    [f64::from(least), f64::from(most)]
}

/// A float as an integer of the same order, whose maximum and minimum are instructions.
#[inline(always)]
fn order(x: f32) -> i32 {
    let bits = x.to_bits().cast_signed();
    bits ^ ((bits >> 31) & i32::MAX)
}

fn unorder(order: i32) -> f32 {
    f32::from_bits((order ^ ((order >> 31) & i32::MAX)).cast_unsigned())
}

/// Where the scores of a position lie.
#[derive(Clone, Copy)]
struct Row {
    first: usize,
    step: usize,
}

impl Row {
    fn new(args: &Args, position: usize) -> Self {
        let step = args.extra.map_or(1, |extra| extra.inner);
        Self {
            first: position / step * step * args.classes + position % step,
            step,
        }
    }

    /// The part of an array that starts with the first class.
    fn of(self, array: Cells) -> Cells {
        &array[self.first..]
    }
}

/// All positions of a call; the sum of their values.
pub(super) fn run(args: &Args, kind: Kind, gamma: f32) -> f64 {
    let axis = args.axis();
    let mut total = Total::new(args.share, args.sum);
    for block in args.blocks() {
        let first = block.sample * axis.positions + block.first;
        total.add(positions(args, kind, gamma, first, block.end - block.first));
    }
    total.get()
}

/// Some neighbouring positions: writes their values and gradients. The sum of the values.
#[cold]
#[inline(never)]
pub(super) fn positions(args: &Args, kind: Kind, gamma: f32, first: usize, count: usize) -> f64 {
    let mut sum = 0.0;
    let mut labels = [0; LANES];
    for start in (first..first + count).step_by(LANES) {
        let labels = &mut labels[..LANES.min(first + count - start)];
        args.marks.classes(start, labels);
        for (j, &label) in labels.iter().enumerate() {
            sum += match kind {
                Kind::Teacher => distilled(args, start + j, label),
                _ => position(args, gamma, start + j, label, None),
            };
        }
    }
    sum
}

/// The numbers of a position beside its scores.
struct Numbers {
    row: Row,
    /// Weight of the value.
    position_weight: f64,
    /// That times the upstream gradient.
    upstream: f64,
}

impl Numbers {
    fn new(args: &Args, position: usize) -> Self {
        let stream = args.extra.and_then(|extra| extra.sample_weight);
        let position_weight = stream.map_or(1.0, |stream| f64::from(stream.at(position)));
        let upstream = args
            .grad_output
            .map_or(args.scale.clamp(-f64::MAX, f64::MAX), |upstream| {
                f64::from(upstream[position].get())
            });
        Self {
            row: Row::new(args, position),
            position_weight,
            upstream: position_weight * upstream,
        }
    }
}

/// Writes zeros for a position that counts for nothing.
fn ignore(args: &Args, position: usize) {
    let row = Row::new(args, position);
    let accumulate = args.extra.is_some_and(|extra| extra.accumulate);
    let dx = args.dx.filter(|_| !accumulate);
    for array in [dx, args.extra.and_then(|extra| extra.dt)]
        .into_iter()
        .flatten()
    {
        for g in row.of(array).iter().step_by(row.step).take(args.classes) {
            g.set(0.0);
        }
    }
    if let Some(out) = args.out {
        out[position].set(0.0);
    }
}

/// The softmax of a position.
struct Softmax {
    max: f64,
    sharp: f64,
    /// A class of the largest score, and the sum of e^z of the others.
    top: usize,
    rest: f64,
    log_sum: f64,
}

/// Of a class.
struct Odds {
    log_p: f64,
    p: f64,
    /// 1 − p and its logarithm
    q: f64,
    log_q: f64,
}

impl Softmax {
    /// A NaN, a +∞ or a position of −∞ alone gives NaN.
    fn new(classes: usize, sharp: f64, score: impl Fn(usize) -> f64) -> Self {
        let (mut max, mut top) = (f64::NEG_INFINITY, 0);
        for c in 0..classes {
            let x = score(c);
            if x > max {
                (max, top) = (x, c);
            }
        }
        let mut rest = 0.0;
        for c in 0..classes {
            let z = (score(c) - max) * sharp;
            // Also where all are −∞ or NaN, and where it is +∞: that is no number then.
            rest += if c == top { z } else { z.exp() };
        }
        Self {
            max,
            sharp,
            top,
            rest,
            log_sum: rest.ln_1p(),
        }
    }

    fn z(&self, score: f64) -> f64 {
        (score - self.max) * self.sharp
    }

    fn odds(&self, c: usize, score: f64) -> Odds {
        let z = self.z(score);
        let sum = 1.0 + self.rest;
        let p = z.exp() / sum;
        // Of the others each p is ½ at most.
        let (q, log_q) = if c == self.top {
            (self.rest / sum, -(1.0 / self.rest).ln_1p())
        } else {
            (1.0 - p, (-p).ln_1p())
        };
        Odds {
            log_p: z - self.log_sum,
            p,
            q,
            log_q,
        }
    }
}

impl Odds {
    /// −q^γ·ln p and minus its derivative by ln p, as `loss/softmax_focal.rs` has them.
    fn loss(&self, gamma: f64) -> [f64; 2] {
        let cross = 0.0 - self.log_p;
        if gamma == 0.0 {
            return [cross, 1.0];
        }
        let power = (gamma * self.log_q).exp();
        let ratio = if self.q == 0.0 { 1.0 } else { cross / self.q };
        let weighted_ratio = if self.p == 0.0 { 0.0 } else { self.p * ratio };
        [power * cross, power * (1.0 + gamma * weighted_ratio)]
    }
}

/// Writes what a position has; its value. `x` are its scores where they are no more in their place.
#[cold]
#[inline(never)]
pub(super) fn position(
    args: &Args,
    gamma: f32,
    position: usize,
    label: i32,
    x: Option<Cells>,
) -> f64 {
    let extra = args.extra;
    let target = extra.and_then(|extra| extra.target);
    // Labels were checked; one that another thread changed since must still not reach past its position.
    let counts = label != NOTHING && (target.is_some() || (label as usize) < args.classes);
    if !counts {
        ignore(args, position);
        return 0.0;
    }
    let gamma = f64::from(gamma);
    let Numbers {
        row,
        position_weight,
        upstream,
    } = Numbers::new(args, position);
    let at = |c: usize| row.first + c * row.step;
    let score = |c: usize| match x {
        Some(x) => f64::from(x[c].get()),
        None => f64::from(args.x[at(c)].get()),
    };
    let sharp = 1.0 / f64::from(args.temperature);
    let softmax = Softmax::new(args.classes, sharp, score);
    let keep = 1.0 - f64::from(args.label_smoothing);
    let spread = f64::from(args.label_smoothing) / args.classes as f64;
    let weight = |c: usize| args.weight.map_or(1.0, |weight| f64::from(weight[c].get()));
    // w_c·((1 − ε)·q_c + ε/C)
    let t_of = |c: usize| {
        let q = target.map_or(f64::from(u8::from(c as i32 == label)), |target| {
            f64::from(target[at(c)].get())
        });
        weight(c) * (keep * q + spread)
    };
    // 0 · ∞ is 0 below: a class that cannot be and is not asked for costs nothing. A NaN shows none the less.
    let (mut value, mut all, mut others) = (0.0 * softmax.rest, 0.0, 0.0);
    let (first, end) = if target.is_none() && spread == 0.0 {
        (label as usize, label as usize + 1)
    } else {
        (0, args.classes)
    };
    for c in first..end {
        let t = t_of(c);
        if t != 0.0 {
            let [of_class, slope] = softmax.odds(c, score(c)).loss(gamma);
            value += t * of_class;
            all += t * slope;
            others += if c == softmax.top { 0.0 } else { t * slope };
        }
    }
    let accumulate = extra.is_some_and(|extra| extra.accumulate);
    let dt = extra.and_then(|extra| extra.dt);
    if args.dx.is_some() || dt.is_some() {
        // `dx` may be `x`, and `dt` the target: each class is read before it is written.
        for c in 0..args.classes {
            let t = t_of(c);
            let odds = softmax.odds(c, score(c));
            let asked = (t != 0.0 || dt.is_some()).then(|| odds.loss(gamma));
            let [of_class, slope] = asked.unwrap_or_default();
            if let Some(dt) = dt {
                dt[at(c)].set((keep * weight(c) * of_class * upstream) as f32);
            }
            if let Some(dx) = args.dx {
                let g = if c == softmax.top {
                    others - odds.q * all
                } else if t == 0.0 {
                    odds.p * all
                } else {
                    odds.p * all - t * slope
                };
                let g = (g * upstream * sharp) as f32;
                let dx = &dx[at(c)];
                dx.set(if accumulate { dx.get() + g } else { g });
            }
        }
    }
    let value = value * position_weight;
    if let Some(out) = args.out {
        out[position].set(value as f32);
    }
    value
}

/// e^−u − 1 + u for u in [−1, 1].
fn second_order(u: f64) -> f64 {
    // Below it the first term is all that there is.
    if u.abs() < 1e-2 {
        u * u * (0.5 - u * (1.0 / 6.0 - u * (1.0 / 24.0 - u * (1.0 / 120.0))))
    } else {
        (-u).exp_m1() + u
    }
}

/// The same of two softmaxes, as [`super::teacher`] has it.
fn distilled(args: &Args, position: usize, label: i32) -> f64 {
    let Some((extra, target)) = args.extra.and_then(|extra| Some((extra, extra.target?))) else {
        panic!("no teacher");
    };
    if label == NOTHING {
        ignore(args, position);
        return 0.0;
    }
    let Numbers {
        row,
        position_weight,
        upstream,
    } = Numbers::new(args, position);
    let at = |c: usize| row.first + c * row.step;
    let x = |c: usize| f64::from(args.x[at(c)].get());
    let teacher = |c: usize| f64::from(target[at(c)].get());
    let temperature = f64::from(args.temperature);
    let sharp = 1.0 / temperature;
    let student = Softmax::new(args.classes, sharp, x);
    let other = Softmax::new(args.classes, sharp, teacher);
    // Where the student rules out what the teacher is surest of, the value is ∞ and no difference of infinities.
    let at_top = if args.classes == 0 {
        0.0
    } else {
        x(other.top).max(-f64::MAX)
    };
    let from = at_top - other.max;
    let shift = other.log_sum;
    let probability = |z: f64| (z - shift).exp();
    let mut mean = 0.0;
    for c in 0..args.classes {
        let t = probability(other.z(teacher(c)));
        if t != 0.0 {
            mean += t * (x(c) - teacher(c) - from);
        }
    }
    let divergence = student.log_sum - other.log_sum - (at_top - student.max + mean) * sharp;
    // NaN is on this side too: it shows in all results.
    let far = divergence > 0.1 || divergence.is_nan();
    // t_c, u_c and t_c·(e^−u − 1), where nothing cancels: see there.
    let terms = |x: f64, y: f64| {
        let t = probability(other.z(y));
        let u = if t == 0.0 {
            0.0
        } else {
            (mean - (x - y - from)) * sharp
        };
        let p = (student.z(x) - student.log_sum).exp();
        if far {
            return [t, u, p - t, 0.0];
        }
        if t != 0.0 && u.abs() <= 1.0 {
            let second = t * second_order(u);
            return [t, u, second - t * u, second];
        }
        let apart = p * divergence.exp() - t;
        [t, u, apart, apart + t * u]
    };
    let mut sum = 0.0;
    for c in 0..args.classes {
        sum += terms(x(c), teacher(c))[3];
    }
    let value = if far { divergence } else { sum.ln_1p() };
    for c in 0..args.classes {
        let [t, u, apart, _] = terms(x(c), teacher(c));
        if let Some(dt) = extra.dt {
            dt[at(c)].set((t * u * temperature * upstream) as f32);
        }
        if let Some(dx) = args.dx {
            let g = if far {
                apart
            } else {
                (apart - t * sum) / (1.0 + sum)
            };
            let g = (g * temperature * upstream) as f32;
            let dx = &dx[at(c)];
            dx.set(if extra.accumulate { dx.get() + g } else { g });
        }
    }
    let value = value * temperature * temperature * position_weight;
    if let Some(out) = args.out {
        out[position].set(value as f32);
    }
    value
}
