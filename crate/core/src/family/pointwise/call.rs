//! What a pointwise call has, and which loop runs it.

use super::plain::Plain;
use super::{Args, Defaults, Extra, Pointwise, Whole, general};
use crate::call::{
    ACCUMULATE, Call, Host, Lengths, MANY, MASK_INNER, OWN, Outcome, SAMPLE_INNER, SOME, SUM, Work,
    fields, overlap, places,
};
use crate::family::Params;
use crate::layout::positions::Values;
use crate::precision::{fits, lifts};
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
pub(crate) fn call(call: &Call, host: &Host, run: Run, light: bool) -> Outcome {
    let x = call.floats(X).ok_or("no x")?;
    // What a training step has: its arguments are checked and written where they are read, since to do so for any call takes as long as
    // a small kernel.
    if let Some(args) = plain(call, x) {
        return Ok(host.run(&Elements { run, light, args }));
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
    Ok(host.run(&Elements {
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

struct Elements<'a> {
    run: Run,
    light: bool,
    args: Args<'a>,
}

impl Work for Elements<'_> {
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

/// Runs the loops of a loss over arrays whose lengths fit; the sum of the elements' values.
///
/// Each loop is a kernel, and so a function, of its own: in one large function engines of WebAssembly keep even sums in memory.
pub(crate) fn run<L: Pointwise + From<Params>>(level: Level, args: &Args) -> f64 {
    let loss = L::from(args.params);
    match (args.extra, args.dx) {
        (Some(extra), _) => general::general(level, &Whole(loss), args, extra),
        (None, Some(_)) if !fits(args.scale) || lifts(args.scale) => {
            general::general(level, &Whole(loss), args, &Extra::default())
        }
        (None, Some(dx)) if loss.has_defaults(args.aux) => {
            let loss = Defaults(loss);
            level.run(Plain::<_, true> { loss, args, dx })
        }
        (None, None) if !SMALL && L::DEFAULTS_ONLY && loss.has_defaults(args.aux) => {
            let (loss, dx) = (Defaults(loss), args.x);
            level.run(Plain::<_, false> { loss, args, dx })
        }
        (None, _) if L::DEFAULTS_ONLY => {
            general::general(level, &Whole(loss), args, &Extra::default())
        }
        (None, Some(dx)) => level.run(Plain::<L, true> { loss, args, dx }),
        // Without a gradient nothing is written: `x` only stands in for the slice.
        (None, None) if !SMALL => level.run(Plain::<L, false> {
            loss,
            args,
            dx: args.x,
        }),
        (None, None) => panic!("no place for the gradient"),
    }
}
