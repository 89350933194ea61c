//! Losses of two or three rows of numbers, of which only comparisons of two rows count: the cosine of their angle, or a distance.
//!
//! A loss says by what [`Measure`] rows are compared, and has a formula of the one to three numbers that come of it: the first row with
//! the second, the first with the third, the second with the third. The loop over the rows is one. For losses of two rows it is compiled
//! with each formula, since a call for each row would take a tenth of the time; for losses of three it is compiled once.
//!
//! Everything is computed in double precision. The product of two floats is a double without an error, and no sum of such
//! products leaves the range, so that rows of 1e30 or 1e-30 need no scaling and rows that are nearly parallel keep their difference.
//! The order of the sums is fixed, and what follows takes + − × ÷ and √ alone, but where a norm or a formula says otherwise: the bits are
//! the same everywhere.

mod call;
mod compare;
mod gradient;
mod rows;

use crate::layout::positions::{Positions, Values};
use crate::layout::stream::Stream;
use crate::share::Share;
use crate::simd::{Cells, Level};
use core::cell::Cell;

pub use call::Run;
pub(crate) use call::{FIELDS, NUMBERS, run as call};

/// Scalar parameters of a loss, in the order of its registry row; 0 where it has fewer.
pub type Params = [f64; 6];

/// A number for each pair of three rows, in the order of [`PAIRS`].
pub type OfPairs = [f64; 3];

/// The rows of each pair. A loss of two rows has the first alone.
const PAIRS: [[usize; 2]; 3] = [[0, 1], [0, 2], [1, 2]];

/// A loss as a formula of the comparisons of two or three rows.
pub trait Embedding {
    /// What rows are compared by.
    fn measure(&self) -> Measure;
    /// How many of the pairs are compared, where there are three rows.
    fn pairs(&self) -> usize {
        1
    }
    /// The value, and its derivatives by what came of the comparisons; `positive` is the label of the rows, where they have one.
    fn eval(&self, compared: OfPairs, positive: bool) -> Eval;
}

/// How many rows a loss takes: two, for which it has a loop of its own, or three.
pub trait OfRows: Embedding {
    /// 2 or 3.
    const ROWS: usize;
}

/// What two rows are compared by.
#[derive(Clone, Copy)]
pub enum Measure {
    /// The cosine of the angle between them, whose squared norms are taken for larger by `added`. That of a row with a norm of at most
    /// `least` is 0, and does not change.
    Cosine {
        /// The largest norm that counts as none.
        least: f64,
        /// What is added to squared norms.
        added: f64,
    },
    /// A norm of their difference, to each of whose numbers `eps` is added.
    Distance {
        /// Which one.
        norm: Norm,
        /// What is added to each difference.
        eps: f64,
    },
}

/// A norm of numbers u.
#[derive(Clone, Copy)]
pub enum Norm {
    /// Σ |u|
    One,
    /// √Σ u²
    Two,
    /// Σ u²
    Squared,
    /// (Σ |u|ᵖ)^(1/p), the largest |u| where p is ∞
    Power(f64),
}

impl Norm {
    /// The norm of a p ≥ 1.
    #[must_use]
    pub fn of(p: f64) -> Self {
        match p {
            1.0 => Self::One,
            2.0 => Self::Two,
            _ => Self::Power(p),
        }
    }
}

/// What a formula gives.
#[derive(Clone, Copy, Default)]
pub struct Eval {
    /// The loss.
    pub value: f64,
    /// Its derivatives by what came of the comparisons.
    pub factors: OfPairs,
}

/// One call.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// The first rows.
    pub x: Cells<'a>,
    /// The second rows.
    pub y: Cells<'a>,
    /// The third rows, where the loss has them.
    pub z: Option<Cells<'a>>,
    /// Numbers of a row.
    pub size: usize,
    /// Labels: what is above 0 is positive.
    pub signs: Option<Values<'a>>,
    /// Which rows count: the others give neither value nor gradient, whatever they hold.
    pub marks: Positions<'a>,
    /// Weight of each row's value and gradients.
    pub sample_weight: Option<Stream<'a>>,
    /// Gradient by `x`; may be the same memory.
    pub dx: Option<Cells<'a>>,
    /// Gradient by `y`.
    pub dy: Option<Cells<'a>>,
    /// Gradient by `z`.
    pub dz: Option<Cells<'a>>,
    /// The loss of each row.
    pub out: Option<Cells<'a>>,
    /// Upstream gradient per row, in place of `scale`.
    pub grad_output: Option<Cells<'a>>,
    /// Factor of the gradients: the upstream gradient over the denominator of `mean`.
    pub scale: f64,
    /// Gradients are added to what is there; `dx` is not the memory of `x` then.
    pub accumulate: bool,
    /// The sum of the rows before these, when a caller passes its memory piece by piece in whole blocks.
    pub sum: f64,
    /// Scalar parameters of the loss.
    pub params: Params,
    /// Which units to compute.
    pub share: Share<'a>,
}

/// As many numbers of a row as the sums have lanes: element i belongs to lane i mod 8. `ts/backend/ts/compare.ts` has the same.
const WIDTH: usize = 8;

/// Neighbours in double precision.
#[inline(always)]
fn doubles(few: &[Cell<f32>; WIDTH]) -> [f64; WIDTH] {
    few.each_ref().map(|cell| f64::from(cell.get()))
}

/// Runs the loop of a loss over arrays whose lengths fit; the sum of the values.
pub(crate) fn run<L: OfRows + From<Params>>(level: Level, args: &Args) -> f64 {
    let loss = &L::from(args.params);
    if L::ROWS == 2 {
        return level.run(rows::Rows::<true, L> { loss, args });
    }
    let loss: &dyn Embedding = loss;
    level.run(rows::Rows::<false, dyn Embedding> { loss, args })
}
