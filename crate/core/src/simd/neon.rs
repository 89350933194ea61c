//! ARM NEON: a vector is four registers of 128 bit.

use super::{Cells, Chunk, Kernel, LANES, SQRT_HALF_BITS, Simd};
use core::arch::aarch64::*;

/// Proof that NEON was detected.
#[derive(Clone, Copy, Debug)]
pub struct Neon(());

impl Neon {
    /// The token, where this CPU has NEON.
    #[must_use]
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// `[f(0), f(1), f(2), f(3)]` of intrinsics, without a closure, so that everything stays inlined.
macro_rules! each {
    ($i:ident => $value:expr) => {{
        // SAFETY: whoever holds a `Neon` has detected NEON.
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

impl Simd for Neon {
    type F32 = [float32x4_t; 4];
    type Mask = [uint32x4_t; 4];

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "neon")]
        fn run<K: Kernel>(s: Neon, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: whoever holds a `Neon` has detected NEON.
        unsafe { run(self, kernel) }
    }

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        each!(_I => vdupq_n_f32(value))
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        each!(I => vld1q_f32(lanes.as_ptr().add(4 * I)))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        each!(I => vst1q_f32(lanes.as_mut_ptr().add(4 * I), v[I]));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        each!(I => vld1q_f32(from.as_ptr().add(4 * I).cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        each!(I => vst1q_f32(to.as_ptr().add(4 * I).cast_mut().cast(), v[I]));
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
        each!(I => vaddq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => vsubq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => vmulq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => vdivq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(I => vfmaq_f32(c[I], a[I], b[I]))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(I => vnegq_f32(a[I]))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(I => vabsq_f32(a[I]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // Not vmaxq: it returns NaN where either is NaN.
        each!(I => vbslq_f32(vcgtq_f32(a[I], b[I]), a[I], b[I]))
    }

    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => vcltq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => vcleq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(I => vceqq_f32(a[I], b[I]))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(I => vbslq_f32(mask[I], a[I], b[I]))
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(I => vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(v[I]))))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n = each!(I => vshrq_n_s32::<23>(vsubq_s32(vreinterpretq_s32_f32(v[I]), vdupq_n_s32(SQRT_HALF_BITS))));
        let m = each!(I => vreinterpretq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(v[I]), vshlq_n_s32::<23>(n[I]))));
        (m, each!(I => vcvtq_f32_s32(n[I])))
    }
}
