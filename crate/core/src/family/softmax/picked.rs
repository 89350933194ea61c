//! Input that is ln p already: the loss reads one element of each position, and the gradient is 0 but there.
//!
//! For each tile of 16 neighbouring positions of a unit:
//!
//! 1. the classes are read;
//! 2. the values −w·ln p_y are computed and stored, each in the lane of its position;
//! 3. `dx` becomes 0 for all classes, or stays as it is where the gradient is added to it, and gets −w times the upstream gradient at the
//!    label. The values come first, since `dx` may be `x`.
//!
//! The lanes of a unit fold in the one order of summation, and units add up.
//!
//! The few products of a position are in double precision, as the backend in TypeScript has them with the same bits: those of two factors
//! may leave the range of single precision where that of all does not.

use super::Args;
use crate::layout::axis::{Axis, Tile};
use crate::share::Total;
use crate::simd::{Cells, Kernel, LANES, Level, Simd};

pub(super) fn run(level: Level, args: Args) -> f64 {
    level.run(Picked(args))
}

struct Picked<'a>(Args<'a>);

impl Kernel for Picked<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let args = &self.0;
        let axis = args.axis();
        let mut total = Total::new(args.share, args.sum);
        for block in args.blocks() {
            let mut lanes = [0.0; LANES];
            for tile in axis.tiles(block) {
                let mut labels = [0; LANES];
                let labels = &mut labels[..tile.count()];
                args.marks.classes(tile.position(), labels);
                let values = self.values(tile, labels);
                if let Some(out) = args.out {
                    let out = &out[tile.position()..tile.position() + tile.count()];
                    for (out, value) in out.iter().zip(values) {
                        out.set(value as f32);
                    }
                }
                for (lane, value) in lanes.iter_mut().zip(values) {
                    *lane += value;
                }
                // After the values: `dx` may be `x`.
                if let Some(dx) = args.dx {
                    self.gradient(s, tile, labels, axis, dx);
                }
            }
            total.add(fold(lanes));
        }
        total.get()
    }
}

/// The sum of lanes in the one order.
#[inline(always)]
fn fold(mut lanes: [f64; LANES]) -> f64 {
    let mut half = LANES / 2;
    while half > 0 {
        for j in 0..half {
            lanes[j] += lanes[j + half];
        }
        half /= 2;
    }
    lanes[0]
}

impl Picked<'_> {
    #[inline(always)]
    fn values(&self, tile: Tile, labels: &[i32]) -> [f64; LANES] {
        let mut values = [0.0; LANES];
        for (j, &label) in labels.iter().enumerate() {
            if let Some((y, weight)) = self.target(tile.position() + j, label)
                // ∞ · 0 of a position that counts for nothing is 0.
                && weight != 0.0
            {
                // Not the negative: the loss of a certain position is 0, not −0.
                values[j] = weight * (0.0 - f64::from(self.0.x[tile.at(j, y)].get()));
            }
        }
        values
    }

    #[inline(always)]
    fn gradient<S: Simd>(&self, s: S, tile: Tile, labels: &[i32], axis: Axis, dx: Cells) {
        let args = &self.0;
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
                let upstream = args
                    .grad_output
                    .map_or(args.scale, |upstream| f64::from(upstream[position].get()));
                let dx = &dx[tile.at(j, y)];
                dx.set(dx.get() - (weight * upstream) as f32);
            }
        }
    }

    /// Class and weight of a position, where it counts.
    #[inline(always)]
    fn target(&self, position: usize, label: i32) -> Option<(usize, f64)> {
        let args = &self.0;
        // What is ignored is negative, and so no class.
        let y = label as usize;
        if y >= args.classes {
            return None;
        }
        let weight = args.weight.map_or(1.0, |weight| weight[y].get());
        let sample_weight = args
            .extra
            .and_then(|extra| extra.sample_weight)
            .map_or(1.0, |sample_weight| sample_weight.at(position));
        // Of two floats: nothing is rounded.
        Some((y, f64::from(weight) * f64::from(sample_weight)))
    }
}
