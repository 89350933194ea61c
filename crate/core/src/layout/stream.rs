//! A value per element that may be shorter than the input: a scalar, a value per class, a value per element of one sample, or a full
//! array.
//!
//! It has no loop of its own: kernels ask for the values of a vector of neighbouring elements at a time. Those are a run of the values, one
//! value for all of them, or, at a seam between two runs, taken one by one.

use crate::simd::{Cells, LANES, Simd};

/// Element i takes `values[(i / inner) % values.len()]`.
#[derive(Clone, Copy)]
pub struct Stream<'a> {
    /// At least one value.
    pub values: Cells<'a>,
    /// How many neighbouring elements share a value: 1, or the number of positions behind the class axis.
    pub inner: usize,
}

impl Stream<'_> {
    /// Whether it has a value for every element.
    #[must_use]
    pub fn is_valid(self) -> bool {
        !self.values.is_empty() && self.inner > 0
    }

    /// The value of one element.
    #[inline(always)]
    #[must_use]
    pub fn at(self, i: usize) -> f32 {
        self.values[i / self.inner % self.values.len()].get()
    }

    /// The values of the `count` elements from `start`; 0 behind them.
    #[inline(always)]
    pub fn load<S: Simd>(self, s: S, start: usize, count: usize) -> S::F32 {
        // The first of the values most often: no division then.
        if self.inner == 1
            && let Some(run) = self.values.get(start..start + count)
        {
            return s.load_head(run, 0.0);
        }
        let first = start / self.inner % self.values.len();
        if self.values.len() == 1 || start % self.inner + count <= self.inner {
            return s.splat(self.values[first].get());
        }
        if self.inner == 1
            && let Some(run) = self.values.get(first..first + count)
        {
            return s.load_head(run, 0.0);
        }
        // A seam between two runs.
        let mut lanes = [0.0; LANES];
        for (j, lane) in lanes.iter_mut().take(count).enumerate() {
            let i = (start + j) / self.inner % self.values.len();
            *lane = self.values[i].get();
        }
        s.vector(lanes)
    }
}
