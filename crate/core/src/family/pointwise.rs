//! Losses of one input element and one target element.

use super::SMALL;
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
    pub t: Cells<'a>,
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
            fits(extra.grad_output) && fits(extra.dt) && fits(extra.out),
            "a slice of another length than x"
        );
        for stream in [extra.weight, extra.aux].into_iter().flatten() {
            assert!(
                !stream.values.is_empty() && stream.inner > 0,
                "an empty stream"
            );
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
    let step = Step::<S, L, GRAD> {
        s,
        loss,
        scale: s.splat(args.scale as f32),
        aux: s.splat(args.aux),
        stream: L::LIGHT && args.x.len() >= STREAM && !core::ptr::eq(args.x, dx),
    };
    let wide = GRAD && !fits(args.scale);
    let mut room = Room::new();
    let before = Before::new(&mut room, args.x.len(), GRAD && core::ptr::eq(args.x, dx));
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let [x, t, dx] = [args.x, args.t, dx].map(|array| array[range.clone()].chunks(BLOCK));
    for (block, ((x, t), dx)) in range.clone().step_by(BLOCK).zip(x.zip(t).zip(dx)) {
        before.keep(s, x);
        let mut sum = Fours::new(s);
        let (x, x_tail) = x.as_chunks::<LANES>();
        let (t, t_tail) = t.as_chunks::<LANES>();
        let (dx, dx_tail) = dx.as_chunks::<LANES>();
        let mut prepared = Room::<PASS>::new();
        let prepared = prepared.zeros(if L::PREPARES { PASS.min(x.len()) } else { 0 });
        for ((x, t), dx) in x.chunks(PASS).zip(t.chunks(PASS)).zip(dx.chunks(PASS)) {
            if L::PREPARES {
                prepare(s, Prepare(loss), x, prepared);
                let fours = x.chunks(FOUR).zip(t.chunks(FOUR)).zip(dx.chunks(FOUR));
                for (((x, t), dx), prepared) in fours.zip(prepared.chunks(FOUR)) {
                    for (((x, t), dx), prepared) in x.iter().zip(t).zip(dx).zip(prepared) {
                        sum.add(s, step.rest(x, prepared, t, dx));
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
                    for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                        sum.add(s, step.whole(x, t, dx));
                    }
                    sum.end_four(s);
                }
                for ((x, t), dx) in x_left.iter().zip(t_left).zip(dx_left) {
                    sum.add(s, step.whole(x, t, dx));
                }
            }
            if x.len() == PASS {
                sum.end_sixteen(s);
            }
        }
        if !x_tail.is_empty() {
            let (x, t) = (s.load_head(x_tail, 0.0), s.load_head(t_tail, 0.0));
            let [value, slope, _] = s.map_compact(Whole(loss), [x, t, step.aux]);
            if GRAD {
                s.store_head(dx_tail, s.mul(slope, step.scale));
            }
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            sum.add(s, s.head(value, x_tail.len()));
        }
        let mut sum = f64::from(sum.sum(s));
        if wide || !sum.is_finite() {
            let end = range.end.min(block + BLOCK);
            sum = in_double(loss, args, block..end, before.memory, sum);
        }
        total.add(sum);
    }
    if step.stream {
        s.fence();
    }
    total.get()
}

/// What [`plain`] does with a vector: it gives the values and stores the gradient.
#[derive(Clone, Copy)]
struct Step<S: Simd, L, const GRAD: bool> {
    s: S,
    loss: L,
    scale: S::F32,
    aux: S::F32,
    /// Whether gradients go past the caches.
    stream: bool,
}

impl<S: Simd, L: Pointwise, const GRAD: bool> Step<S, L, GRAD> {
    #[inline(always)]
    fn whole(self, x: &Chunk, t: &Chunk, dx: &Chunk) -> S::F32 {
        let s = self.s;
        let [value, slope, _] = s.map(Whole(self.loss), [s.load(x), s.load(t), self.aux]);
        self.store(dx, slope);
        value
    }

    /// After the first of two passes.
    #[inline(always)]
    fn rest(self, x: &Chunk, prepared: &Chunk, t: &Chunk, dx: &Chunk) -> S::F32 {
        let s = self.s;
        let arguments = [s.load(x), s.load(prepared), s.load(t), self.aux];
        let [value, slope, _] = s.map(Rest(self.loss), arguments);
        self.store(dx, slope);
        value
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

/// Whether single precision holds the factor of the gradients with all its digits. Then a gradient that overflows by it is too large
/// for a float.
#[inline(always)]
fn fits(scale: f64) -> bool {
    scale == 0.0 || scale.is_nan() || (scale as f32).is_normal()
}

/// What was in a block of memory that is written over while it may still be needed.
#[derive(Clone, Copy)]
struct Before<'a> {
    memory: Option<&'a [Chunk]>,
}

impl<'a> Before<'a> {
    #[inline(always)]
    fn new(room: &'a mut Room<{ BLOCK / LANES }>, elements: usize, needed: bool) -> Self {
        let vectors = elements.min(BLOCK).div_ceil(LANES);
        Self {
            memory: needed.then(|| room.zeros(vectors)),
        }
    }

    #[inline(always)]
    fn keep<S: Simd>(self, s: S, block: Cells) {
        let Some(memory) = self.memory else { return };
        let (vectors, tail) = block.as_chunks::<LANES>();
        for (to, from) in memory.iter().zip(vectors) {
            s.store(to, s.load(from));
        }
        if !tail.is_empty() {
            s.store(&memory[vectors.len()], s.load_head(tail, 0.0));
        }
    }
}

/// A block of which something has left the range of single precision, or seems to: all of it again by the same formula in
/// double precision. What was finite in the outputs stays, so that no bit depends on an element's neighbours, but for gradients
/// by a factor that single precision does not hold. What the block had in `dx` is in `before`, if `dx` was read too.
///
/// The sum of the block, which is `sum` if that is finite.
#[cold]
#[inline(never)]
fn in_double<L: Pointwise>(
    loss: L,
    args: &Args,
    block: Range<usize>,
    before: Option<&[Chunk]>,
    sum: f64,
) -> f64 {
    let extra = args.extra.unwrap_or_default();
    let before = before.map(<[Chunk]>::as_flattened);
    let at = |stream: Option<Stream>, i: usize, otherwise: f32| {
        f64::from(stream.map_or(otherwise, |stream| stream.at(i)))
    };
    // Of a finite upstream gradient by the smallest of denominators.
    let scale = args.scale.clamp(-f64::MAX, f64::MAX);
    let all = extra.grad_output.is_none() && !fits(args.scale);
    let set = |to: Option<Cells>, i: usize, value: f64, all: bool| {
        if let Some(to) = to
            && (all || !to[i].get().is_finite())
        {
            to[i].set(value as f32);
        }
    };
    let mut again = 0.0;
    for i in block.clone() {
        let old = before.map_or(0.0, |before| before[i - block.start].get());
        let (x, sum) = match before {
            Some(_) if extra.accumulate => (args.x[i].get(), old),
            Some(_) => (old, 0.0),
            None => (args.x[i].get(), 0.0),
        };
        let arguments = [x, args.t[i].get()].map(f64::from);
        let aux = at(extra.aux, i, args.aux);
        let weight = at(extra.weight, i, 1.0);
        let upstream = extra
            .grad_output
            .map_or(scale, |upstream| f64::from(upstream[i].get()));
        let [value, slope, t_slope] = Whole(loss).eval(Double, [arguments[0], arguments[1], aux]);
        let (value, factor) = (value * weight, weight * upstream);
        again += value;
        set(args.dx, i, f64::from(sum) + slope * factor, all);
        set(extra.dt, i, t_slope * factor, all);
        set(extra.out, i, value, false);
    }
    if sum.is_finite() { sum } else { again }
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
        .filter(|dx| extra.accumulate || core::ptr::eq(*dx, args.x));
    let mut room = Room::new();
    let before = Before::new(&mut room, args.x.len(), over.is_some());
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    for block in range.clone().step_by(BLOCK) {
        let end = range.end.min(block + BLOCK);
        if let Some(over) = over {
            before.keep(s, &over[block..end]);
        }
        let mut sum = Fours::new(s);
        // 0 while all gradients are finite, NaN from then on.
        let mut finite = zero;
        for (k, at) in (block..end).step_by(LANES).enumerate() {
            let count = LANES.min(end - at);
            let range = at..at + count;
            let aux = stream_or(s, extra.aux, at, count, args.aux);
            let weight = stream_or(s, extra.weight, at, count, 1.0);
            let upstream = match extra.grad_output {
                Some(upstream) => s.load_head(&upstream[range.clone()], 0.0),
                None => s.splat(args.scale as f32),
            };
            let x = s.load_head(&args.x[range.clone()], 0.0);
            let t = s.load_head(&args.t[range.clone()], 0.0);
            let [value, slope, t_slope] = s.map_compact(Whole(loss), [x, t, aux]);
            let value = s.mul(value, weight);
            let factor = s.mul(weight, upstream);
            if let Some(dx) = args.dx {
                let dx = &dx[range.clone()];
                let mut gradient = s.mul(slope, factor);
                if extra.accumulate {
                    gradient = s.add(s.load_head(dx, 0.0), gradient);
                }
                finite = s.add(finite, s.mul(gradient, zero));
                s.store_head(dx, gradient);
            }
            if let Some(dt) = extra.dt {
                let gradient = s.mul(t_slope, factor);
                finite = s.add(finite, s.mul(gradient, zero));
                s.store_head(&dt[range.clone()], gradient);
            }
            if let Some(out) = extra.out {
                s.store_head(&out[range], value);
            }
            sum.add(s, s.head(value, count));
            if k % FOUR == FOUR - 1 {
                sum.end_four(s);
            }
            if k % PASS == PASS - 1 {
                sum.end_sixteen(s);
            }
        }
        let mut sum = f64::from(sum.sum(s));
        if wide || !(sum + f64::from(s.sum(finite))).is_finite() {
            sum = in_double(loss, args, block..end, before.memory, sum);
        }
        total.add(sum);
    }
    total.get()
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
