//! WebAssembly SIMD: a vector is four registers of 128 bit.

use super::{
    ByLane, Cells, Chunk, Kernel, LANES, Lanes, Map, SQRT_HALF_BITS, STRIP, Simd, Square, Strip,
};
use core::arch::wasm32::*;
use core::array;

/// The module is compiled with simd128 as a whole, and a host that lacks it refuses the module: nothing to detect.
///
/// `N` registers of four lanes: the whole vector has four.
#[derive(Clone, Copy, Debug)]
pub struct Simd128<const N: usize>(());

impl Simd128<4> {
    /// The token.
    #[must_use]
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(())
    }
}

/// Whether the module is compiled for relaxed SIMD. It leaves to the machine whether a multiply-add rounds once, and what a
/// selection makes of a mask that is neither all ones nor all zeros in a lane, which ours are.
pub(super) const RELAXED: bool = cfg!(target_feature = "relaxed-simd");

/// `[f(0), … f(N − 1)]` of intrinsics, without a closure, so that everything stays inlined.
macro_rules! each {
    ($i:ident in $n:expr => $value:expr) => {{
        // SAFETY: pointers come from the arrays and chunks of 16 elements that the callers hold.
        #[allow(unused_unsafe)]
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

impl<const N: usize> Lanes for Simd128<N> {
    type F32 = [v128; N];
    type Mask = [v128; N];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        each!(_i in N => f32x4_splat(value))
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_add(a[i], b[i]))
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_sub(a[i], b[i]))
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_mul(a[i], b[i]))
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_div(a[i], b[i]))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        if RELAXED {
            each!(i in N => f32x4_relaxed_madd(a[i], b[i], c[i]))
        } else {
            each!(i in N => f32x4_add(f32x4_mul(a[i], b[i]), c[i]))
        }
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_neg(a[i]))
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_abs(a[i]))
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => larger(a[i], b[i]))
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => smaller(a[i], b[i]))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        each!(i in N => f32x4_sqrt(a[i]))
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => f32x4_le(a[i], b[i]))
    }
    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => f32x4_lt(a[i], b[i]))
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(i in N => f32x4_eq(a[i], b[i]))
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        if RELAXED {
            each!(i in N => i32x4_relaxed_laneselect(a[i], b[i], mask[i]))
        } else {
            each!(i in N => v128_bitselect(a[i], b[i], mask[i]))
        }
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => v128_andnot(v[i], mask[i]))
    }
    #[inline(always)]
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(i in N => v128_xor(v[i], v128_and(mask[i], f32x4_splat(-0.0))))
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(i in N => i32x4_shl(v[i], 23))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n = each!(i in N => i32x4_shr(i32x4_sub(v[i], i32x4_splat(SQRT_HALF_BITS)), 23));
        let m = each!(i in N => i32x4_sub(v[i], i32x4_shl(n[i], 23)));
        (m, each!(i in N => f32x4_convert_i32x4(n[i])))
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(i in N => {
            let (mut x, mut y) = ([0.0_f32; 4], [0.0_f32; 4]);
            v128_store(x.as_mut_ptr().cast(), a[i]);
            v128_store(y.as_mut_ptr().cast(), b[i]);
            super::by_lane(f, &mut x, &y);
            v128_load(x.as_ptr().cast())
        })
    }
}

/// `a > b ? a : b`, so b where one is NaN.
#[inline(always)]
fn larger(a: v128, b: v128) -> v128 {
    if RELAXED {
        // LLVM 22 makes relaxed_max of pmax, which may give either where one is NaN: tests of NaN fail with it.
        // SAFETY: a module with this code is only loaded where there is relaxed SIMD.
        #[allow(unused_unsafe)]
        unsafe {
            i32x4_relaxed_laneselect(a, b, f32x4_lt(b, a))
        }
    } else {
        // pmax(b, a) is defined as b < a ? a : b.
        f32x4_pmax(b, a)
    }
}

/// `a < b ? a : b`, so b where one is NaN.
#[inline(always)]
fn smaller(a: v128, b: v128) -> v128 {
    if RELAXED {
        // As in `larger`.
        // SAFETY: a module with this code is only loaded where there is relaxed SIMD.
        #[allow(unused_unsafe)]
        unsafe {
            i32x4_relaxed_laneselect(a, b, f32x4_lt(a, b))
        }
    } else {
        // pmin(b, a) is defined as a < b ? a : b.
        f32x4_pmin(b, a)
    }
}

/// `f` of register `i` of each vector.
#[inline(always)]
fn part<F: Map<N, M>, const N: usize, const M: usize>(
    f: F,
    x: &[[v128; 4]; N],
    i: usize,
) -> [v128; M] {
    let y = f.eval(Simd128::<1>(()), array::from_fn(|n| [x[n][i]]));
    array::from_fn(|m| y[m][0])
}

impl Simd for Simd128<4> {
    type Part = Simd128<1>;
    const PARTS: usize = 4;

    #[inline(always)]
    fn part(self) -> Simd128<1> {
        Simd128(())
    }
    #[inline(always)]
    fn load_part(self, from: &Chunk, i: usize) -> [v128; 1] {
        let part = &from.as_chunks::<4>().0[i % 4];
        // SAFETY: a part has four elements.
        unsafe { [v128_load(part.as_ptr().cast())] }
    }
    #[inline(always)]
    fn store_part(self, to: &Chunk, i: usize, [v]: [v128; 1]) {
        let part = &to.as_chunks::<4>().0[i % 4];
        // SAFETY: a part has four elements, and cells may be written through a shared reference.
        unsafe { v128_store(part.as_ptr().cast_mut().cast(), v) }
    }
    #[inline(always)]
    fn map_part<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [[v128; 1]; N],
    ) -> [[v128; 1]; M] {
        f.eval(self.part(), x)
    }
    const COMPACT: bool = true;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        // The whole module is compiled with simd128: there is nothing to switch on.
        #[inline(never)]
        fn run<K: Kernel>(s: Simd128<4>, kernel: K) -> K::Out {
            kernel.run(s)
        }
        run(self, kernel)
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        each!(i in 4 => v128_load(lanes.as_ptr().add(4 * i).cast()))
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        let mut lanes = [0.0; LANES];
        each!(i in 4 => v128_store(lanes.as_mut_ptr().add(4 * i).cast(), v[i]));
        lanes
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        // The chunk has 16 elements, and no `&mut` to a cell's inside exists while it is read.
        each!(i in 4 => v128_load(from.as_ptr().add(4 * i).cast()))
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        // The chunk has 16 elements, and cells may be written through a shared reference.
        each!(i in 4 => v128_store(to.as_ptr().add(4 * i).cast_mut().cast(), v[i]));
    }
    #[inline(always)]
    fn load_head(self, from: Cells, fill: f32) -> Self::F32 {
        // The set has no masked load. Tails share one function: they are in every kernel, and take more code than its loop.
        #[inline(never)]
        fn part(from: Cells, fill: f32) -> [f32; LANES] {
            let mut lanes = [fill; LANES];
            for (lane, from) in lanes.iter_mut().zip(from) {
                *lane = from.get();
            }
            lanes
        }
        match <&Chunk>::try_from(from) {
            Ok(whole) => self.load(whole),
            Err(_) => self.vector(part(from, fill)),
        }
    }
    #[inline(always)]
    fn store_head(self, to: Cells, v: Self::F32) {
        #[inline(never)]
        fn part(to: Cells, lanes: &[f32; LANES]) {
            for (to, v) in to.iter().zip(lanes) {
                to.set(*v);
            }
        }
        match <&Chunk>::try_from(to) {
            Ok(whole) => self.store(whole, v),
            Err(_) => part(to, &self.to_array(v)),
        }
    }
    #[inline(always)]
    fn map<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [Self::F32; N],
    ) -> [Self::F32; M] {
        // Register by register: engines have 16, and a formula over all four at once spills most of its values. Written
        // out, because a loop over the parts would keep them in memory.
        let y = [
            part(f, &x, 0),
            part(f, &x, 1),
            part(f, &x, 2),
            part(f, &x, 3),
        ];
        array::from_fn(|m| array::from_fn(|i| y[i][m]))
    }

    #[inline(always)]
    fn map_compact<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [Self::F32; N],
    ) -> [Self::F32; M] {
        // All kernels that need the formula share one function.
        #[inline(never)]
        fn whole<F: Map<N, M>, const N: usize, const M: usize>(
            f: F,
            x: &[[v128; 4]; N],
        ) -> [[v128; 4]; M] {
            let mut y = [[f32x4_splat(0.0); 4]; M];
            for i in 0..4 {
                for (y, result) in y.iter_mut().zip(part(f, x, i)) {
                    y[i] = result;
                }
            }
            y
        }
        whole(f, &x)
    }

    #[inline(always)]
    fn each<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        to: [&Strip; M],
        x: [&Strip; N],
        count: usize,
    ) {
        // Register by register in one loop, whose code is a quarter of that of a loop over whole vectors.
        let to: [*mut v128; M] = to.map(|to| to.as_ptr().cast_mut().cast());
        let x: [*const v128; N] = x.map(|x| x.as_ptr().cast());
        for k in 0..4 * count.min(STRIP) {
            // SAFETY: a strip has four registers for each of its vectors; cells may be written through a shared reference.
            unsafe {
                let y = f.eval(Simd128::<1>(()), x.map(|x| [v128_load(x.add(k))]));
                for (to, [y]) in to.iter().zip(y) {
                    v128_store(to.add(k), y);
                }
            }
        }
    }
    #[inline(always)]
    fn unzip4(self, from: &[Chunk; 4]) -> [Self::F32; 4] {
        // SAFETY: a chunk has four rows of four elements.
        let row = |i: usize, j: usize| unsafe { v128_load(from[i].as_ptr().add(4 * j).cast()) };
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| transpose4([0, 1, 2, 3].map(|j| row(i, j))));
        array::from_fn(|column| [a[column], b[column], c[column], d[column]])
    }
    #[inline(always)]
    fn zip4(self, to: &[Chunk; 4], columns: [Self::F32; 4]) {
        for (i, to) in to.iter().enumerate() {
            let rows = transpose4(columns.map(|column| column[i]));
            for (j, row) in rows.into_iter().enumerate() {
                // SAFETY: as above; cells may be written through a shared reference.
                unsafe { v128_store(to.as_ptr().cast_mut().add(4 * j).cast(), row) }
            }
        }
    }
    #[inline(always)]
    fn transpose(self, from: Square, to: Square) {
        for j in [0, 4] {
            let (top, bottom) = (columns(from, 0, j), columns(from, 4, j));
            for i in 0..4 {
                let to = to.run(j + i).as_ptr().cast_mut();
                // SAFETY: a run has eight elements, whose cells may be written through a shared reference.
                unsafe {
                    v128_store(to.cast(), top[i]);
                    v128_store(to.add(4).cast(), bottom[i]);
                }
            }
        }
    }
    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        let [a, b, c, d] = mask;
        i32x4_all_true(v128_and(v128_and(a, b), v128_and(c, d)))
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
        let v = larger(larger(v[0], v[2]), larger(v[1], v[3]));
        let v = larger(v, i32x4_shuffle::<2, 3, 2, 3>(v, v));
        let (a, b) = (f32x4_extract_lane::<0>(v), f32x4_extract_lane::<1>(v));
        if a > b { a } else { b }
    }
}

/// Four columns of four rows of a square.
#[inline(always)]
fn columns(from: Square, i: usize, j: usize) -> [v128; 4] {
    // SAFETY: a run has eight elements, and j is 0 or 4.
    transpose4([0, 1, 2, 3].map(|k| unsafe { v128_load(from.run(i + k).as_ptr().add(j).cast()) }))
}

/// Rows become columns.
#[inline(always)]
fn transpose4([a, b, c, d]: [v128; 4]) -> [v128; 4] {
    let (ab, cd) = (
        i32x4_shuffle::<0, 4, 1, 5>(a, b),
        i32x4_shuffle::<0, 4, 1, 5>(c, d),
    );
    let (ab_high, cd_high) = (
        i32x4_shuffle::<2, 6, 3, 7>(a, b),
        i32x4_shuffle::<2, 6, 3, 7>(c, d),
    );
    [
        i32x4_shuffle::<0, 1, 4, 5>(ab, cd),
        i32x4_shuffle::<2, 3, 6, 7>(ab, cd),
        i32x4_shuffle::<0, 1, 4, 5>(ab_high, cd_high),
        i32x4_shuffle::<2, 3, 6, 7>(ab_high, cd_high),
    ]
}
