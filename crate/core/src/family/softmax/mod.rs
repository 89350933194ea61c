//! Losses of the softmax over a class axis, with a class index or a distribution as the target of each position.
//!
//! [`rows`] and, where they are short, [`columns`] serve what most training steps ask for: rows of scores with class indices.
//! [`tiles`] serves any axis, any target and all options. [`picked`] serves input that is ln p already, and [`teacher`] a second
//! softmax as target. [`double`] has what single precision has no room for.

mod call;
mod columns;
mod double;
mod picked;
mod rows;
mod teacher;
pub(super) mod tiles;

use self::double::Watch;
use super::Params;
use crate::layout::axis::{Axis, Block};
use crate::layout::positions::{Positions, Values};
use crate::layout::stream::Stream;
use crate::share::Share;
use crate::simd::{Cells, Kernel, Lanes, Level, Simd};
use crate::sum::positions_of_unit;
use core::marker::PhantomData;

pub use call::Run;
pub(crate) use call::{FIELDS, NUMBERS, run as call};

/// What the input and the target are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Scores; a class or a distribution.
    Scores,
    /// Logarithms of probabilities; a class.
    LogProbabilities,
    /// Scores; the scores of a teacher.
    Teacher,
}

/// A loss that is a function of ln p_y, the logarithm of the target class's probability, or the mean of that function
/// over a distribution of classes.
pub trait Softmax: Copy {
    /// What it takes.
    const KIND: Kind = Kind::Scores;
    /// Whether the loss is −ln p: then label smoothing needs no function of each class.
    const LINEAR: bool = false;
    /// γ of −q^γ·ln p, q = 1 − p, which all losses of scores are.
    #[inline(always)]
    fn gamma(self) -> f32 {
        0.0
    }
    /// The loss as a function of ln p and q = 1 − p, which does not lose the digits of a p near 1; −ln p unless it says
    /// otherwise.
    #[inline(always)]
    fn value<V: Lanes>(self, v: V, log_p: V::F32, _q: V::F32) -> V::F32 {
        // Not `neg`: the loss of a certain row is 0, not −0.
        v.sub(v.splat(0.0), log_p)
    }
    /// −d(loss)/d(ln p_y) as a function of ln p, p and q; the gradient of the position is this times (p − e_y).
    #[inline(always)]
    fn slope<V: Lanes>(self, v: V, _: [V::F32; 3]) -> V::F32 {
        v.splat(1.0)
    }
}

/// How scores become exponents: z = (x − max)/T is h·`sharp` with h = (x − max)·`half`.
///
/// A half of each score, which loses nothing, has a difference where those of ±3e38 have none. A multiply-add takes no longer
/// than the difference, and z has the same bits.
#[derive(Clone, Copy)]
pub(in crate::family) struct Scale {
    pub half: f32,
    /// 1/(T·`half`)
    pub sharp: f32,
}

impl Scale {
    pub(in crate::family) fn new(temperature: f32) -> Self {
        let sharp = 2.0 / temperature;
        if sharp < f32::INFINITY {
            return Self { half: 0.5, sharp };
        }
        Self {
            half: 1.0,
            sharp: 1.0 / temperature,
        }
    }

    /// h of one score.
    #[inline(always)]
    pub(super) fn below(self, x: f32, max: f32) -> f32 {
        x * self.half - max * self.half
    }
}

/// Below this temperature e^(d/T) is 0 where a difference d of scores is larger than any number: then a plain difference does for
/// exponentials.
const HOT: f32 = 1e36;

/// One call.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// Scores.
    pub x: Cells<'a>,
    /// Which positions count and, where there is no other target, their classes.
    pub marks: Positions<'a>,
    /// Scores of a position.
    pub classes: usize,
    /// Gradient by the scores; may be the same memory as `x`.
    pub dx: Option<Cells<'a>>,
    /// The loss of each position.
    pub out: Option<Cells<'a>>,
    /// Weight of each class.
    pub weight: Option<Cells<'a>>,
    /// Upstream gradient per position, in place of `scale`.
    pub grad_output: Option<Cells<'a>>,
    /// Factor of the gradient: the upstream gradient over the denominator of `mean`, which need not be a float.
    pub scale: f64,
    /// ε: the target is 1 − ε at the label, and ε/C everywhere.
    pub label_smoothing: f32,
    /// T: the scores are divided by it.
    pub temperature: f32,
    /// The sum of the positions before these, when a caller passes its memory piece by piece in whole blocks.
    pub sum: f64,
    /// Scalar parameters of the loss, as its registry row says.
    pub params: Params,
    /// Which units to compute.
    pub share: Share<'a>,
    /// What most calls do without.
    pub extra: Option<&'a Extra<'a>>,
}

/// What takes the general loop.
#[derive(Clone, Copy)]
pub struct Extra<'a> {
    /// Positions whose scores for a class are neighbours; 1 where the classes are last.
    pub inner: usize,
    /// In place of labels: a distribution, or the scores of a teacher, in the shape of `x`.
    pub target: Option<Cells<'a>>,
    /// Weight of each position, or of each sample.
    pub sample_weight: Option<Stream<'a>>,
    /// Gradient by `target`.
    pub dt: Option<Cells<'a>>,
    /// Adds to `dx` what else would be written there. `dx` is not `x` then.
    pub accumulate: bool,
}

impl Extra<'_> {
    /// Whether it asks for anything that rows of scores with class indices do not have.
    #[must_use]
    pub fn needed(&self) -> bool {
        self.inner != 1
            || self.target.is_some()
            || self.sample_weight.is_some()
            || self.dt.is_some()
            || self.accumulate
    }
}

impl Args<'_> {
    /// Rows are positions of one sample.
    fn axis(&self) -> Axis {
        let inner = self.extra.map_or(1, |extra| extra.inner);
        Axis {
            classes: self.classes,
            positions: if inner == 1 { self.positions() } else { inner },
            last: inner == 1,
        }
    }

    fn samples(&self) -> usize {
        let inner = self.extra.map_or(1, |extra| extra.inner);
        if inner == 1 {
            1
        } else {
            self.positions() / inner
        }
    }

    /// Positions of a unit.
    fn unit(&self) -> usize {
        positions_of_unit(self.classes, self.axis().last)
    }

    /// Units of the whole call.
    #[must_use]
    pub fn units(&self) -> usize {
        self.axis().units(self.samples(), self.unit())
    }

    /// The units of the share.
    #[inline(always)]
    fn blocks(&self) -> impl Iterator<Item = Block> {
        self.axis().blocks(self.samples(), self.unit(), self.share)
    }

    fn positions(&self) -> usize {
        match self.extra {
            Some(Extra {
                target: Some(target),
                ..
            }) => target.len() / self.classes.max(1),
            _ => self.marks.labels.map_or(0, Values::len),
        }
    }
}

/// Runs the loops of a loss over arrays whose lengths fit; the sum of the positions' values.
pub(crate) fn run<L: Softmax + From<Params>>(level: Level, args: &Args) -> f64 {
    let (loss, args) = (L::from(args.params), *args);
    if L::KIND == Kind::LogProbabilities {
        return picked::run(level, args);
    }
    let watch = Watch::new(&args, L::KIND, loss.gamma());
    if watch.all {
        return double::run(&args, L::KIND, loss.gamma());
    }
    match L::KIND {
        Kind::Scores
            if args.extra.is_none()
                && args.temperature < HOT
                && (L::LINEAR || args.label_smoothing == 0.0) =>
        {
            if args.classes < tiles::MIN_CLASSES_OF_ROW {
                labelled::<L, columns::Columns>(level, loss, args, watch)
            } else {
                labelled::<L, rows::Rows>(level, loss, args, watch)
            }
        }
        Kind::Teacher => teacher::run(level, args, watch),
        _ => tiles::run(level, &tiles::Whole(loss), args, watch),
    }
}

/// A loop over rows with class indices.
trait Loop {
    /// The sum of the values. Must be `#[inline(always)]`.
    fn run<S: Simd, L: Softmax>(s: S, loss: L, args: &Args, watch: Watch) -> f64;
}

fn labelled<L: Softmax, W: Loop>(level: Level, loss: L, args: Args, watch: Watch) -> f64 {
    level.run(Labelled::<L, W>(loss, args, watch, PhantomData))
}

/// Whether there is a gradient, and smoothing, is asked outside the loops over scores: it makes no kernels of their own.
struct Labelled<'a, L, W>(L, Args<'a>, Watch, PhantomData<W>);

impl<L: Softmax, W: Loop> Kernel for Labelled<'_, L, W> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        W::run::<S, L>(s, self.0, &self.1, self.2)
    }
}
