//! Losses of whole planes: three sums of the prediction p and the target y over all positions of a sample and a class. What a
//! loss makes of its sums is a few numbers per plane, and the caller's part; so is the gradient by p, which for every such
//! loss is a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p with three numbers per plane. The activation from `x` to p is done here, in both passes,
//! and so may be a loss of the same scores, whose exponentials then serve both.
//!
//! The sums are those of what both have, p·y, and of what only one has, p·(1 − y) and (1 − p)·y: terms of one sign, of which a
//! loss keeps its digits where the prediction is nearly the target. Sums of p and of y are nearly the same there, and their
//! difference has none left. For the same reason 1 − p comes from the activation, not from p.

use crate::layout::axis::{Axis, Block, Tile, mark};
mod call;

use super::Params;
use super::pointwise::{PASS, Pointwise, prepare};
use super::softmax::tiles::{self, Exponents, KEPT, Normal, Numbers, blocks, kept, memory};
use super::softmax::{Scale, Softmax};
use crate::layout::positions::{NOTHING, Positions, Values};
use crate::math::sigmoid::{sigmoid, tail};
use crate::share::Share;
use crate::simd::{Cells, Chunk, Kernel, LANES, Lanes, Level, Map, Room, SMALL, Simd, cells};
use crate::sum::BLOCK;
use core::cell::Cell;
use core::ops::Range;

pub(crate) use call::{FIELDS, NUMBERS, run as call};

/// Numbers of a plane, both of the sums (Σ p·(1 − y), Σ (1 − p)·y, Σ p·y, or of squares Σ (p − y)², Σ y², Σ p·y) and of the
/// gradient (a, k, b).
pub const EACH: usize = 3;

/// From scores to probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// The scores are probabilities.
    None,
    /// Each score by itself.
    Sigmoid,
    /// Over the classes.
    Softmax,
    /// What a pass of sums with [`Activation::Sigmoid`] has kept.
    Kept,
}

impl Activation {
    /// 0 to 3 in this order, as the bindings say it.
    #[must_use]
    pub fn from_number(number: usize) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Sigmoid,
            2 => Self::Softmax,
            _ => Self::Kept,
        }
    }
}

/// One call.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// Scores.
    pub x: Cells<'a>,
    /// Target in the shape of `x`; without it the target is 1 at each position's label and 0 elsewhere.
    pub target: Option<Values<'a>>,
    /// Which positions count and, where there is no other target, their classes.
    pub marks: Positions<'a>,
    /// Classes.
    pub classes: usize,
    /// Positions of a sample.
    pub positions: usize,
    /// Whether the classes of a position are neighbours.
    pub classes_last: bool,
    /// From `x` to p.
    pub activation: Activation,
    /// Whether the loss is one of squares: Σ (p − y)² and Σ y² take the place of the first two sums.
    pub squared: bool,
    /// Another loss of the same scores.
    pub part: Option<Part<'a>>,
    /// Which blocks to compute. The sums of a block are [`Args::sums_of_unit`] numbers, see [`add_up`].
    pub share: Share<'a>,
}

/// The loops of a region that takes a loss along, with the scalar parameters of that.
pub type PartRun = fn(Level, Params, Args, Pass) -> f64;

/// A loss that is computed in the same passes.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    /// Its loops.
    pub run: PartRun,
    /// Its scalar parameters.
    pub params: Params,
    /// Its extra parameter, where it is one number.
    pub aux: f32,
    /// The same per class.
    pub auxs: Option<Cells<'a>>,
    /// Weight of each class.
    pub weight: Option<Cells<'a>>,
    /// Weight of each sample.
    pub sample_weight: Option<Cells<'a>>,
    /// ε, for a loss of the softmax.
    pub label_smoothing: f32,
    /// Factor of its gradient.
    pub scale: f32,
}

/// What a pass gives.
#[derive(Clone, Copy)]
pub enum Pass<'a> {
    /// Adds to the three sums of each plane; the part's sum is returned.
    Sums {
        /// Three of each plane.
        sums: &'a [Cell<f64>],
        /// What the gradient needs of a sigmoid without a part goes here, so that its exponential is computed once: ±σ(−|x|),
        /// with the sign of x. May be the same memory as `x`.
        keep: Option<Cells<'a>>,
    },
    /// The gradient by `x`.
    Gradient {
        /// a, k and b of each plane.
        planes: Cells<'a>,
        /// Goes here; may be the same memory as `x`, unless it is added to.
        dx: Cells<'a>,
        /// Adds to what is there.
        accumulate: bool,
    },
    /// The gradient by the target, which is that by p with p and y in each other's place.
    TargetGradient {
        /// a, k and b of each plane.
        planes: Cells<'a>,
        /// Goes here.
        dt: Cells<'a>,
    },
}

/// Runs a pass over arrays whose lengths fit; the sum of the part's values where it computes sums.
pub fn region(level: Level, args: Args, pass: Pass) -> f64 {
    if let Pass::TargetGradient { planes, dt } = pass {
        return by_target(level, args, planes, dt);
    }
    match (args.activation, args.part) {
        (Activation::None, _) => level.run(Elements {
            formula: Identity,
            args,
            pass,
        }),
        (Activation::Kept, _) => level.run(Elements {
            formula: FromKept,
            args,
            pass,
        }),
        (Activation::Sigmoid, None) => level.run(Elements {
            formula: Sigmoid,
            args,
            pass,
        }),
        (Activation::Sigmoid, Some(part)) => (part.run)(level, part.params, args, pass),
        (Activation::Softmax, None) => over_classes(level, None, args, pass),
        (Activation::Softmax, Some(part)) => (part.run)(level, part.params, args, pass),
    }
}

fn by_target(level: Level, args: Args, planes: Cells, dt: Cells) -> f64 {
    match args.activation {
        Activation::None => level.run(TargetElements(Identity, args, planes, dt)),
        Activation::Kept => level.run(TargetElements(FromKept, args, planes, dt)),
        Activation::Sigmoid => level.run(TargetElements(Sigmoid, args, planes, dt)),
        Activation::Softmax => level.run(TargetClasses(args, planes, dt)),
    }
}

pub(crate) fn pointwise<L: Pointwise + From<Params>>(
    level: Level,
    params: Params,
    args: Args,
    pass: Pass,
) -> f64 {
    level.run(Elements {
        formula: SigmoidWith(L::from(params)),
        args,
        pass,
    })
}

pub(crate) fn softmax<L: Softmax + From<Params>>(
    level: Level,
    params: Params,
    args: Args,
    pass: Pass,
) -> f64 {
    over_classes(level, Some(&tiles::Whole(L::from(params))), args, pass)
}

fn over_classes(level: Level, part: Option<&dyn tiles::Formula>, args: Args, pass: Pass) -> f64 {
    match part {
        _ if SMALL => level.run(Classes::<ANY>(level, part, args, pass)),
        None => level.run(Classes::<NONE>(level, part, args, pass)),
        Some(part) if part.is_linear() => {
            level.run(Classes::<LINEAR>(level, Some(part), args, pass))
        }
        _ => level.run(Classes::<ANY>(level, part, args, pass)),
    }
}

/// Parts beside a softmax for which loops are compiled: none, −ln p, and whatever there is. The last would do for all, but that a
/// call of the part's function, even one that is never made, keeps numbers in memory, which takes a fifth where classes are few.
const NONE: u8 = 0;
const LINEAR: u8 = 1;
const ANY: u8 = 2;

/// The part, where loops of this kind have one that is called.
#[inline(always)]
fn called<const KIND: u8>(part: Option<&dyn tiles::Formula>) -> Option<&dyn tiles::Formula> {
    part.filter(|part| KIND == ANY && !part.is_linear())
}

/// Whether there is a part.
#[inline(always)]
fn has<const KIND: u8>(part: Option<&dyn tiles::Formula>) -> bool {
    match KIND {
        NONE => false,
        LINEAR => true,
        _ => part.is_some(),
    }
}

/// p, 1 − p, dp/dx, and value and derivative of the part, of x, [`Tail`] of x, y and the part's extra parameter.
trait Formula: Map<4, 5> {
    /// Whether there is a part.
    const PART: bool = false;
    /// Whether p is x, and dp/dx 1.
    const IDENTITY: bool = false;
    /// Whether it needs [`Tail`] of x. Where positions are runs, that has a pass of its own, as in the pointwise family.
    const PREPARES: bool = false;
}

/// [`tail`], which the losses that can be a part of a sigmoid prepare too.
#[derive(Clone, Copy)]
struct Tail;

impl Map<1, 1> for Tail {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x]: [V::F32; 1]) -> [V::F32; 1] {
        [tail(v, x)]
    }
}

/// A formula of x, y and the extra parameter.
#[derive(Clone, Copy)]
struct Whole<F>(F);

impl<F: Formula> Map<3, 5> for Whole<F> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, y, aux]: [V::F32; 3]) -> [V::F32; 5] {
        let [e] = Tail.eval(v, [x]);
        self.0.eval(v, [x, e, y, aux])
    }
}

#[derive(Clone, Copy)]
struct Identity;

impl Map<4, 5> for Identity {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, ..]: [V::F32; 4]) -> [V::F32; 5] {
        let (zero, one) = (v.splat(0.0), v.splat(1.0));
        [x, v.sub(one, x), one, zero, zero]
    }
}

impl Formula for Identity {
    const IDENTITY: bool = true;
}

#[derive(Clone, Copy)]
struct Sigmoid;

impl Map<4, 5> for Sigmoid {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, e, ..]: [V::F32; 4]) -> [V::F32; 5] {
        let zero = v.splat(0.0);
        let s = sigmoid(v, e);
        let negative = v.lt(x, zero);
        let [p, q] = sides(v, negative, s.small, s.large);
        // In place of a part's value. Never 0, so that it has a sign; NaN stays NaN.
        let small = v.max(v.splat(f32::MIN_POSITIVE), s.small);
        let kept = v.neg_where(negative, small);
        [p, q, v.mul(s.small, s.large), kept, zero]
    }
}

/// p and 1 − p of a logit, from σ(−|x|) and σ(|x|).
#[inline(always)]
fn sides<V: Lanes>(v: V, negative: V::Mask, small: V::F32, large: V::F32) -> [V::F32; 2] {
    let p = v.select(negative, small, large);
    [p, v.select(negative, large, small)]
}

impl Formula for Sigmoid {
    const PREPARES: bool = true;
}

/// The sigmoid again, from ±σ(−|x|). Neither p nor 1 − p loses digits.
#[derive(Clone, Copy)]
struct FromKept;

impl Map<4, 5> for FromKept {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [kept, ..]: [V::F32; 4]) -> [V::F32; 5] {
        let zero = v.splat(0.0);
        let small = v.abs(kept);
        let large = v.sub(v.splat(1.0), small);
        let [p, q] = sides(v, v.lt(kept, zero), small, large);
        [p, q, v.mul(small, large), zero, zero]
    }
}

impl Formula for FromKept {}

#[derive(Clone, Copy)]
struct SigmoidWith<L>(L);

impl<L: Pointwise> Map<4, 5> for SigmoidWith<L> {
    #[inline(always)]
    fn eval<V: Lanes>(self, v: V, [x, e, y, aux]: [V::F32; 4]) -> [V::F32; 5] {
        let part = self.0.eval(v, x, e, y, aux);
        let [p, q, slope, _, _] = Sigmoid.eval(v, [x, e, y, aux]);
        [p, q, slope, part.value, part.dx]
    }
}

impl<L: Pointwise> Formula for SigmoidWith<L> {
    const PART: bool = true;
    const PREPARES: bool = true;
}

/// What is known of the positions of a tile.
struct Marks<S: Simd> {
    /// [`mark`] of its class; of −1 where a position counts for nothing, so that it has none.
    label: S::F32,
    /// Those that count for nothing, or are none.
    ignored: S::Mask,
}

impl<S: Simd> Marks<S> {
    /// 1 where a position's label is the class.
    #[inline(always)]
    fn one_hot(&self, s: S, class: usize) -> S::F32 {
        let hit = s.eq(self.label, s.splat(mark(class as i32)));
        s.select(hit, s.splat(1.0), s.splat(0.0))
    }
}

impl Args<'_> {
    /// Blocks of the whole call.
    #[must_use]
    pub fn units(&self) -> usize {
        self.axis().units(self.samples(), BLOCK)
    }

    /// Numbers that a block has as sums: of each class the part and the three of its plane.
    #[must_use]
    pub fn sums_of_unit(&self) -> usize {
        self.classes * (1 + EACH)
    }

    fn samples(&self) -> usize {
        self.x.len() / (self.classes * self.positions)
    }

    /// The blocks of the share.
    #[inline(always)]
    fn blocks(&self) -> impl Iterator<Item = Block> {
        self.axis().blocks(self.samples(), BLOCK, self.share)
    }

    fn axis(&self) -> Axis {
        Axis {
            classes: self.classes,
            positions: self.positions,
            last: self.classes_last,
        }
    }

    /// Adds to the three sums what a position has of p, q = 1 − p and y; nothing where p and y are 0 and q is finite.
    ///
    /// A difference p − y is that of what only one of both has. With `direct` p is as the caller gave it, and then plain
    /// differences have all their digits: p − y, and p − p·y and y − p·y of a hard target, of a soft one but for a rounding of p·y.
    #[inline(always)]
    fn add<S: Simd>(
        &self,
        s: S,
        direct: bool,
        [p, q, y]: [S::F32; 3],
        [first, second, both]: [S::F32; 3],
    ) -> [S::F32; 3] {
        if direct && !self.squared {
            let own = s.mul(p, y);
            let [only_p, only_y] = [s.sub(p, own), s.sub(y, own)];
            return [
                s.add(first, only_p),
                s.add(second, only_y),
                s.add(both, own),
            ];
        }
        let off = s.sub(s.splat(1.0), y);
        let both = s.mul_add(p, y, both);
        if !self.squared {
            return [s.mul_add(p, off, first), s.mul_add(q, y, second), both];
        }
        let apart = if direct {
            s.sub(p, y)
        } else {
            s.sub(s.mul(p, off), s.mul(q, y))
        };
        [
            s.mul_add(apart, apart, first),
            s.mul_add(y, y, second),
            both,
        ]
    }

    /// a·y + b·(1 − y) or, of squares, a·y + k·(p − y) + b·p, with q = 1 − p and z = 1 − y. Nothing cancels where y is 0 or 1 and
    /// a, k and b are as losses have them. The difference p − y is that of [`Self::add`].
    #[inline(always)]
    fn by_p<S: Simd>(
        &self,
        s: S,
        direct: bool,
        plane: [f32; EACH],
        [p, q]: [S::F32; 2],
        [y, z]: [S::F32; 2],
    ) -> S::F32 {
        let [a, k, b] = plane.map(|number| s.splat(number));
        if !self.squared {
            return s.mul_add(a, y, s.mul(b, z));
        }
        let own = s.mul_add(a, y, s.mul(b, p));
        if direct {
            return s.mul_add(k, s.sub(p, y), own);
        }
        s.mul_add(k, s.sub(s.mul(p, z), s.mul(q, y)), own)
    }

    #[inline(always)]
    fn marks<S: Simd>(&self, s: S, tile: Tile) -> Marks<S> {
        let mut classes = [NOTHING; LANES];
        self.marks
            .classes(tile.position(), &mut classes[..tile.count()]);
        let counts = classes.map(|class| f32::from(u8::from(class != NOTHING)));
        Marks {
            label: s.vector(classes.map(|class| mark(class.max(-1)))),
            ignored: s.eq(s.vector(counts), s.splat(0.0)),
        }
    }

    /// y of a class.
    #[inline(always)]
    fn target<S: Simd>(&self, s: S, tile: Tile, marks: &Marks<S>, class: usize) -> S::F32 {
        let y = match self.target {
            Some(Values::F32(target)) => tile.load_class(s, target, class, 0.0),
            Some(target) => s.vector(lanes_of(target, tile, class)),
            None => marks.one_hot(s, class),
        };
        s.zero_where(marks.ignored, y)
    }

    /// The same of some classes.
    #[inline(always)]
    fn targets<'m, S: Simd>(
        &self,
        s: S,
        tile: Tile,
        marks: &Marks<S>,
        classes: Range<usize>,
        memory: &'m [Chunk],
    ) -> &'m [Chunk] {
        let memory = &memory[..classes.len()];
        match self.target {
            Some(Values::F32(target)) => tile.load(s, target, classes, 0.0, memory),
            Some(target) => {
                for (y, class) in memory.iter().zip(classes) {
                    s.store(y, s.vector(lanes_of(target, tile, class)));
                }
            }
            None => {
                for (y, class) in memory.iter().zip(classes) {
                    s.store(y, marks.one_hot(s, class));
                }
            }
        }
        if self.target.is_some() && !self.marks.is_everything() {
            for y in memory {
                s.store(y, s.zero_where(marks.ignored, s.load(y)));
            }
        }
        memory
    }
}

/// The target of a class at the positions of a tile, where it is no array of floats; 0 behind them.
fn lanes_of(target: Values, tile: Tile, class: usize) -> [f32; LANES] {
    let mut lanes = [0.0; LANES];
    let first = tile.at(0, class);
    let step = tile.at(1, class) - first;
    target.gather(first, step, &cells(&mut lanes)[..tile.count()]);
    lanes
}

/// Adds up what shares of a pass of sums have left, in the order of the blocks; the part's sum is returned.
pub fn add_up(args: Args, left: &[Cell<f64>], sums: &[Cell<f64>]) -> f64 {
    let mut into = Sums::new(&args, sums);
    let mut left = left.chunks_exact(1 + EACH);
    for block in args.blocks() {
        for (class, own) in left.by_ref().take(args.classes).enumerate() {
            into.add(block, class, [0, 1, 2, 3].map(|i| own[i].get()));
        }
    }
    into.part
}

/// Takes the sums of a block for each class in turn: that of the part, then the three of its plane.
struct Sums<'a> {
    planes: &'a [Cell<f64>],
    classes: usize,
    part: f64,
    /// Where they go instead, for who adds them up.
    left: Option<core::slice::ChunksExact<'a, Cell<f64>>>,
}

impl<'a> Sums<'a> {
    #[inline(always)]
    fn new(args: &Args<'a>, planes: &'a [Cell<f64>]) -> Self {
        Self {
            planes,
            classes: args.classes,
            part: 0.0,
            left: args.share.sums.map(|sums| sums.chunks_exact(1 + EACH)),
        }
    }

    #[inline(always)]
    fn add(&mut self, block: Block, class: usize, own: [f64; 1 + EACH]) {
        if let Some(left) = &mut self.left {
            for (left, own) in left.next().into_iter().flatten().zip(own) {
                left.set(own);
            }
            return;
        }
        let [part, own @ ..] = own;
        self.part += part;
        let plane = (block.sample * self.classes + class) * EACH;
        for (sum, own) in self.planes[plane..plane + EACH].iter().zip(own) {
            sum.set(sum.get() + own);
        }
    }
}

/// Each score by itself, in blocks of positions, class by class: the sums stay in registers, and the block in the cache
/// where the classes are neighbours.
struct Elements<'a, F> {
    formula: F,
    args: Args<'a>,
    pass: Pass<'a>,
}

impl<F: Formula> Kernel for Elements<'_, F> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self {
            formula,
            args,
            pass,
        } = self;
        match pass {
            Pass::Sums { sums, keep } => {
                let mut sums = Sums::new(&args, sums);
                for block in args.blocks() {
                    for class in 0..args.classes {
                        let own = element_sums(s, formula, &args, block, class, keep);
                        sums.add(block, class, own);
                    }
                }
                sums.part
            }
            Pass::Gradient {
                planes,
                dx,
                accumulate,
            } => {
                for block in args.blocks() {
                    for class in 0..args.classes {
                        let plane = (block.sample * args.classes + class) * EACH;
                        let plane = [0, 1, 2].map(|i| planes[plane + i].get());
                        element_gradient(s, formula, &args, block, class, plane, dx, accumulate);
                    }
                }
                0.0
            }
            // Has kernels of its own.
            Pass::TargetGradient { .. } => 0.0,
        }
    }
}

/// The part's sum and the three others of a block of positions for one class.
#[inline(always)]
fn element_sums<S: Simd, F: Formula>(
    s: S,
    formula: F,
    args: &Args,
    block: Block,
    class: usize,
    keep: Option<Cells>,
) -> [f64; 1 + EACH] {
    let axis = args.axis();
    let (mut of_part, mut sums) = (s.splat(0.0), [s.splat(0.0); EACH]);
    let (aux, weight) = args.part_numbers(block.sample, class);
    let (aux, weight) = (s.splat(aux), s.splat(weight));
    let mut i = block.first;
    if let Some((x, target)) = args.runs(block, class) {
        // Whole vectors of positions that all count; the rest is left to the loop below. What is not kept is `x` again.
        let kept = keep.map_or(x, |keep| args.run(keep, block, class));
        let mut e = [0.0; PASS * LANES];
        let e = cells(&mut e).as_chunks().0;
        let mut floats = Room::<PASS>::new();
        let floats = target.values.room(&mut floats);
        for (p, (x, kept)) in x.chunks(PASS).zip(kept.chunks(PASS)).enumerate() {
            let t = target.pass(p, x.len(), floats);
            if F::PREPARES {
                prepare(s, Tail, x, e);
            }
            for (((x, e), t), kept) in x.iter().zip(e).zip(t).zip(kept) {
                let y = s.load(t);
                let [p, q, _, part, _] = s.map(formula, [s.load(x), s.load(e), y, aux]);
                if F::PART {
                    of_part = s.add(of_part, s.mul(part, weight));
                } else if keep.is_some() {
                    s.store(kept, part);
                }
                sums = args.add(s, F::IDENTITY, [p, q, y], sums);
            }
        }
        i += x.len() * LANES;
    }
    while i < block.end {
        let tile = axis.tile(block.sample, i, block.end);
        let marks = args.marks(s, tile);
        let y = args.target(s, tile, &marks, class);
        let [p, q, _, part, _] = s.map_compact(
            Whole(formula),
            [tile.load_class(s, args.x, class, 0.0), y, aux],
        );
        let [p, q] = [p, q].map(|own| s.zero_where(marks.ignored, own));
        if F::PART {
            let part = s.mul(part, weight);
            of_part = s.add(of_part, s.zero_where(marks.ignored, part));
        } else if let Some(keep) = keep {
            tile.store_class(s, keep, class, part);
        }
        sums = args.add(s, F::IDENTITY, [p, q, y], sums);
        i += LANES;
    }
    let [first, second, both] = sums;
    [of_part, first, second, both].map(|sum| f64::from(s.sum(sum)))
}

#[inline(always)]
fn element_gradient<S: Simd, F: Formula>(
    s: S,
    formula: F,
    args: &Args,
    block: Block,
    class: usize,
    plane: [f32; EACH],
    dx: Cells,
    accumulate: bool,
) {
    let axis = args.axis();
    let (aux, weight) = args.part_numbers(block.sample, class);
    let scale = args.part.map_or(0.0, |part| part.scale);
    let (aux, factor) = (s.splat(aux), s.splat(weight * scale));
    let mut i = block.first;
    if let Some((x, target)) = args.runs(block, class)
        && !accumulate
    {
        let dx = args.run(dx, block, class);
        let mut e = [0.0; PASS * LANES];
        let e = cells(&mut e).as_chunks().0;
        let mut floats = Room::<PASS>::new();
        let floats = target.values.room(&mut floats);
        for (p, (x, dx)) in x.chunks(PASS).zip(dx.chunks(PASS)).enumerate() {
            let t = target.pass(p, x.len(), floats);
            // p without a factor need not be read: any other number does. With a p that is not finite a or b is NaN.
            let x = if F::IDENTITY && !args.squared { t } else { x };
            if F::PREPARES {
                prepare(s, Tail, x, e);
            }
            for (((x, e), t), dx) in x.iter().zip(e).zip(t).zip(dx) {
                let y = s.load(t);
                let [p, q, slope, _, part] = s.map(formula, [s.load(x), s.load(e), y, aux]);
                let off = s.sub(s.splat(1.0), y);
                let mut g = s.mul(args.by_p(s, F::IDENTITY, plane, [p, q], [y, off]), slope);
                if F::PART {
                    g = s.add(g, s.mul(part, factor));
                }
                s.store(dx, g);
            }
        }
        i += x.len() * LANES;
    }
    while i < block.end {
        let tile = axis.tile(block.sample, i, block.end);
        let marks = args.marks(s, tile);
        let y = args.target(s, tile, &marks, class);
        let input = tile.load_class(s, args.x, class, 0.0);
        let [p, q, slope, _, part] = s.map_compact(Whole(formula), [input, y, aux]);
        let off = s.sub(s.splat(1.0), y);
        let mut g = s.mul(args.by_p(s, F::IDENTITY, plane, [p, q], [y, off]), slope);
        if F::PART {
            g = s.add(g, s.mul(part, factor));
        }
        g = s.zero_where(marks.ignored, g);
        if accumulate {
            g = s.add(g, tile.load_class(s, dx, class, 0.0));
        }
        tile.store_class(s, dx, class, g);
        i += LANES;
    }
}

/// The gradient by the target where p is of each score by itself. Of its own, so that the other loops stay as small as they are.
struct TargetElements<'a, F>(F, Args<'a>, Cells<'a>, Cells<'a>);

impl<F: Formula> Kernel for TargetElements<'_, F> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(formula, args, planes, dt) = self;
        for block in args.blocks() {
            for class in 0..args.classes {
                let plane = (block.sample * args.classes + class) * EACH;
                let plane = [0, 1, 2].map(|i| planes[plane + i].get());
                for tile in args.axis().tiles(block) {
                    let marks = args.marks(s, tile);
                    let y = args.target(s, tile, &marks, class);
                    let x = tile.load_class(s, args.x, class, 0.0);
                    let [p, q, ..] = s.map_compact(Whole(formula), [x, y, y]);
                    let off = s.sub(s.splat(1.0), y);
                    let g = args.by_p(s, F::IDENTITY, plane, [y, off], [p, q]);
                    let g = s.zero_where(marks.ignored, g);
                    tile.store_class(s, dt, class, g);
                }
            }
        }
        0.0
    }
}

/// The same where p is a softmax over the classes.
struct TargetClasses<'a>(Args<'a>, Cells<'a>, Cells<'a>);

impl Kernel for TargetClasses<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(args, planes, dt) = self;
        let mut memory = memory();
        let [z, e, memory] = kept(&mut memory, args.classes);
        let planes = planes.as_chunks::<EACH>().0;
        for block in args.blocks() {
            let planes = &planes[block.sample * args.classes..][..args.classes];
            for tile in args.axis().tiles(block) {
                let marks = args.marks(s, tile);
                let exponents = args.exponents(tile, [z, e]);
                let mut numbers = Numbers::new();
                let normal = Normal::new(s, exponents, &mut numbers);
                for classes in blocks(args.classes) {
                    let ys = args.targets(s, tile, &marks, classes.clone(), memory);
                    let [_, e] = normal.block(s, classes.clone());
                    for ((e, own), plane) in e.iter().zip(ys).zip(&planes[classes.clone()]) {
                        let odds = odds(s, &normal, s.load(e));
                        let y = s.load(own);
                        let off = s.sub(s.splat(1.0), y);
                        let plane = [0, 1, 2].map(|i| plane[i].get());
                        let g = args.by_p(s, false, plane, [y, off], odds);
                        s.store(own, s.zero_where(marks.ignored, g));
                    }
                    tile.store(s, dt, classes, ys, false);
                }
            }
        }
        0.0
    }
}

impl<'a> Args<'a> {
    /// Of the scores of a tile, with memory for h and e^z.
    #[inline(always)]
    fn exponents(&self, tile: Tile, [h, e]: [&'a [Chunk]; 2]) -> Exponents<'a> {
        Exponents {
            tile,
            x: self.x,
            scale: Scale::new(1.0),
            h,
            e,
        }
    }

    /// The whole vectors of a block and a class, of an array like the scores whose classes are planes.
    #[inline(always)]
    fn run(&self, array: Cells<'a>, block: Block, class: usize) -> &'a [Chunk] {
        let plane = (block.sample * self.classes + class) * self.positions;
        array[plane + block.first..plane + block.end].as_chunks().0
    }

    /// Scores and targets, where they are runs and every position counts.
    #[inline(always)]
    fn runs(&self, block: Block, class: usize) -> Option<(&'a [Chunk], TargetRun<'a>)> {
        let values = self.target?;
        let runs = !self.classes_last && self.marks.is_everything();
        runs.then(|| {
            let plane = (block.sample * self.classes + class) * self.positions;
            let target = TargetRun {
                values,
                first: plane + block.first,
            };
            (self.run(self.x, block, class), target)
        })
    }

    /// Extra parameter and weight of the part for a class of a sample.
    #[inline(always)]
    fn part_numbers(&self, sample: usize, class: usize) -> (f32, f32) {
        self.part.map_or((0.0, 1.0), |part| {
            let at = |values: Option<Cells>, i: usize, otherwise| {
                values.map_or(otherwise, |values| values[i].get())
            };
            let weight = at(part.weight, class, 1.0) * at(part.sample_weight, sample, 1.0);
            (at(part.auxs, class, part.aux), weight)
        })
    }
}

/// The targets of a block and a class, where they are neighbours.
#[derive(Clone, Copy)]
struct TargetRun<'a> {
    values: Values<'a>,
    first: usize,
}

impl<'a> TargetRun<'a> {
    /// Those of pass number `p`, which has so many whole vectors; `floats` has room for them where they come in another type.
    #[inline(always)]
    fn pass<'m>(self, p: usize, vectors: usize, floats: Cells<'m>) -> &'m [Chunk]
    where
        'a: 'm,
    {
        let first = self.first + p * PASS * LANES;
        self.values
            .block(first, vectors * LANES, floats)
            .as_chunks()
            .0
    }
}

/// All classes of 16 positions, for a softmax over them.
struct Classes<'a, const KIND: u8>(Level, Option<&'a dyn tiles::Formula>, Args<'a>, Pass<'a>);

impl<const KIND: u8> Kernel for Classes<'_, KIND> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        let Self(level, part, args, pass) = self;
        let axis = args.axis();
        let mut memory = memory();
        let kept = kept(&mut memory, args.classes);
        match pass {
            Pass::Sums { sums, .. } => {
                let mut sums = Sums::new(&args, sums);
                // Of the block so far, in each lane that of its positions. Beside so many classes an allocation is nothing.
                let mut few = Room::<{ KEPT * EACH }>::new();
                let mut many = Vec::new();
                let lanes = if args.classes <= KEPT {
                    few.zeros(args.classes * EACH).as_flattened()
                } else {
                    many.resize(args.classes * EACH * LANES, 0.0);
                    cells(&mut many)
                };
                for block in args.blocks() {
                    let mut of_part = 0.0;
                    for tile in axis.tiles(block) {
                        of_part += class_sums::<S, KIND>(s, level, part, &args, tile, kept, lanes);
                    }
                    let planes = lanes.as_chunks::<LANES>().0.chunks_exact(EACH);
                    for (class, plane) in planes.enumerate() {
                        let [first, second, both] =
                            [0, 1, 2].map(|i| f64::from(s.sum(s.load(&plane[i]))));
                        sums.add(block, class, [of_part, first, second, both]);
                        // Counted with the first class.
                        of_part = 0.0;
                    }
                    lanes.iter().for_each(|lane| lane.set(0.0));
                }
                sums.part
            }
            Pass::Gradient {
                planes,
                dx,
                accumulate,
            } => {
                for block in args.blocks() {
                    let plane = block.sample * args.classes * EACH;
                    let planes = &planes[plane..plane + args.classes * EACH];
                    for tile in axis.tiles(block) {
                        class_gradient::<S, KIND>(
                            s, level, part, &args, tile, kept, planes, dx, accumulate,
                        );
                    }
                }
                0.0
            }
            // Has kernels of its own.
            Pass::TargetGradient { .. } => 0.0,
        }
    }
}

/// The part's share of the classes of a tile: w·((1 − ε)·y + ε/C).
struct Shares<'a> {
    weight: Option<Cells<'a>>,
    of_sample: f32,
    /// 1 − ε
    keep: f32,
    /// ε/C
    spread: f32,
}

impl<'a> Shares<'a> {
    #[inline(always)]
    fn new(args: &Args<'a>, tile: Tile) -> Self {
        let smoothing = args.part.map_or(0.0, |part| part.label_smoothing);
        let of_samples = args.part.and_then(|part| part.sample_weight);
        Self {
            weight: args.part.and_then(|part| part.weight),
            of_sample: of_samples.map_or(1.0, |own| own[tile.position() / args.positions].get()),
            keep: 1.0 - smoothing,
            spread: smoothing / args.classes as f32,
        }
    }

    #[inline(always)]
    fn at<S: Simd>(&self, s: S, class: usize, y: S::F32) -> S::F32 {
        let weight = self.weight.map_or(1.0, |weight| weight[class].get()) * self.of_sample;
        s.mul_add(
            y,
            s.splat(self.keep * weight),
            s.splat(self.spread * weight),
        )
    }
}

#[inline(always)]
fn class_sums<S: Simd, const KIND: u8>(
    s: S,
    level: Level,
    part: Option<&dyn tiles::Formula>,
    args: &Args,
    tile: Tile,
    [h, e, memory, slopes]: [&[Chunk]; 4],
    sums: Cells,
) -> f64 {
    let zero = s.splat(0.0);
    let marks = args.marks(s, tile);
    let exponents = args.exponents(tile, [h, e]);
    let mut numbers = Numbers::new();
    let normal = Normal::new(s, exponents, &mut numbers);
    let one = s.splat(1.0);
    let inverse = normal.inverse;
    let rest = s.zero_where(marks.ignored, s.mul(normal.rest, inverse));
    let sums = sums.as_chunks::<LANES>().0.as_chunks::<EACH>().0;
    let (mut value, mut weights) = (zero, zero);
    let shares = Shares::new(args, tile);
    for block in blocks(args.classes) {
        let ys = args.targets(s, tile, &marks, block.clone(), memory);
        let [h, e] = normal.block(s, block.clone());
        for ((e, y), sums) in e.iter().zip(ys).zip(&sums[block.clone()]) {
            let exp = s.load(e);
            // Where a position is ignored p is 0 and y too, and 1 − p is finite.
            let p = s.zero_where(marks.ignored, s.mul(exp, inverse));
            let q = s.select(s.eq(exp, normal.alone), rest, s.sub(one, p));
            let before = [0, 1, 2].map(|i| s.load(&sums[i]));
            let after = args.add(s, false, [p, q, s.load(y)], before);
            for (sum, own) in sums.iter().zip(after) {
                s.store(sum, own);
            }
        }
        if let Some(part) = called::<KIND>(part) {
            part.fill(level, &normal.classwise(h, e), slopes);
        }
        if has::<KIND>(part) {
            for ((own, y), class) in h.iter().zip(ys).zip(block) {
                let t = shares.at(s, class, s.load(y));
                value = s.add(value, s.zero_where(s.eq(t, zero), s.mul(t, s.load(own))));
                weights = s.add(weights, t);
            }
        }
    }
    if !has::<KIND>(part) {
        return 0.0;
    }
    if called::<KIND>(part).is_none() {
        value = normal.linear(s, weights, value);
    }
    f64::from(s.sum(s.zero_where(marks.ignored, value)))
}

/// With g_c the gradient by p_c it is p_c·(g_c − Σ g·p), and that of the part p_c·Σ s − s_c as in the softmax family. At a class
/// that is nearly certain both are written with 1 − p_c and the sums over the other classes, of which nothing is lost.
#[inline(always)]
fn class_gradient<S: Simd, const KIND: u8>(
    s: S,
    level: Level,
    part: Option<&dyn tiles::Formula>,
    args: &Args,
    tile: Tile,
    [h, e, memory, slopes]: [&[Chunk]; 4],
    planes: Cells,
    dx: Cells,
    accumulate: bool,
) {
    let zero = s.splat(0.0);
    let marks = args.marks(s, tile);
    let exponents = args.exponents(tile, [h, e]);
    let mut numbers = Numbers::new();
    let normal = Normal::new(s, exponents, &mut numbers);
    let scale = s.splat(args.part.map_or(0.0, |part| part.scale));
    let planes = planes.as_chunks::<EACH>().0;
    let mut totals = [zero; 4];
    for block in blocks(args.classes) {
        let kept = [memory, slopes];
        let sums = class_terms::<S, KIND>(
            s, level, part, args, tile, &marks, &normal, planes, block, kept,
        );
        for (total, sum) in totals.iter_mut().zip(sums) {
            *total = s.add(*total, sum);
        }
    }
    let [mean, all, other_mean, other_all] = totals;
    // The p that a class which stands alone has.
    let q = s.mul(normal.rest, normal.inverse);
    let alone = s.mul(normal.alone, normal.inverse);
    for block in blocks(args.classes) {
        if args.classes > KEPT {
            class_terms::<S, KIND>(
                s,
                level,
                part,
                args,
                tile,
                &marks,
                &normal,
                planes,
                block.clone(),
                [memory, slopes],
            );
        }
        let [h, e, slopes] = [h, e, slopes].map(|kept| &kept[..block.len()]);
        for ((by_p, e), slope) in h.iter().zip(e).zip(slopes) {
            let (p, by_p) = (s.load(e), s.load(by_p));
            let certain = s.eq(p, alone);
            let past = s.select(
                certain,
                s.sub(s.mul(q, by_p), other_mean),
                s.sub(by_p, mean),
            );
            let mut g = s.mul(p, past);
            if has::<KIND>(part) {
                let own = s.sub(s.mul(all, p), s.load(slope));
                let own = s.select(certain, s.sub(other_all, s.mul(all, q)), own);
                g = s.mul_add(own, scale, g);
            }
            s.store(e, s.zero_where(marks.ignored, g));
        }
        tile.store(s, dx, block, e, accumulate);
    }
}

/// Σ g·p and Σ s of some classes, then both without a class that stands alone. g takes the place of h, and p that of e^z; s goes
/// into memory of its own.
#[inline(always)]
fn class_terms<S: Simd, const KIND: u8>(
    s: S,
    level: Level,
    part: Option<&dyn tiles::Formula>,
    args: &Args,
    tile: Tile,
    marks: &Marks<S>,
    normal: &Normal<S>,
    planes: &[[Cell<f32>; EACH]],
    block: Range<usize>,
    [memory, slopes]: [&[Chunk]; 2],
) -> [S::F32; 4] {
    let zero = s.splat(0.0);
    let (mut mean, mut all) = (zero, zero);
    let (mut other_mean, mut other_all) = (zero, zero);
    let ys = args.targets(s, tile, marks, block.clone(), memory);
    let [h, e] = normal.block(s, block.clone());
    let called = called::<KIND>(part);
    if let Some(part) = called {
        part.fill(level, &normal.classwise(h, e), slopes);
    }
    let shares = Shares::new(args, tile);
    let classes = block.clone().zip(&planes[block]);
    for ((((h, e), y), to), (class, plane)) in h.iter().zip(e).zip(ys).zip(slopes).zip(classes) {
        let (y, exp) = (s.load(y), s.load(e));
        let certain = s.eq(exp, normal.alone);
        let [p, q] = odds(s, normal, exp);
        let plane = [0, 1, 2].map(|i| plane[i].get());
        let off = s.sub(s.splat(1.0), y);
        let by_p = args.by_p(s, false, plane, [p, q], [y, off]);
        mean = s.mul_add(by_p, p, mean);
        other_mean = s.mul_add(by_p, s.zero_where(certain, p), other_mean);
        if has::<KIND>(part) {
            let mut slope = shares.at(s, class, y);
            if called.is_some() {
                slope = s.zero_where(s.eq(slope, zero), s.mul(slope, s.load(to)));
            }
            all = s.add(all, slope);
            other_all = s.add(other_all, s.zero_where(certain, slope));
            s.store(to, slope);
        }
        s.store(h, by_p);
        s.store(e, p);
    }
    [mean, all, other_mean, other_all]
}

/// p and 1 − p of a class from its e^z.
#[inline(always)]
fn odds<S: Simd>(s: S, normal: &Normal<S>, exp: S::F32) -> [S::F32; 2] {
    let [_, p, q] = normal.odds(s, exp, exp);
    [p, q]
}
