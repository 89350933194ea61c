//! What a call of rows has.

use super::Args;
use crate::call::{
    ACCUMULATE, CLASSES, Call, Host, Lengths, MANY, MASK_INNER, OWN, Outcome, SAMPLE_INNER, SUM,
    Work, fields, places,
};
use crate::share::Share;
use crate::simd::Level;
use crate::sum::positions_of_unit;

fields! {
    X = "x": Input Floats Scores;
    Y = "y": Input Floats Scores;
    DX = "dx": Gradient Floats Scores;
    DY = "dy": Further Floats Scores;
    SIGNS = "signs": Input Numbers Positions;
    SAMPLE_WEIGHT = "sampleWeight": Input Floats Shared(SAMPLE_INNER);
    GRAD_OUTPUT = "gradOutput": Input Floats Positions;
    OUT = "out": Output Floats Positions;
    LABELS = "labels": Input Labels Positions;
    MASK = "mask": Input Mask Shared(MASK_INNER);
    /// The third rows. They are last: most calls have none, and the types of arrays are digits of one number.
    Z = "z": Input Floats Scores;
    DZ = "dz": Further Floats Scores;
}

places! {
    /// Numbers of the call.
    NUMBERS from OWN;
    /// Factor of the gradients.
    SCALE = "scale",
    /// Scalar parameters.
    P0 = "p0",
    P1 = "p1",
    P2 = "p2",
    P3 = "p3",
    P4 = "p4",
    P5 = "p5",
}

/// A loss's loop.
pub type Run = fn(Level, &Args) -> f64;

/// Checks a call of the loss that this loop computes, and runs it.
pub(crate) fn run(call: &Call, host: &Host, run: Run) -> Outcome {
    let x = call.floats(X).ok_or("no x")?;
    let y = call.floats(Y).ok_or("no y")?;
    let size = call.count(CLASSES);
    let positions = x.len().checked_div(size).unwrap_or(0);
    let lengths = Lengths {
        scores: positions * size,
        positions,
        classes: size,
        samples: 1,
    };
    call.check(FIELDS, lengths)?;
    Ok(host.run(&Rows {
        run,
        args: Args {
            x,
            y,
            z: call.floats(Z),
            size,
            signs: call.values(SIGNS),
            marks: call.marks(LABELS, MASK),
            sample_weight: call.sample_weight(SAMPLE_WEIGHT),
            dx: call.floats(DX),
            dy: call.floats(DY),
            dz: call.floats(DZ),
            out: call.floats(OUT),
            grad_output: call.floats(GRAD_OUTPUT),
            scale: call.number(SCALE),
            accumulate: call.is_set(ACCUMULATE),
            sum: call.number(SUM),
            params: [P0, P1, P2, P3, P4, P5].map(|place| call.number(place)),
            share: Share::ALL,
        },
    }))
}

struct Rows<'a> {
    run: Run,
    args: Args<'a>,
}

impl Work for Rows<'_> {
    fn size(&self) -> (usize, usize) {
        (self.args.x.len(), MANY)
    }

    fn units(&self) -> usize {
        let Args { x, size, .. } = self.args;
        let rows = x.len().checked_div(size).unwrap_or(0);
        rows.div_ceil(positions_of_unit(size, true))
    }

    fn run(&self, level: Level, share: Share) -> f64 {
        (self.run)(level, &Args { share, ..self.args })
    }
}
