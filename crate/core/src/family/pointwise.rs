//! Losses of one input element and one target element.
//!
//! A loop computes a block in single precision: values by fours, whose sums say at the block's end whether one of them has left the
//! range of floats, though the result of the call may be one. [`Block::in_double`] computes the elements of such a four, and
//! gradients that are not finite, again in double precision. It needs the input: where the gradient goes over that, light losses
//! look at the sum of a four before they store its gradients, and the others, like the general loop, keep a copy.
//! `extreme.test.ts` tries all of them.

use super::SMALL;
use super::positions::{Positions, Values};
use super::stream::Stream;
use crate::loss::{self, Params};
use crate::share::{Share, Total};
use crate::simd::{Cells, Chunk, Double, Kernel, LANES, Lanes, Level, Map, Room, Scalar, Simd};
use crate::sum::{BLOCK, FOUR, Fours, LARGE, sum_of_fours};
use core::cell::Cell;
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
    // By reference: a copy of the arguments takes 10 ns, half of what 16 elements take.
    loss::pointwise(level, op, &args)
}

/// Each loop is a kernel, and so a function, of its own: in one large function engines of WebAssembly keep even sums in memory.
pub(crate) fn run<L: Pointwise>(level: Level, loss: L, args: &Args) -> f64 {
    match (&args.extra, args.dx) {
        (Some(extra), _) => level.run(General { loss, args, extra }),
        (None, Some(_)) if !fits(args.scale) => {
            let extra = &Extra::default();
            level.run(General { loss, args, extra })
        }
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
        plain::<S, L, GRAD>(s, self.loss, self.args, self.dx)
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
    let old = room(&mut old, x.len(), over && !L::LIGHT);
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
        if L::LIGHT && over {
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
                old,
                large,
                held: L::LIGHT && over,
            };
            sum += block.in_double(loss);
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
                if !L::LIGHT
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
                if !L::LIGHT
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
    let mut old = Room::<VECTORS>::new();
    let old = room(&mut old, args.x.len(), over);
    let mut fours = Fours::new();
    let fours = fours.zeros(args.x.len().min(BLOCK).div_ceil(FOUR * LANES));
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let mut floats = Room::<1>::new();
    let floats = args.t.room(&mut floats);
    for block in range.clone().step_by(BLOCK) {
        let end = range.end.min(block + BLOCK);
        let fours = &fours[..(end - block).div_ceil(FOUR * LANES)];
        let mut four = zero;
        let mut kept = old.iter();
        // 0 while all gradients are finite, NaN from then on.
        let mut finite = zero;
        let mut at = block;
        while at < end {
            let count = LANES.min(end - at);
            let range = at..at + count;
            let [value, mut gradient, t_gradient] =
                weighted(s, loss, args, extra, at, count, floats);
            // Where nothing is added up the input itself may be written over.
            let mut before = s.load_head(&args.x[range.clone()], 0.0);
            if let Some(dx) = args.dx {
                let dx = &dx[range.clone()];
                if extra.accumulate {
                    before = s.load_head(dx, 0.0);
                    gradient = s.add(before, gradient);
                }
                finite = s.mul_add(gradient, zero, finite);
                s.store_head(dx, gradient);
            }
            if let Some(kept) = kept.next() {
                s.store(kept, before);
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
            four = s.add(four, if whole { value } else { s.head(value, count) });
            at += count;
            if at % (FOUR * LANES) == 0 || at == end {
                s.store(&fours[(at - block).div_ceil(FOUR * LANES) - 1], four);
                four = zero;
            }
        }
        let (mut sum, large) = sum_of_fours(s, fours, false);
        if large != 0 || wide || s.sum(finite).is_nan() {
            let block = Block {
                args,
                extra,
                range: block..end,
                old,
                large,
                held: false,
            };
            sum += block.in_double(loss);
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

/// Whether single precision holds the factor of the gradients with all its digits. A finite derivative that overflows by such a
/// factor is too large for a float.
#[inline(always)]
fn fits(scale: f64) -> bool {
    scale == 0.0 || (scale as f32).is_normal()
}

/// Memory for what a block has where the gradient is written, if that may still be `needed`.
#[inline(always)]
fn room(room: &mut Room<VECTORS>, elements: usize, needed: bool) -> &[Chunk] {
    let vectors = elements.min(BLOCK).div_ceil(LANES);
    room.zeros(if needed { vectors } else { 0 })
}

/// A block of a call whose numbers have left the range of single precision.
struct Block<'a> {
    args: &'a Args<'a>,
    extra: &'a Extra<'a>,
    range: Range<usize>,
    /// What the gradient has been written over, where it is needed.
    old: &'a [Chunk],
    /// The fours that are left out of the sum, as bits.
    large: u32,
    /// Whether the gradients of these have not been stored.
    held: bool,
}

impl Block<'_> {
    /// Computes in double precision, by the same formula, what is not finite in single, where (3·10³⁸)² = ∞ and ∞ · 0 is NaN,
    /// though the mean, or the product with a small weight, may be a float. The sum of the fours left out.
    ///
    /// What is finite in single precision stays as it is, so that no element's bits depend on its neighbours, but for gradients by
    /// a factor that does not fit.
    #[cold]
    #[inline(never)]
    fn in_double<L: Pointwise>(self, loss: L) -> f64 {
        let (args, extra) = (self.args, self.extra);
        let wide = extra.grad_output.is_none() && !fits(args.scale);
        // The smallest denominators make even a double ∞.
        let scale = args.scale.clamp(-f64::MAX, f64::MAX);
        let stream = |stream: Option<Stream>, i: usize, otherwise: f32| {
            stream.map_or(otherwise, |stream| stream.at(i))
        };
        let old = self.old.as_flattened();
        let mut sum = 0.0;
        for (k, at) in self.range.clone().step_by(LANES).enumerate() {
            let range = at..self.range.end.min(at + LANES);
            let large = self.large >> (k / FOUR) & 1 == 1;
            let counts = extra.marks.counts(at, range.len());
            let mut own = 0.0;
            for (j, i) in range.enumerate() {
                let kept = old.get(k * LANES + j).map(Cell::get);
                let x = kept
                    .filter(|_| !extra.accumulate)
                    .unwrap_or(args.x[i].get());
                let (t, aux) = (args.t.at(i), stream(extra.aux, i, args.aux));
                if L::LIGHT
                    && self.held
                    && large
                    && let Some(dx) = args.dx
                {
                    let [_, slope, _] = Whole(loss).eval(Scalar::<1>, [[x], [t], [aux]]);
                    dx[i].set(slope[0] * args.scale as f32);
                }
                let lost = |output: Option<Cells>, wide| {
                    output.is_some_and(|output| wide || !output[i].get().is_finite())
                };
                let [dx, dt, out] = [
                    lost(args.dx, wide),
                    lost(extra.dt, wide),
                    lost(extra.out, false),
                ];
                if !(large || dx || dt || out) {
                    continue;
                }
                let [x, t, aux] = [x, t, aux].map(f64::from);
                let [value, slope, mut t_slope] = match counts[j] {
                    0.0 => [0.0; 3],
                    _ => Whole(loss).eval(Double, [x, t, aux]),
                };
                if L::TARGET_APART && counts[j] > 0.0 {
                    t_slope = loss.by_target(Double, x, t);
                }
                let [weight, sample_weight] = [extra.weight, extra.sample_weight]
                    .map(|weight| f64::from(stream(weight, i, 1.0)));
                let weight = weight * sample_weight;
                let upstream = extra
                    .grad_output
                    .map(|upstream| f64::from(upstream[i].get()));
                let factor = weight * upstream.unwrap_or(scale);
                let before = kept.filter(|_| extra.accumulate).map_or(0.0, f64::from);
                let set = |output: Option<Cells>, lost: bool, double: f64| {
                    if let (true, Some(output)) = (lost, output) {
                        output[i].set(double as f32);
                    }
                };
                set(args.dx, dx, before + slope * factor);
                set(extra.dt, dt, t_slope * factor);
                set(extra.out, out, value * weight);
                own += value * weight;
            }
            if large {
                sum += own;
            }
        }
        sum
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
