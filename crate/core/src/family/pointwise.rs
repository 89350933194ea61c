//! Losses of one input element and one target element.

use super::SMALL;
use super::positions::{Positions, Values};
use super::stream::Stream;
use crate::loss::{self, Params};
use crate::share::{Share, Total};
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Level, Map, Room, Simd};
use crate::sum::BLOCK;

/// Vectors of one pass: 256 elements.
pub(super) const PASS: usize = 16;

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
    pub t: Values<'a>,
    /// Gradient by the input; may be the same memory as `x`.
    pub dx: Option<Cells<'a>>,
    /// Factor of the gradients: the upstream gradient over the denominator of `mean`.
    pub scale: f32,
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
    let formula = Whole(loss);
    let scale = s.splat(args.scale);
    let aux = s.splat(args.aux);
    let stream = L::LIGHT && args.x.len() >= STREAM && !core::ptr::eq(args.x, dx);
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let mut floats = Room::<{ BLOCK / LANES }>::new();
    let floats = args.t.room(&mut floats);
    let [x, dx] = [args.x, dx].map(|array| array[range.clone()].chunks(BLOCK));
    for (b, (x, dx)) in x.zip(dx).enumerate() {
        let t = args.t.block(range.start + b * BLOCK, x.len(), floats);
        let mut lanes = s.splat(0.0);
        let (x, x_tail) = x.as_chunks::<LANES>();
        let (t, t_tail) = t.as_chunks::<LANES>();
        let (dx, dx_tail) = dx.as_chunks::<LANES>();
        if L::PREPARES {
            let mut prepared = Room::<PASS>::new();
            let prepared = prepared.zeros(PASS.min(x.len()));
            for ((x, t), dx) in x.chunks(PASS).zip(t.chunks(PASS)).zip(dx.chunks(PASS)) {
                prepare(s, Prepare(loss), x, prepared);
                for (((x, t), dx), prepared) in x.iter().zip(t).zip(dx).zip(prepared) {
                    let arguments = [s.load(x), s.load(prepared), s.load(t), aux];
                    let [value, slope, _] = s.map(Rest(loss), arguments);
                    if GRAD {
                        s.store(dx, s.mul(slope, scale));
                    }
                    lanes = s.add(lanes, value);
                }
            }
        } else {
            for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                let [value, slope, _] = s.map(formula, [s.load(x), s.load(t), aux]);
                if GRAD && stream {
                    s.stream(dx, s.mul(slope, scale));
                } else if GRAD {
                    s.store(dx, s.mul(slope, scale));
                }
                lanes = s.add(lanes, value);
            }
        }
        if !x_tail.is_empty() {
            let (x, t) = (s.load_head(x_tail, 0.0), s.load_head(t_tail, 0.0));
            let [value, slope, _] = s.map_compact(formula, [x, t, aux]);
            if GRAD {
                s.store_head(dx_tail, s.mul(slope, scale));
            }
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            lanes = s.add(lanes, s.head(value, x_tail.len()));
        }
        total.add(f64::from(s.sum(lanes)));
    }
    if stream {
        s.fence();
    }
    total.get()
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
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let mut floats = Room::<1>::new();
    let floats = args.t.room(&mut floats);
    for block in range.clone().step_by(BLOCK) {
        let end = range.end.min(block + BLOCK);
        let mut lanes = s.splat(0.0);
        let mut at = block;
        while at < end {
            let count = LANES.min(end - at);
            let range = at..at + count;
            let aux = stream_or(s, extra.aux, at, count, args.aux);
            let mut weight = stream_or(s, extra.weight, at, count, 1.0);
            if let Some(own) = extra.sample_weight {
                weight = s.mul(weight, own.load(s, at, count));
            }
            let upstream = match extra.grad_output {
                Some(upstream) => s.load_head(&upstream[range.clone()], 0.0),
                None => s.splat(args.scale),
            };
            let x = s.load_head(&args.x[range.clone()], 0.0);
            let t = s.load_head(args.t.block(at, count, floats), 0.0);
            let [value, slope, t_slope] = s.map_compact(Whole(loss), [x, t, aux]);
            let mut value = s.mul(value, weight);
            let factor = s.mul(weight, upstream);
            let [mut gradient, mut t_gradient] = [slope, t_slope].map(|slope| s.mul(slope, factor));
            if !extra.marks.is_everything() {
                let counts = s.vector(extra.marks.counts(at, count));
                let ignored = s.eq(counts, s.splat(0.0));
                [value, gradient, t_gradient] =
                    [value, gradient, t_gradient].map(|v| s.zero_where(ignored, v));
            }
            if let Some(dx) = args.dx {
                let dx = &dx[range.clone()];
                if extra.accumulate {
                    gradient = s.add(s.load_head(dx, 0.0), gradient);
                }
                s.store_head(dx, gradient);
            }
            if let Some(dt) = extra.dt {
                s.store_head(&dt[range.clone()], t_gradient);
            }
            if let Some(out) = extra.out {
                s.store_head(&out[range], value);
            }
            lanes = s.add(lanes, s.head(value, count));
            at += count;
        }
        total.add(f64::from(s.sum(lanes)));
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
