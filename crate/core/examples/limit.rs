//! `limit SIZES…`: what caches and memory allow on one thread, as lines of JSON: nanoseconds per element of a bare loop that
//! reads one array or two, and writes one or none, with the best instruction set of the machine.

use fused_loss_core::simd::{Cells, Chunk, Kernel, LANES, Level, Simd, cells};
use std::hint::black_box;
use std::time::Instant;

const SAMPLES: usize = 30;

/// Elements of a sample, in whole calls: that takes milliseconds.
const SAMPLE: usize = 1 << 24;

/// Elements from which on it may be faster to write past the caches.
const STREAM: usize = 1 << 18;

/// x − t, or x − x where one array is read: into `dx`, or into a sum.
struct Bare<'a, const TARGET: bool, const GRAD: bool, const STREAM: bool> {
    x: Cells<'a>,
    t: Cells<'a>,
    dx: Cells<'a>,
}

impl<const TARGET: bool, const GRAD: bool, const STREAM: bool> Bare<'_, TARGET, GRAD, STREAM> {
    #[inline(always)]
    fn step<S: Simd>(s: S, x: &Chunk, t: &Chunk, dx: &Chunk, sum: &mut S::F32) {
        let x = s.load(x);
        let v = s.sub(x, if TARGET { s.load(t) } else { x });
        if STREAM {
            s.stream(dx, v);
        } else if GRAD {
            s.store(dx, v);
        } else {
            *sum = s.add(*sum, v);
        }
    }
}

impl<const TARGET: bool, const GRAD: bool, const STREAM: bool> Kernel
    for Bare<'_, TARGET, GRAD, STREAM>
{
    type Out = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let [x, t, dx] = [self.x, self.t, self.dx].map(|array| array.as_chunks::<LANES>().0);
        // In pairs, since one sum would have each addition wait for the one before.
        let [mut even, mut odd] = [s.splat(0.0); 2];
        let (x, x_rest) = x.as_chunks::<2>();
        let (t, t_rest) = t.as_chunks::<2>();
        let (dx, dx_rest) = dx.as_chunks::<2>();
        for ((x, t), dx) in x.iter().zip(t).zip(dx) {
            Self::step(s, &x[0], &t[0], &dx[0], &mut even);
            Self::step(s, &x[1], &t[1], &dx[1], &mut odd);
        }
        for ((x, t), dx) in x_rest.iter().zip(t_rest).zip(dx_rest) {
            Self::step(s, x, t, dx, &mut even);
        }
        if STREAM {
            s.fence();
        }
        s.sum(s.add(even, odd))
    }
}

/// Nanoseconds per element: the least of all samples.
fn time<const TARGET: bool, const GRAD: bool, const STREAM: bool>(
    level: Level,
    elements: usize,
    [x, t, dx]: [Cells; 3],
) -> f64 {
    let calls = SAMPLE.div_ceil(elements);
    let sample = || {
        let start = Instant::now();
        for _ in 0..calls {
            let kernel = Bare::<TARGET, GRAD, STREAM> { x, t, dx };
            black_box(level.run(black_box(kernel)));
        }
        start.elapsed().as_nanos() as f64 / (calls * elements) as f64
    };
    (0..SAMPLES).map(|_| sample()).fold(f64::INFINITY, f64::min)
}

/// The faster way of writing.
fn time_grad<const TARGET: bool>(level: Level, elements: usize, arrays: [Cells; 3]) -> f64 {
    let stored = time::<TARGET, true, false>(level, elements, arrays);
    if elements < STREAM {
        return stored;
    }
    stored.min(time::<TARGET, true, true>(level, elements, arrays))
}

fn main() {
    let level = Level::available()[0];
    for size in std::env::args().skip(1) {
        let n: usize = size.parse().expect("sizes are integers > 0");
        // Whole vectors; filled, since the first write to a page is the dearest.
        let mut arrays = [1.0, 2.0, 3.0].map(|value| vec![value; n.next_multiple_of(LANES)]);
        let arrays = arrays.each_mut().map(|array| cells(array));
        for (reads, writes, ns) in [
            (1, 0, time::<false, false, false>(level, n, arrays)),
            (2, 0, time::<true, false, false>(level, n, arrays)),
            (1, 1, time_grad::<false>(level, n, arrays)),
            (2, 1, time_grad::<true>(level, n, arrays)),
        ] {
            println!(r#"{{"elements":{n},"reads":{reads},"writes":{writes},"ns":{ns:.4}}}"#);
        }
    }
}
