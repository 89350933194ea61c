//! Plain Rust on an array of 16: the set that every machine has, and the one that Miri runs.

use super::{ByLane, Cells, Chunk, Kernel, LANES, Lanes, Map, STRIP, Simd, Strip};
use core::array;

/// Needs nothing of the CPU. `N` lanes: the whole vector has 16.
#[derive(Clone, Copy, Debug)]
pub struct Scalar<const N: usize>;

/// `[f(0), f(1), … f(N − 1)]` without a closure, so that everything stays inlined.
macro_rules! each {
    ($j:ident => $value:expr) => {{
        let mut lanes = [Default::default(); N];
        for $j in 0..N {
            lanes[$j] = $value;
        }
        lanes
    }};
}

impl<const N: usize> Lanes for Scalar<N> {
    type F32 = [f32; N];
    type Mask = [bool; N];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::F32 {
        [value; N]
    }
    #[inline(always)]
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => a[j] + b[j])
    }
    #[inline(always)]
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => a[j] - b[j])
    }
    #[inline(always)]
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => a[j] * b[j])
    }
    #[inline(always)]
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => a[j] / b[j])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32 {
        // Two roundings: `f32::mul_add` is a call where the CPU has no FMA.
        each!(j => a[j] * b[j] + c[j])
    }
    #[inline(always)]
    fn neg(self, a: Self::F32) -> Self::F32 {
        each!(j => -a[j])
    }
    #[inline(always)]
    fn abs(self, a: Self::F32) -> Self::F32 {
        each!(j => a[j].abs())
    }
    #[inline(always)]
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => if a[j] > b[j] { a[j] } else { b[j] })
    }
    #[inline(always)]
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => if a[j] < b[j] { a[j] } else { b[j] })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F32) -> Self::F32 {
        each!(j => a[j].sqrt())
    }
    #[inline(always)]
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(j => a[j] <= b[j])
    }
    #[inline(always)]
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(j => a[j] < b[j])
    }
    #[inline(always)]
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask {
        each!(j => a[j] == b[j])
    }
    #[inline(always)]
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32 {
        each!(j => if mask[j] { a[j] } else { b[j] })
    }
    #[inline(always)]
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(j => if mask[j] { 0.0 } else { v[j] })
    }
    #[inline(always)]
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32 {
        each!(j => if mask[j] { -v[j] } else { v[j] })
    }

    #[inline(always)]
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32 {
        each!(j => f32::from_bits(v[j].to_bits() << 23))
    }
    #[inline(always)]
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32) {
        let n: [i32; N] =
            each!(j => (v[j].to_bits() as i32).wrapping_sub(super::SQRT_HALF_BITS) >> 23);
        let m = each!(j => f32::from_bits((v[j].to_bits() as i32).wrapping_sub(n[j] << 23) as u32));
        (m, each!(j => n[j] as f32))
    }
    #[inline(always)]
    fn by_lane<F: ByLane>(self, f: F, mut a: Self::F32, b: Self::F32) -> Self::F32 {
        super::by_lane(f, &mut a, &b);
        a
    }
}

impl Simd for Scalar<LANES> {
    super::whole_vector!();

    const COMPACT: bool = true;

    #[inline(always)]
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out {
        // A frame of its own, as the other sets have.
        #[inline(never)]
        fn run<K: Kernel>(s: Scalar<LANES>, kernel: K) -> K::Out {
            kernel.run(s)
        }
        run(self, kernel)
    }
    #[inline(always)]
    fn vector(self, lanes: [f32; LANES]) -> Self::F32 {
        lanes
    }
    #[inline(always)]
    fn to_array(self, v: Self::F32) -> [f32; LANES] {
        v
    }
    #[inline(always)]
    fn load(self, from: &Chunk) -> Self::F32 {
        array::from_fn(|j| from[j].get())
    }
    #[inline(always)]
    fn store(self, to: &Chunk, v: Self::F32) {
        for (to, v) in to.iter().zip(v) {
            to.set(v);
        }
    }
    #[inline(always)]
    fn load_head(self, from: Cells, fill: f32) -> Self::F32 {
        let mut lanes = [fill; LANES];
        for (lane, from) in lanes.iter_mut().zip(from) {
            *lane = from.get();
        }
        lanes
    }
    #[inline(always)]
    fn store_head(self, to: Cells, v: Self::F32) {
        for (to, v) in to.iter().zip(v) {
            to.set(v);
        }
    }
    #[inline(always)]
    fn all(self, mask: Self::Mask) -> bool {
        mask.into_iter().all(|lane| lane)
    }
    #[inline(always)]
    fn map<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [Self::F32; N],
    ) -> [Self::F32; M] {
        // Lane by lane: a formula of 16 lanes in plain Rust is so much code that a kernel takes minutes to compile.
        let mut y = [[0.0; LANES]; M];
        for j in 0..LANES {
            let result = f.eval(Scalar::<1>, x.map(|x| [x[j]]));
            for (y, [result]) in y.iter_mut().zip(result) {
                y[j] = result;
            }
        }
        y
    }
    #[inline(always)]
    fn each<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        to: [&Strip; M],
        x: [&Strip; N],
        count: usize,
    ) {
        let count = (count * LANES).min(STRIP * LANES);
        let to = to.map(|to| &to.as_flattened()[..count]);
        let x = x.map(|x| &x.as_flattened()[..count]);
        for k in 0..count {
            let y = f.eval(Scalar::<1>, x.map(|x| [x[k].get()]));
            for (to, [y]) in to.iter().zip(y) {
                to[k].set(y);
            }
            super::one_by_one();
        }
    }
}
