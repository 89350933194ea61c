//! Losses of one input element and one target element.
//!
//! A loop computes a block in single precision. Where a value, a gradient or a sum leaves its range, though the result of the call
//! may be a float, [`Block::in_double`] computes those elements again in double precision. Light losses look at four vectors
//! before they store the gradient, which may go over the input; the others keep a copy of the input in that case, and look
//! at the sum of the block. `extreme.test.ts` tries both.

use super::SMALL;
use super::positions::{Positions, Values};
use super::stream::Stream;
use crate::loss::{self, Params};
use crate::share::{Share, Total};
use crate::simd::{Cells, Chunk, Double, Kernel, LANES, Lanes, Level, Map, Room, Simd};
use crate::sum::{BLOCK, FOUR, Fours};
use core::ops::Range;

/// Vectors of one pass: 256 elements, which are four fours in the order of summation.
pub(super) const PASS: usize = FOUR * FOUR;

/// Elements whose input, target and gradient, 12 bytes each, are more than last-level caches hold.
const STREAM: usize = 3 << 20;

/// A loss as formula of one vector.
pub trait Pointwise: Copy {
    /// Whether [`Pointwise::prepare`] does something.
    const PREPARES: bool = false;

    /// Whether memory takes longer than the formula. Then gradients of large arrays go past the caches, which takes 10 to 20 % off;
    /// with an exponential in the formula it adds as much.
    const LIGHT: bool = false;

    /// Whether the derivative by the target comes from [`Pointwise::by_target`], since it takes long and few ask for it.
    const TARGET_APART: bool = false;

    /// That derivative at input `x` and target `t`.
    #[inline(always)]
    fn by_target<V: Lanes>(self, v: V, _x: V::F32, _t: V::F32) -> V::F32 {
        v.splat(0.0)
    }

    /// An intermediate result of the input alone. It is computed in a pass of its own: of two short chains of operations
    /// more overlap than of a long one, and neither needs more registers than there are.
    #[inline(always)]
    fn prepare<V: Lanes>(self, _: V, x: V::F32) -> V::F32 {
        x
    }

    /// Value and derivatives at input `x`, target `t` and the element's extra parameter `aux` (the positive weight of
    /// bceWithLogits). What the caller does not use is not computed: everything is inlined.
    fn eval<V: Lanes>(self, v: V, x: V::F32, prepared: V::F32, t: V::F32, aux: V::F32) -> Eval<V>;

    /// Whether [`Pointwise::eval_defaults`] gives the same as `eval`, since all parameters have their defaults.
    #[inline(always)]
    fn has_defaults(self, _aux: f32) -> bool {
        false
    }

    /// `eval` in fewer steps.
    #[inline(always)]
    fn eval_defaults<V: Lanes>(self, v: V, x: V::F32, prepared: V::F32, t: V::F32) -> Eval<V> {
        self.eval(v, x, prepared, t, v.splat(1.0))
    }
}

/// What a formula gives.
pub struct Eval<V: Lanes> {
    /// The loss.
    pub value: V::F32,
    /// Its derivative by the input.
    pub dx: V::F32,
    /// Its derivative by the target.
    pub dt: V::F32,
}

/// A loss whose parameters all have their defaults.
#[derive(Clone, Copy)]
struct Defaults<L>(L);

impl<L: Pointwise> Pointwise for Defaults<L> {
    const PREPARES: bool = L::PREPARES;
    const LIGHT: bool = L::LIGHT;

    #[inline(always)]
    fn prepare<V: Lanes>(self, v: V, x: V::F32) -> V::F32 {
        self.0.prepare(v, x)
    }

    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, x: V::F32, prepared: V::F32, t: V::F32, _: V::F32) -> Eval<V> {
        self.0.eval_defaults(v, x, prepared, t)
    }
}

/// A formula for [`Simd::map`]: value, dx and dt of x, t and aux.
#[derive(Clone, Copy)]
struct Whole<L>(L);

impl<L: Pointwise> Map<3, 3> for Whole<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, t, aux]: [V::F32; 3]) -> [V::F32; 3] {
        let prepared = self.0.prepare(v, x);
        Rest(self.0).eval(v, [x, prepared, t, aux])
    }
}

/// The derivative by the target alone.
#[derive(Clone, Copy)]
struct ByTarget<L>(L);

impl<L: Pointwise> Map<2, 1> for ByTarget<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, t]: [V::F32; 2]) -> [V::F32; 1] {
        [self.0.by_target(v, x, t)]
    }
}

/// Its first pass.
#[derive(Clone, Copy)]
struct Prepare<L>(L);

impl<L: Pointwise> Map<1, 1> for Prepare<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x]: [V::F32; 1]) -> [V::F32; 1] {
        [self.0.prepare(v, x)]
    }
}

/// Its second pass.
#[derive(Clone, Copy)]
struct Rest<L>(L);

impl<L: Pointwise> Map<4, 3> for Rest<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, prepared, t, aux]: [V::F32; 4]) -> [V::F32; 3] {
        let Eval { value, dx, dt } = self.0.eval(v, x, prepared, t, aux);
        [value, dx, dt]
    }
}

/// One call. All slices have the length of `x`; outputs that are `None` are not computed.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// Input.
    pub x: Cells<'a>,
    /// Target.
    pub t: Values<'a>,
    /// Gradient by the input; may be the same memory as `x`.
    pub dx: Option<Cells<'a>>,
    /// Factor of the gradients: the upstream gradient over the denominator of `mean`. NaN where there is one per element.
    pub scale: f64,
    /// Extra parameter where it is one number.
    pub aux: f32,
    /// The sum of the elements before these, when a caller passes its memory piece by piece in whole blocks.
    pub sum: f64,
    /// Scalar parameters of the loss, as its registry row says.
    pub params: Params,
    /// Which blocks to compute.
    pub share: Share<'a>,
    /// What most calls do without.
    pub extra: Option<Extra<'a>>,
}

impl Args<'_> {
    /// Blocks of the whole call.
    #[must_use]
    pub fn units(&self) -> usize {
        self.x.len().div_ceil(BLOCK)
    }
}

/// The streams that take the general loop.
#[derive(Clone, Copy, Default)]
pub struct Extra<'a> {
    /// Weight of each element's value and gradient.
    pub weight: Option<Stream<'a>>,
    /// The same of each sample, or of each position of one; both count where both are given.
    pub sample_weight: Option<Stream<'a>>,
    /// Which elements count: the others give neither value nor gradient, whatever they hold.
    pub marks: Positions<'a>,
    /// Extra parameter per element or class.
    pub aux: Option<Stream<'a>>,
    /// Upstream gradient per element, in place of `scale`.
    pub grad_output: Option<Cells<'a>>,
    /// Gradient by the target.
    pub dt: Option<Cells<'a>>,
    /// The loss of each element.
    pub out: Option<Cells<'a>>,
    /// The gradient by the input is added to what `dx` holds, which is not the memory of `x` then.
    pub accumulate: bool,
}

impl Extra<'_> {
    /// Whether it asks for anything that needs the general loop.
    #[must_use]
    pub fn needed(&self) -> bool {
        let streams = [self.weight, self.sample_weight, self.aux];
        let arrays = [self.grad_output, self.dt, self.out];
        streams.iter().any(Option::is_some)
            || arrays.iter().any(Option::is_some)
            || !self.marks.is_everything()
            || self.accumulate
    }
}

/// Runs loss number `op` of the registry; the sum of the elements' values.
///
/// # Panics
/// Where a slice has another length than `x`, and in WebAssembly where a plain call has no place for the gradient; before
/// anything is written.
pub fn pointwise(level: Level, op: usize, args: Args) -> f64 {
    let n = args.x.len();
    let fits = |slice: Option<Cells>| slice.is_none_or(|slice| slice.len() == n);
    assert!(
        args.t.len() == n && fits(args.dx),
        "a slice of another length than x"
    );
    if let Some(extra) = &args.extra {
        assert!(
            fits(extra.grad_output) && fits(extra.dt) && fits(extra.out) && extra.marks.fit(n),
            "a slice of another length than x"
        );
        for stream in [extra.weight, extra.sample_weight, extra.aux]
            .into_iter()
            .flatten()
        {
            assert!(stream.is_valid(), "an empty stream");
        }
    }
    loss::pointwise(level, op, args)
}

/// Each loop is a kernel, and so a function, of its own: in one large function engines of WebAssembly keep even sums in memory.
pub(crate) fn run<L: Pointwise>(level: Level, loss: L, args: Args) -> f64 {
    // By reference: a copy of the arguments takes 10 ns, half of what 16 elements take.
    let args = &args;
    match (&args.extra, args.dx) {
        (Some(extra), _) => level.run(General { loss, args, extra }),
        (None, Some(dx)) if loss.has_defaults(args.aux) => {
            let loss = Defaults(loss);
            level.run(Plain::<_, true> { loss, args, dx })
        }
        (None, Some(dx)) => level.run(Plain::<L, true> { loss, args, dx }),
        // Without a gradient nothing is written: `x` only stands in for the slice.
        (None, None) if !SMALL => level.run(Plain::<L, false> {
            loss,
            args,
            dx: args.x,
        }),
        (None, None) => panic!("no place for the gradient"),
    }
}

struct Plain<'a, L, const GRAD: bool> {
    loss: L,
    args: &'a Args<'a>,
    dx: Cells<'a>,
}

impl<L: Pointwise, const GRAD: bool> Kernel for Plain<'_, L, GRAD> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        // A copy, of which only the fields remain that are read: behind the reference each store might change them.
        let args = *self.args;
        plain::<S, L, GRAD>(s, self.loss, &args, self.dx)
    }
}

struct General<'a, L> {
    loss: L,
    args: &'a Args<'a>,
    extra: &'a Extra<'a>,
}

impl<L: Pointwise> Kernel for General<'_, L> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let (args, extra) = (*self.args, *self.extra);
        general(s, self.loss, &args, &extra)
    }
}

/// Two arrays in, one out, scalar parameters: the loop that a training step runs. The sum is always taken: it costs
/// nothing beside the memory, and a gradient alone is never slower than both.
#[inline(always)]
fn plain<S: Simd, L: Pointwise, const GRAD: bool>(s: S, loss: L, args: &Args, dx: Cells) -> f64 {
    let wide = GRAD && !fits(args.scale);
    let step = Step::<S, L, GRAD> {
        s,
        loss,
        scale: s.splat(args.scale as f32),
        aux: s.splat(args.aux),
        limit: s.splat(if wide { -1.0 } else { LARGE }),
        stream: L::LIGHT && args.x.len() >= STREAM && !core::ptr::eq(args.x, dx),
    };
    let over = GRAD && !L::LIGHT && core::ptr::eq(args.x, dx);
    let mut room = Room::new();
    let memory = memory(&mut room, args.x.len(), over);
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let mut start = range.start;
    let mut floats = Room::<VECTORS>::new();
    let floats = args.t.room(&mut floats);
    let [x, dx] = [args.x, dx].map(|array| array[range.clone()].chunks(BLOCK));
    for (x, dx) in x.zip(dx) {
        let mut sum = Fours::new(s);
        let mut left = Left::new();
        let count = x.len();
        let t = args.t.block(start, count, floats);
        let (x, x_tail) = x.as_chunks::<LANES>();
        let (t, t_tail) = t.as_chunks::<LANES>();
        let (dx, dx_tail) = dx.as_chunks::<LANES>();
        let mut old = memory.iter();
        let mut prepared = Room::<PASS>::new();
        let prepared = prepared.zeros(if L::PREPARES { PASS.min(x.len()) } else { 0 });
        for ((x, t), dx) in x.chunks(PASS).zip(t.chunks(PASS)).zip(dx.chunks(PASS)) {
            if L::PREPARES {
                prepare(s, Prepare(loss), x, prepared);
                let fours = x.chunks(FOUR).zip(t.chunks(FOUR)).zip(dx.chunks(FOUR));
                for (((x, t), dx), prepared) in fours.zip(prepared.chunks(FOUR)) {
                    for (((x, t), dx), prepared) in x.iter().zip(t).zip(dx).zip(prepared) {
                        sum.add(s, step.heavy(x, t, dx, Some(prepared), old.next()));
                    }
                    if x.len() == FOUR {
                        sum.end_four(s);
                    }
                }
            } else {
                let (x, x_left) = x.as_chunks::<FOUR>();
                let (t, t_left) = t.as_chunks::<FOUR>();
                let (dx, dx_left) = dx.as_chunks::<FOUR>();
                for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                    if L::LIGHT {
                        step.four(&mut sum, &mut left, x, t, dx);
                        continue;
                    }
                    for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                        sum.add(s, step.heavy(x, t, dx, None, old.next()));
                    }
                    sum.end_four(s);
                }
                for ((x, t), dx) in x_left.iter().zip(t_left).zip(dx_left) {
                    if L::LIGHT {
                        step.light(&mut sum, &mut left, x, t, dx);
                    } else {
                        sum.add(s, step.heavy(x, t, dx, None, old.next()));
                    }
                }
            }
            if x.len() == PASS {
                sum.end_sixteen(s);
            }
        }
        if !x_tail.is_empty() {
            let (x, t) = (s.load_head(x_tail, 0.0), s.load_head(t_tail, 0.0));
            let [value, slope, _] = s.map_compact(Whole(loss), [x, t, step.aux]);
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            let value = s.head(value, x_tail.len());
            let stays = if L::LIGHT {
                step.counts(&mut sum, &mut left, value)
            } else {
                sum.add(s, value);
                if let Some(old) = old.next() {
                    s.store(old, x);
                }
                true
            };
            if stays && GRAD {
                s.store_head(dx_tail, s.mul(slope, step.scale));
            }
        }
        let mut sum = sum.sum(s);
        let again = if L::LIGHT {
            left.any()
        } else {
            wide || leaves(sum)
        };
        if again {
            let block = Block {
                args,
                extra: &Extra::default(),
                range: start..start + count,
            };
            sum = if L::LIGHT {
                sum + block.in_double(s, loss, &[], left.all).apart
            } else {
                block.in_double(s, loss, memory, u64::MAX).whole()
            };
        }
        start += BLOCK;
        total.add(sum);
    }
    if step.stream {
        s.fence();
    }
    total.get()
}

/// What [`plain`] does with vectors.
#[derive(Clone, Copy)]
struct Step<S: Simd, L, const GRAD: bool> {
    s: S,
    loss: L,
    scale: S::F32,
    aux: S::F32,
    /// What the values of a light loss must be less than.
    limit: S::F32,
    /// Whether gradients go past the caches.
    stream: bool,
}

impl<S: Simd, L: Pointwise, const GRAD: bool> Step<S, L, GRAD> {
    /// Of a loss whose formula takes longer than memory: the values.
    #[inline(always)]
    fn heavy(
        self,
        x: &Chunk,
        t: &Chunk,
        dx: &Chunk,
        prepared: Option<&Chunk>,
        old: Option<&Chunk>,
    ) -> S::F32 {
        let s = self.s;
        let x = s.load(x);
        if let Some(old) = old {
            s.store(old, x);
        }
        let [value, slope, _] = match prepared {
            Some(prepared) => s.map(Rest(self.loss), [x, s.load(prepared), s.load(t), self.aux]),
            None => s.map(Whole(self.loss), [x, s.load(t), self.aux]),
        };
        self.store(dx, slope);
        value
    }

    /// Four vectors of a light loss, whose values are never negative. Here a copy of the input costs a third where the gradient
    /// takes its place, and a branch for each vector a tenth.
    #[inline(always)]
    fn four(
        self,
        sum: &mut Fours<S>,
        left: &mut Left,
        x: &[Chunk; FOUR],
        t: &[Chunk; FOUR],
        dx: &[Chunk; FOUR],
    ) {
        let s = self.s;
        let mut slopes = [s.splat(0.0); FOUR];
        let mut values = s.splat(0.0);
        for (((x, t), slope), k) in x.iter().zip(t).zip(&mut slopes).zip(0..) {
            let [value, own, _] = s.map(Whole(self.loss), [s.load(x), s.load(t), self.aux]);
            values = if k == 0 { value } else { s.add(values, value) };
            *slope = own;
        }
        if s.all(s.lt(values, self.limit)) {
            for (dx, slope) in dx.iter().zip(slopes) {
                self.store(dx, slope);
            }
            left.skip(FOUR as u32);
            sum.add_four(s, values);
        } else {
            for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                self.light(sum, left, x, t, dx);
            }
            sum.end_four(s);
        }
    }

    #[inline(always)]
    fn light(self, sum: &mut Fours<S>, left: &mut Left, x: &Chunk, t: &Chunk, dx: &Chunk) {
        let s = self.s;
        let arguments = [s.load(x), s.load(t), self.aux];
        let [value, slope, _] = s.map_compact(Whole(self.loss), arguments);
        if self.counts(sum, left, value) {
            self.store(dx, slope);
        }
    }

    /// Adds the values of a vector, or leaves it.
    #[inline(always)]
    fn counts(self, sum: &mut Fours<S>, left: &mut Left, value: S::F32) -> bool {
        let s = self.s;
        let stays = s.all(s.lt(value, self.limit));
        if stays || s.all(s.lt(value, s.splat(LARGE))) {
            sum.add(s, value);
        }
        left.next(!stays);
        stays
    }

    #[inline(always)]
    fn store(self, dx: &Chunk, slope: S::F32) {
        let s = self.s;
        if GRAD && self.stream {
            s.stream(dx, s.mul(slope, self.scale));
        } else if GRAD {
            s.store(dx, s.mul(slope, self.scale));
        }
    }
}

/// The first of two passes.
#[inline(always)]
pub(super) fn prepare<S: Simd, P: Map<1, 1>>(s: S, first: P, x: &[Chunk], prepared: &[Chunk]) {
    for (x, prepared) in x.iter().zip(prepared) {
        let [p] = s.map(first, [s.load(x)]);
        s.store(prepared, p);
    }
}

/// Any combination of streams and outputs.
#[inline(always)]
fn general<S: Simd, L: Pointwise>(s: S, loss: L, args: &Args, extra: &Extra) -> f64 {
    let zero = s.splat(0.0);
    let slopes = args.dx.is_some() || extra.dt.is_some();
    let wide = slopes && extra.grad_output.is_none() && !fits(args.scale);
    let over = args
        .dx
        .is_some_and(|dx| extra.accumulate || core::ptr::eq(dx, args.x));
    let mut room = Room::new();
    let memory = memory(&mut room, args.x.len(), over);
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let mut floats = Room::<1>::new();
    let floats = args.t.room(&mut floats);
    for block in range.clone().step_by(BLOCK) {
        let end = range.end.min(block + BLOCK);
        let mut sum = Fours::new(s);
        let mut kept = memory.iter();
        // 0 while all gradients are finite, NaN from then on.
        let mut finite = zero;
        let mut at = block;
        while at < end {
            let count = LANES.min(end - at);
            let range = at..at + count;
            let [value, mut gradient, t_gradient] =
                weighted(s, loss, args, extra, at, count, floats);
            // Where nothing is added up the input itself may be written over.
            let mut old = s.load_head(&args.x[range.clone()], 0.0);
            if let Some(dx) = args.dx {
                let dx = &dx[range.clone()];
                if extra.accumulate {
                    old = s.load_head(dx, 0.0);
                    gradient = s.add(old, gradient);
                }
                finite = s.mul_add(gradient, zero, finite);
                s.store_head(dx, gradient);
            }
            if let Some(kept) = kept.next() {
                s.store(kept, old);
            }
            if let Some(dt) = extra.dt {
                finite = s.mul_add(t_gradient, zero, finite);
                s.store_head(&dt[range.clone()], t_gradient);
            }
            if let Some(out) = extra.out {
                s.store_head(&out[range], value);
            }
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            let whole = count == LANES;
            sum.add(s, if whole { value } else { s.head(value, count) });
            at += count;
            if at % (FOUR * LANES) == 0 {
                sum.end_four(s);
            }
            if at % (PASS * LANES) == 0 {
                sum.end_sixteen(s);
            }
        }
        let mut sum = sum.sum(s);
        if wide || leaves(sum + f64::from(s.sum(finite))) {
            let block = Block {
                args,
                extra,
                range: block..end,
            };
            sum = block.in_double(s, loss, memory, u64::MAX).whole();
        }
        total.add(sum);
    }
    total.get()
}

/// Values, gradients by the input and by the target of a vector, weighted: 0 where an element counts for nothing.
#[inline(always)]
fn weighted<S: Simd, L: Pointwise>(
    s: S,
    loss: L,
    args: &Args,
    extra: &Extra,
    at: usize,
    count: usize,
    floats: Cells,
) -> [S::F32; 3] {
    let range = at..at + count;
    let aux = stream_or(s, extra.aux, at, count, args.aux);
    let mut weight = stream_or(s, extra.weight, at, count, 1.0);
    if let Some(own) = extra.sample_weight {
        weight = s.mul(weight, own.load(s, at, count));
    }
    let upstream = match extra.grad_output {
        Some(upstream) => s.load_head(&upstream[range.clone()], 0.0),
        None => s.splat(args.scale as f32),
    };
    let x = s.load_head(&args.x[range], 0.0);
    let t = s.load_head(args.t.block(at, count, floats), 0.0);
    let [value, slope, mut t_slope] = s.map_compact(Whole(loss), [x, t, aux]);
    if L::TARGET_APART && extra.dt.is_some() {
        [t_slope] = s.map_compact(ByTarget(loss), [x, t]);
    }
    let factor = s.mul(weight, upstream);
    let results = [
        s.mul(value, weight),
        s.mul(slope, factor),
        s.mul(t_slope, factor),
    ];
    if extra.marks.is_everything() {
        return results;
    }
    let ignored = s.eq(s.vector(extra.marks.counts(at, count)), s.splat(0.0));
    results.map(|v| s.zero_where(ignored, v))
}

/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;

/// No value counts in single precision that is as large, so that no sum of a block overflows: 1,024 of them are 2¹²⁷.
const LARGE: f32 = f32::from_bits((117 + 127) << 23);

/// Whether the sum of a block has left single precision, or may have.
#[inline(always)]
fn leaves(sum: f64) -> bool {
    sum.is_nan() || sum.abs() >= f64::from(LARGE)
}

/// Whether single precision holds the factor of the gradients with all its digits. A finite derivative that overflows by such a
/// factor is too large for a float.
#[inline(always)]
fn fits(scale: f64) -> bool {
    scale == 0.0 || (scale as f32).is_normal()
}

/// Memory for what a block has where the gradient is written, if that may still be `needed`.
#[inline(always)]
fn memory(room: &mut Room<VECTORS>, elements: usize, needed: bool) -> &[Chunk] {
    let vectors = elements.min(BLOCK).div_ceil(LANES);
    room.zeros(if needed { vectors } else { 0 })
}

/// The vectors of a block that are left to [`Block::in_double`], as bits. Nothing has been stored of them. A call within the loop
/// would cost a tenth, because it takes all registers.
#[derive(Clone, Copy)]
struct Left {
    all: u64,
    next: u64,
}

impl Left {
    #[inline(always)]
    fn new() -> Self {
        Self { all: 0, next: 1 }
    }

    #[inline(always)]
    fn any(self) -> bool {
        self.all != 0
    }

    /// Whether the next vector is left.
    #[inline(always)]
    fn next(&mut self, left: bool) {
        if left {
            self.all |= self.next;
        }
        self.skip(1);
    }

    /// So many vectors are not.
    #[inline(always)]
    fn skip(&mut self, vectors: u32) {
        self.next = self.next.wrapping_shl(vectors);
    }
}

/// A block of a call.
struct Block<'a> {
    args: &'a Args<'a>,
    extra: &'a Extra<'a>,
    range: Range<usize>,
}

/// Sums of some vectors.
struct Sums {
    /// Of those that count in single precision.
    single: f64,
    /// Of the others.
    apart: f64,
}

impl Sums {
    fn whole(self) -> f64 {
        self.single + self.apart
    }
}

impl Block<'_> {
    /// Computes vectors, which are given as bits, once more and those in double precision, by the same formula, whose values or
    /// gradients have left the range of single precision, where (3·10³⁸)² = ∞ and ∞ · 0 is NaN, though the mean, or the product
    /// with a small weight, may be a float. What is finite in single precision stays as it is, so that no element's bits
    /// depend on its neighbours, but for gradients by a factor that does not fit.
    ///
    /// Where the gradient has been written over what is needed, that is in `old`.
    #[cold]
    #[inline(never)]
    fn in_double<S: Simd, L: Pointwise>(self, s: S, loss: L, old: &[Chunk], vectors: u64) -> Sums {
        if let Some(dx) = self.args.dx {
            let dx = dx[self.range.clone()].chunks(LANES);
            for (dx, old) in dx.zip(old) {
                s.store_head(dx, s.load(old));
            }
        }
        s.vectorize(InDouble {
            block: self,
            loss,
            vectors,
        })
    }

    /// Values, gradients by the input and by the target of a vector in single precision. The values are 0 behind its end.
    #[inline(always)]
    fn floats<S: Simd, L: Pointwise>(&self, s: S, loss: L, range: Range<usize>) -> [S::F32; 3] {
        let (args, extra) = (self.args, self.extra);
        let (at, count) = (range.start, range.len());
        let mut floats = Room::<1>::new();
        let floats = args.t.room(&mut floats);
        let [value, mut gradient, t_gradient] = weighted(s, loss, args, extra, at, count, floats);
        if let (true, Some(dx)) = (extra.accumulate, args.dx) {
            gradient = s.add(s.load_head(&dx[range], 0.0), gradient);
        }
        [s.head(value, count), gradient, t_gradient]
    }

    /// Stores what is finite of the floats, and in place of the rest what double precision gives; the sum of the values in that.
    fn doubles<L: Pointwise>(
        &self,
        loss: L,
        range: Range<usize>,
        [values, slopes, t_slopes]: [[f32; LANES]; 3],
    ) -> f64 {
        let (args, extra) = (self.args, self.extra);
        let wide = extra.grad_output.is_none() && !fits(args.scale);
        // The smallest denominators make even a double ∞.
        let scale = args.scale.clamp(-f64::MAX, f64::MAX);
        let stream = |stream: Option<Stream>, i: usize, otherwise: f32| {
            f64::from(stream.map_or(otherwise, |stream| stream.at(i)))
        };
        let set = |output: Option<Cells>, i: usize, float: f32, double: f64, wide: bool| {
            if let Some(output) = output {
                let keep = float.is_finite() && !wide;
                output[i].set(if keep { float } else { double as f32 });
            }
        };
        let counts = extra.marks.counts(range.start, range.len());
        let mut sum = 0.0;
        for (j, i) in range.enumerate() {
            let weight = stream(extra.weight, i, 1.0) * stream(extra.sample_weight, i, 1.0);
            let upstream = extra
                .grad_output
                .map(|upstream| f64::from(upstream[i].get()));
            let factor = weight * upstream.unwrap_or(scale);
            let old = args.dx.filter(|_| extra.accumulate);
            let old = old.map_or(0.0, |dx| f64::from(dx[i].get()));
            let [x, t] = [args.x[i].get(), args.t.at(i)].map(f64::from);
            let aux = stream(extra.aux, i, args.aux);
            let [value, slope, mut t_slope] = match counts[j] {
                0.0 => [0.0; 3],
                _ => Whole(loss).eval(Double, [x, t, aux]),
            };
            if L::TARGET_APART && counts[j] > 0.0 {
                t_slope = loss.by_target(Double, x, t);
            }
            let value = value * weight;
            sum += value;
            set(args.dx, i, slopes[j], old + slope * factor, wide);
            set(extra.dt, i, t_slopes[j], t_slope * factor, wide);
            set(extra.out, i, values[j], value, false);
        }
        sum
    }
}

struct InDouble<'a, L> {
    block: Block<'a>,
    loss: L,
    vectors: u64,
}

impl<L: Pointwise> Kernel for InDouble<'_, L> {
    type Out = Sums;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Sums {
        let Self {
            block,
            loss,
            vectors,
        } = self;
        let mut sum = Fours::new(s);
        let mut apart = 0.0;
        for (k, at) in block.range.clone().step_by(LANES).enumerate() {
            if vectors >> k & 1 == 1 {
                let range = at..block.range.end.min(at + LANES);
                let floats = block.floats(s, loss, range.clone());
                let own = block.doubles(loss, range, floats.map(|floats| s.to_array(floats)));
                if s.all(s.lt(s.abs(floats[0]), s.splat(LARGE))) {
                    sum.add(s, floats[0]);
                } else {
                    apart += own;
                }
            }
            if k % FOUR == FOUR - 1 {
                sum.end_four(s);
            }
            if k % PASS == PASS - 1 {
                sum.end_sixteen(s);
            }
        }
        Sums {
            single: sum.sum(s),
            apart,
        }
    }
}

#[inline(always)]
fn stream_or<S: Simd>(
    s: S,
    stream: Option<Stream>,
    start: usize,
    count: usize,
    otherwise: f32,
) -> S::F32 {
    match stream {
        Some(stream) => stream.load(s, start, count),
        None => s.splat(otherwise),
    }
}
