//! One vector of 16 `f32` on every instruction set.
//!
//! A kernel is written once over [`Simd`] and [`Lanes`] and compiled once per instruction set by [`Simd::vectorize`]. The vector has
//! 16 lanes everywhere (one 512-bit register, two of 256, four of 128, or an array), so that a sum is split over the
//! same lanes on every machine and `exact` losses have the same bits everywhere.
//!
//! This module holds the only `unsafe` of the crate. Tokens ([`Avx2`], …) can be made only where the CPU feature was
//! detected, and are what makes the calls of intrinsics sound.

use core::cell::Cell;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod double;
#[cfg(target_arch = "aarch64")]
mod neon;
mod room;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
mod transpose;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use double::Double;
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use room::Room;
pub use scalar::Scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use simd128::Simd128;
pub use transpose::{SIDE, Square, Transposed};

/// Lanes of the virtual vector.
pub const LANES: usize = 16;

/// Bits of √½: subtracting them leaves n in the exponent field of m · 2^n, m in [√½, √2).
const SQRT_HALF_BITS: i32 = 0x3F35_04F3;

/// Memory that a kernel reads or writes.
///
/// Cells, because the gradient may be written over the input it is computed from: two `&[Cell<f32>]` to the same
/// memory are sound where `&[f32]` beside `&mut [f32]` are not.
pub type Cells<'a> = &'a [Cell<f32>];

/// As many elements as a vector has lanes.
pub type Chunk = [Cell<f32>; LANES];

/// Vectors of a [`Strip`].
pub const STRIP: usize = 32;

/// Vectors that lie one behind the other. Their number is fixed, so that a loop over some of them needs no check for each.
pub type Strip = [Chunk; STRIP];

/// Work that is compiled once per instruction set. A struct and not a closure: closures do not carry `inline(always)`.
pub trait Kernel {
    /// What the work returns.
    type Out;
    /// Must be `#[inline(always)]`, so that it is compiled with the features of the set that runs it.
    fn run<S: Simd>(self, s: S) -> Self::Out;
}

/// Whether the size of the code counts, as in WebAssembly, which users download. Fewer loops are compiled then: those that families
/// have for a step of training always write a gradient.
pub const SMALL: bool = cfg!(target_arch = "wasm32");

/// Runs a step of a kernel, in WebAssembly in a function of its own that all kernels share. A call takes as long as a dozen
/// vectors, a tenth of what tiles with few classes do.
#[inline(always)]
pub(crate) fn step<S: Simd, K: Kernel>(s: S, kernel: K) -> K::Out {
    if SMALL {
        s.vectorize(kernel)
    } else {
        kernel.run(s)
    }
}

/// Arithmetic on vectors of some number of lanes. `self` is the proof that the instruction set is there.
///
/// Formulas are written over this: the same code runs on a whole vector or, where its intermediate results would not fit
/// the registers, on one part after the other ([`Simd::map`]).
pub trait Lanes: Copy {
    /// A vector of `f32`.
    type F32: Copy;
    /// As many truth values.
    type Mask: Copy;

    /// The power of two in e^this is taken for 0: no normal number of single precision, no number at all of double precision.
    const EXP_ZERO: f32 = -88.0;
    /// Below this eˣ is nearer to 0 than to the smallest subnormal.
    const EXP_MIN: f32 = -104.0;
    /// Above this eˣ is larger than any number.
    const EXP_MAX: f32 = 88.72283;
    /// From here on downwards eˣ − 1 is −1.
    const EXPM1_MIN: f32 = -20.0;
    /// The same as the two of eˣ for 2ˣ: below the first it is nearer to 0 than to any other number, from the second on too large.
    const EXP2_RANGE: [f32; 2] = [-150.0, 128.0];

    /// The same value in every lane.
    fn splat(self, value: f32) -> Self::F32;
    /// a + b
    fn add(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a − b
    fn sub(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b
    fn mul(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a / b, correctly rounded
    fn div(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// a · b + c, rounded once where the set has FMA: only for losses of class `close`
    fn mul_add(self, a: Self::F32, b: Self::F32, c: Self::F32) -> Self::F32;
    /// −a
    fn neg(self, a: Self::F32) -> Self::F32;
    /// |a|
    fn abs(self, a: Self::F32) -> Self::F32;
    /// `a > b ? a : b` in each lane: `b` where either is NaN
    fn max(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// `a < b ? a : b` in each lane: `b` where either is NaN
    fn min(self, a: Self::F32, b: Self::F32) -> Self::F32;
    /// √a, correctly rounded; NaN below 0, and −0 stays −0
    fn sqrt(self, a: Self::F32) -> Self::F32;

    /// a ≤ b; false where either is NaN
    fn le(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a < b; false where either is NaN
    fn lt(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// a = b; false where either is NaN
    fn eq(self, a: Self::F32, b: Self::F32) -> Self::Mask;
    /// `mask ? a : b` in each lane
    fn select(self, mask: Self::Mask, a: Self::F32, b: Self::F32) -> Self::F32;

    /// `mask ? 0 : v`: one instruction where `select` takes three
    fn zero_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32;
    /// `mask ? −v : v`
    fn neg_where(self, mask: Self::Mask, v: Self::F32) -> Self::F32;

    /// The float whose bits are those of `v` shifted left by 23: 2^n where the low bits of `v` hold n + 127, as those of
    /// 1.5 · 2²³ + 127 + n do.
    fn exponent_from_low_bits(self, v: Self::F32) -> Self::F32;
    /// (m, n) with v = m · 2^n and m in [√½, √2), for positive normal `v`.
    fn split_exponent(self, v: Self::F32) -> (Self::F32, Self::F32);

    /// `f` of each lane of both, in double precision and slowly.
    fn by_lane<F: ByLane>(self, f: F, a: Self::F32, b: Self::F32) -> Self::F32;
}

/// A function of two numbers, for what needs more digits than `f32` has and is too rare for vectors of `f64`.
pub trait ByLane: Copy {
    /// Its value.
    fn eval(self, a: f64, b: f64) -> f64;
}

/// `f` of both in place of `a`.
#[inline(never)]
fn by_lane<F: ByLane>(f: F, a: &mut [f32], b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a = f.eval(f64::from(*a), f64::from(*b)) as f32;
    }
}

/// A function of `N` vectors that gives `M`, lane by lane. A struct and not a closure, as [`Kernel`].
pub trait Map<const N: usize, const M: usize>: Copy {
    /// Whether it has many intermediate results.
    const LONG: bool = false;

    /// Must be `#[inline(always)]`.
    fn eval<V: Lanes>(self, v: V, x: [V::F32; N]) -> [V::F32; M];
}

/// A vector of 16 lanes.
pub trait Simd: Lanes {
    /// Runs `kernel` with this instruction set switched on.
    fn vectorize<K: Kernel>(self, kernel: K) -> K::Out;

    /// Lane j takes `lanes[j]`.
    fn vector(self, lanes: [f32; LANES]) -> Self::F32;
    /// The lanes in order.
    fn to_array(self, v: Self::F32) -> [f32; LANES];
    /// Loads 16 elements from any alignment.
    fn load(self, from: &Chunk) -> Self::F32;
    /// Stores 16 elements to any alignment.
    fn store(self, to: &Chunk, v: Self::F32);
    /// Stores 16 elements past the caches, where the set can: what is written is not read before, which saves a third of the
    /// traffic of one array in and one out. For more memory than the caches hold; [`Simd::fence`] follows the last one.
    #[inline(always)]
    fn stream(self, to: &Chunk, v: Self::F32) {
        self.store(to, v);
    }
    /// Has other threads see what was streamed before they see what is stored after.
    #[inline(always)]
    fn fence(self) {}
    /// Asks for the memory `ahead` elements behind `from`, where the set can. A hint: nothing is read, and there need not be
    /// anything.
    #[inline(always)]
    fn prefetch(self, _from: &Chunk, _ahead: usize) {}
    /// Loads the at most 16 elements of `from`; the lanes behind them take `fill`. Reads nothing past the slice.
    fn load_head(self, from: Cells, fill: f32) -> Self::F32;
    /// Stores the first lanes over the at most 16 elements of `to`. Writes nothing past the slice.
    fn store_head(self, to: Cells, v: Self::F32);

    /// Reads 16 rows of four elements as four columns.
    #[inline(always)]
    fn unzip4(self, from: &[Chunk; 4]) -> [Self::F32; 4] {
        let mut columns = [[0.0; LANES]; 4];
        for (i, row) in from.as_flattened().as_chunks::<4>().0.iter().enumerate() {
            for (column, element) in columns.iter_mut().zip(row) {
                column[i] = element.get();
            }
        }
        columns.map(|column| self.vector(column))
    }
    /// Writes four columns as 16 rows of four elements.
    #[inline(always)]
    fn zip4(self, to: &[Chunk; 4], columns: [Self::F32; 4]) {
        let columns = columns.map(|column| self.to_array(column));
        for (i, row) in to.as_flattened().as_chunks::<4>().0.iter().enumerate() {
            for (column, element) in columns.iter().zip(row) {
                element.set(column[i]);
            }
        }
    }

    /// Copies a square so that its rows become columns. The runs of `to` are written in order.
    #[inline(always)]
    fn transpose(self, from: Square, to: Square) {
        for i in 0..SIDE {
            for (j, to) in to.run(i).iter().enumerate() {
                to.set(from.run(j)[i].get());
            }
        }
    }

    /// `f` of all lanes, in parts where the set has too few registers for the whole.
    #[inline(always)]
    fn map<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [Self::F32; N],
    ) -> [Self::F32; M] {
        f.eval(self, x)
    }

    /// The same for tails and options, and where else small code counts more than the last tenth of the speed.
    #[inline(always)]
    fn map_compact<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [Self::F32; N],
    ) -> [Self::F32; M] {
        self.map(f, x)
    }

    /// A part of a vector, of one register where that makes loops shorter: their body is there once for all parts. The whole vector
    /// elsewhere.
    type Part: Lanes;
    /// Parts of a vector.
    const PARTS: usize;
    /// Arithmetic on parts.
    fn part(self) -> Self::Part;
    /// Part `i` of what [`Simd::load`] gives.
    fn load_part(self, from: &Chunk, i: usize) -> <Self::Part as Lanes>::F32;
    /// Stores part `i` of a vector.
    fn store_part(self, to: &Chunk, i: usize, v: <Self::Part as Lanes>::F32);
    /// `f` of all lanes of a part.
    fn map_part<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        x: [<Self::Part as Lanes>::F32; N],
    ) -> [<Self::Part as Lanes>::F32; M];

    /// Whether a loop should rather be short than fast: there are many, and the set is rare, or its code is downloaded.
    const COMPACT: bool = false;
    /// Whether a vector is one register. Loops of short formulas have two in a round.
    const ONE_REGISTER: bool = false;

    /// `f` of the first `count` vectors of some strips, into the same places of others, which may be the same memory.
    ///
    /// `count` may be rounded up to a pair: what is behind it in the strips `to` is lost.
    #[inline(always)]
    fn each<F: Map<N, M>, const N: usize, const M: usize>(
        self,
        f: F,
        to: [&Strip; M],
        x: [&Strip; N],
        count: usize,
    ) {
        if F::LONG || !Self::ONE_REGISTER {
            let count = count.min(STRIP);
            let (to, x) = (to.map(|to| &to[..count]), x.map(|x| &x[..count]));
            for k in 0..count {
                let x = x.map(|x| self.load(&x[k]));
                let y = if F::LONG {
                    self.map(f, x)
                } else {
                    f.eval(self, x)
                };
                for (to, y) in to.iter().zip(y) {
                    self.store(&to[k], y);
                }
                one_by_one();
            }
            return;
        }
        let pairs = count.div_ceil(2).min(STRIP / 2);
        let to = to.map(|to| &to.as_chunks::<2>().0[..pairs]);
        let x = x.map(|x| &x.as_chunks::<2>().0[..pairs]);
        for pair in 0..pairs {
            for k in 0..2 {
                let y = f.eval(self, x.map(|x| self.load(&x[pair][k])));
                for (to, y) in to.iter().zip(y) {
                    self.store(&to[pair][k], y);
                }
            }
            one_by_one();
        }
    }

    /// Whether the mask is true in every lane.
    fn all(self, mask: Self::Mask) -> bool;

    /// Sum of the lanes in the one order: 16 → 8 → 4 → 2 → 1, lane j with lane j + half.
    #[inline(always)]
    fn sum(self, v: Self::F32) -> f32 {
        let mut lanes = self.to_array(v);
        let mut half = LANES / 2;
        while half > 0 {
            for j in 0..half {
                lanes[j] += lanes[j + half];
            }
            half /= 2;
        }
        lanes[0]
    }

    /// Largest lane, where no lane is NaN; some lane otherwise.
    #[inline(always)]
    fn max_lane(self, v: Self::F32) -> f32 {
        let mut lanes = self.to_array(v);
        let mut half = LANES / 2;
        while half > 0 {
            for j in 0..half {
                if lanes[j + half] > lanes[j] {
                    lanes[j] = lanes[j + half];
                }
            }
            half /= 2;
        }
        lanes[0]
    }

    /// 0, 1, … 15
    #[inline(always)]
    fn iota(self) -> Self::F32 {
        self.vector([
            0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
        ])
    }

    /// `v` in the first `count` lanes, 0 behind them.
    #[inline(always)]
    fn head(self, v: Self::F32, count: usize) -> Self::F32 {
        let inside = self.lt(self.iota(), self.splat(count as f32));
        self.select(inside, v, self.splat(0.0))
    }
}

/// The parts of a vector where the whole vector is the only one.
macro_rules! whole_vector {
    () => {
        type Part = Self;
        const PARTS: usize = 1;

        #[inline(always)]
        fn part(self) -> Self {
            self
        }
        #[inline(always)]
        fn load_part(self, from: &super::Chunk, _: usize) -> Self::F32 {
            self.load(from)
        }
        #[inline(always)]
        fn store_part(self, to: &super::Chunk, _: usize, v: Self::F32) {
            self.store(to, v);
        }
        #[inline(always)]
        fn map_part<F: super::Map<N, M>, const N: usize, const M: usize>(
            self,
            f: F,
            x: [Self::F32; N],
        ) -> [Self::F32; M] {
            self.map(f, x)
        }
    };
}
pub(crate) use whole_vector;

/// An instruction set that this machine has, with its token.
#[derive(Clone, Copy, Debug)]
pub enum Level {
    /// Rust on arrays: every machine; no loops are compiled for it where simd128 is certain
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Scalar(Scalar<LANES>),
    /// x86 AVX2 with FMA
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2<2>),
    /// x86 AVX-512F
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// ARM NEON
    #[cfg(target_arch = "aarch64")]
    Neon(Neon<4>),
    /// WebAssembly SIMD
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128(Simd128<4>),
}

impl Level {
    /// The instruction sets of this machine, the best first.
    #[must_use]
    pub fn available() -> Vec<Level> {
        [
            #[cfg(target_arch = "x86_64")]
            Avx512::detect().map(Level::Avx512),
            #[cfg(target_arch = "x86_64")]
            Avx2::detect().map(Level::Avx2),
            #[cfg(target_arch = "aarch64")]
            Neon::detect().map(Level::Neon),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Some(Level::Simd128(Simd128::new())),
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Some(Level::Scalar(Scalar)),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The name by which users pin it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Level::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Level::Simd128(_) if simd128::RELAXED => "relaxed-simd",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Level::Simd128(_) => "simd128",
        }
    }

    /// Runs `kernel` compiled for this instruction set.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Out {
        match self {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Level::Scalar(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(s) => s.vectorize(kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(s) => s.vectorize(kernel),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(s) => s.vectorize(kernel),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Level::Simd128(s) => s.vectorize(kernel),
        }
    }
}

/// At the end of a loop's body: keeps the compiler from making one of several rounds, or vectors of them. A loop that is there once for
/// every formula of an expression has four times the code otherwise, and takes as long.
#[inline(always)]
pub(crate) fn one_by_one() {
    core::hint::black_box(());
}

/// So many rounds of a loop, hidden from the compiler where code is to be short, so that the body is there once.
#[inline(always)]
pub(crate) fn once<S: Simd>(rounds: usize) -> usize {
    if S::COMPACT {
        core::hint::black_box(rounds)
    } else {
        rounds
    }
}

/// Cells over memory that the caller owns alone.
#[must_use]
pub fn cells(memory: &mut [f32]) -> Cells<'_> {
    Cell::from_mut(memory).as_slice_of_cells()
}
