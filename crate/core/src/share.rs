//! The part of a call that one thread computes.
//!
//! A call consists of units: blocks of elements or of positions, each with a sum of its own. Who splits a call gets the sums of
//! all units and adds them up in their order, so that the bits are the same for every number of threads.

use core::cell::Cell;

/// Some neighbouring units of a call.
#[derive(Clone, Copy, Debug)]
pub struct Share<'a> {
    /// The first unit.
    pub first: usize,
    /// The unit behind the last, or any number behind the call's last.
    pub end: usize,
    /// Where the sums of these units go, one each unless the family says otherwise. Without it the call adds them up.
    pub sums: Option<&'a [Cell<f64>]>,
}

impl Share<'_> {
    /// The whole call.
    pub const ALL: Self = Self {
        first: 0,
        end: usize::MAX,
        sums: None,
    };

    /// Whether it is the whole call: its arguments need no copy that says otherwise.
    #[inline]
    pub(crate) fn is_all(&self) -> bool {
        self.end == usize::MAX && self.sums.is_none()
    }

    /// The elements of these units, where each has `unit` but for the last.
    #[inline(always)]
    pub(crate) fn elements(&self, unit: usize, count: usize) -> core::ops::Range<usize> {
        let end = count.min(self.end.saturating_mul(unit));
        end.min(self.first.saturating_mul(unit))..end
    }
}

/// Takes the sums of units in their order.
pub(crate) struct Total<'a> {
    sum: f64,
    sums: Option<core::slice::Iter<'a, Cell<f64>>>,
}

impl<'a> Total<'a> {
    /// `sum` is that of what came before.
    #[inline(always)]
    pub(crate) fn new(share: Share<'a>, sum: f64) -> Self {
        Self {
            sum,
            sums: share.sums.map(<[_]>::iter),
        }
    }

    /// The sum of the next unit.
    #[inline(always)]
    pub(crate) fn add(&mut self, unit: f64) {
        match &mut self.sums {
            None => self.sum += unit,
            Some(sums) => {
                if let Some(sum) = sums.next() {
                    sum.set(unit);
                }
            }
        }
    }

    /// The sum of all, where the call adds them up.
    #[inline(always)]
    pub(crate) fn get(self) -> f64 {
        self.sum
    }
}
