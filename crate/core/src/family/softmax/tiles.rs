//! Any class axis, any target, all options, over tiles of positions.

use super::{Args, Extra, Softmax};
use crate::family::axis::{RowTile, Tile, put, total};
use crate::math::exp::Exp;
use crate::math::log::log_positive;
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Level, Map, Simd, cells};

/// Rows of at least so many scores are a tile of their own: gathering 16 of them costs more than their sums.
pub(super) const WIDE: usize = 64;

/// Vectors whose exponentials are kept from the sum to the gradient; those of longer tiles are computed again.
pub(in crate::family) const KEPT: usize = 64;

/// Steps after which a partial sum goes into the total.
const STEPS: usize = 64;

pub(super) fn run<L: Softmax>(level: Level, loss: L, args: Args) -> f64 {
    let axis = args.axis();
    let extra = args.extra.unwrap_or(Extra {
        inner: 1,
        target: None,
        sample_weight: None,
        dt: None,
        accumulate: false,
    });
    let spread = extra.target.is_some() || args.label_smoothing > 0.0;
    match (axis.inner == 1 && axis.classes >= WIDE, spread) {
        (true, true) => level.run(Rows::<L, true> { loss, args, extra }),
        (true, false) => level.run(Rows::<L, false> { loss, args, extra }),
        (false, true) => level.run(Lanes16::<L, true> { loss, args, extra }),
        (false, false) => level.run(Lanes16::<L, false> { loss, args, extra }),
    }
}

/// A tile is a row. `SPREAD` says that the target may be any distribution.
struct Rows<'a, L, const SPREAD: bool> {
    loss: L,
    args: Args<'a>,
    extra: Extra<'a>,
}

impl<L: Softmax, const SPREAD: bool> Kernel for Rows<'_, L, SPREAD> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let call = Call::new(self.loss, &self.args, &self.extra);
        let mut kept = [0.0; KEPT * LANES];
        let kept = cells(&mut kept).as_chunks().0;
        let mut sum = self.args.sum;
        for position in 0..self.args.positions() {
            let classes = self.args.classes;
            sum += call.tile::<S, _, SPREAD>(s, RowTile { position, classes }, kept);
        }
        sum
    }
}

/// A tile is as many neighbouring positions as a vector has lanes.
struct Lanes16<'a, L, const SPREAD: bool> {
    loss: L,
    args: Args<'a>,
    extra: Extra<'a>,
}

impl<L: Softmax, const SPREAD: bool> Kernel for Lanes16<'_, L, SPREAD> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let call = Call::new(self.loss, &self.args, &self.extra);
        let mut kept = [0.0; KEPT * LANES];
        let kept = cells(&mut kept).as_chunks().0;
        let mut sum = self.args.sum;
        let (axis, positions) = (self.args.axis(), self.args.positions());
        let mut position = 0;
        while position < positions {
            let tile = axis.lanes(position, positions);
            sum += call.tile::<S, _, SPREAD>(s, tile, kept);
            position += tile.count();
        }
        sum
    }
}

/// A loss for [`Simd::map`]: value and slope of ln p.
#[derive(Clone, Copy)]
pub(in crate::family) struct Both<L>(pub L);

impl<L: Softmax> Map<1, 2> for Both<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [log_p]: [V::F32; 1]) -> [V::F32; 2] {
        [self.0.value(v, log_p), self.0.slope(v, log_p)]
    }
}

/// The numbers that are the same for all tiles.
struct Call<'a, L> {
    loss: L,
    args: &'a Args<'a>,
    extra: &'a Extra<'a>,
    inverse_temperature: f32,
    /// 1 − ε
    keep: f32,
    /// ε/C
    spread: f32,
}

/// Maximum and exponentials of a tile, in each lane those of its position.
#[derive(Clone, Copy)]
pub(in crate::family) struct Normal<S: Simd> {
    pub max: S::F32,
    /// Σ e^z, z = (x − max)/T
    pub sum: S::F32,
    pub log_sum: S::F32,
}

impl<S: Simd> Normal<S> {
    /// The exponentials of the first steps stay in `kept`. A NaN, a +∞ or a position of −∞ alone gives NaN.
    #[inline(always)]
    pub(in crate::family) fn new<T: Tile>(
        s: S,
        tile: T,
        x: Cells,
        inverse_temperature: f32,
        kept: &[Chunk],
    ) -> Self {
        let mut max = s.splat(f32::NEG_INFINITY);
        for step in 0..tile.steps() {
            max = s.max(max, tile.load(s, x, step, f32::NEG_INFINITY));
        }
        let max = tile.max(s, max);
        let inverse_temperature = s.splat(inverse_temperature);
        let (mut sum, mut part) = (s.splat(0.0), s.splat(0.0));
        for step in 0..tile.steps() {
            let x = tile.load(s, x, step, f32::NEG_INFINITY);
            let [e] = s.map(Exp, [s.mul(s.sub(x, max), inverse_temperature)]);
            if let Some(kept) = kept.get(step) {
                s.store(kept, e);
            }
            part = s.add(part, e);
            if step % STEPS == STEPS - 1 {
                sum = s.add(sum, part);
                part = s.splat(0.0);
            }
        }
        let sum = tile.sum(s, s.add(sum, part));
        Self {
            max,
            sum,
            log_sum: log_positive(s, sum),
        }
    }
}

/// e^z of a step: the one that was kept, or again.
#[inline(always)]
pub(in crate::family) fn exp_of<S: Simd, T: Tile>(
    s: S,
    tile: T,
    x: Cells,
    normal: &Normal<S>,
    inverse_temperature: f32,
    kept: &[Chunk],
    step: usize,
) -> S::F32 {
    if let Some(kept) = kept.get(step) {
        return s.load(kept);
    }
    let x = tile.load(s, x, step, f32::NEG_INFINITY);
    s.map(
        Exp,
        [s.mul(s.sub(x, normal.max), s.splat(inverse_temperature))],
    )[0]
}

/// What the positions of a tile weigh.
struct Positions<S: Simd> {
    /// 1, or 0 where a position counts for nothing.
    kept: S::F32,
    /// Weight of the value.
    weight: S::F32,
    /// Upstream gradient times weight over T.
    upstream: S::F32,
}

impl<'a, L: Softmax> Call<'a, L> {
    #[inline(always)]
    fn new(loss: L, args: &'a Args, extra: &'a Extra) -> Self {
        Self {
            loss,
            args,
            extra,
            inverse_temperature: 1.0 / args.temperature,
            keep: 1.0 - args.label_smoothing,
            spread: args.label_smoothing / args.classes as f32,
        }
    }

    /// Value and gradients of a tile; the sum of the values.
    #[inline(always)]
    fn tile<S: Simd, T: Tile, const SPREAD: bool>(&self, s: S, tile: T, kept: &[Chunk]) -> f64 {
        let (args, first) = (self.args, tile.position());
        let (mut counts, mut labels) = ([0.0; LANES], [-1; LANES]);
        let (mut weights, mut upstreams) = ([1.0; LANES], [args.scale; LANES]);
        for j in 0..tile.count() {
            let label = args.labels.get(first + j).copied();
            if let Some(weight) = self.extra.sample_weight {
                weights[j] = weight[first + j].get();
            }
            if let Some(upstream) = args.grad_output {
                upstreams[j] = upstream[first + j].get();
            }
            upstreams[j] *= weights[j] * self.inverse_temperature;
            // Labels were checked; one that another thread changed since must still not reach past its position.
            let class = label.filter(|&y| y != args.ignore_index && (y as usize) < args.classes);
            let counted = match self.extra.target {
                Some(_) => label.is_none_or(|y| y != args.ignore_index),
                None => class.is_some(),
            };
            counts[j] = f32::from(u8::from(counted));
            labels[j] = class.unwrap_or(-1);
        }
        let positions = Positions {
            kept: tile.per_position(s, counts),
            weight: tile.per_position(s, weights),
            upstream: tile.per_position(s, upstreams),
        };
        let normal = Normal::new(s, tile, args.x, self.inverse_temperature, kept);
        let value = if SPREAD {
            self.over_distribution(s, tile, &normal, &positions, &labels, kept)
        } else {
            self.at_labels(s, tile, &normal, &positions, &labels, kept)
        };
        let ignored = s.eq(positions.kept, s.splat(0.0));
        let value = s.zero_where(ignored, s.mul(value, positions.weight));
        if let Some(out) = args.out {
            put(s, tile, out, value);
        }
        total(s, tile, value)
    }

    #[inline(always)]
    fn z<S: Simd, T: Tile>(&self, s: S, tile: T, normal: &Normal<S>, step: usize) -> S::F32 {
        let x = tile.load(s, self.args.x, step, f32::NEG_INFINITY);
        s.mul(s.sub(x, normal.max), s.splat(self.inverse_temperature))
    }

    #[inline(always)]
    fn write<S: Simd, T: Tile>(
        &self,
        s: S,
        tile: T,
        dx: Cells,
        step: usize,
        ignored: S::Mask,
        g: S::F32,
    ) {
        let g = s.zero_where(ignored, g);
        let g = if self.extra.accumulate {
            s.add(tile.load(s, dx, step, 0.0), g)
        } else {
            g
        };
        tile.store(s, dx, step, g);
    }

    /// The target is one class.
    #[inline(always)]
    fn at_labels<S: Simd, T: Tile>(
        &self,
        s: S,
        tile: T,
        normal: &Normal<S>,
        positions: &Positions<S>,
        labels: &[i32; LANES],
        kept: &[Chunk],
    ) -> S::F32 {
        let args = self.args;
        let max = s.to_array(normal.max);
        let (mut z_y, mut weights) = ([0.0; LANES], [0.0; LANES]);
        for j in 0..tile.count() {
            if labels[j] >= 0 {
                let y = labels[j] as usize;
                z_y[j] = (args.x[tile.at(j, y)].get() - max[j]) * self.inverse_temperature;
                weights[j] = args.weight.map_or(1.0, |weight| weight[y].get());
            }
        }
        let weight = tile.per_position(s, weights);
        let log_p = s.sub(tile.per_position(s, z_y), normal.log_sum);
        let [value, slope] = s.map(Both(self.loss), [log_p]);
        if let Some(dx) = args.dx {
            let slope = s.mul(slope, weight);
            let at_label = s.mul(slope, positions.upstream);
            let factor = s.div(at_label, normal.sum);
            let ignored = s.eq(positions.kept, s.splat(0.0));
            for step in 0..tile.steps() {
                let e = exp_of(
                    s,
                    tile,
                    args.x,
                    normal,
                    self.inverse_temperature,
                    kept,
                    step,
                );
                self.write(s, tile, dx, step, ignored, s.mul(e, factor));
            }
            let at_label = s.to_array(at_label);
            for j in 0..tile.count() {
                if labels[j] >= 0 {
                    let dx = &dx[tile.at(j, labels[j] as usize)];
                    dx.set(dx.get() - at_label[j]);
                }
            }
        }
        s.mul(value, weight)
    }

    /// The target is a distribution. With t_c = w_c·q_c and s_c = t_c·slope(ln p_c) the gradient is p_c·Σ s − s_c.
    #[inline(always)]
    fn over_distribution<S: Simd, T: Tile>(
        &self,
        s: S,
        tile: T,
        normal: &Normal<S>,
        positions: &Positions<S>,
        labels: &[i32; LANES],
        kept: &[Chunk],
    ) -> S::F32 {
        let (args, zero) = (self.args, s.splat(0.0));
        let mut label = [0.0; LANES];
        for (label, &y) in label.iter_mut().zip(labels) {
            *label = y as f32;
        }
        let label = tile.per_position(s, label);
        let (mut value, mut slope) = ([zero; 2], [zero; 2]);
        for step in 0..tile.steps() {
            let log_p = s.sub(self.z(s, tile, normal, step), normal.log_sum);
            let t = self.target(s, tile, label, step);
            // 0 · ∞ is 0 here: a class that cannot be and is not asked for costs nothing.
            let none = s.eq(t, zero);
            let own = s.map(Both(self.loss), [log_p]);
            value[0] = s.add(value[0], s.zero_where(none, s.mul(t, own[0])));
            slope[0] = s.add(slope[0], s.zero_where(none, s.mul(t, own[1])));
            if step % STEPS == STEPS - 1 {
                value = [zero, s.add(value[0], value[1])];
                slope = [zero, s.add(slope[0], slope[1])];
            }
        }
        let ignored = s.eq(positions.kept, zero);
        if args.dx.is_some() || self.extra.dt.is_some() {
            let slope = tile.sum(s, s.add(slope[0], slope[1]));
            let factor = s.div(s.mul(slope, positions.upstream), normal.sum);
            let by_target = s.mul(positions.upstream, s.splat(self.keep * args.temperature));
            for step in 0..tile.steps() {
                let log_p = s.sub(self.z(s, tile, normal, step), normal.log_sum);
                let t = self.target(s, tile, label, step);
                let own = s.map(Both(self.loss), [log_p]);
                if let Some(dt) = self.extra.dt {
                    let weight = tile.per_class(s, args.weight, step);
                    let g = s.mul(s.mul(own[0], weight), by_target);
                    tile.store(s, dt, step, s.zero_where(ignored, g));
                }
                if let Some(dx) = args.dx {
                    let own = s.zero_where(s.eq(t, zero), s.mul(t, own[1]));
                    let e = exp_of(
                        s,
                        tile,
                        args.x,
                        normal,
                        self.inverse_temperature,
                        kept,
                        step,
                    );
                    let g = s.sub(s.mul(e, factor), s.mul(own, positions.upstream));
                    self.write(s, tile, dx, step, ignored, g);
                }
            }
        }
        tile.sum(s, s.add(value[0], value[1]))
    }

    /// w_c·((1 − ε)·q_c + ε/C)
    #[inline(always)]
    fn target<S: Simd, T: Tile>(&self, s: S, tile: T, label: S::F32, step: usize) -> S::F32 {
        let q = match self.extra.target {
            Some(target) => tile.load(s, target, step, 0.0),
            None => {
                let at_label = s.eq(tile.class(s, step), label);
                s.select(at_label, s.splat(1.0), s.splat(0.0))
            }
        };
        let q = s.mul_add(q, s.splat(self.keep), s.splat(self.spread));
        s.mul(q, tile.per_class(s, self.args.weight, step))
    }
}
