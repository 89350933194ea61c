//! Memory of a kernel's own.

use super::{Chunk, LANES};
use core::hint::black_box;
use core::mem::MaybeUninit;

/// Room for `N` vectors, of which only those are cleared that a call needs: to clear all 64 takes as long as a small call.
#[repr(align(64))]
pub struct Room<const N: usize>([MaybeUninit<[f32; LANES]>; N]);

impl<const N: usize> Room<N> {
    /// Nothing is cleared yet.
    #[inline(always)]
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; N])
    }

    /// Vectors of zeros, `N` at most.
    #[inline(always)]
    pub fn zeros(&mut self, count: usize) -> &[Chunk] {
        // Hidden, since the compiler writes out a store for each vector of a number that it knows. In a function of its own the
        // memory would be anyone's, and a kernel would have to expect that its stores there change its input.
        let vectors = &mut self.0[..black_box(count)];
        for vector in vectors.iter_mut() {
            vector.write([0.0; LANES]);
        }
        // SAFETY: all of them are written, and borrowed by nobody else; cells have the layout of what is in them.
        unsafe { &*(core::ptr::from_mut(vectors) as *const [Chunk]) }
    }
}
