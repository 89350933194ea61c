//! Input that is ln p already: the loss reads one element of each position, and the gradient is 0 but there.

use super::{Args, Softmax};
use crate::family::axis::{Tile, put, total};
use crate::simd::{Kernel, LANES, Level, Simd};

pub(super) fn run<L: Softmax>(level: Level, loss: L, args: Args) -> f64 {
    level.run(Picked { loss, args })
}

struct Picked<'a, L> {
    loss: L,
    args: Args<'a>,
}

impl<L: Softmax> Kernel for Picked<'_, L> {
    type Out = f64;

    /// All values before the first gradient: `dx` may be `x`, and the positions of a sample lie between each other.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let args = &self.args;
        let axis = args.axis();
        let mut sum = args.sum;
        for (sample, i) in places(args.samples(), axis.positions) {
            let tile = axis.tile(sample, i, axis.positions);
            let position = tile.position();
            let (mut log_p, mut weights) = ([0.0; LANES], [0.0; LANES]);
            for j in 0..tile.count() {
                if let Some((y, weight)) = self.target(position + j) {
                    log_p[j] = args.x[tile.at(j, y)].get();
                    weights[j] = weight;
                }
            }
            let weights = s.vector(weights);
            let value = s.mul(self.loss.value(s, s.vector(log_p)), weights);
            // ∞ · 0 of a position that counts for nothing is 0.
            let value = s.zero_where(s.eq(weights, s.splat(0.0)), value);
            if let Some(out) = args.out {
                put(s, tile, out, value);
            }
            sum += total(s, tile, value);
        }
        let Some(dx) = args.dx else { return sum };
        let accumulate = args.extra.is_some_and(|extra| extra.accumulate);
        if !accumulate {
            dx.iter().for_each(|dx| dx.set(0.0));
        }
        for (sample, i) in places(args.samples(), axis.positions) {
            let tile = axis.tile(sample, i, axis.positions);
            let position = tile.position();
            for j in 0..tile.count() {
                if let Some((y, weight)) = self.target(position + j) {
                    let upstream = args
                        .grad_output
                        .map_or(args.scale, |up| up[position + j].get());
                    let dx = &dx[tile.at(j, y)];
                    dx.set(dx.get() - weight * upstream);
                }
            }
        }
        sum
    }
}

/// Sample and first position of each tile.
fn places(samples: usize, positions: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..samples).flat_map(move |sample| (0..positions).step_by(LANES).map(move |i| (sample, i)))
}

impl<L> Picked<'_, L> {
    /// Class and weight of a position, where it counts.
    #[inline(always)]
    fn target(&self, position: usize) -> Option<(usize, f32)> {
        let args = &self.args;
        let label = args.labels[position];
        let y = label as usize;
        if label == args.ignore_index || y >= args.classes {
            return None;
        }
        let weight = args.weight.map_or(1.0, |weight| weight[y].get());
        let own = args
            .extra
            .and_then(|extra| extra.sample_weight)
            .map_or(1.0, |own| own[position].get());
        Some((y, weight * own))
    }
}
