//! What a pointwise call has.

use super::{Args, Extra};
use crate::call::{
    ACCUMULATE, Call, Host, Lengths, MANY, MASK_INNER, OWN, Outcome, SAMPLE_INNER, SOME, SUM, Work,
    fields, overlap, places,
};
use crate::layout::positions::Values;
use crate::share::Share;
use crate::simd::{Cells, Level, SMALL};
use crate::sum::BLOCK;

fields! {
    X = "x": Input Floats Scores;
    T = "t": Input Numbers Scores;
    DX = "dx": Gradient Floats Scores;
    WEIGHT = "weight": Input Floats Cycled(None);
    SAMPLE_WEIGHT = "sampleWeight": Input Floats Shared(SAMPLE_INNER);
    AUX = "aux": Input Floats Cycled(Some(AUX_INNER));
    GRAD_OUTPUT = "gradOutput": Input Floats Scores;
    DT = "dt": Output Floats Scores;
    OUT = "out": Output Floats Scores;
    LABELS = "labels": Input Labels Scores;
    MASK = "mask": Input Mask Shared(MASK_INNER);
}

places! {
    /// Numbers of the call.
    NUMBERS from OWN;
    /// Factor of the gradients.
    SCALE = "scale",
    /// The extra parameter, where it is one number, and else how many neighbouring elements share one.
    AUX_VALUE = "auxValue",
    AUX_INNER = "auxInner",
    /// Scalar parameters.
    P0 = "p0",
    P1 = "p1",
}

/// A loss's loops.
pub type Run = fn(Level, &Args) -> f64;

/// Checks a call of the loss that these loops compute, and runs it; `light` says that it takes little more than the memory.
pub(crate) fn run(call: &Call, host: &Host, run: Run, light: bool) -> Outcome {
    let x = call.floats(X).ok_or("no x")?;
    // What a training step has: its arguments are checked and written where they are read, since to do so for any call takes as long as
    // a small kernel.
    if let Some(args) = plain(call, x) {
        return Ok(host.run(&Pointwise { run, light, args }));
    }
    let n = x.len();
    let lengths = Lengths {
        scores: n,
        positions: n,
        classes: 1,
        samples: 1,
    };
    call.check(FIELDS, lengths)?;
    let t = call.values(T).ok_or("no t")?;
    let given = extra_of(call);
    let extra = given.as_ref();
    // Where code is scarce there is a loop with a gradient only, which may go over the input: that is the module's own copy.
    let instead = (SMALL && extra.is_none()).then_some(x);
    Ok(host.run(&Pointwise {
        run,
        light,
        args: Args {
            x,
            t,
            dx: call.floats(DX).or(instead),
            scale: call.number(SCALE),
            aux: call.float(AUX_VALUE),
            sum: call.number(SUM),
            params: [call.float(P0), call.float(P1)],
            share: Share::ALL,
            extra,
        },
    }))
}

/// The arguments of a call of no more than input, target and gradient, all floats, if they fit.
#[inline]
fn plain<'a>(call: &Call<'a>, x: Cells<'a>) -> Option<Args<'a>> {
    if call.arrays.len() > DX + 1 || call.is_set(ACCUMULATE) {
        return None;
    }
    let t = call.floats(T)?;
    let dx = call.floats(DX);
    let fits = t.len() == x.len()
        && dx.is_none_or(|dx| {
            dx.len() == x.len() && !overlap(dx, x, true) && !overlap(dx, t, false)
        });
    fits.then(|| Args {
        x,
        t: Values::F32(t),
        dx: dx.or(SMALL.then_some(x)),
        scale: call.number(SCALE),
        aux: call.float(AUX_VALUE),
        sum: call.number(SUM),
        params: [call.float(P0), call.float(P1)],
        share: Share::ALL,
        extra: None,
    })
}

#[inline(never)]
fn extra_of<'a>(call: &Call<'a>) -> Option<Extra<'a>> {
    let extra = Extra {
        weight: call.stream(WEIGHT, 1),
        sample_weight: call.sample_weight(SAMPLE_WEIGHT),
        marks: call.marks(LABELS, MASK),
        aux: call.stream(AUX, call.count(AUX_INNER)),
        grad_output: call.floats(GRAD_OUTPUT),
        dt: call.floats(DT),
        out: call.floats(OUT),
        accumulate: call.is_set(ACCUMULATE),
    };
    extra.needed().then_some(extra)
}

struct Pointwise<'a> {
    run: Run,
    light: bool,
    args: Args<'a>,
}

impl Work for Pointwise<'_> {
    fn size(&self) -> (usize, usize) {
        (self.args.x.len(), if self.light { MANY } else { SOME })
    }

    fn units(&self) -> usize {
        self.args.x.len().div_ceil(BLOCK)
    }

    fn run(&self, level: Level, share: Share) -> f64 {
        if share.is_all() {
            return (self.run)(level, &self.args);
        }
        (self.run)(level, &Args { share, ..self.args })
    }
}
