//! T²·KL(softmax(t/T) ‖ softmax(x/T)): the target is a second softmax.

use super::tiles::{EachTile, KEPT, Normal, Sum, blocks, fill, walk};
use super::{Args, Extra};
use crate::family::axis::{Tile, put, total};
use crate::simd::{Cells, Chunk, LANES, Level, Simd};
use core::ops::Range;

pub(super) fn run(level: Level, args: Args) -> f64 {
    let Some((extra, target)) = args.extra.and_then(|extra| Some((extra, extra.target?))) else {
        panic!("no teacher");
    };
    walk(level, args, Distilled(args, extra, target))
}

#[derive(Clone, Copy)]
struct Distilled<'a>(Args<'a>, Extra<'a>, Cells<'a>);

impl EachTile<4> for Distilled<'_> {
    #[inline(always)]
    fn tile<S: Simd, T: Tile>(&self, s: S, tile: T, kept: [&[Chunk]; 4]) -> f64 {
        distill(s, self, tile, kept)
    }
}

/// `kept` has room for z and e^z of both.
#[inline(always)]
fn distill<S: Simd, T: Tile>(
    s: S,
    Distilled(args, extra, target): &Distilled,
    tile: T,
    kept: [&[Chunk]; 4],
) -> f64 {
    let temperature = s.splat(args.temperature);
    let student = Normal::new(s, tile, args.x, 1.0 / args.temperature, kept[0], kept[1]);
    let teacher = Normal::new(s, tile, target, 1.0 / args.temperature, kept[2], kept[3]);
    let (first, count) = (tile.position(), tile.count());
    let mut upstreams = [args.scale; LANES];
    if let Some(upstream) = args.grad_output {
        fill(&mut upstreams, &upstream[first..first + count]);
    }
    let weights = match extra.sample_weight {
        Some(weight) => s.to_array(weight.load(s, first, count)),
        None => [1.0; LANES],
    };
    let weight = tile.per_position(s, weights);
    let ignored = s.eq(
        tile.per_position(s, args.marks.counts(first, count)),
        s.splat(0.0),
    );
    let factor = s.mul(s.mul(tile.per_position(s, upstreams), weight), temperature);

    let mut value = Sum::new(s);
    for block in blocks(tile.steps()) {
        value.add(s, against(s, &student, &teacher, block));
    }
    let kl = value.get(s, tile);
    if args.dx.is_some() || extra.dt.is_some() {
        let by_student = s.div(s.splat(1.0), student.sum);
        for block in blocks(tile.steps()) {
            if tile.steps() > KEPT {
                against(s, &student, &teacher, block.clone());
            }
            let [_, e, gap, t] = kept.map(|kept| &kept[..block.len()]);
            if let Some(dx) = args.dx {
                for (e, t) in e.iter().zip(t) {
                    let p = s.mul(s.load(e), by_student);
                    let g = s.mul(s.sub(p, s.load(t)), factor);
                    s.store(e, s.zero_where(ignored, g));
                }
                tile.store(s, dx, block.clone(), e, extra.accumulate);
            }
            if let Some(dt) = extra.dt {
                for (gap, t) in gap.iter().zip(t) {
                    let own = s.load(t);
                    let g = s.mul(own, s.sub(s.load(gap), kl));
                    let none = s.eq(own, s.splat(0.0));
                    let g = s.mul(s.zero_where(none, g), factor);
                    s.store(t, s.zero_where(ignored, g));
                }
                tile.store(s, dt, block, t, false);
            }
        }
    }
    let value = s.mul(s.mul(s.mul(temperature, temperature), kl), weight);
    let value = s.zero_where(ignored, value);
    if let Some(out) = args.out {
        put(s, tile, out, value);
    }
    total(s, tile, value)
}

/// Σ t·(ln t − ln p) of a block. In the memory of the teacher ln t − ln p takes the place of z, and t that of e^z.
#[inline(always)]
fn against<S: Simd, T: Tile>(
    s: S,
    student: &Normal<S, T>,
    teacher: &Normal<S, T>,
    block: Range<usize>,
) -> S::F32 {
    let (zero, by_teacher) = (s.splat(0.0), s.div(s.splat(1.0), teacher.sum));
    let mut sum = zero;
    let [own, _] = student.block(s, block.clone());
    let [z, e] = teacher.block(s, block);
    for ((z, e), own) in z.iter().zip(e).zip(own) {
        let t = s.mul(s.load(e), by_teacher);
        let log_p = s.sub(s.load(own), student.log_sum);
        let gap = s.sub(s.sub(s.load(z), teacher.log_sum), log_p);
        // 0 · ∞ is 0 here: what the teacher rules out costs nothing.
        sum = s.add(sum, s.zero_where(s.eq(t, zero), s.mul(t, gap)));
        s.store(z, gap);
        s.store(e, t);
    }
    sum
}
