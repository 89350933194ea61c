//! Losses of one input element and one target element.
//!
//! A call without options runs [`plain`], a loop of the loss's own: memory in, memory out. Any other runs [`general`]: block by block
//! the loss fills scratch with values and derivatives ([`Formula::fill`]), and one loop that all losses share weighs, masks, adds up
//! and stores them.
//!
//! Both compute in single precision. What leaves its range, though the result of the call may be a float, is computed
//! again by the same formula in double precision ([`double`]). `extreme.test.ts` tries all of them.

mod call;
mod double;
mod general;
mod plain;

use super::Params;
use crate::layout::positions::{Positions, Values};
use crate::layout::stream::Stream;
use crate::share::Share;
use crate::simd::{Cells, Chunk, LANES, Lanes, Map, Room, Simd, once};
use crate::sum::{BLOCK, FOUR};

pub use call::Run;
pub(crate) use call::{FIELDS, NUMBERS, call, run};

/// Vectors of one pass: 256 elements, which are four fours in the order of summation.
pub(super) const PASS: usize = FOUR * FOUR;

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

    /// Whether a call with other parameters than those of [`Pointwise::eval_defaults`] is so rare that it has no loop of its own.
    const DEFAULTS_ONLY: bool = false;

    /// Whether [`Pointwise::eval_defaults`] gives the same as `eval`, since parameters have their defaults, or usual values.
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
    pub extra: Option<&'a Extra<'a>>,
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

/// Vectors of a block.
const VECTORS: usize = BLOCK / LANES;

/// Memory for what a block has where the gradient is written, if that may still be `needed`.
#[inline(always)]
fn room(room: &mut Room<VECTORS>, elements: usize, needed: bool) -> &[Chunk] {
    let vectors = elements.min(BLOCK).div_ceil(LANES);
    room.zeros(if needed { vectors } else { 0 })
}

/// The first of two passes.
#[inline(always)]
pub(super) fn prepare<S: Simd, P: Map<1, 1>>(s: S, first: P, x: &[Chunk], prepared: &[Chunk]) {
    let parts = once::<S>(S::PARTS);
    for (x, prepared) in x.iter().zip(prepared) {
        for part in 0..parts {
            let [p] = s.map_part(first, [s.load_part(x, part)]);
            s.store_part(prepared, part, p);
        }
    }
}
