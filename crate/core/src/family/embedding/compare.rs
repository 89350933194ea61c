//! Two rows compared: sums over their numbers, and what comes of these.

use super::{Measure, Norm, WIDTH, doubles};
use crate::simd::{Cells, one_by_one};
use core::hint::black_box;

/// What comes of two rows x and y.
#[derive(Clone, Copy)]
pub(super) struct Compared {
    pub value: f64,
    pub slopes: Slopes,
    /// Of a norm by powers, what differences are divided by.
    pub most: f64,
}

/// Of a cosine: its derivative by x is `xx`·x + `xy`·y, and that by y `yy`·y + `xy`·x. Of a distance with the differences u: `xx`·φ(u) and
/// −`yy`·φ(u), with the φ of its norm.
#[derive(Clone, Copy, Default)]
pub(super) struct Slopes {
    pub xx: f64,
    pub xy: f64,
    pub yy: f64,
}

impl Slopes {
    /// Each times a factor.
    #[inline(always)]
    pub fn times(self, factor: f64) -> Self {
        Self {
            xx: self.xx * factor,
            xy: self.xy * factor,
            yy: self.yy * factor,
        }
    }
}

impl Default for Compared {
    fn default() -> Self {
        Self {
            value: 0.0,
            slopes: Slopes::default(),
            most: f64::INFINITY,
        }
    }
}

#[inline(always)]
pub(super) fn compare(measure: Measure, x: Cells, y: Cells) -> Compared {
    match measure {
        Measure::Cosine { least, added } => cosine(products(x, y), least, added),
        Measure::Distance { norm, eps } => distance(norm, eps, x, y),
    }
}

#[inline(always)]
fn cosine([xx, xy, yy]: [f64; 3], least: f64, added: f64) -> Compared {
    // Most rows are so much longer that no root need be taken to say so.
    let limit = 4.0 * least * least;
    let is_short = |square: f64| square <= limit && square.sqrt() <= least;
    // NaN of one row shows, though the other is 0.
    if (is_short(xx) || is_short(yy)) && !xy.is_nan() {
        return Compared::default();
    }
    let (xx, yy) = (xx + added, yy + added);
    let norms = xx.sqrt() * yy.sqrt();
    let value = (xy / norms).clamp(-1.0, 1.0);
    let slopes = Slopes {
        xx: -value / xx,
        xy: 1.0 / norms,
        yy: -value / yy,
    };
    Compared {
        value,
        slopes,
        ..Compared::default()
    }
}

#[inline(always)]
fn distance(norm: Norm, eps: f64, x: Cells, y: Cells) -> Compared {
    let mut most = f64::INFINITY;
    let (value, slope) = match norm {
        Norm::One => (fold(Absolute, x, y, eps), 1.0),
        Norm::Two => {
            let value = fold(Squares, x, y, eps).sqrt();
            (value, 1.0 / value)
        }
        Norm::Squared => (fold(Squares, x, y, eps), 2.0),
        Norm::Power(p) => {
            let largest = fold(Largest, x, y, eps);
            if largest > 0.0 && largest < f64::INFINITY {
                most = largest;
                let sum = powers(x, y, eps, most, p);
                if p == f64::INFINITY {
                    (most, 1.0 / sum)
                } else {
                    (most * sum.powf(1.0 / p), sum.powf(1.0 / p - 1.0))
                }
            } else {
                (largest, 0.0)
            }
        }
    };
    // There is no direction from a row to itself, nor to one at no finite distance.
    let slope = match value {
        0.0 => 0.0,
        _ if value < f64::INFINITY => slope,
        _ => f64::NAN,
    };
    let slopes = Slopes {
        xx: slope,
        xy: 0.0,
        yy: slope,
    };
    Compared {
        value,
        slopes,
        most,
    }
}

/// The products of two rows, each with itself and with the other: x·x, x·y, y·y.
#[inline(always)]
fn products(x: Cells, y: Cells) -> [f64; 3] {
    let mut lanes = [[0.0; WIDTH]; 3];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks(), y.as_chunks());
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (doubles(x), doubles(y));
        for j in 0..WIDTH {
            lanes[0][j] += x[j] * x[j];
            lanes[1][j] += x[j] * y[j];
            lanes[2][j] += y[j] * y[j];
        }
        one_by_one();
    }
    // The compiler makes vectors of what goes to memory: of sums that it follows to their end it does not, which takes four times as
    // long.
    let mut lanes = black_box(lanes);
    for (j, (x, y)) in x_tail.iter().zip(y_tail).enumerate() {
        let (x, y) = (f64::from(x.get()), f64::from(y.get()));
        lanes[0][j] += x * x;
        lanes[1][j] += x * y;
        lanes[2][j] += y * y;
    }
    lanes.map(|lanes| join(lanes, |a, b| a + b))
}

/// What becomes of the differences of two rows.
trait Fold: Copy {
    /// A lane with one more difference.
    fn add(self, lane: f64, u: f64) -> f64;
    /// Two lanes.
    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        a + b
    }
}

/// Σ |u|
#[derive(Clone, Copy)]
struct Absolute;

impl Fold for Absolute {
    #[inline(always)]
    fn add(self, lane: f64, u: f64) -> f64 {
        lane + u.abs()
    }
}

/// Σ u²
#[derive(Clone, Copy)]
struct Squares;

impl Fold for Squares {
    #[inline(always)]
    fn add(self, lane: f64, u: f64) -> f64 {
        lane + u * u
    }
}

/// The largest |u|, or NaN if there is one.
#[derive(Clone, Copy)]
struct Largest;

impl Fold for Largest {
    #[inline(always)]
    fn add(self, lane: f64, u: f64) -> f64 {
        self.join(lane, u.abs())
    }
    #[inline(always)]
    fn join(self, a: f64, b: f64) -> f64 {
        if a < b || b.is_nan() { b } else { a }
    }
}

/// xᵖ for x in [0, 1]
#[inline(always)]
pub(super) fn power(x: f64, p: f64) -> f64 {
    if p == f64::INFINITY {
        f64::from(x == 1.0)
    } else {
        x.powf(p)
    }
}

#[inline(always)]
fn fold<F: Fold>(fold: F, x: Cells, y: Cells, eps: f64) -> f64 {
    let mut lanes = [0.0; WIDTH];
    let ((x, x_tail), (y, y_tail)) = (x.as_chunks(), y.as_chunks());
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (doubles(x), doubles(y));
        for j in 0..WIDTH {
            lanes[j] = fold.add(lanes[j], x[j] - y[j] + eps);
        }
        one_by_one();
    }
    // As for the products.
    let mut lanes = black_box(lanes);
    for (lane, (x, y)) in lanes.iter_mut().zip(x_tail.iter().zip(y_tail)) {
        *lane = fold.add(*lane, f64::from(x.get()) - f64::from(y.get()) + eps);
    }
    join(lanes, |a, b| fold.join(a, b))
}

/// Σ (|u|/most)ᵖ: how often |u| is the largest where p is ∞. The compiler has no vectors of powers.
#[inline(always)]
fn powers(x: Cells, y: Cells, eps: f64, most: f64, p: f64) -> f64 {
    let mut lanes = [0.0; WIDTH];
    for (i, (x, y)) in x.iter().zip(y).enumerate() {
        let u = f64::from(x.get()) - f64::from(y.get()) + eps;
        lanes[i % WIDTH] += power(u.abs() / most, p);
    }
    join(lanes, |a, b| a + b)
}

/// All lanes in one.
#[inline(always)]
fn join([a, b, c, d, e, f, g, h]: [f64; WIDTH], join: impl Fn(f64, f64) -> f64) -> f64 {
    let [a, b, c, d] = [join(a, e), join(b, f), join(c, g), join(d, h)];
    join(join(a, c), join(b, d))
}
