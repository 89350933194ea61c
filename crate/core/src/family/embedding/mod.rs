//! Losses of pairs of rows, of which only the products count: each row with itself, and with the other.
//!
//! Everything is computed in double precision. The product of two floats is a double without an error, and no sum of such
//! products leaves the range, so that rows of 1e30 or 1e-30 need no scaling and rows that are nearly parallel keep their difference.
//! The order of the sums is fixed, and what follows takes + − × ÷ and √ alone: the bits are the same everywhere.

mod call;
mod rows;

use crate::layout::positions::{Positions, Values};
use crate::layout::stream::Stream;
use crate::share::Share;
use crate::simd::{Cells, Level};

pub use call::Run;
pub(crate) use call::{FIELDS, NUMBERS, run as call};

/// Scalar parameters of a loss, in the order of its registry row; 0 where it has fewer.
pub type Params = [f64; 2];

/// A loss as a formula of the products of a pair of rows.
pub trait Embedding: Copy {
    /// The value, and what the gradients are made of; `positive` is the label of the pair, where it has one.
    fn eval(self, products: Products, positive: bool) -> Eval;
}

/// A number for each product of two rows x and y.
#[derive(Clone, Copy, Default)]
pub struct Products {
    /// x·x
    pub xx: f64,
    /// x·y
    pub xy: f64,
    /// y·y
    pub yy: f64,
}

/// What a formula gives.
#[derive(Clone, Copy, Default)]
pub struct Eval {
    /// The loss.
    pub value: f64,
    /// The derivative by x is `xy`·y + `xx`·x, and that by y is `xy`·x + `yy`·y.
    pub slopes: Products,
}

impl Products {
    /// The cosine of the angle between the rows, whose squared norms are taken for larger by `added`. That of a row with a norm of at
    /// most `least` is 0, and does not change.
    #[inline(always)]
    #[must_use]
    pub fn cosine(self, least: f64, added: f64) -> Eval {
        let Self { xx, xy, yy } = self;
        // NaN of one row shows, though the other is 0.
        if (xx.sqrt() <= least || yy.sqrt() <= least) && !xy.is_nan() {
            return Eval::default();
        }
        let (xx, yy) = (xx + added, yy + added);
        let norms = xx.sqrt() * yy.sqrt();
        let value = (xy / norms).clamp(-1.0, 1.0);
        Eval {
            value,
            slopes: Self {
                xx: -value / xx,
                xy: 1.0 / norms,
                yy: -value / yy,
            },
        }
    }

    /// Each times a factor.
    #[inline(always)]
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self {
            xx: self.xx * factor,
            xy: self.xy * factor,
            yy: self.yy * factor,
        }
    }
}

/// One call.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// The first row of each pair.
    pub x: Cells<'a>,
    /// The second row of each pair.
    pub y: Cells<'a>,
    /// Numbers of a row.
    pub size: usize,
    /// Labels of the pairs: what is above 0 is positive.
    pub signs: Option<Values<'a>>,
    /// Which pairs count: the others give neither value nor gradient, whatever they hold.
    pub marks: Positions<'a>,
    /// Weight of each pair's value and gradient.
    pub sample_weight: Option<Stream<'a>>,
    /// Gradient by `x`; may be the same memory.
    pub dx: Option<Cells<'a>>,
    /// Gradient by `y`.
    pub dy: Option<Cells<'a>>,
    /// The loss of each pair.
    pub out: Option<Cells<'a>>,
    /// Upstream gradient per pair, in place of `scale`.
    pub grad_output: Option<Cells<'a>>,
    /// Factor of the gradients: the upstream gradient over the denominator of `mean`.
    pub scale: f64,
    /// The gradient by `x` is added to what `dx` holds, which is not the memory of `x` then.
    pub accumulate: bool,
    /// The sum of the pairs before these, when a caller passes its memory piece by piece in whole blocks.
    pub sum: f64,
    /// Scalar parameters of the loss.
    pub params: Params,
    /// Which units to compute.
    pub share: Share<'a>,
}

/// Runs the loop of a loss over arrays whose lengths fit; the sum of the pairs' values.
pub(crate) fn run<L: Embedding + From<Params>>(level: Level, args: &Args) -> f64 {
    let loss = L::from(args.params);
    level.run(rows::Rows { loss, args })
}
