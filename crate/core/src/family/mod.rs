//! The loops, one file per family of losses. A loss gives the formula of one vector; the family walks the memory, sums,
//! scales and stores.

use crate::simd::{Kernel, Simd};

pub mod axis;
pub mod domain;
pub mod pointwise;
pub mod positions;
pub mod region;
pub mod softmax;
pub mod stream;

/// Whether the size of the code counts, as in WebAssembly, which users download. Fewer loops are compiled then: those
/// that [`pointwise`] and [`softmax`] have for a step of training always write a gradient.
pub const SMALL: bool = cfg!(target_arch = "wasm32");

/// Runs a step of a kernel, in WebAssembly in a function of its own that all kernels share. A call takes as long as a dozen
/// vectors, a tenth of what tiles with few classes do.
#[inline(always)]
fn step<S: Simd, K: Kernel>(s: S, kernel: K) -> K::Out {
    if SMALL {
        s.vectorize(kernel)
    } else {
        kernel.run(s)
    }
}
