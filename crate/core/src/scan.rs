//! Looks at the numbers of a call before it runs: whether values are where a loss is defined, and what the positions weigh.
//!
//! [`first_outside`] goes by blocks of 1,024 values. Within a block it only finds out whether any value is outside, without a branch for
//! each, by vectors where the values are floats that all count and by elements elsewhere; where one is, a second look says which is the
//! first. Weights are summed by [`Positions::weight`].

use crate::layout::positions::{NOTHING, Positions, Values};
use crate::simd::{Cells, Kernel, LANES, Level, Simd, cells};
use crate::sum::BLOCK;
use core::cell::Cell;

/// Index of the first value that counts and is not in [low, high]; NaN is not.
#[must_use]
pub fn first_outside(
    level: Level,
    values: Values,
    marks: Positions,
    low: f32,
    high: f32,
) -> Option<usize> {
    match values {
        Values::F32(values) if marks.is_everything() => {
            level.run(FirstOutside { values, low, high })
        }
        _ => first_marked_outside(values, marks, low, high),
    }
}

/// The same of values of any type, of which some may count for nothing.
fn first_marked_outside(values: Values, marks: Positions, low: f32, high: f32) -> Option<usize> {
    let mut floats = [0.0; BLOCK];
    let floats = cells(&mut floats);
    let mut classes = [0; BLOCK];
    (0..values.len()).step_by(BLOCK).find_map(|first| {
        let count = BLOCK.min(values.len() - first);
        let floats = values.block(first, count, floats);
        let classes = &mut classes[..count];
        marks.classes(first, classes);
        // Without branches; where something is found, a second look says where.
        let outside = |value: &Cell<f32>, class: i32| {
            (class != NOTHING) & !((value.get() >= low) & (value.get() <= high))
        };
        let mut found = false;
        for (value, &class) in floats.iter().zip(&*classes) {
            found |= outside(value, class);
        }
        let mut both = floats.iter().zip(&*classes);
        let at = || both.position(|(value, &class)| outside(value, class));
        found.then(at).flatten().map(|i| first + i)
    })
}

struct FirstOutside<'a> {
    values: Cells<'a>,
    low: f32,
    high: f32,
}

impl Kernel for FirstOutside<'_> {
    type Out = Option<usize>;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> Option<usize> {
        let (low, high) = (s.splat(self.low), s.splat(self.high));
        for (b, block) in self.values.chunks(BLOCK).enumerate() {
            // Without branches; where something is found, a second look says where.
            let mut found = s.splat(0.0);
            let (whole, tail) = block.as_chunks::<LANES>();
            let tail = s.load_head(tail, self.low);
            for x in whole.iter().map(|chunk| s.load(chunk)).chain([tail]) {
                // NaN becomes `low`, to which it is not equal.
                let held = s.max(x, low);
                let held = s.select(s.lt(held, high), held, high);
                found = s.select(s.eq(held, x), found, s.splat(1.0));
            }
            if s.sum(found) == 0.0 {
                continue;
            }
            let outside = |x: &Cell<f32>| !(self.low..=self.high).contains(&x.get());
            if let Some(i) = block.iter().position(outside) {
                return Some(b * BLOCK + i);
            }
        }
        None
    }
}

/// The call of [`first_outside`].
pub(crate) mod outside {
    use super::first_outside;
    use crate::call::{Call, Host, Lengths, MASK_INNER, OWN, Outcome, fields, places};

    fields! {
        VALUES = "values": Input Numbers Scores;
        LABELS = "labels": Input Labels Scores;
        MASK = "mask": Input Mask Shared(MASK_INNER);
    }

    places! {
        /// Numbers of the call.
        NUMBERS from OWN;
        LOW = "low",
        HIGH = "high",
    }

    /// The index, or −1.
    pub(crate) fn run(call: &Call, host: &Host) -> Outcome {
        let values = call.values(VALUES).ok_or("no values")?;
        let lengths = Lengths {
            scores: values.len(),
            positions: values.len(),
            classes: 1,
            samples: 1,
        };
        call.check(FIELDS, lengths)?;
        let marks = call.marks(LABELS, MASK);
        let (low, high) = (call.float(LOW), call.float(HIGH));
        let found = first_outside(host.level, values, marks, low, high);
        Ok(found.map_or(-1.0, |i| i as f64))
    }
}

/// The call of [`Positions::weight`].
pub(crate) mod weight {
    use crate::call::{
        CLASSES, Call, Host, Lengths, MASK_INNER, Outcome, POSITIONS, SAMPLE_INNER, fields,
    };

    fields! {
        LABELS = "labels": Input Labels Positions;
        MASK = "mask": Input Mask Shared(MASK_INNER);
        WEIGHT = "weight": Input Floats Classes;
        SAMPLE_WEIGHT = "sampleWeight": Input Floats Shared(SAMPLE_INNER);
    }

    /// It needs no more than the common ones.
    pub(crate) const NUMBERS: &[&str] = &[];

    /// The weight, or −1 − i.
    pub(crate) fn run(call: &Call, _: &Host) -> Outcome {
        let (positions, classes) = (call.count(POSITIONS), call.count(CLASSES));
        let lengths = Lengths {
            scores: 0,
            positions,
            classes,
            samples: 1,
        };
        call.check(FIELDS, lengths)?;
        let (weight, sample_weight) = (call.floats(WEIGHT), call.sample_weight(SAMPLE_WEIGHT));
        Ok(call
            .marks(LABELS, MASK)
            .weight(positions, classes, weight, sample_weight))
    }
}
