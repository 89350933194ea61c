//! What a pass of a region loss has.

use super::{Activation, Args, EACH, Part, PartRun, Pass, add_up, region};
use crate::call::{
    ACCUMULATE, CLASSES, Call, Host, LAST, LOSS, Lengths, MANY, MASK_INNER, OWN, Outcome,
    POSITIONS, SOME, SUM, Work, fields, places,
};
use crate::share::Share;
use crate::simd::Level;
use core::cell::Cell;

fields! {
    X = "x": Input Floats Scores;
    TARGET = "target": Input Numbers Scores;
    LABELS = "labels": Input Labels Positions;
    /// Are added to in a pass of sums.
    SUMS = "sums": Total Doubles Planes(EACH);
    /// Say what the gradient is in the other passes.
    PLANES = "planes": Input Floats Planes(EACH);
    DX = "dx": Gradient Floats Scores;
    /// The gradient by the target, in a pass of its own.
    DT = "dt": Output Floats Scores;
    AUX = "aux": Input Floats Classes;
    WEIGHT = "weight": Input Floats Classes;
    SAMPLE_WEIGHT = "sampleWeight": Input Floats Samples;
    MASK = "mask": Input Mask Shared(MASK_INNER);
}

places! {
    /// Numbers of the call.
    NUMBERS from OWN;
    ACTIVATION = "activation",
    SQUARED = "squared",
    /// Of the part: whether there is one, its gradient's factor, its extra parameter where it is one number, and others.
    PART = "part",
    SCALE = "scale",
    AUX_VALUE = "auxValue",
    P0 = "p0",
    P1 = "p1",
    LABEL_SMOOTHING = "labelSmoothing",
}

/// Checks a pass and runs it; `part_of` finds the loops of a part by the loss's number.
pub(crate) fn run(
    call: &Call,
    host: &Host,
    part_of: impl Fn(usize, Activation) -> Option<PartRun>,
) -> Outcome {
    let x = call.floats(X).ok_or("no x")?;
    let (classes, positions) = (call.count(CLASSES), call.count(POSITIONS));
    let per_sample = classes * positions;
    if per_sample == 0 || !x.len().is_multiple_of(per_sample) {
        return Err("scores that fill no samples".into());
    }
    let samples = x.len() / per_sample;
    let lengths = Lengths {
        scores: x.len(),
        positions: samples * positions,
        classes,
        samples,
    };
    call.check(FIELDS, lengths)?;
    let (target, marks) = (call.values(TARGET), call.marks(LABELS, MASK));
    if target.is_none() && marks.labels.is_none() {
        return Err("neither labels nor a target".into());
    }
    let activation = Activation::from_number(call.count(ACTIVATION));
    let part = if call.is_set(PART) {
        let run = part_of(call.count(LOSS), activation);
        Some(Part {
            run: run.ok_or("a loss that is no part of this activation")?,
            params: [call.float(P0), call.float(P1)],
            aux: call.float(AUX_VALUE),
            auxs: call.floats(AUX),
            weight: call.floats(WEIGHT),
            sample_weight: call.floats(SAMPLE_WEIGHT),
            label_smoothing: call.float(LABEL_SMOOTHING),
            scale: call.float(SCALE),
        })
    } else {
        None
    };
    let dx = call.floats(DX);
    let pass = match (call.doubles(SUMS), call.floats(PLANES), call.floats(DT)) {
        (Some(_), ..) if dx.is_some() && activation != Activation::Sigmoid => {
            return Err("only a sigmoid is kept".into());
        }
        (Some(sums), ..) => Pass::Sums { sums, keep: dx },
        (_, Some(_), Some(_)) if part.is_some() => {
            return Err("a part has no gradient by the target".into());
        }
        (_, Some(planes), Some(dt)) => Pass::TargetGradient { planes, dt },
        (_, Some(planes), None) => Pass::Gradient {
            planes,
            dx: dx.ok_or("no place for the gradient")?,
            accumulate: call.is_set(ACCUMULATE),
        },
        _ => return Err("neither sums nor a gradient to compute".into()),
    };
    let args = Args {
        x,
        target,
        marks,
        classes,
        positions,
        classes_last: call.is_set(LAST),
        activation,
        squared: call.is_set(SQUARED),
        part,
        share: Share::ALL,
    };
    Ok(call.number(SUM) + host.run(&Region { args, pass }))
}

struct Region<'a> {
    args: Args<'a>,
    pass: Pass<'a>,
}

impl Work for Region<'_> {
    fn size(&self) -> (usize, usize) {
        let light = self.args.activation == Activation::None;
        (self.args.x.len(), if light { MANY } else { SOME })
    }

    fn units(&self) -> usize {
        self.args.units()
    }

    fn sums_of_unit(&self) -> usize {
        match self.pass {
            Pass::Sums { .. } => self.args.sums_of_unit(),
            _ => 0,
        }
    }

    fn run(&self, level: Level, share: Share) -> f64 {
        region(level, Args { share, ..self.args }, self.pass)
    }

    fn add_up(&self, sums: &[Cell<f64>]) -> f64 {
        match self.pass {
            Pass::Sums { sums: into, .. } => add_up(self.args, sums, into),
            _ => 0.0,
        }
    }
}
