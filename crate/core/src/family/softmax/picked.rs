//! Input that is ln p already: the loss reads one element of each position, and the gradient is 0 but there.

use super::{Args, Softmax};
use crate::family::axis::{Axis, LaneTile, Tile, put};
use crate::share::Total;
use crate::simd::{Cells, Kernel, LANES, Level, Simd};

pub(super) fn run<L: Softmax>(level: Level, loss: L, args: Args) -> f64 {
    level.run(Picked { loss, args })
}

struct Picked<'a, L> {
    loss: L,
    args: Args<'a>,
}

impl<L: Softmax> Kernel for Picked<'_, L> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let args = &self.args;
        let axis = args.axis();
        let mut total = Total::new(args.share, args.sum);
        for block in args.blocks() {
            let mut lanes = s.splat(0.0);
            for tile in axis.tiles(block) {
                let mut labels = [0; LANES];
                let labels = &mut labels[..tile.count()];
                args.marks.classes(tile.position(), labels);
                let value = self.values(s, tile, labels);
                if let Some(out) = args.out {
                    put(s, tile, out, value);
                }
                lanes = s.add(lanes, s.head(value, tile.count()));
                // After the values: `dx` may be `x`.
                if let Some(dx) = args.dx {
                    self.gradient(s, tile, labels, axis, dx);
                }
            }
            total.add(f64::from(s.sum(lanes)));
        }
        total.get()
    }
}

impl<L: Softmax> Picked<'_, L> {
    #[inline(always)]
    fn values<S: Simd>(&self, s: S, tile: LaneTile, labels: &[i32]) -> S::F32 {
        let (mut log_p, mut weights) = ([0.0; LANES], [0.0; LANES]);
        for (j, &label) in labels.iter().enumerate() {
            if let Some((y, weight)) = self.target(tile.position() + j, label) {
                log_p[j] = self.args.x[tile.at(j, y)].get();
                weights[j] = weight;
            }
        }
        let weights = s.vector(weights);
        // q is 0 in place of 1 − p, for which the losses of ln p alone do not ask.
        let value = self.loss.value(s, s.vector(log_p), s.splat(0.0));
        let value = s.mul(value, weights);
        // ∞ · 0 of a position that counts for nothing is 0.
        s.zero_where(s.eq(weights, s.splat(0.0)), value)
    }

    #[inline(always)]
    fn gradient<S: Simd>(&self, s: S, tile: LaneTile, labels: &[i32], axis: Axis, dx: Cells) {
        let args = &self.args;
        let accumulate = args.extra.is_some_and(|extra| extra.accumulate);
        if !accumulate && axis.last {
            let scores = &dx[tile.at(0, 0)..tile.at(tile.count(), 0)];
            scores.iter().for_each(|dx| dx.set(0.0));
        } else if !accumulate {
            for step in 0..tile.steps() {
                tile.store_class(s, dx, step, s.splat(0.0));
            }
        }
        for (j, &label) in labels.iter().enumerate() {
            let position = tile.position() + j;
            if let Some((y, weight)) = self.target(position, label) {
                let upstream = args.grad_output.map_or(args.scale, |up| up[position].get());
                let dx = &dx[tile.at(j, y)];
                dx.set(dx.get() - weight * upstream);
            }
        }
    }

    /// Class and weight of a position, where it counts.
    #[inline(always)]
    fn target(&self, position: usize, label: i32) -> Option<(usize, f32)> {
        let args = &self.args;
        // What is ignored is negative, and so no class.
        let y = label as usize;
        if y >= args.classes {
            return None;
        }
        let weight = args.weight.map_or(1.0, |weight| weight[y].get());
        let own = args
            .extra
            .and_then(|extra| extra.sample_weight)
            .map_or(1.0, |own| own.at(position));
        Some((y, weight * own))
    }
}
