//! What a call over a class axis has.

use super::{Args, Extra};
use crate::call::{
    ACCUMULATE, CLASSES, Call, Host, LAST, Lengths, MASK_INNER, OWN, Outcome, POSITIONS,
    SAMPLE_INNER, SOME, SUM, Work, fields, overlap, places,
};
use crate::layout::positions::Values;
use crate::share::Share;
use crate::simd::{Cells, Level, SMALL};

fields! {
    X = "x": Input Floats Scores;
    LABELS = "labels": Input Labels Positions;
    DX = "dx": Gradient Floats Scores;
    TARGET = "target": Input Floats Scores;
    WEIGHT = "weight": Input Floats Classes;
    SAMPLE_WEIGHT = "sampleWeight": Input Floats Shared(SAMPLE_INNER);
    GRAD_OUTPUT = "gradOutput": Input Floats Positions;
    DT = "dt": Output Floats Scores;
    OUT = "out": Output Floats Positions;
    MASK = "mask": Input Mask Shared(MASK_INNER);
}

places! {
    /// Numbers of the call.
    NUMBERS from OWN;
    /// Factor of the gradients.
    SCALE = "scale",
    LABEL_SMOOTHING = "labelSmoothing",
    TEMPERATURE = "temperature",
    /// Scalar parameter.
    P0 = "p0",
}

/// A loss's loops.
pub type Run = fn(Level, &Args) -> f64;

/// Checks a call of the loss that these loops compute, and runs it.
pub(crate) fn run(call: &Call, host: &Host, run: Run) -> Outcome {
    let x = call.floats(X).ok_or("no x")?;
    // As in a pointwise call.
    if let Some(args) = plain(call, x) {
        return Ok(host.run(&Softmax { args, run }));
    }
    let (marks, target) = (call.marks(LABELS, MASK), call.floats(TARGET));
    let classes = call.count(CLASSES);
    let positions = x.len().checked_div(classes).unwrap_or(0);
    let inner = if call.is_set(LAST) {
        1
    } else {
        call.count(POSITIONS)
    };
    let lengths = Lengths {
        scores: positions * classes,
        positions,
        classes,
        samples: 1,
    };
    call.check(FIELDS, lengths)?;
    if target.is_none() && marks.labels.is_none() {
        return Err("neither labels nor a target".into());
    }
    if inner == 0 || !positions.is_multiple_of(inner) {
        return Err("positions that fill no samples".into());
    }
    let extra = Extra {
        inner,
        target,
        sample_weight: call.sample_weight(SAMPLE_WEIGHT),
        dt: call.floats(DT),
        accumulate: call.is_set(ACCUMULATE),
    };
    let extra = extra.needed().then_some(&extra);
    // As in a pointwise call.
    let instead = (SMALL && extra.is_none()).then_some(x);
    let args = Args {
        x,
        marks,
        classes,
        dx: call.floats(DX).or(instead),
        out: call.floats(OUT),
        weight: call.floats(WEIGHT),
        grad_output: call.floats(GRAD_OUTPUT),
        scale: call.number(SCALE),
        label_smoothing: call.float(LABEL_SMOOTHING),
        temperature: call.float(TEMPERATURE),
        sum: call.number(SUM),
        params: [call.float(P0), 0.0],
        share: Share::ALL,
        extra,
    };
    Ok(host.run(&Softmax { args, run }))
}

/// The arguments of a call of no more than rows of scores, labels of 32 bits and gradient, if they fit.
#[inline]
fn plain<'a>(call: &Call<'a>, x: Cells<'a>) -> Option<Args<'a>> {
    if call.arrays.len() > DX + 1 || call.is_set(ACCUMULATE) || !call.is_set(LAST) {
        return None;
    }
    let marks = call.marks(LABELS, MASK);
    let Some(Values::I32(labels)) = marks.labels else {
        return None;
    };
    let (classes, dx) = (call.count(CLASSES), call.floats(DX));
    let fits = labels.len().checked_mul(classes) == Some(x.len())
        && dx.is_none_or(|dx| {
            dx.len() == x.len() && !overlap(dx, x, true) && !overlap(dx, labels, false)
        });
    fits.then(|| Args {
        x,
        marks,
        classes,
        dx: dx.or(SMALL.then_some(x)),
        out: None,
        weight: None,
        grad_output: None,
        scale: call.number(SCALE),
        label_smoothing: call.float(LABEL_SMOOTHING),
        temperature: call.float(TEMPERATURE),
        sum: call.number(SUM),
        params: [call.float(P0), 0.0],
        share: Share::ALL,
        extra: None,
    })
}

struct Softmax<'a> {
    args: Args<'a>,
    run: Run,
}

impl Work for Softmax<'_> {
    fn size(&self) -> (usize, usize) {
        (self.args.x.len(), SOME)
    }

    fn units(&self) -> usize {
        self.args.units()
    }

    fn run(&self, level: Level, share: Share) -> f64 {
        if share.is_all() {
            return (self.run)(level, &self.args);
        }
        (self.run)(level, &Args { share, ..self.args })
    }
}
