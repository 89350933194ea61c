//! AVX2 with FMA: a vector is two registers of 256 bit.

use super::{ByLane, Cells, Chunk, Kernel, LANES, Lanes, SQRT_HALF_BITS, Simd, Square};
use core::arch::x86_64::*;

/// Proof that AVX2 and FMA were detected. `N` registers of eight lanes: the whole vector has two.
#[derive(Clone, Copy, Debug)]
pub struct Avx2<const N: usize>(());

impl Avx2<2> {
    /// The token, where this CPU has AVX2 and FMA.
    #[must_use]
    pub fn detect() -> Option<Self> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Self(()))
    }
}

/// Lanes of the mask of `load_head`: −1 in front, 0 behind; the window that starts at 16 − n has n of them set.
static HEAD_MASK: [i32; 2 * LANES] = {
    let mut mask = [0; 2 * LANES];
    let mut j = 0;
    while j < LANES {
        mask[j] = -1;
        j += 1;
    }
    mask
};

/// `[f(0), … f(N − 1)]` of intrinsics, without a closure, so that everything stays inlined.
macro_rules! each {
    ($i:ident in $n:expr => $value:expr) => {{
        // SAFETY: whoever holds an `Avx2` has detected AVX2 and FMA.
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

impl<const N: usize> Lanes for Avx2<N> {
    type F32 = [__m256; N];
    type Mask = [__m256; N];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        each!(_i in N => _mm256_set1_ps(value))
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_add_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_sub_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_mul_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_div_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_fmadd_ps(a[i], b[i], c[i]))
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_xor_ps(a[i], _mm256_set1_ps(-0.0)))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_andnot_ps(_mm256_set1_ps(-0.0), a[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // The instruction is defined as a > b ? a : b.
        each!(i in N => _mm256_max_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        // The instruction is defined as a < b ? a : b.
        each!(i in N => _mm256_min_ps(a[i], b[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_sqrt_ps(a[i]))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => _mm256_cmp_ps::<_CMP_LE_OQ>(a[i], b[i]))
    }
    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => _mm256_cmp_ps::<_CMP_LT_OQ>(a[i], b[i]))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => _mm256_cmp_ps::<_CMP_EQ_OQ>(a[i], b[i]))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_blendv_ps(b[i], a[i], mask[i]))
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_andnot_ps(mask[i], v[i]))
    }
    #[inline(always)]
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_xor_ps(v[i], _mm256_and_ps(mask[i], _mm256_set1_ps(-0.0))))
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(i in N => _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v[i]))))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n = each!(i in N => _mm256_srai_epi32::<23>(_mm256_sub_epi32(
            _mm256_castps_si256(v[i]),
            _mm256_set1_epi32(SQRT_HALF_BITS),
        )));
        let m = each!(i in N => _mm256_castsi256_ps(_mm256_sub_epi32(
            _mm256_castps_si256(v[i]),
            _mm256_slli_epi32::<23>(n[i]),
        )));
        (m, each!(i in N => _mm256_cvtepi32_ps(n[i])))
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => {
            let (mut x, mut y) = ([0.0_f32; 8], [0.0_f32; 8]);
            _mm256_storeu_ps(x.as_mut_ptr(), a[i]);
            _mm256_storeu_ps(y.as_mut_ptr(), b[i]);
            super::by_lane(f, &mut x, &y);
            _mm256_loadu_ps(x.as_ptr())
        })
    }
}

impl Simd for Avx2<2> {
    super::whole_vector!();

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        #[target_feature(enable = "avx2,fma")]
        fn run<K: Kernel>(s: Avx2<2>, kernel: K) -> K::Out {
            kernel.run(s)
        }
        // SAFETY: whoever holds an `Avx2` has detected AVX2 and FMA.
        unsafe { run(self, kernel) }
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        each!(i in 2 => _mm256_loadu_ps(lanes.as_ptr().add(8 * i)))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        each!(i in 2 => _mm256_storeu_ps(lanes.as_mut_ptr().add(8 * i), v[i]));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        each!(i in 2 => _mm256_loadu_ps(from.as_ptr().add(8 * i).cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        each!(i in 2 => _mm256_storeu_ps(to.as_ptr().add(8 * i).cast_mut().cast(), v[i]));
    }
    #[inline(always)]
    fn stream(self, to: &Chunk, v: Self::F32) {
        let at: *mut f32 = to.as_ptr().cast_mut().cast();
        // The addresses of an array's chunks are alike, so the branch is predicted. V8's large arrays start 16 bytes behind a
        // page: lines fill up by quarters, which the buffers of the core put together.
        if !at.addr().is_multiple_of(16) {
            return self.store(to, v);
        }
        each!(i in 2 => {
            _mm_stream_ps(at.add(8 * i), _mm256_castps256_ps128(v[i]));
            _mm_stream_ps(at.add(8 * i + 4), _mm256_extractf128_ps::<1>(v[i]));
        });
    }
    #[inline(always)]
    fn fence(self) {
        // SAFETY: every x86-64 has SSE.
        unsafe { _mm_sfence() }
    }
    #[inline(always)]
    fn prefetch(self, from: &Chunk, ahead: usize) {
        // SAFETY: every x86-64 has SSE, and no address is wrong for a hint.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(from.as_ptr().wrapping_add(ahead).cast()) }
    }
    #[inline(always)]
    fn load_head(self, from: Cells, fill: f32) -> Self::F32 {
        let count = from.len().min(LANES);
        // A masked load touches no memory where the mask is 0: `wrapping_add` may point past a short slice.
        each!(i in 2 => {
            let mask = _mm256_loadu_si256(HEAD_MASK.as_ptr().add(LANES - count + 8 * i).cast());
            let head = _mm256_maskload_ps(from.as_ptr().wrapping_add(8 * i).cast(), mask);
            _mm256_blendv_ps(_mm256_set1_ps(fill), head, _mm256_castsi256_ps(mask))
        })
    }
    #[inline(always)]
    fn store_head(self, to: Cells, v: Self::F32) {
        // By halves and not by `maskstore`, which is microcoded on Zen (40 µops). The count is the same for all rows of
        // a call, so the branches are predicted.
        let mut at: *mut f32 = to.as_ptr().cast_mut().cast();
        let count = to.len();
        // SAFETY: whoever holds an `Avx2` has detected AVX2. Each branch advances by what it stored, in total `count`,
        // the length of `to`, whose cells may be written through a shared reference.
        unsafe {
            if count >= LANES {
                _mm256_storeu_ps(at, v[0]);
                _mm256_storeu_ps(at.add(8), v[1]);
                return;
            }
            let mut rest = v[0];
            if count & 8 != 0 {
                _mm256_storeu_ps(at, rest);
                at = at.add(8);
                rest = v[1];
            }
            let mut rest = if count & 4 != 0 {
                _mm_storeu_ps(at, _mm256_castps256_ps128(rest));
                at = at.add(4);
                _mm256_extractf128_ps::<1>(rest)
            } else {
                _mm256_castps256_ps128(rest)
            };
            if count & 2 != 0 {
                _mm_storel_pd(at.cast(), _mm_castps_pd(rest));
                at = at.add(2);
                rest = _mm_movehl_ps(rest, rest);
            }
            if count & 1 != 0 {
                _mm_store_ss(at, rest);
            }
        }
    }
    #[inline(always)]
    fn unzip4(self, from: &[Chunk; 4]) -> [Self::F32; 4] {
        // SAFETY: whoever holds an `Avx2` has detected AVX2; four chunks have 16 rows of four elements.
        unsafe {
            let rows: *const f32 = from.as_ptr().cast();
            let row = |i: usize| _mm_loadu_ps(rows.add(4 * i));
            // Rows i and i + 4 in one register, so that each half is a square.
            let both = |i: usize| _mm256_set_m128(row(i + 4), row(i));
            let [first, second] = [0, 8].map(|i| transpose4([0, 1, 2, 3].map(|k| both(i + k))));
            [0, 1, 2, 3].map(|c| [first[c], second[c]])
        }
    }
    #[inline(always)]
    fn zip4(self, to: &[Chunk; 4], columns: [Self::F32; 4]) {
        // SAFETY: as above; cells may be written through a shared reference.
        unsafe {
            let to: *mut f32 = to.as_ptr().cast_mut().cast();
            for half in 0..2 {
                let rows = transpose4(columns.map(|column| column[half]));
                for (i, rows) in rows.into_iter().enumerate() {
                    let i = 8 * half + i;
                    _mm_storeu_ps(to.add(4 * i), _mm256_castps256_ps128(rows));
                    _mm_storeu_ps(to.add(4 * (i + 4)), _mm256_extractf128_ps::<1>(rows));
                }
            }
        }
    }
    #[inline(always)]
    fn transpose(self, from: Square, to: Square) {
        // SAFETY: whoever holds an `Avx2` has detected AVX2.
        unsafe { transpose8(from, to) }
    }
    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        // SAFETY: whoever holds an `Avx2` has detected AVX2.
        unsafe { _mm256_movemask_ps(_mm256_and_ps(mask[0], mask[1])) == 0xFF }
    }
    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        // SAFETY: whoever holds an `Avx2` has detected AVX2.
        unsafe { sum8(_mm256_add_ps(v[0], v[1])) }
    }
    #[inline(always)]
    fn max_lane(self, v: Self::F32) -> f32 {
        // SAFETY: whoever holds an `Avx2` has detected AVX2.
        unsafe { max8(_mm256_max_ps(v[0], v[1])) }
    }
}

/// Rows become columns, four by four elements in each half.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose4([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    let (ab, cd) = (_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d));
    [
        _mm256_shuffle_ps::<0x44>(ab, cd),
        _mm256_shuffle_ps::<0xEE>(ab, cd),
        _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
        _mm256_shuffle_ps::<0xEE>(ab_high, cd_high),
    ]
}

/// Rows become columns: halves of rows i and i + 4 are put into one register as they are read, and the four by four elements
/// of each half are transposed there.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn transpose8(from: Square, to: Square) {
    let half = |i: usize, j: usize| -> __m128 {
        // SAFETY: a run has eight elements, and j is 0 or 4.
        unsafe { _mm_loadu_ps(from.run(i).as_ptr().add(j).cast()) }
    };
    for j in [0, 4] {
        let rows = [0, 1, 2, 3].map(|i| _mm256_set_m128(half(i + 4, j), half(i, j)));
        let columns = transpose4(rows);
        for (i, column) in columns.into_iter().enumerate() {
            let to = to.run(j + i).as_ptr().cast_mut();
            // SAFETY: a run has eight elements, whose cells may be written through a shared reference.
            unsafe { _mm256_storeu_ps(to.cast(), column) }
        }
    }
}

/// Lanes 8 → 4 → 2 → 1 in the one order of summation.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn sum8(v: __m256) -> f32 {
    let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
}

/// Largest of 8 lanes.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn max8(v: __m256) -> f32 {
    let v = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
    let v = _mm_max_ps(v, _mm_movehl_ps(v, v));
    _mm_cvtss_f32(_mm_max_ss(v, _mm_movehdup_ps(v)))
}
