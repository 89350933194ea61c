//! Triplet margin loss.

use crate::family::embedding::{Embedding, Eval, Measure, Norm, OfPairs, OfRows, Params};

/// The largest norm of a row that has no direction.
const LEAST: f64 = 1e-8;

/// max(0, z) with z = margin + δ(anchor, positive) − δ(anchor, negative), or ln(1 + eᶻ)
///
/// At the kink, z = 0, the slope is 0. Of two distances to the negative row that are equal each has half of the slope.
#[derive(Clone, Copy)]
pub struct TripletMargin {
    margin: f64,
    measure: Measure,
    swap: bool,
    smooth: bool,
}

impl From<Params> for TripletMargin {
    /// The margin; p and eps of the distance; whether the positive row stands for the anchor where it is nearer to the negative one;
    /// the distance, 0 a norm, 1 the square of one, 2 of the cosine; whether the loss is smooth.
    fn from([margin, p, eps, swap, distance, smooth]: Params) -> Self {
        let (norm, added) = (Norm::of(p), 0.0);
        let measure = match distance {
            1.0 => Measure::Distance {
                norm: Norm::Squared,
                eps: 0.0,
            },
            2.0 => Measure::Cosine {
                least: LEAST,
                added,
            },
            _ => Measure::Distance { norm, eps },
        };
        Self {
            margin,
            measure,
            swap: swap != 0.0,
            smooth: smooth != 0.0,
        }
    }
}

impl OfRows for TripletMargin {
    const ROWS: usize = 3;
}

impl Embedding for TripletMargin {
    fn measure(&self) -> Measure {
        self.measure
    }

    fn pairs(&self) -> usize {
        if self.swap { 3 } else { 2 }
    }

    fn eval(&self, compared: OfPairs, _: bool) -> Eval {
        // A cosine says how near rows are, and a distance how far.
        let is_cosine = matches!(self.measure, Measure::Cosine { .. });
        let [near, far, swapped] = compared.map(|own| if is_cosine { 1.0 - own } else { own });
        // What the distances of the negative row have of the slope.
        let share = if !self.swap || far < swapped {
            1.0
        } else if swapped < far {
            0.0
        } else {
            0.5
        };
        let least = if share == 0.0 { swapped } else { far };
        let z = self.margin + (near - least);
        let (value, slope) = if self.smooth { softplus(z) } else { hinge(z) };
        let slope = if is_cosine { -slope } else { slope };
        Eval {
            value,
            factors: [slope, -slope * share, -slope * (1.0 - share)],
        }
    }
}

/// max(0, z) and its slope; NaN is both.
fn hinge(z: f64) -> (f64, f64) {
    if z <= 0.0 {
        (0.0, 0.0)
    } else if z > 0.0 {
        (z, 1.0)
    } else {
        (z, z)
    }
}

/// ln(1 + eᶻ) and its slope, the sigmoid of z.
fn softplus(z: f64) -> (f64, f64) {
    let e = (-z.abs()).exp();
    let above = if z <= 0.0 { 0.0 } else { z };
    let slope = if z < 0.0 { e } else { 1.0 } / (1.0 + e);
    (above + e.ln_1p(), slope)
}
