//! ARM NEON: a vector is four registers of 128 bit.

use super::{ByLane, Cells, Chunk, Kernel, LANES, Lanes, SQRT_HALF_BITS, Simd, Square};
use core::arch::aarch64::*;

/// Proof that NEON was detected. `N` registers of four lanes: the whole vector has four.
#[derive(Clone, Copy, Debug)]
pub struct Neon<const N: usize>(());

impl Neon<4> {
    /// The token, where this CPU has NEON.
    #[must_use]
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }
}

/// `[f(0), … f(N − 1)]` of intrinsics, without a closure, so that everything stays inlined.
macro_rules! each {
    ($i:ident in $n:expr => $value:expr) => {{
        // SAFETY: whoever holds a `Neon` has detected NEON.
        unsafe {
            let $i = 0;
            let first = $value;
            let mut parts = [first; $n];
            for $i in 1..$n {
                parts[$i] = $value;
            }
            parts
        }
    }};
}

impl<const N: usize> Lanes for Neon<N> {
    type F32 = [float32x4_t; N];
    type Mask = [uint32x4_t; N];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        each!(_i in N => vdupq_n_f32(value))
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => vaddq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => vsubq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => vmulq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => vdivq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(i in N => vfmaq_f32(c[i], a[i], b[i]))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(i in N => vnegq_f32(a[i]))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(i in N => vabsq_f32(a[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // Not vmaxq: it returns NaN where either is NaN.
        each!(i in N => vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i]))
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // Not vminq: it returns NaN where either is NaN.
        each!(i in N => vbslq_f32(vcltq_f32(a[i], b[i]), a[i], b[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        each!(i in N => vsqrtq_f32(a[i]))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => vcleq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => vcltq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => vceqq_f32(a[i], b[i]))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => vbslq_f32(mask[i], a[i], b[i]))
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(v[i]), mask[i])))
    }
    #[inline(always)]
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => vbslq_f32(mask[i], vnegq_f32(v[i]), v[i]))
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(i in N => vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(v[i]))))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n = each!(i in N => vshrq_n_s32::<23>(vsubq_s32(vreinterpretq_s32_f32(v[i]), vdupq_n_s32(SQRT_HALF_BITS))));
        let m = each!(i in N => vreinterpretq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(v[i]), vshlq_n_s32::<23>(n[i]))));
        (m, each!(i in N => vcvtq_f32_s32(n[i])))
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => {
            let (mut x, mut y) = ([0.0_f32; 4], [0.0_f32; 4]);
            vst1q_f32(x.as_mut_ptr(), a[i]);
            vst1q_f32(y.as_mut_ptr(), b[i]);
            super::by_lane(f, &mut x, &y);
            vld1q_f32(x.as_ptr())
        })
    }
}

impl Simd for Neon<4> {
    super::whole_vector!();

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "neon")]
        fn run<K: Kernel>(s: Neon<4>, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: whoever holds a `Neon` has detected NEON.
        unsafe { run(self, kernel) }
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        each!(i in 4 => vld1q_f32(lanes.as_ptr().add(4 * i)))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        each!(i in 4 => vst1q_f32(lanes.as_mut_ptr().add(4 * i), v[i]));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        each!(i in 4 => vld1q_f32(from.as_ptr().add(4 * i).cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        each!(i in 4 => vst1q_f32(to.as_ptr().add(4 * i).cast_mut().cast(), v[i]));
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
    fn prefetch(self, from: &Chunk, ahead: usize) {
        // SAFETY: no address is wrong for a hint, which leaves memory and registers alone.
        unsafe {
            core::arch::asm!(
                "prfm pldl1keep, [{0}]",
                in(reg) from.as_ptr().wrapping_add(ahead),
                options(nostack, preserves_flags, readonly)
            );
        }
    }
    #[inline(always)]
    fn unzip4(self, from: &[Chunk; 4]) -> [Self::F32; 4] {
        // SAFETY: whoever holds a `Neon` has detected NEON; a chunk has four rows of four elements, and the instruction reads as
        // many and takes them apart.
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| unsafe { vld4q_f32(from[i].as_ptr().cast()) });
        [
            [a.0, b.0, c.0, d.0],
            [a.1, b.1, c.1, d.1],
            [a.2, b.2, c.2, d.2],
            [a.3, b.3, c.3, d.3],
        ]
    }
    #[inline(always)]
    fn zip4(self, to: &[Chunk; 4], [a, b, c, d]: [Self::F32; 4]) {
        for (i, to) in to.iter().enumerate() {
            let rows = float32x4x4_t(a[i], b[i], c[i], d[i]);
            // SAFETY: as above; cells may be written through a shared reference.
            unsafe { vst4q_f32(to.as_ptr().cast_mut().cast(), rows) }
        }
    }
    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        let [a, b, c, d] = mask;
        // SAFETY: whoever holds a `Neon` has detected NEON.
        unsafe { vminvq_u32(vandq_u32(vandq_u32(a, b), vandq_u32(c, d))) != 0 }
    }
    #[inline(always)]
    fn transpose(self, from: Square, to: Square) {
        for j in [0, 4] {
            let (top, bottom) = (columns(from, 0, j), columns(from, 4, j));
            for i in 0..4 {
                let to: *mut f32 = to.run(j + i).as_ptr().cast_mut().cast();
                // SAFETY: whoever holds a `Neon` has detected NEON; a run has eight elements, whose cells may be written through a
                // shared reference.
                unsafe {
                    vst1q_f32(to, top[i]);
                    vst1q_f32(to.add(4), bottom[i]);
                }
            }
        }
    }
}

/// Four columns of four rows of a square.
#[inline(always)]
fn columns(from: Square, i: usize, j: usize) -> [float32x4_t; 4] {
    // SAFETY: every AArch64 that this is compiled for has NEON; a run has eight elements, and j is 0 or 4.
    unsafe {
        let row = |k: usize| vld1q_f32(from.run(i + k).as_ptr().add(j).cast());
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab, cd) = (vzip1q_f32(a, b), vzip1q_f32(c, d));
        let (ab_high, cd_high) = (vzip2q_f32(a, b), vzip2q_f32(c, d));
        let [ab, cd, ab_high, cd_high] =
            [ab, cd, ab_high, cd_high].map(|v| vreinterpretq_f64_f32(v));
        [
            vreinterpretq_f32_f64(vzip1q_f64(ab, cd)),
            vreinterpretq_f32_f64(vzip2q_f64(ab, cd)),
            vreinterpretq_f32_f64(vzip1q_f64(ab_high, cd_high)),
            vreinterpretq_f32_f64(vzip2q_f64(ab_high, cd_high)),
        ]
    }
}
