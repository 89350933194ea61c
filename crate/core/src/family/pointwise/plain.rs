//! The loop of a training step: two arrays in, one out.
//!
//! Values add up by fours, whose sums say at the block's end whether one of them has left the range of floats. What has is computed
//! again, and needs the input: where the gradient goes over that, light losses look at the sum of a four before they store its
//! gradients, and the others keep a copy.

use super::double::Block;
use super::{Args, Extra, PASS, Pointwise, Prepare, Rest, VECTORS, Whole, prepare, room};
use crate::share::Total;
use crate::simd::{Cells, Chunk, Kernel, LANES, Room, SMALL, Simd};
use crate::sum::{BLOCK, FOUR, Fours, LARGE, sum_of_fours};

/// Elements whose input, target and gradient, 12 bytes each, are more than last-level caches hold.
const STREAM: usize = 3 << 20;

/// A call without options; without `GRAD` nothing is written.
pub(super) struct Plain<'a, L, const GRAD: bool> {
    pub loss: L,
    pub args: &'a Args<'a>,
    pub dx: Cells<'a>,
}

impl<L: Pointwise, const GRAD: bool> Kernel for Plain<'_, L, GRAD> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        plain::<S, L, GRAD>(s, self.loss, self.args, self.dx)
    }
}

/// Whether gradients that go over their input wait for the sum of their four; otherwise the input is copied. A copy takes a tenth of
/// the time of a light loss, and less code.
const fn holds<L: Pointwise>() -> bool {
    L::LIGHT && !SMALL
}

/// Two arrays in, one out, scalar parameters: the loop that a training step runs. The sum is always taken: it costs
/// nothing beside the memory, and a gradient alone is never slower than both.
#[inline(always)]
fn plain<S: Simd, L: Pointwise, const GRAD: bool>(s: S, loss: L, args: &Args, dx: Cells) -> f64 {
    let (x, t) = (args.x, args.t);
    let over = GRAD && core::ptr::eq(x, dx);
    let step = Step::<S, L, GRAD> {
        s,
        loss,
        scale: s.splat(args.scale as f32),
        aux: s.splat(args.aux),
    };
    let stream = GRAD && L::LIGHT && !SMALL && x.len() >= STREAM && !over;
    let mut old = Room::<VECTORS>::new();
    let old = room(&mut old, x.len(), over && !holds::<L>());
    let mut fours = Fours::new();
    let fours = fours.zeros(args.x.len().min(BLOCK).div_ceil(FOUR * LANES));
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, x.len());
    let mut floats = Room::<VECTORS>::new();
    let floats = t.room(&mut floats);
    let mut start = range.start;
    let [x, dx] = [x, dx].map(|array| array[range.clone()].chunks(BLOCK));
    for (x, dx) in x.zip(dx) {
        let t = t.block(start, x.len(), floats);
        let fours = &fours[..x.len().div_ceil(FOUR * LANES)];
        if holds::<L>() && over {
            step.block::<true, false>(x, t, dx, old, fours);
        } else if stream {
            step.block::<false, true>(x, t, dx, old, fours);
        } else {
            step.block::<false, false>(x, t, dx, old, fours);
        };
        let (mut sum, large) = sum_of_fours(s, fours, L::LIGHT);
        if large != 0 {
            let block = Block {
                args,
                extra: &Extra::default(),
                range: start..start + x.len(),
                old: (over && !holds::<L>()).then_some(old),
                before: None,
                values: None,
                large,
                held: holds::<L>() && over,
            };
            sum += block.in_double(&Whole(loss));
        }
        start += BLOCK;
        total.add(sum);
    }
    if stream {
        s.fence();
    }
    total.get()
}

/// What [`plain`] does with a block.
#[derive(Clone, Copy)]
struct Step<S: Simd, L, const GRAD: bool> {
    s: S,
    loss: L,
    scale: S::F32,
    aux: S::F32,
}

impl<S: Simd, L: Pointwise, const GRAD: bool> Step<S, L, GRAD> {
    /// The sums of its fours. The input goes to `old`, where there is any. With `HELD` gradients wait for the sum of their four, and
    /// are not stored where that is too large; with `PAST` they go past the caches. The three loops are apart because a branch
    /// in one of them, or sums in registers, take up to a quarter where registers are few.
    #[inline(always)]
    fn block<const HELD: bool, const PAST: bool>(
        self,
        x: Cells,
        t: Cells,
        dx: Cells,
        old: &[Chunk],
        fours: &[Chunk],
    ) {
        let Self { s, loss, aux, .. } = self;
        let zero = s.splat(0.0);
        let mut slopes = [zero; FOUR];
        let mut old = old.iter();
        let mut prepared = Room::<PASS>::new();
        let prepared = prepared.zeros(if L::PREPARES {
            PASS.min(x.len() / LANES)
        } else {
            0
        });
        let (x, x_rest) = x.as_chunks::<{ FOUR * LANES }>();
        let (t, t_rest) = t.as_chunks::<{ FOUR * LANES }>();
        let (dx, dx_rest) = dx.as_chunks::<{ FOUR * LANES }>();
        for (k, (((own, t), dx), sum)) in x.iter().zip(t).zip(dx).zip(fours).enumerate() {
            if L::PREPARES && k % FOUR == 0 {
                let pass = x[k..x.len().min(k + FOUR)].as_flattened();
                prepare(s, Prepare(loss), pass.as_chunks::<LANES>().0, prepared);
            }
            let [x, t, dx] = [own, t, dx].map(|four| four.as_chunks::<LANES>().0);
            let mut four = zero;
            for i in 0..FOUR {
                let (x, t) = (s.load(&x[i]), s.load(&t[i]));
                if !holds::<L>()
                    && let Some(old) = old.next()
                {
                    s.store(old, x);
                }
                let [value, slope, _] = if L::PREPARES {
                    let own = s.load(&prepared[k % FOUR * FOUR + i]);
                    s.map(Rest(loss), [x, own, t, aux])
                } else {
                    s.map(Whole(loss), [x, t, aux])
                };
                four = if i == 0 { value } else { s.add(four, value) };
                if HELD {
                    slopes[i] = slope;
                } else {
                    self.store::<PAST>(&dx[i], slope);
                }
            }
            s.store(sum, four);
            if HELD && s.all(s.lt(four, s.splat(LARGE))) {
                for (dx, slope) in dx.iter().zip(slopes) {
                    self.store::<PAST>(dx, slope);
                }
            }
        }
        if let (false, Some(sum)) = (x_rest.is_empty(), fours.last()) {
            let mut four = zero;
            let rest = x_rest.chunks(LANES).zip(t_rest.chunks(LANES));
            for ((x, t), to) in rest.zip(&mut slopes) {
                let count = x.len();
                let (x, t) = (s.load_head(x, 0.0), s.load_head(t, 0.0));
                if !holds::<L>()
                    && let Some(old) = old.next()
                {
                    s.store(old, x);
                }
                let [value, slope, _] = s.map_compact(Whole(loss), [x, t, aux]);
                // The loss of (0, 0) in the lanes behind the end need not be 0.
                four = s.add(four, s.head(value, count));
                *to = s.mul(slope, self.scale);
            }
            s.store(sum, four);
            if GRAD && (!HELD || s.all(s.lt(four, s.splat(LARGE)))) {
                for (dx, slope) in dx_rest.chunks(LANES).zip(slopes) {
                    s.store_head(dx, slope);
                }
            }
        }
    }

    #[inline(always)]
    fn store<const PAST: bool>(self, dx: &Chunk, slope: S::F32) {
        let s = self.s;
        if GRAD && PAST {
            s.stream(dx, s.mul(slope, self.scale));
        } else if GRAD {
            s.store(dx, s.mul(slope, self.scale));
        }
    }
}
