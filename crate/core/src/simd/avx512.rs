//! AVX-512F: a vector is one register of 512 bit.

use super::avx2::{max8, sum8, transpose8};
use super::{ByLane, Cells, Chunk, Kernel, LANES, Lanes, SQRT_HALF_BITS, Simd, Square};
use core::arch::x86_64::*;

/// Proof that AVX-512F was detected.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

impl Avx512 {
    /// The token, where this CPU has AVX-512F.
    #[must_use]
    pub fn detect() -> Option<Self> {
        // The feature implies AVX2 and FMA for the compiler, so they are asked for as well.
        (is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma"))
        .then_some(Self(()))
    }
}

/// Mask of the first `count` lanes.
#[inline(always)]
fn head_mask(count: usize) -> __mmask16 {
    ((1u32 << count.min(LANES)) - 1) as __mmask16
}

/// One call of intrinsics.
macro_rules! with {
    ($value:expr) => {{
        // SAFETY: whoever holds an `Avx512` has detected AVX-512F.
        unsafe { $value }
    }};
}

impl Lanes for Avx512 {
    type F32 = __m512;
    type Mask = __mmask16;

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        with!(_mm512_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        with!(_mm512_add_ps(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        with!(_mm512_sub_ps(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        with!(_mm512_mul_ps(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        with!(_mm512_div_ps(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        with!(_mm512_fmadd_ps(a, b, c))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        with!(_mm512_castsi512_ps(_mm512_xor_si512(
            _mm512_castps_si512(a),
            _mm512_set1_epi32(i32::MIN)
        )))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        with!(_mm512_abs_ps(a))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // The instruction is defined as a > b ? a : b.
        with!(_mm512_max_ps(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // The instruction is defined as a < b ? a : b.
        with!(_mm512_min_ps(a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        with!(_mm512_sqrt_ps(a))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        with!(_mm512_cmp_ps_mask::<_CMP_LE_OQ>(a, b))
    }
    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        with!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        with!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(a, b))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        with!(_mm512_mask_blend_ps(mask, b, a))
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        with!(_mm512_maskz_mov_ps(!mask, v))
    }
    #[inline(always)]
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        with!({
            let bits = _mm512_castps_si512(v);
            _mm512_castsi512_ps(_mm512_mask_xor_epi32(
                bits,
                mask,
                bits,
                _mm512_set1_epi32(i32::MIN),
            ))
        })
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        with!(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(
            _mm512_castps_si512(v)
        )))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        with!({
            let bits = _mm512_castps_si512(v);
            let n =
                _mm512_srai_epi32::<23>(_mm512_sub_epi32(bits, _mm512_set1_epi32(SQRT_HALF_BITS)));
            let m = _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32::<23>(n)));
            (m, _mm512_cvtepi32_ps(n))
        })
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, a: Self::F32, b: Self::F32) -> Self::F32 {
        let (mut x, y) = (self.to_array(a), self.to_array(b));
        super::by_lane(f, &mut x, &y);
        self.vector(x)
    }
}

impl Simd for Avx512 {
    super::whole_vector!();

    const ONE_REGISTER: bool = true;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx512f")]
        fn run<K: Kernel>(s: Avx512, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: whoever holds an `Avx512` has detected AVX-512F, AVX2 and FMA.
        unsafe { run(self, kernel) }
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        with!(_mm512_loadu_ps(lanes.as_ptr()))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        with!(_mm512_storeu_ps(lanes.as_mut_ptr(), v));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        with!(_mm512_loadu_ps(from.as_ptr().cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        with!(_mm512_storeu_ps(to.as_ptr().cast_mut().cast(), v));
    }
    #[inline(always)]
    fn prefetch(self, from: &Chunk, ahead: usize) {
        // SAFETY: every x86-64 has SSE, and no address is wrong for a hint.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn load_head(self, from: Cells, fill: f32) -> Self::F32 {
        // Lanes whose mask is 0 touch no memory.
        with!(_mm512_mask_loadu_ps(
            _mm512_set1_ps(fill),
            head_mask(from.len()),
            from.as_ptr().cast()
        ))
    }
    #[inline(always)]
    fn store_head(self, to: Cells, v: Self::F32) {
        // Lanes whose mask is 0 touch no memory; cells may be written through a shared reference.
        with!(_mm512_mask_storeu_ps(
            to.as_ptr().cast_mut().cast(),
            head_mask(to.len()),
            v
        ));
    }
    #[inline(always)]
    fn unzip4(self, from: &[Chunk; 4]) -> [Self::F32; 4] {
        with!({
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| _mm512_loadu_ps(from[i].as_ptr().cast()));
            // Columns 0 and 1 of eight rows, then columns 2 and 3.
            let front = _mm512_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
            let back =
                _mm512_setr_epi32(2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
            let front = [(a, b), (c, d)].map(|(a, b)| _mm512_permutex2var_ps(a, front, b));
            let back = [(a, b), (c, d)].map(|(a, b)| _mm512_permutex2var_ps(a, back, b));
            [
                _mm512_shuffle_f32x4::<0x44>(front[0], front[1]),
                _mm512_shuffle_f32x4::<0xEE>(front[0], front[1]),
                _mm512_shuffle_f32x4::<0x44>(back[0], back[1]),
                _mm512_shuffle_f32x4::<0xEE>(back[0], back[1]),
            ]
        })
    }
    #[inline(always)]
    fn zip4(self, to: &[Chunk; 4], [a, b, c, d]: [Self::F32; 4]) {
        with!({
            // The first halves of two columns, then the second ones.
            let front = [(a, b), (c, d)].map(|(a, b)| _mm512_shuffle_f32x4::<0x44>(a, b));
            let back = [(a, b), (c, d)].map(|(a, b)| _mm512_shuffle_f32x4::<0xEE>(a, b));
            let even = _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
            let odd = _mm512_setr_epi32(4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30, 7, 15, 23, 31);
            let rows = [
                _mm512_permutex2var_ps(front[0], even, front[1]),
                _mm512_permutex2var_ps(front[0], odd, front[1]),
                _mm512_permutex2var_ps(back[0], even, back[1]),
                _mm512_permutex2var_ps(back[0], odd, back[1]),
            ];
            for (to, rows) in to.iter().zip(rows) {
                // The chunk has 16 elements, and cells may be written through a shared reference.
                _mm512_storeu_ps(to.as_ptr().cast_mut().cast(), rows);
            }
        });
    }
    #[inline(always)]
    fn transpose(self, from: Square, to: Square) {
        // The elements of a square that AVX-512 could move at once lie too far apart.
        with!(transpose8(from, to))
    }
    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        mask == __mmask16::MAX
    }
    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        with!({
            let (low, high) = halves(v);
            sum8(_mm256_add_ps(low, high))
        })
    }
    #[inline(always)]
    fn max_lane(self, v: Self::F32) -> f32 {
        with!({
            let (low, high) = halves(v);
            max8(_mm256_max_ps(low, high))
        })
    }
}

/// Lanes 0…7 and 8…15. By way of f64, since the f32 extraction belongs to AVX-512DQ.
#[inline]
#[target_feature(enable = "avx512f")]
fn halves(v: __m512) -> (__m256, __m256) {
    let high = _mm512_extractf64x4_pd::<1>(_mm512_castps_pd(v));
    (_mm512_castps512_ps256(v), _mm256_castpd_ps(high))
}
