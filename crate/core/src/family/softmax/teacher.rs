//! T²·KL(softmax(t/T) ‖ softmax(x/T)): the target is a second softmax.

use super::tiles::{EachTile, Normal, Sum, fill, walk};
use super::{Args, Extra};
use crate::family::axis::{Tile, put, total};
use crate::simd::{Cells, Chunk, LANES, Level, Simd};

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
    let (zero, temperature) = (s.splat(0.0), s.splat(args.temperature));
    let student = Normal::new(s, tile, args.x, 1.0 / args.temperature, kept[0], kept[1]);
    let teacher = Normal::new(s, tile, target, 1.0 / args.temperature, kept[2], kept[3]);
    let (by_student, by_teacher) = (
        s.div(s.splat(1.0), student.sum),
        s.div(s.splat(1.0), teacher.sum),
    );
    let mut upstreams = [args.scale; LANES];
    if let Some(upstream) = args.grad_output {
        fill(
            &mut upstreams,
            &upstream[tile.position()..tile.position() + tile.count()],
        );
    }
    let factor = s.mul(tile.per_position(s, upstreams), temperature);

    let mut value = Sum::new(s);
    for step in 0..tile.steps() {
        let t = s.mul(teacher.e(s, step), by_teacher);
        let gap = s.sub(teacher.log_p(s, step), student.log_p(s, step));
        // 0 · ∞ is 0 here: what the teacher rules out costs nothing.
        value.add(s, step, s.zero_where(s.eq(t, zero), s.mul(t, gap)));
    }
    let kl = tile.sum(s, value.get(s, tile.steps()));
    if args.dx.is_some() || extra.dt.is_some() {
        for step in 0..tile.steps() {
            let t = s.mul(teacher.e(s, step), by_teacher);
            let p = s.mul(student.e(s, step), by_student);
            let gap = s.sub(teacher.log_p(s, step), student.log_p(s, step));
            if let Some(dt) = extra.dt {
                let g = s.zero_where(s.eq(t, zero), s.mul(t, s.sub(gap, kl)));
                tile.store(s, dt, step, s.mul(g, factor));
            }
            if let Some(dx) = args.dx {
                let mut g = s.mul(s.sub(p, t), factor);
                if extra.accumulate {
                    g = s.add(g, tile.load(s, dx, step, 0.0));
                }
                tile.store(s, dx, step, g);
            }
        }
    }
    let value = s.mul(s.mul(temperature, temperature), kl);
    if let Some(out) = args.out {
        put(s, tile, out, value);
    }
    total(s, tile, value)
}
