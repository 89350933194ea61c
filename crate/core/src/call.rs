//! What a call is made of, whoever makes it.
//!
//! Each kind of call describes its arrays and numbers once, in a table beside the loops that it runs. The bindings know only this
//! module: they find the arrays of a call by their places, hand them over as [`Call`], and run what
//! [`crate::registry::CALLS`] has for it. `ts/call` has the same places; a test compares them.
//!
//! Numbers travel in one block of doubles ([`Numbers`]). The first of them mean the same in every call; the others, from [`OWN`] on, are
//! those that the call names.

use crate::layout::positions::{Mask, Positions, Values};
use crate::layout::stream::Stream;
use crate::share::Share;
use crate::simd::{Cells, Level};
use core::cell::Cell;
use core::ops::Range;

/// How many numbers a block has.
pub const NUMBERS: usize = 41;

/// The numbers of a call.
pub type Numbers = [Cell<f64>; NUMBERS];

/// Arrays of a call that have a place of their own, at most: their types are the digits of one number.
pub const PLACES: usize = 13;

/// Labels that a call can ignore, at most.
pub const MOST_IGNORED: usize = 10;

/// Gives places to names, from `first` on, and lists the names.
macro_rules! places {
    ($(#[$about:meta])* $list:ident from $first:expr; $($(#[$note:meta])* $place:ident = $name:literal,)*) => {
        $(#[$about])*
        pub const $list: &[&str] = &[$($name),*];
        $crate::call::places!(@ $first; $([$(#[$note])*] $place)*);
    };
    (@ $at:expr; [$(#[$note:meta])*] $place:ident $($rest:tt)*) => {
        $(#[$note])*
        #[allow(dead_code, reason = "a name may be there only to be listed")]
        pub const $place: usize = $at;
        $crate::call::places!(@ $at + 1; $($rest)*);
    };
    (@ $at:expr;) => {};
}
pub(crate) use places;

places! {
    /// Names of the numbers that mean the same in every call.
    COMMON from 0;
    /// On the way in the sum of what came before, on the way out the result.
    SUM = "sum",
    /// The kind of call, by its place in [`crate::registry::CALLS`].
    CALL = "call",
    /// The loss, by its place in [`crate::registry::REGISTRY`].
    LOSS = "loss",
    /// Types of the arrays that have places: a hexadecimal digit for each, the first the lowest, 0 where it is not given.
    TYPES = "types",
    /// Threads that a large call may use.
    THREADS = "threads",
    /// Whether a call is split among threads however small it is: tests ask for that.
    SPLIT_ALL = "splitAll",
    /// How many of the arrays that follow those with places are read.
    INPUTS = "inputs",
    /// How many of them are written.
    GRADS = "grads",
    /// Scores of a position.
    CLASSES = "classes",
    /// Positions of a sample.
    POSITIONS = "positions",
    /// Whether the scores of a position are neighbours.
    LAST = "last",
    /// Neighbouring positions that share a weight of theirs.
    SAMPLE_INNER = "sampleInner",
    /// Neighbouring positions that share a value of the mask.
    MASK_INNER = "maskInner",
    /// Whether gradients are added to what is there.
    ACCUMULATE = "accumulate",
    /// How many labels are ignored; these follow.
    IGNORED = "ignored",
}

/// The first number that a call names itself.
pub const OWN: usize = IGNORED + 1 + MOST_IGNORED;

/// What is done with an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It is read.
    Input,
    /// It is written.
    Output,
    /// It is added to.
    Total,
    /// It is written or, where the call accumulates, added to; where it is not, it may be the memory of the first array.
    Gradient,
    /// As that, but never the memory of another array: the gradient by another argument than the first.
    Further,
}

/// Which numbers an array may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elements {
    /// Floats of single precision.
    Floats,
    /// Floats of double precision.
    Doubles,
    /// Those of any type, read as floats.
    Numbers,
    /// Those of any type, read as classes.
    Labels,
    /// Those of any type, read as 0 or not.
    Mask,
    /// Bytes.
    Bytes,
}

/// How many elements an array has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One for each score of each position.
    Scores,
    /// One for each position.
    Positions,
    /// One for so many neighbouring positions as the number at this place says.
    Shared(usize),
    /// Any number: so many neighbours as the number at this place says share one, and behind the last comes the first again.
    Cycled(Option<usize>),
    /// One for each class.
    Classes,
    /// One for each sample.
    Samples,
    /// So many for each sample and class.
    Planes(usize),
    /// Any number; calls cut into pieces hand it over whole.
    Whole,
}

/// An array of a call, at its place.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As `ts/call` calls it.
    pub name: &'static str,
    /// What is done with it.
    pub role: Role,
    /// What it holds.
    pub elements: Elements,
    /// How long it is.
    pub extent: Extent,
}

/// The arrays of a kind of call, in the order of their places: name, role, elements and extent.
macro_rules! fields {
    ($($(#[$note:meta])* $place:ident = $name:literal: $role:ident $elements:ident $extent:ident $(($number:expr))?;)*) => {
        pub(crate) const FIELDS: &[$crate::call::Field] = &[$($crate::call::Field {
            name: $name,
            role: $crate::call::Role::$role,
            elements: $crate::call::Elements::$elements,
            extent: $crate::call::Extent::$extent $(($number))?,
        },)*];
        const _: () = assert!(FIELDS.len() <= $crate::call::PLACES);
        $crate::call::places!(@ 0; $([$(#[$note])*] $place)*);
    };
}
pub(crate) use fields;

/// A kind of call.
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// Its arrays, in the order of their places.
    pub fields: &'static [Field],
    /// The numbers that it has beside the [`COMMON`] ones.
    pub numbers: &'static [&'static str],
    /// Checks a call and runs it; the result, or why the call cannot be run.
    pub run: fn(&Call, &Host) -> Outcome,
}

/// A result, or what is wrong with the call: the facade has checked it, so that only its own faults come to light here.
pub type Outcome = Result<f64, String>;

/// Where calls run.
#[derive(Clone, Copy)]
pub struct Host<'a> {
    /// The instruction set.
    pub level: Level,
    /// The threads that a large call may use, where there are several.
    pub threads: Option<&'a dyn Threads>,
    /// Whether every call is large.
    pub split_all: bool,
}

/// Threads that run a call together.
pub trait Threads {
    /// Runs a call, of whose size each thread should have at least `least`.
    fn run(&self, work: &dyn Work, level: Level, least: usize) -> f64;
}

impl Host<'_> {
    #[inline]
    pub(crate) fn run<W: Work>(&self, work: &W) -> f64 {
        let (size, least) = work.size();
        let least = if self.split_all { 1 } else { least };
        match self.threads {
            Some(threads) if size >= 2 * least => threads.run(work, self.level, least),
            _ => work.run(self.level, Share::ALL),
        }
    }
}

/// A call that has been read: nothing can go wrong any more.
pub trait Work {
    /// Its size, and how much of it a thread should have at least.
    fn size(&self) -> (usize, usize);
    /// Units, of which each belongs to one thread.
    fn units(&self) -> usize;
    /// Sums that each unit has.
    fn sums_of_unit(&self) -> usize {
        1
    }
    /// Computes some units: their sum, or what they leave in the sums of the share.
    fn run(&self, level: Level, share: Share) -> f64;
    /// The result, from the sums of all units.
    fn add_up(&self, sums: &[Cell<f64>]) -> f64 {
        sums.iter().fold(0.0, |total, sum| total + sum.get())
    }
}

/// Elements that a thread should have at least, where each costs an exponential, and where it is little more than memory.
/// Below twice as many the second thread gains less than it takes to wake it: `npm run bench -- --threads 2`.
pub(crate) const SOME: usize = 50_000;
pub(crate) const MANY: usize = 200_000;

/// An array of any type.
#[derive(Clone, Copy)]
pub enum Array<'a> {
    /// What kernels read as floats, classes or 0 and 1; floats are written too.
    Values(Values<'a>),
    /// Float64Array
    F64(&'a [Cell<f64>]),
}

impl Array<'_> {
    /// Number of elements. Floats, which most arrays are, do without the choice among all types.
    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Values(Values::F32(floats)) => floats.len(),
            Self::Values(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    #[inline]
    fn addresses(&self) -> Range<usize> {
        match self {
            Self::Values(Values::F32(floats)) => addresses(floats),
            Self::Values(values) => values.addresses(),
            Self::F64(values) => addresses(values),
        }
    }
}

/// The digits of [`TYPES`]. A binding finds the memory of an array by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Float32Array
    F32 = 1,
    /// Int32Array
    I32,
    /// Uint8Array, Uint8ClampedArray
    U8,
    /// Int8Array
    I8,
    /// Int16Array
    I16,
    /// Uint16Array
    U16,
    /// Uint32Array
    U32,
    /// BigInt64Array, BigUint64Array
    I64,
    /// Float64Array
    F64,
}

impl Type {
    const ALL: [Self; 9] = [
        Self::F32,
        Self::I32,
        Self::U8,
        Self::I8,
        Self::I16,
        Self::U16,
        Self::U32,
        Self::I64,
        Self::F64,
    ];

    /// The types of the arrays that a call gives, in the order of their places; 0 stands for one that is not given.
    pub fn of(numbers: &Numbers) -> impl Iterator<Item = Option<Self>> {
        let mut types = numbers[TYPES].get() as u64;
        (0..PLACES).map_while(move |_| {
            let digit = types as usize & 15;
            let is_last = types == 0;
            types >>= 4;
            (!is_last).then(|| Self::ALL.get(digit.wrapping_sub(1)).copied())
        })
    }

    /// Arrays that follow those with places.
    #[must_use]
    pub fn rest(numbers: &Numbers) -> usize {
        let count = |at: usize| numbers[at].get() as usize;
        count(INPUTS).saturating_add(count(GRADS))
    }
}

/// The arrays and numbers of a call.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// Those with places, up to the last that is given.
    pub arrays: &'a [Option<Array<'a>>],
    /// Those that follow, all floats.
    pub rest: &'a [Cells<'a>],
    /// The numbers.
    pub numbers: &'a Numbers,
    /// The labels that are ignored, as [`Call::ignored`] has them.
    pub ignored: &'a [i32],
}

/// Lengths that arrays are held to.
#[derive(Clone, Copy)]
pub(crate) struct Lengths {
    pub scores: usize,
    pub positions: usize,
    pub classes: usize,
    pub samples: usize,
}

impl<'a> Call<'a> {
    /// The labels that are ignored, for whoever makes a call.
    pub fn ignored(numbers: &Numbers, into: &'a mut [i32; MOST_IGNORED]) -> &'a [i32] {
        let count = (numbers[IGNORED].get() as usize).min(MOST_IGNORED);
        for (label, number) in into.iter_mut().zip(&numbers[IGNORED + 1..]).take(count) {
            *label = number.get() as i32;
        }
        &into[..count]
    }

    pub(crate) fn number(&self, place: usize) -> f64 {
        self.numbers[place].get()
    }

    pub(crate) fn float(&self, place: usize) -> f32 {
        self.number(place) as f32
    }

    pub(crate) fn count(&self, place: usize) -> usize {
        self.number(place) as usize
    }

    pub(crate) fn is_set(&self, place: usize) -> bool {
        self.number(place) != 0.0
    }

    pub(crate) fn values(&self, place: usize) -> Option<Values<'a>> {
        match self.arrays.get(place) {
            Some(Some(Array::Values(values))) => Some(*values),
            _ => None,
        }
    }

    pub(crate) fn floats(&self, place: usize) -> Option<Cells<'a>> {
        match self.values(place) {
            Some(Values::F32(floats)) => Some(floats),
            _ => None,
        }
    }

    pub(crate) fn doubles(&self, place: usize) -> Option<&'a [Cell<f64>]> {
        match self.arrays.get(place) {
            Some(Some(Array::F64(doubles))) => Some(doubles),
            _ => None,
        }
    }

    /// A stream of which `inner` neighbours share a value.
    pub(crate) fn stream(&self, place: usize, inner: usize) -> Option<Stream<'a>> {
        self.floats(place).map(|values| Stream { values, inner })
    }

    pub(crate) fn sample_weight(&self, place: usize) -> Option<Stream<'a>> {
        self.stream(place, self.count(SAMPLE_INNER))
    }

    /// Which positions count: labels and mask.
    pub(crate) fn marks(&self, labels: usize, mask: usize) -> Positions<'a> {
        Positions {
            labels: self.values(labels),
            ignored: self.ignored,
            mask: self.values(mask).map(|values| Mask {
                values,
                inner: self.count(MASK_INNER),
            }),
        }
    }

    /// Refuses arrays of another type or length than their fields say, and outputs that share memory with any other array, but for a
    /// gradient over the first array, or one of the rest over one that is read.
    #[inline]
    pub(crate) fn check(&self, fields: &[Field], lengths: Lengths) -> Result<(), String> {
        for (array, field) in self.arrays.iter().zip(fields) {
            let Some(array) = array else { continue };
            if !self.fits(field, array, lengths) {
                return Err(wrong(field, array));
            }
        }
        for (place, (array, field)) in self.arrays.iter().zip(fields).enumerate() {
            let Some(array) = array else { continue };
            if field.role == Role::Input {
                continue;
            }
            let own = array.addresses();
            for (k, other) in self.arrays.iter().enumerate() {
                let Some(other) = other else { continue };
                let over = k == 0 && field.role == Role::Gradient && !self.is_set(ACCUMULATE);
                if k != place && share(&own, &other.addresses(), over) {
                    return Err(format!("{} overlaps {}", field.name, fields[k].name));
                }
            }
        }
        if self.rest.is_empty() {
            return Ok(());
        }
        self.check_rest()
    }

    fn check_rest(&self) -> Result<(), String> {
        let over_input = !self.is_set(ACCUMULATE);
        let (inputs, grads) = self.rest.split_at(self.count(INPUTS).min(self.rest.len()));
        for (k, grad) in grads.iter().enumerate() {
            let own = addresses(grad);
            let with = |other: Range<usize>, over| share(&own, &other, over);
            let mut placed = self.arrays.iter().flatten();
            if placed.any(|array| with(array.addresses(), false))
                || inputs
                    .iter()
                    .any(|input| with(addresses(input), over_input))
                || grads[..k].iter().any(|grad| with(addresses(grad), false))
            {
                return Err(format!("gradient {k} overlaps another array"));
            }
        }
        Ok(())
    }

    #[inline]
    fn fits(&self, field: &Field, array: &Array, lengths: Lengths) -> bool {
        let fits = match (field.elements, array) {
            (Elements::Floats, Array::Values(Values::F32(_))) => true,
            (Elements::Bytes, Array::Values(Values::U8(_))) => true,
            (Elements::Floats | Elements::Bytes, _) => false,
            (Elements::Doubles, array) => matches!(array, Array::F64(_)),
            (_, array) => matches!(array, Array::Values(_)),
        };
        let length = array.len();
        let is = |expected: usize| length == expected;
        fits && match field.extent {
            Extent::Scores => is(lengths.scores),
            Extent::Positions => is(lengths.positions),
            Extent::Classes => is(lengths.classes),
            Extent::Samples => is(lengths.samples),
            Extent::Planes(each) => is(lengths.samples * lengths.classes * each),
            Extent::Shared(place) => {
                length.checked_mul(self.count(place)) == Some(lengths.positions)
            }
            Extent::Cycled(place) => length > 0 && place.is_none_or(|place| self.count(place) > 0),
            Extent::Whole => true,
        }
    }
}

#[cold]
fn wrong(field: &Field, array: &Array) -> String {
    let (name, length) = (field.name, array.len());
    format!("{name} has a wrong type, or a wrong length of {length}")
}

fn addresses<T>(slice: &[T]) -> Range<usize> {
    let range = slice.as_ptr_range();
    range.start.addr()..range.end.addr()
}

/// Whether two slices share memory, other than by starting at the same place where `same_start` allows it.
#[inline]
pub(crate) fn overlap<A, B>(a: &[A], b: &[B], same_start: bool) -> bool {
    share(&addresses(a), &addresses(b), same_start)
}

fn share(a: &Range<usize>, b: &Range<usize>, same_start: bool) -> bool {
    a.start < b.end && b.start < a.end && !(same_start && a.start == b.start)
}
