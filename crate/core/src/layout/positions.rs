//! Which positions of a call count, and their classes. Labels and masks come in whatever type the caller has them, and are read a few at a
//! time: no copy of them is made.
//!
//! [`Positions::classes`] gives the classes of a few neighbours, in two steps: labels become 32-bit integers, and those that are ignored
//! or masked become [`NOTHING`]. All loops ask it, once for each tile or unit. The common case, 32-bit labels of which one number is
//! ignored, has a loop without a choice for each label.
//!
//! [`Positions::weight`] walks all positions by blocks of 1,024 for the denominator of `mean`, and looks for labels that are no class on
//! the way. Counts of a block are integers; weights add up in double precision, in the order of the positions.

use super::stream::Stream;
use crate::simd::{Cells, LANES, Room};
use crate::sum::BLOCK;

/// In place of the class of a position that counts for nothing. No label is this number: see [`Positions::classes`].
pub const NOTHING: i32 = i32::MIN;

/// The elements of a typed array that is read and never written.
#[derive(Clone, Copy)]
pub enum Values<'a> {
    /// Int8Array
    I8(&'a [i8]),
    /// Uint8Array, Uint8ClampedArray
    U8(&'a [u8]),
    /// Int16Array
    I16(&'a [i16]),
    /// Uint16Array
    U16(&'a [u16]),
    /// Int32Array
    I32(&'a [i32]),
    /// Uint32Array
    U32(&'a [u32]),
    /// BigInt64Array
    I64(&'a [i64]),
    /// Float32Array
    F32(Cells<'a>),
}

/// The same expression for the slice of any type.
macro_rules! each {
    ($values:expr, $slice:ident => $body:expr) => {
        match $values {
            Values::I8($slice) => $body,
            Values::U8($slice) => $body,
            Values::I16($slice) => $body,
            Values::U16($slice) => $body,
            Values::I32($slice) => $body,
            Values::U32($slice) => $body,
            Values::I64($slice) => $body,
            Values::F32($slice) => $body,
        }
    };
}

impl<'a> Values<'a> {
    /// Number of elements.
    #[must_use]
    pub fn len(self) -> usize {
        each!(self, slice => slice.len())
    }

    pub(crate) fn addresses(self) -> core::ops::Range<usize> {
        each!(self, slice => {
            let range = slice.as_ptr_range();
            range.start.addr()..range.end.addr()
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Element i.
    pub(crate) fn at(self, i: usize) -> f32 {
        each!(self, slice => slice[i].float())
    }

    /// Room for the floats of a block, where [`Values::block`] needs it.
    #[inline(always)]
    pub(crate) fn room<const N: usize>(self, room: &mut Room<N>) -> Cells<'_> {
        let vectors = if matches!(self, Values::F32(_)) { 0 } else { N };
        room.zeros(vectors).as_flattened()
    }

    /// The `count` elements from `first` as floats: where they lie, or in `floats`, where they come in another type.
    #[inline(always)]
    pub(crate) fn block<'m>(self, first: usize, count: usize, floats: Cells<'m>) -> Cells<'m>
    where
        'a: 'm,
    {
        if let Values::F32(values) = self {
            return &values[first..first + count];
        }
        self.gather(first, 1, &floats[..count]);
        &floats[..count]
    }

    /// The `into.len()` elements that are `step` apart from `first` on, as floats.
    #[inline(never)]
    pub(crate) fn gather(self, first: usize, step: usize, into: Cells) {
        each!(self, slice => {
            for (into, value) in into.iter().zip(slice[first..].iter().step_by(step)) {
                into.set(value.float());
            }
        });
    }

    /// The elements from `first` as class indices. What is no 32-bit integer becomes the largest one, which is no class.
    fn classes(self, first: usize, into: &mut [i32]) {
        let range = first..first + into.len();
        each!(self, slice => {
            for (into, value) in into.iter_mut().zip(&slice[range]) {
                *into = value.class();
            }
        });
    }
}

/// An element of any of these types.
trait Value {
    fn float(&self) -> f32;
    fn class(&self) -> i32;
    fn is_zero(&self) -> bool;
}

macro_rules! integer {
    ($($kind:ty),*) => {
        $(impl Value for $kind {
            #[inline(always)]
            fn float(&self) -> f32 {
                *self as f32
            }
            #[inline(always)]
            fn class(&self) -> i32 {
                i32::try_from(*self).unwrap_or(i32::MAX)
            }
            #[inline(always)]
            fn is_zero(&self) -> bool {
                *self == 0
            }
        })*
    };
}

integer!(i8, u8, i16, u16, i32, u32, i64);

impl Value for core::cell::Cell<f32> {
    #[inline(always)]
    fn float(&self) -> f32 {
        self.get()
    }
    #[inline(always)]
    fn class(&self) -> i32 {
        let class = self.get() as i32;
        if class as f32 == self.get() {
            class
        } else {
            i32::MAX
        }
    }
    #[inline(always)]
    fn is_zero(&self) -> bool {
        self.get() == 0.0
    }
}

/// Which positions count, and their classes.
#[derive(Clone, Copy, Default)]
pub struct Positions<'a> {
    /// Class of each position. Where the target is no class it only says what is ignored, and may be missing.
    pub labels: Option<Values<'a>>,
    /// Positions with one of these labels count for nothing, whatever they hold.
    pub ignored: &'a [i32],
    /// Positions that are 0 here count for nothing either.
    pub mask: Option<Mask<'a>>,
}

/// A value for each position, or for each few neighbouring ones: 0 says that they count for nothing.
#[derive(Clone, Copy)]
pub struct Mask<'a> {
    /// The values.
    pub values: Values<'a>,
    /// How many neighbouring positions share a value.
    pub inner: usize,
}

impl Mask<'_> {
    /// Writes [`NOTHING`] over the classes of the positions from `first` that count for nothing.
    fn hide(self, first: usize, classes: &mut [i32]) {
        let Self { values, inner } = self;
        if inner == 1 {
            let range = first..first + classes.len();
            each!(values, slice => {
                for (class, value) in classes.iter_mut().zip(&slice[range]) {
                    *class = if value.is_zero() { NOTHING } else { *class };
                }
            });
            return;
        }
        each!(values, slice => {
            for (i, class) in classes.iter_mut().enumerate() {
                *class = if slice[(first + i) / inner].is_zero() { NOTHING } else { *class };
            }
        });
    }
}

impl<'a> Positions<'a> {
    /// Labels of 32 bits, and what is ignored of them.
    #[must_use]
    pub fn new(labels: &'a [i32], ignored: &'a [i32]) -> Self {
        Self {
            labels: (!labels.is_empty()).then_some(Values::I32(labels)),
            ignored,
            mask: None,
        }
    }

    /// Whether every position counts, without a class.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.labels.is_none() && self.mask.is_none()
    }

    /// Whether labels and mask are of so many positions, where they are given.
    #[must_use]
    pub fn fit(&self, positions: usize) -> bool {
        let labels = self.labels.is_none_or(|labels| labels.len() == positions);
        let covers = |mask: Mask| mask.inner > 0 && mask.values.len() * mask.inner == positions;
        labels && self.mask.is_none_or(covers)
    }

    /// The classes of the positions from `first`: [`NOTHING`] where a position counts for nothing, and 0 where it counts and there
    /// are no labels.
    #[inline(always)]
    pub fn classes(&self, first: usize, into: &mut [i32]) {
        match *self {
            // What a training step has: no call, and no choice for each label.
            Positions {
                labels: Some(Values::I32(labels)),
                ignored: &[ignored],
                mask: None,
            } => {
                let labels = &labels[first..first + into.len()];
                for (into, &label) in into.iter_mut().zip(labels) {
                    *into = class_of(label, ignored);
                }
            }
            Positions {
                labels: None,
                mask: None,
                ..
            } => into.fill(0),
            _ => self.any_classes(first, into),
        }
    }

    #[inline(never)]
    fn any_classes(&self, first: usize, into: &mut [i32]) {
        match self.labels {
            Some(labels) => {
                labels.classes(first, into);
                for class in into.iter_mut() {
                    *class = match *self.ignored {
                        [ignored] => class_of(*class, ignored),
                        _ if self.ignored.contains(class) => NOTHING,
                        _ => (*class).max(-i32::MAX),
                    };
                }
            }
            None => into.fill(0),
        }
        if let Some(mask) = self.mask {
            mask.hide(first, into);
        }
    }

    /// In each lane whether its position counts, as 1 or 0; lanes behind `count` are 0.
    #[inline(always)]
    pub fn counts(&self, first: usize, count: usize) -> [f32; LANES] {
        let mut classes = [NOTHING; LANES];
        self.classes(first, &mut classes[..count]);
        classes.map(|class| f32::from(u8::from(class != NOTHING)))
    }

    /// Total weight of the positions that count, which is the denominator of `mean`; or −1 − i where label i is neither a class nor
    /// ignored. Without `classes` every label is a class. Position i weighs `of_class[class]` times `of_position[i]`, where they are
    /// given; weights are not negative.
    #[must_use]
    pub fn weight(
        &self,
        positions: usize,
        classes: usize,
        of_class: Option<Cells>,
        of_position: Option<Stream>,
    ) -> f64 {
        let limit = u32::try_from(classes).unwrap_or(u32::MAX);
        let any = classes == 0;
        let mut total = 0.0;
        let mut block = [0; BLOCK];
        for first in (0..positions).step_by(BLOCK) {
            let block = &mut block[..BLOCK.min(positions - first)];
            self.classes(first, block);
            // Without branches, so that the compiler makes vectors of it.
            let mut counted = 0u32;
            let mut bad = 0u32;
            for &class in block.iter() {
                let counts = u32::from(class != NOTHING);
                counted += counts;
                bad |= counts & u32::from(!any & (class as u32 >= limit));
            }
            if bad != 0 {
                let is_bad = |&class: &i32| class != NOTHING && class as u32 >= limit;
                return -1.0 - (first + block.iter().position(is_bad).unwrap_or(0)) as f64;
            }
            if of_class.is_none() && of_position.is_none() {
                total += f64::from(counted);
                continue;
            }
            let counting = block
                .iter()
                .enumerate()
                .filter(|&(_, &class)| class != NOTHING);
            for (i, &class) in counting {
                let of_class = of_class.map_or(1.0, |weight| weight[class as usize].get());
                let of_position = of_position.map_or(1.0, |of_position| of_position.at(first + i));
                total += f64::from(of_class) * f64::from(of_position);
            }
        }
        total
    }
}

/// A label, or [`NOTHING`] where it is ignored. A label that is the number of nothing becomes its neighbour, which is no class either.
#[inline(always)]
fn class_of(label: i32, ignored: i32) -> i32 {
    if label == ignored {
        NOTHING
    } else {
        label.max(-i32::MAX)
    }
}
