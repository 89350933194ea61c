//! Every operation of every instruction set of this machine, against plain Rust on the same lanes.

use core::cell::Cell;
use fused_loss_core::simd::{Double, Kernel, LANES, Lanes, Level, Simd, Transposed, cells};

/// Numbers, both zeros, infinities, NaN, subnormals; rotated against each other they meet in all pairs.
const SPECIAL: [f32; LANES] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    -2.75,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1e-42,
    -1e-42,
    f32::MAX,
    f32::MIN,
    f32::MIN_POSITIVE,
    3.1e-7,
    -12345.678,
];

fn rotated(by: usize) -> [f32; LANES] {
    core::array::from_fn(|j| SPECIAL[(j + by) % LANES])
}

/// Equal to the bit, except that any NaN is like any other: their bits differ from one instruction set to the next.
#[track_caller]
fn same(what: &str, level: Level, got: [f32; LANES], expected: [f32; LANES]) {
    for j in 0..LANES {
        let equal =
            got[j].to_bits() == expected[j].to_bits() || got[j].is_nan() && expected[j].is_nan();
        assert!(
            equal,
            "{what} on {}: lane {j} is {:?}, expected {:?}",
            level.name(),
            got[j],
            expected[j]
        );
    }
}

/// One operation as a kernel, so that it is compiled for the set that runs it.
macro_rules! operation {
    ($level:expr, $s:ident, $a:expr, $b:expr => |$x:ident, $y:ident| $value:expr) => {{
        struct Operation([f32; LANES], [f32; LANES]);
        impl Kernel for Operation {
            type Out = [f32; LANES];
            #[inline(always)]
            fn run<S: Simd>(self, $s: S) -> [f32; LANES] {
                let ($x, $y) = ($s.vector(self.0), $s.vector(self.1));
                let _ = $y;
                $s.to_array($value)
            }
        }
        $level.run(Operation($a, $b))
    }};
}

#[test]
fn arithmetic_and_comparisons() {
    for level in Level::available() {
        for by in 0..LANES {
            let (a, b) = (SPECIAL, rotated(by));
            let lanes = |f: fn(f32, f32) -> f32| core::array::from_fn(|j| f(a[j], b[j]));
            macro_rules! check {
                ($name:literal, |$s:ident, $x:ident, $y:ident| $value:expr, $expected:expr) => {
                    same($name, level, operation!(level, $s, a, b => |$x, $y| $value), lanes($expected));
                };
            }
            check!("add", |s, x, y| s.add(x, y), |a, b| a + b);
            check!("sub", |s, x, y| s.sub(x, y), |a, b| a - b);
            check!("mul", |s, x, y| s.mul(x, y), |a, b| a * b);
            check!("div", |s, x, y| s.div(x, y), |a, b| a / b);
            check!("neg", |s, x, y| s.neg(x), |a, _| -a);
            check!("abs", |s, x, y| s.abs(x), |a, _| a.abs());
            check!("max", |s, x, y| s.max(x, y), |a, b| if a > b {
                a
            } else {
                b
            });
            check!("min", |s, x, y| s.min(x, y), |a, b| if a < b {
                a
            } else {
                b
            });
            check!("sqrt", |s, x, y| s.sqrt(x), |a, _| a.sqrt());
            check!(
                "le",
                |s, x, y| s.select(s.le(x, y), s.splat(1.0), s.splat(2.0)),
                |a, b| if a <= b { 1.0 } else { 2.0 }
            );
            check!(
                "lt",
                |s, x, y| s.select(s.lt(x, y), x, y),
                |a, b| if a < b { a } else { b }
            );
            check!(
                "eq",
                |s, x, y| s.select(s.eq(x, y), s.splat(1.0), s.splat(2.0)),
                |a, b| { if a == b { 1.0 } else { 2.0 } }
            );
        }
    }
}

#[test]
fn mul_add_rounds_once_or_twice() {
    for level in Level::available() {
        let (a, b) = (rotated(2), rotated(5));
        let got = operation!(level, s, a, b => |x, y| s.mul_add(x, y, s.splat(0.1)));
        for j in 0..LANES {
            let once = a[j].mul_add(b[j], 0.1);
            let twice = a[j] * b[j] + 0.1;
            let equal = got[j] == once || got[j] == twice || got[j].is_nan() && twice.is_nan();
            assert!(
                equal,
                "{}: {} · {} + 0.1 is {}",
                level.name(),
                a[j],
                b[j],
                got[j]
            );
        }
    }
}

#[test]
fn exponents() {
    for level in Level::available() {
        let bits: [u32; LANES] = core::array::from_fn(|j| 0x4B40_0000 + 1 + 16 * j as u32);
        let got = operation!(level, s, bits.map(f32::from_bits), SPECIAL => |x, y| s.exponent_from_low_bits(x));
        same(
            "exponent_from_low_bits",
            level,
            got,
            bits.map(|bits| f32::from_bits(bits << 23)),
        );

        let x: [f32; LANES] = core::array::from_fn(|j| 1.37f32.powi(5 * j as i32 - 40));
        let m = operation!(level, s, x, SPECIAL => |x, y| s.split_exponent(x).0);
        let n = operation!(level, s, x, SPECIAL => |x, y| s.split_exponent(x).1);
        for j in 0..LANES {
            assert_eq!(m[j] * 2f32.powi(n[j] as i32), x[j], "{}", level.name());
            assert!(
                (0.5f32.sqrt() * 0.9999..2f32.sqrt()).contains(&m[j]),
                "{}: {}",
                level.name(),
                m[j]
            );
        }
    }
}

#[test]
fn all_lanes_or_not() {
    struct Below([f32; LANES]);
    impl Kernel for Below {
        type Out = bool;
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> bool {
            s.all(s.lt(s.vector(self.0), s.splat(1.0)))
        }
    }
    for level in Level::available() {
        assert!(level.run(Below([0.0; LANES])), "{}", level.name());
        for j in 0..LANES {
            for other in [1.0, f32::INFINITY, f32::NAN] {
                let mut lanes = [0.0; LANES];
                lanes[j] = other;
                assert!(!level.run(Below(lanes)), "{} lane {j}", level.name());
            }
        }
    }
}

#[test]
fn a_double_splits_and_builds_exponents() {
    for x in [1.0, 1.5, 0.7, 3e38, 1e-300, 1.4e-45, 1e300] {
        let (m, n) = Double.split_exponent(x);
        assert!((0.5f64.sqrt()..2f64.sqrt()).contains(&m), "{x}: {m}");
        assert_eq!(
            m * 2f64.powi(n as i32 / 2) * 2f64.powi(n as i32 - n as i32 / 2),
            x
        );
    }
    // 1.5 · 2²³ + 127 stands for 0, and a double keeps what follows the point.
    for (n, power) in [(0.0, 1.0), (-1.0, 0.5), (10.0, 1024.0), (0.5, 2f64.sqrt())] {
        let got = Double.exponent_from_low_bits(12_583_039.0 + n);
        assert!((got / power - 1.0).abs() < 1e-9, "{n}: {got}");
    }
}

#[test]
fn folds() {
    for level in Level::available() {
        // Of different sizes, so that another order rounds to other bits.
        let v: [f32; LANES] =
            core::array::from_fn(|j| (1.1f32 + j as f32).powi(7 - (j as i32 * 5) % 11));
        let eight: [f32; 8] = core::array::from_fn(|j| v[j] + v[j + 8]);
        let four: [f32; 4] = core::array::from_fn(|j| eight[j] + eight[j + 4]);
        let sum = (four[0] + four[2]) + (four[1] + four[3]);
        let got = operation!(level, s, v, v => |x, y| s.splat(s.sum(x)));
        assert_eq!(got[0].to_bits(), sum.to_bits(), "{}", level.name());
        for by in 0..LANES {
            let v: [f32; LANES] = core::array::from_fn(|j| v[(j + by) % LANES] - 3.0);
            let max = v.into_iter().fold(f32::NEG_INFINITY, f32::max);
            let got = operation!(level, s, v, v => |x, y| s.splat(s.max_lane(x)));
            assert_eq!(got[0], max, "{}", level.name());
        }
    }
}

struct Heads<'a>(&'a [Cell<f32>], &'a [Cell<f32>]);

impl Kernel for Heads<'_> {
    type Out = [f32; LANES];
    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [f32; LANES] {
        let v = s.load_head(self.0, 7.0);
        s.store_head(self.1, v);
        s.to_array(s.head(v, self.0.len()))
    }
}

#[test]
fn heads_touch_nothing_behind_the_slice() {
    for level in Level::available() {
        for count in 0..=LANES {
            for offset in 0..3 {
                let mut from: Vec<f32> = (0..40).map(|i| i as f32 + 0.5).collect();
                let mut to = vec![-1.0; 40];
                let range = offset..offset + count;
                let head = level.run(Heads(
                    &cells(&mut from)[range.clone()],
                    &cells(&mut to)[range.clone()],
                ));
                for (j, lane) in head.into_iter().enumerate() {
                    let expected = if j < count {
                        (offset + j) as f32 + 0.5
                    } else {
                        0.0
                    };
                    assert_eq!(lane, expected, "{} {count}", level.name());
                }
                for (i, to) in to.into_iter().enumerate() {
                    let expected = if range.contains(&i) {
                        i as f32 + 0.5
                    } else {
                        -1.0
                    };
                    assert_eq!(to, expected, "{} {count} {offset} at {i}", level.name());
                }
            }
        }
    }
}

/// Rows of four to columns, or back.
struct Columns<'a>(&'a [Cell<f32>], &'a [Cell<f32>], bool);

impl Kernel for Columns<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [from, to] = [self.0, self.1].map(|own| own.as_chunks::<LANES>().0.first_chunk());
        let (from, to) = (from.expect("four vectors"), to.expect("four vectors"));
        if self.2 {
            s.zip4(to, [0, 1, 2, 3].map(|k| s.load(&from[k])));
        } else {
            for (to, column) in to.iter().zip(s.unzip4(from)) {
                s.store(to, column);
            }
        }
    }
}

#[test]
fn rows_of_four_become_columns_and_back() {
    for level in Level::available() {
        for offset in 0..4 {
            let mut rows: Vec<f32> = (0..80).map(|i| i as f32).collect();
            let (mut columns, mut back) = (vec![-1.0; 80], vec![-1.0; 80]);
            let (rows, columns) = (&cells(&mut rows)[offset..], &cells(&mut columns)[offset..]);
            level.run(Columns(rows, columns, false));
            for i in 0..64 {
                let got = columns[i % 4 * LANES + i / 4].get();
                assert_eq!(got, (i + offset) as f32, "element {i} on {}", level.name());
            }
            assert!(columns[64..].iter().all(|x| x.get() == -1.0));
            let back = &cells(&mut back)[offset..];
            level.run(Columns(columns, back, true));
            for (i, back) in back.iter().enumerate().take(64) {
                assert_eq!(back.get(), (i + offset) as f32, "{}", level.name());
            }
            assert!(back[64..].iter().all(|x| x.get() == -1.0));
        }
    }
}

struct Copy16<'a>(&'a [Cell<f32>], &'a [Cell<f32>]);

impl Kernel for Copy16<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (from, to) in self.0.as_chunks().0.iter().zip(self.1.as_chunks().0) {
            s.store(to, s.load(from));
        }
    }
}

#[test]
fn loads_and_stores_at_any_alignment() {
    for level in Level::available() {
        for offset in 0..16 {
            let mut from: Vec<f32> = (0..64).map(|i| i as f32).collect();
            let mut to = vec![-1.0; 64];
            level.run(Copy16(
                &cells(&mut from)[offset..offset + 32],
                &cells(&mut to)[offset..offset + 32],
            ));
            assert_eq!(
                to[offset..offset + 32],
                from[offset..offset + 32],
                "{}",
                level.name()
            );
            assert!(
                to[..offset]
                    .iter()
                    .chain(&to[offset + 32..])
                    .all(|&v| v == -1.0)
            );
        }
    }
}

#[test]
fn names_are_unique_and_the_scalar_set_is_always_there() {
    let names: Vec<_> = Level::available().into_iter().map(Level::name).collect();
    println!("instruction sets: {names:?}");
    assert_eq!(names.last(), Some(&"scalar"));
}

/// Rows to columns, or back.
struct Transpose<'a>(Transposed<'a>, usize, bool);

impl Kernel for Transpose<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self(transposed, count, to_rows) = self;
        if to_rows {
            transposed.to_rows(s, count);
        } else {
            transposed.to_columns(s, count);
        }
    }
}

#[test]
fn transposes_rows_of_any_width_and_touches_nothing_else() {
    let number = |r: usize, c: usize| (100 * r + c + 1) as f32;
    for level in Level::available() {
        for width in [1, 2, 3, 5, 7, 8, 9, 10, 15, 16, 17, 24, 33] {
            for count in [0, 1, 7, 8, 9, 15, 16, 17, 40] {
                for behind in [0, 3, 100] {
                    let at = |r: usize, c: usize| (r / LANES * width + c) * LANES + r % LANES;
                    let mut rows: Vec<f32> = (0..count * width + behind)
                        .map(|i| number(i / width, i % width))
                        .collect();
                    let mut columns = vec![0.0; count.div_ceil(LANES) * LANES * width + behind];
                    let transposed = Transposed {
                        rows: cells(&mut rows),
                        width,
                        columns: cells(&mut columns),
                    };
                    let what = format!("{count} × {width} on {}", level.name());
                    level.run(Transpose(transposed, count, false));
                    for (r, c) in (0..count * width).map(|i| (i / width, i % width)) {
                        let got = transposed.columns[at(r, c)].get();
                        assert_eq!(got, number(r, c), "column {c} of row {r} of {what}");
                    }

                    transposed.rows.iter().for_each(|x| x.set(-1.0));
                    level.run(Transpose(transposed, count, true));
                    for (i, x) in transposed.rows.iter().enumerate() {
                        let expected = if i < count * width {
                            number(i / width, i % width)
                        } else {
                            -1.0
                        };
                        assert_eq!(x.get(), expected, "element {i} of {what}");
                    }
                }
            }
        }
    }
}
