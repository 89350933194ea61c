//! WebAssembly SIMD: a vector is four registers of 128 bit.

use super::{Cells, Chunk, Kernel, LANES, SQRT_HALF_BITS, Simd};
use core::arch::wasm32::*;

/// The module is compiled with simd128 as a whole, and a host that lacks it refuses the module: nothing to detect.
#[derive(Clone, Copy, Debug)]
pub struct Simd128;

/// `[f(0), f(1), f(2), f(3)]` of intrinsics, without a closure, so that everything stays inlined.
macro_rules! each {
    ($i:ident => $value:expr) => {{
        // SAFETY: pointers come from the arrays and chunks of 16 elements that the callers hold.
        #[allow(unused_unsafe)]
        unsafe {
            [
                {
                    const $i: usize = 0;
                    $value
                },
                {
                    const $i: usize = 1;
                    $value
                },
                {
                    const $i: usize = 2;
                    $value
                },
                {
                    const $i: usize = 3;
                    $value
                },
            ]
        }
    }};
}

impl Simd for Simd128 {
    type F32 = [v128; 4];
    type Mask = [v128; 4];

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        // The whole module is compiled with simd128: there is nothing to switch on.
        #[inline(never)]
        fn run<K: Kernel>(s: Simd128, kernel: K) -> K::Out {
            kernel.run(s)
        }
        run(self, kernel)
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        each!(_I => f32x4_splat(value))
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        each!(I => v128_load(lanes.as_ptr().add(4 * I).cast()))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        each!(I => v128_store(lanes.as_mut_ptr().add(4 * I).cast(), v[I]));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        each!(I => v128_load(from.as_ptr().add(4 * I).cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        each!(I => v128_store(to.as_ptr().add(4 * I).cast_mut().cast(), v[I]));
    }
    #[inline(always)]
    fn load_head(self, from: Cells, fill: f32) -> Self::F32 {
        // The set has no masked load.
        let mut lanes = [fill; LANES];
        for (lane, from) in lanes.iter_mut().zip(from) {
            *lane = from.get();
        }
        self.vector(lanes)
    }
    #[inline(always)]
    fn store_head(self, to: Cells, v: Self::F32) {
        for (to, v) in to.iter().zip(self.to_array(v)) {
            to.set(v);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => f32x4_add(a[I], b[I]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => f32x4_sub(a[I], b[I]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => f32x4_mul(a[I], b[I]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => f32x4_div(a[I], b[I]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(I => f32x4_add(f32x4_mul(a[I], b[I]), c[I]))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(I => f32x4_neg(a[I]))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(I => f32x4_abs(a[I]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // pmax(b, a) is defined as b < a ? a : b.
        each!(I => f32x4_pmax(b[I], a[I]))
    }

    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => f32x4_lt(a[I], b[I]))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => f32x4_le(a[I], b[I]))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => f32x4_eq(a[I], b[I]))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => v128_bitselect(a[I], b[I], mask[I]))
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(I => i32x4_shl(v[I], 23))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n = each!(I => i32x4_shr(i32x4_sub(v[I], i32x4_splat(SQRT_HALF_BITS)), 23));
        let m = each!(I => i32x4_sub(v[I], i32x4_shl(n[I], 23)));
        (m, each!(I => f32x4_convert_i32x4(n[I])))
    }

    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        let (low, high) = (f32x4_add(v[0], v[2]), f32x4_add(v[1], v[3]));
        let v = f32x4_add(low, high);
        let v = f32x4_add(v, i32x4_shuffle::<2, 3, 2, 3>(v, v));
        f32x4_extract_lane::<0>(v) + f32x4_extract_lane::<1>(v)
    }
    #[inline(always)]
    fn max_lane(self, v: Self::F32) -> f32 {
        let v = f32x4_pmax(f32x4_pmax(v[0], v[2]), f32x4_pmax(v[1], v[3]));
        let v = f32x4_pmax(v, i32x4_shuffle::<2, 3, 2, 3>(v, v));
        let (a, b) = (f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v));
        if a > b { a } else { b }
    }
}
