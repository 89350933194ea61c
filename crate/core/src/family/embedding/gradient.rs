//! The gradient by one row, from what came of comparing it with one or two others.

use super::compare::{Compared, Slopes, power};
use super::{Measure, Norm, PAIRS, WIDTH, doubles};
use crate::simd::{Cells, one_by_one};

/// The number of a gradient beside the numbers of the rows.
trait Term: Copy {
    fn at(self, x: f64, y: f64, z: f64) -> f64;
}

/// a·x + b·y
#[derive(Clone, Copy)]
pub(super) struct OfTwo(pub f64, pub f64);

impl Term for OfTwo {
    #[inline(always)]
    fn at(self, x: f64, y: f64, _: f64) -> f64 {
        self.0 * x + self.1 * y
    }
}

/// a·x + b·y + c·z
#[derive(Clone, Copy)]
struct OfThree(f64, f64, f64);

impl Term for OfThree {
    #[inline(always)]
    fn at(self, x: f64, y: f64, z: f64) -> f64 {
        self.0 * x + self.1 * y + self.2 * z
    }
}

/// a·φ(u) + b·φ(v) with the differences u of x and y, and v of x and z, and what a norm takes of a difference for its gradient.
#[derive(Clone, Copy)]
struct Apart<P> {
    phi: [P; 2],
    factors: [f64; 2],
    /// What is added to each difference, with the sign that makes it the negative of that by the other row.
    eps: [f64; 2],
}

impl<P: Phi> Term for Apart<P> {
    #[inline(always)]
    fn at(self, x: f64, y: f64, z: f64) -> f64 {
        let [u, v] = [x - y + self.eps[0], x - z + self.eps[1]];
        self.factors[0] * self.phi[0].at(u) + self.factors[1] * self.phi[1].at(v)
    }
}

trait Phi: Copy {
    fn at(self, u: f64) -> f64;
}

/// u
#[derive(Clone, Copy)]
struct Straight;

impl Phi for Straight {
    #[inline(always)]
    fn at(self, u: f64) -> f64 {
        u
    }
}

/// The sign of u, times (|u|/most)^(p − 1).
#[derive(Clone, Copy)]
struct Bent {
    most: f64,
    p: f64,
}

impl Phi for Bent {
    #[inline(always)]
    fn at(self, u: f64) -> f64 {
        let sign = if u > 0.0 {
            1.0
        } else if u < 0.0 {
            -1.0
        } else {
            u
        };
        if self.p == 1.0 {
            sign
        } else {
            sign * power(u.abs() / self.most, self.p - 1.0)
        }
    }
}

/// Writes the gradient by row x of two whose cosine is taken, or adds it to what is there; `to` may be the memory of x.
#[inline(always)]
pub(super) fn gradient_of_two(to: Cells, x: Cells, y: Cells, accumulate: bool, term: OfTwo) {
    let OfTwo(a, b) = term;
    if a == 0.0 && b == 0.0 {
        clear(to, accumulate);
    } else {
        write(to, [x, y, y], accumulate, term);
    }
}

/// Where all factors are 0 the gradient is 0 whatever the rows hold, and not −0.
#[inline(always)]
fn clear(to: Cells, accumulate: bool) {
    if !accumulate {
        to.iter().for_each(|to| to.set(0.0));
    }
}

/// Writes the gradient by row `own` of `rows`, or adds it to what is there; `to` may be the memory of that row.
#[inline(always)]
pub(super) fn gradient(
    to: Cells,
    measure: Measure,
    own: usize,
    rows: [Cells; 3],
    compared: &[Compared; 3],
    accumulate: bool,
) {
    // The other two rows, the pairs that they make with this one, and whether this one is the first of the pair.
    let pairs = [own / 2, 1 + own.div_ceil(2)];
    let is_first = pairs.map(|pair| PAIRS[pair][0] == own);
    let others = [0, 1].map(|k| PAIRS[pairs[k]][usize::from(is_first[k])]);
    let x = rows[own];
    let y = rows[others[0]];
    // Of two rows the second pair has no slopes, and the third row no numbers.
    let z = if rows[2].len() < x.len() {
        y
    } else {
        rows[others[1]]
    };
    let slopes = pairs.map(|pair| compared[pair].slopes);
    let factors: [f64; 2] = [0, 1].map(|k| {
        let Slopes { xx, yy, .. } = slopes[k];
        if is_first[k] { xx } else { yy }
    });
    let crosses = slopes.map(|slopes| slopes.xy);
    if factors == [0.0; 2] && crosses == [0.0; 2] {
        clear(to, accumulate);
        return;
    }
    match measure {
        Measure::Cosine { .. } => {
            let term = OfThree(factors[0] + factors[1], crosses[0], crosses[1]);
            write(to, [x, y, z], accumulate, term);
        }
        Measure::Distance { norm, eps } => {
            let eps = is_first.map(|is_first| if is_first { eps } else { -eps });
            let p = match norm {
                Norm::Two | Norm::Squared => {
                    let phi = [Straight; 2];
                    write(to, [x, y, z], accumulate, Apart { phi, factors, eps });
                    return;
                }
                Norm::One => 1.0,
                Norm::Power(p) => p,
            };
            let phi = pairs.map(|pair| Bent {
                most: compared[pair].most,
                p,
            });
            let term = Apart { phi, factors, eps };
            // The compiler has no vectors of powers, and would write out eight of each.
            write_singly(to, [x, y, z], accumulate, term);
        }
    }
}

#[inline(always)]
fn write(to: Cells, [x, y, z]: [Cells; 3], accumulate: bool, term: impl Term) {
    let ((chunks, tail), (x, x_tail)) = (to.as_chunks::<WIDTH>(), x.as_chunks());
    let ((y, y_tail), (z, z_tail)) = (y.as_chunks(), z.as_chunks());
    for (((to, x), y), z) in chunks.iter().zip(x).zip(y).zip(z) {
        let (x, y, z) = (doubles(x), doubles(y), doubles(z));
        let mut sums = [0.0; WIDTH];
        for j in 0..WIDTH {
            sums[j] = term.at(x[j], y[j], z[j]) as f32;
        }
        if accumulate {
            for (sum, to) in sums.iter_mut().zip(to) {
                *sum += to.get();
            }
        }
        for (to, sum) in to.iter().zip(sums) {
            to.set(sum);
        }
        one_by_one();
    }
    write_singly(tail, [x_tail, y_tail, z_tail], accumulate, term);
}

#[inline(always)]
fn write_singly(to: Cells, [x, y, z]: [Cells; 3], accumulate: bool, term: impl Term) {
    for (((to, x), y), z) in to.iter().zip(x).zip(y).zip(z) {
        let number = term.at(x.get().into(), y.get().into(), z.get().into()) as f32;
        to.set(if accumulate {
            to.get() + number
        } else {
            number
        });
        one_by_one();
    }
}
