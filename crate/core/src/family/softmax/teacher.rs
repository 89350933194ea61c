//! T²·KL(softmax(t/T) ‖ softmax(x/T)): the target is a second softmax.

use super::tiles::{Normal, WIDE};
use super::{Args, Extra};
use crate::family::axis::{RowTile, Tile, put, total};
use crate::simd::{Cells, Kernel, LANES, Level, Simd};

pub(super) fn run(level: Level, args: Args) -> f64 {
    let Some((extra, target)) = args.extra.and_then(|extra| Some((extra, extra.target?))) else {
        panic!("no teacher");
    };
    if extra.inner == 1 && args.classes >= WIDE {
        level.run(Rows(args, extra, target))
    } else {
        level.run(Lanes16(args, extra, target))
    }
}

struct Rows<'a>(Args<'a>, Extra<'a>, Cells<'a>);

impl Kernel for Rows<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(args, extra, target) = self;
        let mut sum = args.sum;
        for position in 0..args.positions() {
            let classes = args.classes;
            sum += tile(s, &args, &extra, target, RowTile { position, classes });
        }
        sum
    }
}

struct Lanes16<'a>(Args<'a>, Extra<'a>, Cells<'a>);

impl Kernel for Lanes16<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(args, extra, target) = self;
        let mut sum = args.sum;
        let (axis, positions) = (args.axis(), args.positions());
        let mut position = 0;
        while position < positions {
            let lanes = axis.lanes(position, positions);
            sum += tile(s, &args, &extra, target, lanes);
            position += lanes.count();
        }
        sum
    }
}

/// ln p of a step under one of the two softmaxes.
#[inline(always)]
fn log_p<S: Simd, T: Tile>(
    s: S,
    tile: T,
    x: Cells,
    normal: &Normal<S>,
    args: &Args,
    step: usize,
) -> S::F32 {
    let x = tile.load(s, x, step, f32::NEG_INFINITY);
    let z = s.mul(s.sub(x, normal.max), s.splat(1.0 / args.temperature));
    s.sub(z, normal.log_sum)
}

/// e^(ln p) where ln p may be as large as 0 in truth and a rounding above it in fact.
#[inline(always)]
fn exp<S: Simd>(s: S, log_p: S::F32) -> S::F32 {
    use crate::math::exp::Exp;
    s.map(Exp, [log_p])[0]
}

#[inline(always)]
fn tile<S: Simd, T: Tile>(s: S, args: &Args, extra: &Extra, target: Cells, tile: T) -> f64 {
    let (zero, temperature) = (s.splat(0.0), s.splat(args.temperature));
    let student = Normal::new(s, tile, args.x, 1.0 / args.temperature, &[]);
    let teacher = Normal::new(s, tile, target, 1.0 / args.temperature, &[]);
    let mut upstreams = [args.scale; LANES];
    if let Some(upstream) = args.grad_output {
        for (j, lane) in upstreams.iter_mut().enumerate().take(tile.count()) {
            *lane = upstream[tile.position() + j].get();
        }
    }
    let factor = s.mul(tile.per_position(s, upstreams), temperature);

    let mut value = zero;
    for step in 0..tile.steps() {
        let log_t = log_p(s, tile, target, &teacher, args, step);
        let gap = s.sub(log_t, log_p(s, tile, args.x, &student, args, step));
        let t = exp(s, log_t);
        // 0 · ∞ is 0 here: what the teacher rules out costs nothing.
        value = s.add(value, s.zero_where(s.eq(t, zero), s.mul(t, gap)));
    }
    let kl = tile.sum(s, value);
    if args.dx.is_some() || extra.dt.is_some() {
        for step in 0..tile.steps() {
            let log_t = log_p(s, tile, target, &teacher, args, step);
            let log_x = log_p(s, tile, args.x, &student, args, step);
            let t = exp(s, log_t);
            if let Some(dt) = extra.dt {
                let g = s.mul(t, s.sub(s.sub(log_t, log_x), kl));
                let g = s.zero_where(s.eq(t, zero), g);
                tile.store(s, dt, step, s.mul(g, factor));
            }
            if let Some(dx) = args.dx {
                let mut g = s.mul(s.sub(exp(s, log_x), t), factor);
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
