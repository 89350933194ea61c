//! Losses of one input element and one target element.

use super::SMALL;
use super::stream::Stream;
use crate::loss::{self, Params};
use crate::share::{Share, Total};
use crate::simd::{Cells, Chunk, Double, Kernel, LANES, Lanes, Level, Map, Room, Simd};
use crate::sum::{BLOCK, FOUR, Fours};

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
        args,
        scale: s.splat(args.scale as f32),
        aux: s.splat(args.aux),
        limit: s.splat(limit(GRAD && !fits(args.scale))),
        stream: L::LIGHT && args.x.len() >= STREAM && !core::ptr::eq(args.x, dx),
    };
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    let [x, t, dx] = [args.x, args.t, dx].map(|array| array[range.clone()].chunks(BLOCK));
    for ((x, t), dx) in x.zip(t).zip(dx) {
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
                        step.vector(&mut sum, x, t, dx, Some(prepared));
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
                    step.four(&mut sum, x, t, dx);
                }
                for ((x, t), dx) in x_left.iter().zip(t_left).zip(dx_left) {
                    step.vector(&mut sum, x, t, dx, None);
                }
            }
            if x.len() == PASS {
                sum.end_sixteen(s);
            }
        }
        if !x_tail.is_empty() {
            let (x, t) = (s.load_head(x_tail, 0.0), s.load_head(t_tail, 0.0));
            let [value, slope, _] = s.map_compact(Whole(loss), [x, t, step.aux]);
            let slope = s.mul(slope, step.scale);
            // The loss of (0, 0) in the lanes behind the tail need not be 0.
            let value = s.head(value, x_tail.len());
            if !step.fine(s.abs(value)) {
                step.again(&mut sum, x_tail, t_tail, dx_tail, value, slope);
            } else {
                if GRAD {
                    s.store_head(dx_tail, slope);
                }
                sum.add(s, value);
            }
        }
        total.add(sum.sum(s));
    }
    if step.stream {
        s.fence();
    }
    total.get()
}

/// What [`plain`] does with vectors.
#[derive(Clone, Copy)]
struct Step<'a, S: Simd, L, const GRAD: bool> {
    s: S,
    loss: L,
    args: &'a Args<'a>,
    scale: S::F32,
    aux: S::F32,
    /// See [`limit`].
    limit: S::F32,
    /// Whether gradients go past the caches.
    stream: bool,
}

impl<S: Simd, L: Pointwise, const GRAD: bool> Step<'_, S, L, GRAD> {
    /// Four at once: where memory takes longest, a branch for each takes a tenth more.
    #[inline(always)]
    fn four(self, sum: &mut Fours<S>, x: &[Chunk; FOUR], t: &[Chunk; FOUR], dx: &[Chunk; FOUR]) {
        let s = self.s;
        if !L::LIGHT {
            for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                self.vector(sum, x, t, dx, None);
            }
            return sum.end_four(s);
        }
        let mut slopes = [s.splat(0.0); FOUR];
        let mut values = s.splat(0.0);
        for (((x, t), slope), k) in x.iter().zip(t).zip(&mut slopes).zip(0..) {
            let [value, own, _] = s.map(Whole(self.loss), [s.load(x), s.load(t), self.aux]);
            values = if k == 0 { value } else { s.add(values, value) };
            *slope = own;
        }
        // Light losses are never negative.
        if self.fine(values) {
            for (dx, slope) in dx.iter().zip(slopes) {
                self.store(dx, s.mul(slope, self.scale));
            }
            sum.add_four(s, values);
        } else {
            for ((x, t), dx) in x.iter().zip(t).zip(dx) {
                self.vector(sum, x, t, dx, None);
            }
            sum.end_four(s);
        }
    }

    #[inline(always)]
    fn vector(
        self,
        sum: &mut Fours<S>,
        x: &Chunk,
        t: &Chunk,
        dx: &Chunk,
        prepared: Option<&Chunk>,
    ) {
        let s = self.s;
        let [value, slope, _] = match prepared {
            Some(prepared) => {
                let arguments = [s.load(x), s.load(prepared), s.load(t), self.aux];
                s.map(Rest(self.loss), arguments)
            }
            None => s.map(Whole(self.loss), [s.load(x), s.load(t), self.aux]),
        };
        let slope = s.mul(slope, self.scale);
        if self.fine(s.abs(value)) {
            self.store(dx, slope);
            sum.add(s, value);
        } else {
            self.again(sum, x, t, dx, value, slope);
        }
    }

    #[inline(always)]
    fn store(self, dx: &Chunk, gradient: S::F32) {
        if GRAD && self.stream {
            self.s.stream(dx, gradient);
        } else if GRAD {
            self.s.store(dx, gradient);
        }
    }

    #[inline(always)]
    fn fine(self, sizes: S::F32) -> bool {
        self.s.all(self.s.lt(sizes, self.limit))
    }

    /// Stores and adds in double precision.
    #[inline(always)]
    fn again(
        self,
        sum: &mut Fours<S>,
        x: Cells,
        t: Cells,
        dx: Cells,
        value: S::F32,
        slope: S::F32,
    ) {
        let s = self.s;
        let vector = Vector {
            x,
            t,
            dx: GRAD.then_some(dx),
            dt: None,
            out: None,
            at: 0,
        };
        let zeros = [0.0; LANES];
        let floats = [s.to_array(value), s.to_array(slope), zeros];
        let sums = vector.in_double(self.loss, self.args, &Extra::default(), floats);
        sum.add_apart(s, value, sums);
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
    let limit = s.splat(limit(wide));
    let mut total = Total::new(args.share, args.sum);
    let range = args.share.elements(BLOCK, args.x.len());
    for block in range.clone().step_by(BLOCK) {
        let end = range.end.min(block + BLOCK);
        let mut sum = Fours::new(s);
        let mut at = block;
        while at < end {
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
            // A gradient that is not finite makes this NaN.
            let mut probe = value;
            let (mut gradient, mut t_gradient) = (zero, zero);
            if let Some(dx) = args.dx {
                gradient = s.mul(slope, factor);
                if extra.accumulate {
                    gradient = s.add(s.load_head(&dx[range.clone()], 0.0), gradient);
                }
                probe = s.mul_add(gradient, zero, probe);
            }
            if extra.dt.is_some() {
                t_gradient = s.mul(t_slope, factor);
                probe = s.mul_add(t_gradient, zero, probe);
            }
            let own = s.head(value, count);
            if s.all(s.lt(s.abs(s.head(probe, count)), limit)) {
                if let Some(dx) = args.dx {
                    s.store_head(&dx[range.clone()], gradient);
                }
                if let Some(dt) = extra.dt {
                    s.store_head(&dt[range.clone()], t_gradient);
                }
                if let Some(out) = extra.out {
                    s.store_head(&out[range], value);
                }
                sum.add(s, own);
            } else {
                let vector = Vector {
                    x: &args.x[range.clone()],
                    t: &args.t[range.clone()],
                    dx: args.dx.map(|dx| &dx[range.clone()]),
                    dt: extra.dt.map(|dt| &dt[range.clone()]),
                    out: extra.out.map(|out| &out[range.clone()]),
                    at,
                };
                let floats = [own, gradient, t_gradient].map(|v| s.to_array(v));
                sum.add_apart(s, own, vector.in_double(loss, args, extra, floats));
            }
            at += count;
            if at % (FOUR * LANES) == 0 {
                sum.end_four(s);
            }
            if at % (PASS * LANES) == 0 {
                sum.end_sixteen(s);
            }
        }
        total.add(sum.sum(s));
    }
    total.get()
}

/// No value counts in single precision that is as large, so that no sum of a block overflows: 1,024 of them are 2¹²⁷.
const LARGE: f32 = f32::from_bits((117 + 127) << 23);

/// What a vector's values are compared with, to tell whether it must be computed again. All must be where the gradients have a
/// factor that is too `wide` for single precision.
#[inline(always)]
fn limit(wide: bool) -> f32 {
    if wide { -1.0 } else { LARGE }
}

/// Whether single precision holds the factor of the gradients with all its digits. A finite derivative that overflows by such a
/// factor is too large for a float.
#[inline(always)]
fn fits(scale: f64) -> bool {
    scale == 0.0 || (scale as f32).is_normal()
}

/// The elements of a vector whose values or gradients have left the range of single precision, where (3·10³⁸)² = ∞ and ∞ · 0 is
/// NaN, though its mean, or its product with a small weight, may be a float.
struct Vector<'a> {
    x: Cells<'a>,
    t: Cells<'a>,
    dx: Option<Cells<'a>>,
    dt: Option<Cells<'a>>,
    out: Option<Cells<'a>>,
    /// Index of the first in the streams.
    at: usize,
}

impl Vector<'_> {
    /// Computes them in double precision, by the same formula. Of the values, gradients by the input and by the target in single
    /// precision, what is finite is stored as it is, so that no element's bits depend on its neighbours, but for gradients by a
    /// factor that does not fit.
    ///
    /// The sum of the values, unless single precision will do.
    #[cold]
    #[inline(never)]
    fn in_double<L: Pointwise>(
        self,
        loss: L,
        args: &Args,
        extra: &Extra,
        [values, slopes, t_slopes]: [[f32; LANES]; 3],
    ) -> Option<f64> {
        let wide = extra.grad_output.is_none() && !fits(args.scale);
        // The smallest denominators make even a double ∞.
        let scale = args.scale.clamp(-f64::MAX, f64::MAX);
        let stream = |stream: Option<Stream>, i: usize, otherwise: f32| {
            f64::from(stream.map_or(otherwise, |stream| stream.at(i)))
        };
        let set = |output: Option<Cells>, j: usize, float: f32, double: f64, wide: bool| {
            if let Some(output) = output {
                let keep = float.is_finite() && !wide;
                output[j].set(if keep { float } else { double as f32 });
            }
        };
        let mut sum = 0.0;
        let mut large = false;
        for (j, (x, t)) in self.x.iter().zip(self.t).enumerate() {
            let i = self.at + j;
            let weight = stream(extra.weight, i, 1.0);
            let upstream = extra
                .grad_output
                .map(|upstream| f64::from(upstream[i].get()));
            let factor = weight * upstream.unwrap_or(scale);
            let old = if extra.accumulate { self.dx } else { None };
            let old = old.map_or(0.0, |dx| f64::from(dx[j].get()));
            let arguments = [
                f64::from(x.get()),
                f64::from(t.get()),
                stream(extra.aux, i, args.aux),
            ];
            let [value, slope, t_slope] = Whole(loss).eval(Double, arguments);
            let value = value * weight;
            sum += value;
            large |= !(values[j].abs() < LARGE);
            set(self.dx, j, slopes[j], old + slope * factor, wide);
            set(self.dt, j, t_slopes[j], t_slope * factor, wide);
            set(self.out, j, values[j], value, false);
        }
        large.then_some(sum)
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
