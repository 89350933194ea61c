//! Programs on every instruction set of this machine: each operation against its formula, bytecode that is none, and that bits depend
//! on neither the set nor the blocks, threads or the place of the gradients.

use fused_loss_core::expression::{Args, OPERANDS, OPERATIONS, Program, Raw, expression};
use fused_loss_core::layout::positions::{Mask, Positions, Values};
use fused_loss_core::layout::stream::Stream;
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Cells, Level, cells};
use std::cell::Cell;

fn operation(name: &str) -> u8 {
    let found = OPERATIONS.iter().find(|(_, own)| *own == name);
    found.unwrap_or_else(|| panic!("no operation {name}")).0
}

/// Instructions as bytes: names and operands d, a, b, c, e, f.
fn assemble(instructions: &[(&str, &[u8])]) -> Vec<u8> {
    let mut code = Vec::new();
    for (name, operands) in instructions {
        code.push(operation(name));
        code.extend_from_slice(operands);
        code.resize(code.len().next_multiple_of(8), 0);
    }
    code
}

/// A program with its arrays.
#[derive(Clone)]
struct Case {
    code: Vec<u8>,
    registers: usize,
    uniforms: Vec<f32>,
    /// Columns and elements.
    inputs: Vec<(usize, Vec<f32>)>,
    outputs: Vec<usize>,
    rows: usize,
}

impl Case {
    fn run(&self, level: Level, block: usize, share: Share) -> (f64, Vec<Vec<f32>>) {
        let mut grads: Vec<Vec<f32>> = self
            .outputs
            .iter()
            .map(|columns| vec![7.5; columns * self.rows])
            .collect();
        let outputs: Vec<Cells> = grads.iter_mut().map(|grad| cells(grad)).collect();
        let sum = self.run_into(level, block, share, &outputs, None, &self.outputs);
        (sum, grads)
    }

    fn run_into(
        &self,
        level: Level,
        block: usize,
        share: Share,
        grads: &[Cells],
        raw: Option<Raw>,
        outputs: &[usize],
    ) -> f64 {
        let mut inputs = self.inputs.clone();
        let columns: Vec<usize> = inputs.iter().map(|input| input.0).collect();
        let inputs: Vec<Cells> = inputs.iter_mut().map(|input| cells(&mut input.1)).collect();
        let mut uniforms = self.uniforms.clone();
        let program = Program::new(
            &self.code,
            self.registers,
            uniforms.len(),
            &columns,
            outputs,
        )
        .expect("a program");
        let args = Args {
            program,
            uniforms: cells(&mut uniforms),
            inputs: &inputs,
            grads,
            rows: self.rows,
            block,
            sum: 0.0,
            share,
            raw,
        };
        expression(level, &args)
    }
}

fn bits(grads: &[Vec<f32>]) -> Vec<Vec<u32>> {
    // Any NaN is like any other.
    let bits = |x: &f32| if x.is_nan() { f32::NAN } else { *x }.to_bits();
    grads
        .iter()
        .map(|grad| grad.iter().map(bits).collect())
        .collect()
}

/// Numbers of all kinds, another sequence for each seed.
fn numbers(seed: usize, n: usize) -> Vec<f32> {
    const SPECIAL: [f32; 12] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1e-42,
        3e38,
        -2.5e-20,
        88.0,
        -0.4999,
    ];
    let mut state = (seed as u32).wrapping_mul(2_654_435_761).wrapping_add(1);
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let number = (state >> 8) as f32 / 1_048_576.0 - 8.0;
            if state >> 28 == 0 {
                SPECIAL[(state >> 16) as usize % SPECIAL.len()]
            } else {
                number
            }
        })
        .collect()
}

/// The same without what is not finite or not of a common size.
fn tame(seed: usize, n: usize) -> Vec<f32> {
    let tame = |x: f32| if x.abs() < 100.0 { x } else { 0.5 };
    numbers(seed, n).into_iter().map(tame).collect()
}

type Formula = fn([f32; 5]) -> f32;

/// min and max of the library: the second where both are equal, NaN where one is.
fn min(a: f32, b: f32) -> f32 {
    if a.is_nan() || a < b { a } else { b }
}
fn max(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b { a } else { b }
}

/// Operations whose bits are the same everywhere, step by step in single precision.
const EXACT: &[(&str, usize, Formula)] = &[
    ("mov", 1, |[a, ..]| a),
    ("add", 2, |[a, b, ..]| a + b),
    ("sub", 2, |[a, b, ..]| a - b),
    ("mul", 2, |[a, b, ..]| a * b),
    ("div", 2, |[a, b, ..]| a / b),
    ("neg", 1, |[a, ..]| -a),
    ("abs", 1, |[a, ..]| a.abs()),
    ("min", 2, |[a, b, ..]| min(a, b)),
    ("max", 2, |[a, b, ..]| max(a, b)),
    ("sqrt", 1, |[a, ..]| a.sqrt()),
    ("madd", 3, |[a, b, c, ..]| a * b + c),
    ("msub", 3, |[a, b, c, ..]| a * b - c),
    ("nmadd", 3, |[a, b, c, ..]| c - a * b),
    ("sign", 1, |[a, ..]| {
        if a == 0.0 || a.is_nan() {
            a
        } else {
            a.signum()
        }
    }),
    ("mulsign", 2, |[a, b, ..]| {
        if b == 0.0 || b.is_nan() {
            b
        } else if b < 0.0 {
            -a
        } else {
            a
        }
    }),
    ("lt", 2, |[a, b, ..]| f32::from(u8::from(a < b))),
    ("le", 2, |[a, b, ..]| f32::from(u8::from(a <= b))),
    ("eq", 2, |[a, b, ..]| f32::from(u8::from(a == b))),
    ("sel", 3, |[a, b, c, ..]| if a != 0.0 { b } else { c }),
    ("sellt", 4, |[a, b, c, e, _]| if a < b { c } else { e }),
    ("selle", 4, |[a, b, c, e, _]| if a <= b { c } else { e }),
    ("seleq", 4, |[a, b, c, e, _]| if a == b { c } else { e }),
    ("mul0", 2, |[a, b, ..]| if a == 0.0 { 0.0 } else { a * b }),
    ("rcp1p", 1, |[a, ..]| 1.0 / (1.0 + a)),
    ("addmul", 3, |[a, b, c, ..]| (a + b) * c),
    ("submul", 3, |[a, b, c, ..]| (a - b) * c),
    ("mulmul", 3, |[a, b, c, ..]| a * b * c),
    ("divmul", 3, |[a, b, c, ..]| a / b * c),
    ("subabs", 2, |[a, b, ..]| (a - b).abs()),
    ("minsub", 3, |[a, b, c, ..]| min(a, b) - c),
    ("maxsub", 3, |[a, b, c, ..]| max(a, b) - c),
    ("addsub", 3, |[a, b, c, ..]| a + b - c),
    ("addadd", 3, |[a, b, c, ..]| a + b + c),
    ("subsub", 3, |[a, b, c, ..]| a - b - c),
    ("submax", 3, |[a, b, c, ..]| max(a - b, c)),
    ("mulmax", 3, |[a, b, c, ..]| max(a * b, c)),
    ("dot", 4, |[a, b, c, e, _]| a * b + c * e),
    ("dotsub", 4, |[a, b, c, e, _]| a * b - c * e),
    ("mul4", 4, |[a, b, c, e, _]| (a * b) * (c * e)),
    ("subsubmul", 4, |[a, b, c, e, _]| (a - b) * (c - e)),
    ("minmaxsub", 4, |[a, b, c, e, _]| min(a, b) - max(c, e)),
    ("maxminsub", 4, |[a, b, c, e, _]| max(a, b) - min(c, e)),
    ("submulmul", 4, |[a, b, c, e, _]| (a - b) * c * e),
    ("addmulmul", 4, |[a, b, c, e, _]| (a + b) * c * e),
    ("maddmul", 4, |[a, b, c, e, _]| (a * b + c) * e),
    ("msubmul", 4, |[a, b, c, e, _]| (a * b - c) * e),
    ("nmaddmul", 4, |[a, b, c, e, _]| (c - a * b) * e),
    (
        "selltmul",
        5,
        |[a, b, c, e, f]| if a < b { c } else { e } * f,
    ),
    (
        "sellemul",
        5,
        |[a, b, c, e, f]| if a <= b { c } else { e } * f,
    ),
    ("dotmul", 5, |[a, b, c, e, f]| (a * b + c * e) * f),
    ("dotsubmul", 5, |[a, b, c, e, f]| (a * b - c * e) * f),
];

type Truth = fn([f64; 5]) -> f64;

/// Operations that round differently from set to set: the truth, and the size of the terms that it is the difference of.
const CLOSE: &[(&str, usize, Truth, Truth)] = &[
    (
        "fma",
        3,
        |[a, b, c, ..]| a * b + c,
        |[a, b, c, ..]| (a * b).abs() + c.abs(),
    ),
    (
        "fms",
        3,
        |[a, b, c, ..]| a * b - c,
        |[a, b, c, ..]| (a * b).abs() + c.abs(),
    ),
    (
        "fnma",
        3,
        |[a, b, c, ..]| c - a * b,
        |[a, b, c, ..]| (a * b).abs() + c.abs(),
    ),
    (
        "fdot",
        4,
        |[a, b, c, e, _]| a * b + c * e,
        |[a, b, c, e, _]| (a * b).abs() + (c * e).abs(),
    ),
    (
        "fdotsub",
        4,
        |[a, b, c, e, _]| a * b - c * e,
        |[a, b, c, e, _]| (a * b).abs() + (c * e).abs(),
    ),
    (
        "fmamul",
        4,
        |[a, b, c, e, _]| (a * b + c) * e,
        |[a, b, c, e, _]| ((a * b).abs() + c.abs()) * e.abs(),
    ),
    (
        "fmsmul",
        4,
        |[a, b, c, e, _]| (a * b - c) * e,
        |[a, b, c, e, _]| ((a * b).abs() + c.abs()) * e.abs(),
    ),
    (
        "fnmamul",
        4,
        |[a, b, c, e, _]| (c - a * b) * e,
        |[a, b, c, e, _]| ((a * b).abs() + c.abs()) * e.abs(),
    ),
    (
        "fdotmul",
        5,
        |[a, b, c, e, f]| (a * b + c * e) * f,
        |[a, b, c, e, f]| ((a * b).abs() + (c * e).abs()) * f.abs(),
    ),
    (
        "fdotsubmul",
        5,
        |[a, b, c, e, f]| (a * b - c * e) * f,
        |[a, b, c, e, f]| ((a * b).abs() + (c * e).abs()) * f.abs(),
    ),
    ("exp", 1, |[a, ..]| a.exp(), |[a, ..]| a.exp()),
    ("expm1", 1, |[a, ..]| a.exp_m1(), |[a, ..]| a.exp_m1()),
    ("log", 1, |[a, ..]| a.ln(), |[a, ..]| a.ln()),
    ("log1p", 1, |[a, ..]| a.ln_1p(), |[a, ..]| a.ln_1p()),
    (
        "tail",
        1,
        |[a, ..]| (-a.abs()).exp(),
        |[a, ..]| (-a.abs()).exp(),
    ),
    (
        "pow",
        2,
        |[a, b, ..]| a.max(0.0).powf(b),
        |[a, b, ..]| 4.0 * a.max(0.0).powf(b),
    ),
    ("atan", 1, |[a, ..]| a.atan(), |[a, ..]| a.atan()),
];

/// Operations that give the sum of another's results.
const SUMS: &[(&str, &str, usize)] = &[
    ("sum", "mov", 1),
    ("summul", "mul", 2),
    ("sumadd", "add", 2),
    ("sumsub", "sub", 2),
    ("sumfma", "fma", 3),
    ("sumfms", "fms", 3),
    ("sumfnma", "fnma", 3),
    ("summadd", "madd", 3),
    ("sumsellt", "sellt", 4),
    ("sumselle", "selle", 4),
    ("sumdot", "dot", 4),
    ("sumfdot", "fdot", 4),
    ("summax", "max", 2),
    ("sumdotsub", "dotsub", 4),
    ("sumfdotsub", "fdotsub", 4),
];

/// One operation of five inputs.
fn alone(name: &str, inputs: Vec<Vec<f32>>) -> Case {
    let rows = inputs[0].len();
    // No register, five inputs, one output.
    Case {
        code: assemble(&[(name, &[5, 0, 1, 2, 3, 4])]),
        registers: 0,
        uniforms: vec![],
        inputs: inputs.into_iter().map(|input| (1, input)).collect(),
        outputs: vec![1],
        rows,
    }
}

#[test]
fn exact_operations_follow_their_formulas_to_the_bit() {
    for &(name, _, formula) in EXACT {
        for rows in (0..=70).chain([255, 256, 257, 511, 512, 513, 1023, 1024, 1025, 2100]) {
            let inputs: Vec<Vec<f32>> = (0..5).map(|k| numbers(10 * rows + k, rows)).collect();
            let expected: Vec<f32> = (0..rows)
                .map(|i| formula(std::array::from_fn(|k| inputs[k][i])))
                .collect();
            let case = alone(name, inputs);
            for level in Level::available() {
                let (_, mut grads) = case.run(level, 0, Share::ALL);
                // What is not finite in single precision is computed again in double.
                for (got, expected) in grads[0].iter_mut().zip(&expected) {
                    if !expected.is_finite()
                        && (got.is_finite() || got.is_nan() != expected.is_nan())
                    {
                        *got = *expected;
                    }
                }
                assert_eq!(
                    bits(&grads),
                    bits(std::slice::from_ref(&expected)),
                    "{name} of {rows} on {}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn close_operations_are_near_their_formulas() {
    for &(name, _, truth, size) in CLOSE {
        let inputs: Vec<Vec<f32>> = (0..5).map(|k| tame(k, 3000)).collect();
        let case = alone(name, inputs.clone());
        for level in Level::available() {
            let (_, grads) = case.run(level, 0, Share::ALL);
            for (i, &got) in grads[0].iter().enumerate() {
                let x: [f64; 5] = std::array::from_fn(|k| f64::from(inputs[k][i]));
                let (truth, size) = (truth(x), size(x).abs());
                let what = format!(
                    "{name} of {x:?} is {got:e}, not {truth:e}, on {}",
                    level.name()
                );
                if truth.is_nan() {
                    assert!(got.is_nan(), "{what}");
                } else if truth.abs() < 3.4e38 {
                    // e^−|x| may be 0 where it is below the normal numbers.
                    let least = f64::from(f32::MIN_POSITIVE);
                    let least = if name == "tail" {
                        least
                    } else {
                        2f64.powi(-23) * least
                    };
                    let error = (f64::from(got) - truth).abs();
                    assert!(error <= (2f64.powi(-21) * size).max(4.0 * least), "{what}");
                } else {
                    assert_eq!(f64::from(got), truth.signum() * f64::INFINITY, "{what}");
                }
            }
        }
    }
}

#[test]
fn the_parts_of_a_logistic() {
    let x = tame(3, 1500);
    let case = Case {
        code: assemble(&[
            ("logistic", &[0, 1, 2, 3, 8]),
            ("sigmoid", &[4, 5, 6, 7, 8]),
            ("mov", &[9, 0]),
            ("mov", &[10, 1]),
            ("mov", &[11, 2]),
            ("mov", &[12, 3]),
            ("mov", &[13, 4]),
            ("mov", &[14, 5]),
            ("softplus", &[4, 5, 6, 7, 8]),
            ("mov", &[15, 6]),
            ("mov", &[16, 7]),
        ]),
        registers: 8,
        uniforms: vec![],
        inputs: vec![(1, x.clone())],
        outputs: vec![1; 8],
        rows: x.len(),
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    for level in Level::available() {
        let (_, grads) = case.run(level, 0, Share::ALL);
        for (i, &x) in x.iter().enumerate() {
            let x = f64::from(x);
            let truths = [sigmoid(x), sigmoid(-x), softplus(x), softplus(-x)];
            for (k, truth) in truths.into_iter().chain(truths).enumerate() {
                let got = f64::from(grads[k][i]);
                let most = (5.0 * 2f64.powi(-23) * truth).max(f64::from(f32::MIN_POSITIVE));
                assert!(
                    (got - truth).abs() <= most,
                    "{k} of {x} is {got}, not {truth}, on {}",
                    level.name()
                );
            }
        }
    }
    // What waits for the other instruction is the same as in one pass.
    let mut inputs = case.clone();
    inputs.inputs[0].1 = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    inputs.rows = 4;
    for level in Level::available() {
        let (_, grads) = inputs.run(level, 0, Share::ALL);
        assert!(
            grads.iter().all(|grad| grad[0].is_nan()),
            "{}",
            level.name()
        );
        let at = |i: usize| -> Vec<f32> { grads[..4].iter().map(|grad| grad[i]).collect() };
        assert_eq!(at(1), [1.0, 0.0, f32::INFINITY, 0.0], "{}", level.name());
        assert_eq!(at(2), [0.0, 1.0, 0.0, f32::INFINITY], "{}", level.name());
        assert_eq!(at(3)[..2], [0.5, 0.5], "{}", level.name());
    }
}

#[test]
fn log1p_of_a_unit_and_one_minus_a_tail() {
    let x: Vec<f32> = (0..2000).map(|i| i as f32 / 150.0 - 5.0).collect();
    let case = Case {
        code: assemble(&[
            ("tail", &[0, 1]),
            ("log1pu", &[2, 0]),
            ("omtail", &[3, 1, 0]),
        ]),
        registers: 1,
        uniforms: vec![],
        inputs: vec![(1, x.clone())],
        outputs: vec![1, 1],
        rows: x.len(),
    };
    for level in Level::available() {
        let (_, grads) = case.run(level, 0, Share::ALL);
        for (i, &x) in x.iter().enumerate() {
            let tail = (-f64::from(x).abs()).exp();
            let truths = [tail.ln_1p(), -(-f64::from(x).abs()).exp_m1()];
            for (k, truth) in truths.into_iter().enumerate() {
                let error = (f64::from(grads[k][i]) - truth).abs();
                assert!(
                    error <= 5.0 * 2f64.powi(-23) * truth,
                    "{k} of {x} on {}",
                    level.name()
                );
            }
        }
    }
}

/// The library's order in plain Rust: fours, sixteens, a fold of the lanes, units in double precision.
fn sum_in_order(values: &[f32]) -> f64 {
    let mut total = 0.0;
    for unit in values.chunks(1024) {
        let mut lanes = [0f32; 16];
        for sixteen in unit.chunks(256) {
            let mut own = [0f32; 16];
            for four in sixteen.chunks(64) {
                let mut inner = [0f32; 16];
                for (i, value) in four.iter().enumerate() {
                    inner[i % 16] += value;
                }
                for (own, inner) in own.iter_mut().zip(inner) {
                    *own += inner;
                }
            }
            for (lane, own) in lanes.iter_mut().zip(own) {
                *lane += own;
            }
        }
        let mut half = 8;
        while half > 0 {
            for j in 0..half {
                lanes[j] += lanes[j + half];
            }
            half /= 2;
        }
        total += f64::from(lanes[0]);
    }
    total
}

#[test]
fn sums_are_in_the_order_of_the_library() {
    for &(name, of, _) in SUMS {
        for rows in (0..=70).chain([256, 300, 512, 1000, 1024, 1100, 3000]) {
            let inputs: Vec<Vec<f32>> = (0..5).map(|k| tame(k + rows, rows)).collect();
            let values = alone(of, inputs.clone());
            let mut sums = alone(name, inputs);
            sums.outputs = vec![];
            for level in Level::available() {
                let (_, grads) = values.run(level, 0, Share::ALL);
                for block in [0, 64, 128, 256, 512] {
                    let (sum, _) = sums.run(level, block, Share::ALL);
                    let expected = sum_in_order(&grads[0]);
                    assert_eq!(
                        sum.to_bits(),
                        expected.to_bits(),
                        "{name} of {rows}, {block} on {}",
                        level.name()
                    );
                }
            }
        }
    }
}

/// A huber loss, with the gradient by both inputs.
fn huber(rows: usize) -> Case {
    // r0 = x − t, r1 = |r0|, r2 = min(r1, δ), value = r2·r1 − (½·r2)·r2, slopes ±r2·sign(r0)·scale.
    let code = assemble(&[
        ("sub", &[0, 6, 7]),
        ("abs", &[1, 0]),
        ("min", &[2, 1, 3]),
        ("mul", &[1, 1, 2]),
        ("sum", &[0, 1]),
        ("mulsign", &[2, 2, 0]),
        ("mul", &[0, 2, 5]),
        ("mul", &[8, 2, 4]),
        ("mov", &[9, 0]),
    ]);
    Case {
        code,
        registers: 3,
        uniforms: vec![1.5, 0.25, -0.25],
        inputs: vec![(1, tame(1, rows)), (1, tame(2, rows))],
        outputs: vec![1, 1],
        rows,
    }
}

#[test]
fn bits_depend_on_neither_set_nor_blocks_nor_threads() {
    for rows in (0..=70).chain([
        127, 128, 129, 255, 256, 257, 512, 513, 1023, 1024, 1025, 4000, 5120,
    ]) {
        let case = huber(rows);
        let (sum, grads) = case.run(Level::available()[0], 0, Share::ALL);
        for level in Level::available() {
            for block in [64, 128, 256, 512] {
                let (other, others) = case.run(level, block, Share::ALL);
                assert_eq!(
                    sum.to_bits(),
                    other.to_bits(),
                    "{rows}, {block} on {}",
                    level.name()
                );
                assert_eq!(
                    bits(&grads),
                    bits(&others),
                    "{rows}, {block} on {}",
                    level.name()
                );
            }
            // Shares of one unit each, the last first.
            let mut others = vec![vec![0.0; rows]; 2];
            let outputs: Vec<Cells> = others.iter_mut().map(|grad| cells(grad)).collect();
            let units = rows.div_ceil(1024);
            let sums = vec![Cell::new(0.0); units];
            for unit in (0..units).rev() {
                let share = Share {
                    first: unit,
                    end: unit + 1,
                    sums: Some(&sums[unit..=unit]),
                };
                case.run_into(level, 0, share, &outputs, None, &case.outputs);
            }
            let total: f64 = sums.iter().fold(0.0, |total, sum| total + sum.get());
            assert_eq!(sum.to_bits(), total.to_bits(), "{rows} on {}", level.name());
            assert_eq!(bits(&grads), bits(&others), "{rows} on {}", level.name());
        }
    }
}

/// A program of one input whose gradient goes over it, and is infinite in single precision, as the value is.
#[test]
fn in_place_has_the_same_bits_and_loses_nothing() {
    let code = assemble(&[
        ("sub", &[0, 3, 4]),
        ("summul", &[0, 0, 0]),
        ("mulmul", &[5, 0, 1, 2]),
    ]);
    for rows in [1, 5, 64, 100, 512, 1000, 1024, 1500, 5000] {
        for large in [1.0, 3e25] {
            let scaled =
                |seed| -> Vec<f32> { tame(seed, rows).iter().map(|x| x * large).collect() };
            let case = Case {
                code: code.clone(),
                registers: 1,
                uniforms: vec![2e15, 1e-20],
                inputs: vec![(1, scaled(1)), (1, scaled(2))],
                outputs: vec![1],
                rows,
            };
            let truth: f64 = (0..rows)
                .map(|i| (f64::from(case.inputs[0].1[i]) - f64::from(case.inputs[1].1[i])).powi(2))
                .sum();
            let mut first = None;
            for level in Level::available() {
                let (sum, grads) = case.run(level, 0, Share::ALL);
                let mut inputs = case.inputs.clone();
                let columns = [1, 1];
                let arrays: Vec<Cells> =
                    inputs.iter_mut().map(|input| cells(&mut input.1)).collect();
                let mut uniforms = case.uniforms.clone();
                let args = Args {
                    program: Program::new(&case.code, 1, 2, &columns, &[1]).unwrap(),
                    uniforms: cells(&mut uniforms),
                    inputs: &arrays,
                    grads: &arrays[..1],
                    rows,
                    block: 0,
                    sum: 0.0,
                    share: Share::ALL,
                    raw: None,
                };
                let over = expression(level, &args);
                let in_place: Vec<f32> = arrays[0].iter().map(Cell::get).collect();
                assert_eq!(
                    sum.to_bits(),
                    over.to_bits(),
                    "{rows} {large} on {}",
                    level.name()
                );
                assert_eq!(
                    bits(&grads),
                    bits(std::slice::from_ref(&in_place)),
                    "{rows} {large} on {}",
                    level.name()
                );
                assert!((sum - truth).abs() <= 1e-6 * truth, "{sum}, not {truth}");
                for (i, got) in in_place.iter().enumerate() {
                    let slope = f64::from(case.inputs[0].1[i]) - f64::from(case.inputs[1].1[i]);
                    let slope = slope * 2e15 * 1e-20;
                    assert!(
                        (f64::from(*got) - slope).abs() <= 1e-6 * slope.abs() + 1e-37,
                        "{got}, not {slope}"
                    );
                }
                let first = first.get_or_insert((sum, in_place.clone()));
                assert_eq!(
                    (first.0.to_bits(), &first.1),
                    (sum.to_bits(), &in_place),
                    "{}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn rows_of_several_columns() {
    for rows in (0..=70).chain([256, 300, 513, 1030]) {
        let case = Case {
            code: assemble(&[
                ("load4", &[0, 1, 2, 3, 7]),
                ("loadc", &[4, 0, 0, 2, 8]),
                ("loadc", &[5, 0, 0, 0, 8]),
                ("sum", &[0, 4]),
                ("mul", &[0, 0, 6]),
                ("add", &[1, 1, 4]),
                ("store4", &[0, 1, 2, 3, 9]),
                ("storec", &[0, 5, 0, 1, 10]),
                ("storec", &[0, 4, 0, 0, 10]),
                ("storec", &[0, 3, 0, 2, 10]),
            ]),
            registers: 6,
            uniforms: vec![2.0],
            inputs: vec![(4, tame(1, 4 * rows)), (3, tame(2, 3 * rows))],
            outputs: vec![4, 3],
            rows,
        };
        let (boxes, others) = (&case.inputs[0].1, &case.inputs[1].1);
        let mut expected = [vec![], vec![]];
        for i in 0..rows {
            let [a, b, c, d] = std::array::from_fn(|k| boxes[4 * i + k]);
            let [e, _, g] = std::array::from_fn(|k| others[3 * i + k]);
            expected[0].extend([a * 2.0, b + g, c, d]);
            expected[1].extend([g, e, d]);
        }
        let values: Vec<f32> = (0..rows).map(|i| others[3 * i + 2]).collect();
        for level in Level::available() {
            for block in [64, 256, 512] {
                let (sum, grads) = case.run(level, block, Share::ALL);
                assert_eq!(
                    bits(&grads),
                    bits(&expected),
                    "{rows}, {block} on {}",
                    level.name()
                );
                assert_eq!(
                    sum,
                    sum_in_order(&values),
                    "{rows}, {block} on {}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn rows_of_four_over_themselves() {
    let rows = 1200;
    let boxes = tame(4, 4 * rows);
    for level in Level::available() {
        let mut memory = boxes.clone();
        let array = cells(&mut memory);
        let code = assemble(&[
            ("load4", &[0, 1, 2, 3, 4]),
            ("neg", &[0, 0]),
            ("store4", &[3, 2, 1, 0, 5]),
        ]);
        let args = Args {
            program: Program::new(&code, 4, 0, &[4], &[4]).unwrap(),
            uniforms: &[],
            inputs: &[array],
            grads: &[array],
            rows,
            block: 0,
            sum: 0.0,
            share: Share::ALL,
            raw: None,
        };
        let _ = expression(level, &args);
        for (row, before) in memory.chunks(4).zip(boxes.chunks(4)) {
            assert_eq!(
                row,
                [before[3], before[2], before[1], -before[0]],
                "{}",
                level.name()
            );
        }
    }
}

/// A square and its slope, and the difference of the columns of another input, unscaled.
fn square(rows: usize, size: f32) -> Case {
    let scaled = |seed| -> Vec<f32> { tame(seed, rows).iter().map(|x| x * size).collect() };
    Case {
        // Outputs: slope by x, two slopes by the pair, value.
        code: assemble(&[
            ("loadc", &[0, 0, 0, 0, 4]),
            ("loadc", &[1, 0, 0, 1, 4]),
            ("add", &[5, 3, 3]),
            ("mov", &[6, 1]),
            ("mov", &[7, 0]),
            ("mul", &[2, 3, 3]),
            ("madd", &[8, 0, 1, 2]),
        ]),
        registers: 3,
        uniforms: vec![],
        inputs: vec![(1, scaled(1)), (2, tame(2, 2 * rows))],
        outputs: vec![1, 1, 1, 1],
        rows,
    }
}

#[test]
fn raw_programs_weigh_mask_scale_add_store_and_sum() {
    for (rows, size, scale) in [
        (1, 1.0, 0.5),
        (15, 1.0, 0.5),
        (70, 1.0, 0.5),
        (1024, 1.0, -2.0),
        (2500, 1.0, 0.5),
        (2500, 3e20, 1e-10),
        (100, 1.0, 1e-40),
        (100, 1e-3, 1e40),
    ] {
        let case = square(rows, size);
        let mut weight = [0.5, 2.0, 1.25];
        let mut sample_weight: Vec<f32> = (0..rows.div_ceil(5))
            .map(|i| (i % 11) as f32 / 4.0)
            .collect();
        let mut upstream: Vec<f32> = (0..rows).map(|i| (i % 13) as f32 - 6.0).collect();
        let labels: Vec<i32> = (0..rows as i32).map(|i| i % 7).collect();
        let mask: Vec<u8> = (0..rows).map(|i| u8::from(i % 3 != 0)).collect();
        for options in 0..32u32 {
            let has = |bit: u32| options >> bit & 1 == 1;
            let (weight, sample_weight, upstream) = (
                cells(&mut weight),
                cells(&mut sample_weight),
                cells(&mut upstream),
            );
            let marks = Positions {
                labels: has(2).then_some(Values::I32(&labels)),
                ignored: &[3],
                mask: has(2).then_some(Mask {
                    values: Values::U8(&mask),
                    inner: 1,
                }),
            };
            let before = tame(5, rows);
            let mut first = None;
            for level in Level::available() {
                let (mut dx, mut pair, mut out) =
                    (before.clone(), vec![9.0; 2 * rows], vec![9.0; rows]);
                let sum = case.run_into(
                    level,
                    0,
                    Share::ALL,
                    &[cells(&mut dx), cells(&mut pair)],
                    Some(Raw {
                        columns: &[1, 2],
                        value: true,
                        scale,
                        weight: has(0).then_some(Stream {
                            values: weight,
                            inner: 1,
                        }),
                        sample_weight: has(1).then_some(Stream {
                            values: sample_weight,
                            inner: 5,
                        }),
                        marks,
                        grad_output: has(3).then_some(upstream),
                        out: Some(cells(&mut out)),
                        accumulate: has(4),
                    }),
                    &case.outputs,
                );
                let (mut total, mut sizes) = (0.0, 0.0);
                for i in 0..rows {
                    let counts = !has(2) || (labels[i] != 3 && mask[i] != 0);
                    let x = f64::from(case.inputs[0].1[i]);
                    let [a, b] = [0, 1].map(|c| f64::from(case.inputs[1].1[2 * i + c]));
                    let mut w = f64::from(u8::from(counts));
                    if has(0) {
                        w *= f64::from(weight[i % 3].get());
                    }
                    if has(1) {
                        w *= f64::from(sample_weight[i / 5].get());
                    }
                    let factor = w * if has(3) {
                        upstream[i].get().into()
                    } else {
                        scale
                    };
                    let added = if has(4) { f64::from(before[i]) } else { 0.0 };
                    let what = format!(
                        "row {i} of {rows}, {size:e} {scale:e}, {options} on {}",
                        level.name()
                    );
                    let near = |got: f32, truth: f64, terms: f64, what: &str| {
                        if truth.abs() < 3.4e38 {
                            let error = (f64::from(got) - truth).abs();
                            assert!(
                                error <= 1e-6 * terms + 1e-44,
                                "{got:e}, not {truth:e}: {what}"
                            );
                        } else {
                            assert!(!got.is_finite(), "{got:e}, not {truth:e}: {what}");
                        }
                    };
                    near(
                        dx[i],
                        added + 2.0 * x * factor,
                        added.abs() + (x * factor).abs(),
                        &format!("dx, {what}"),
                    );
                    // Every gradient is added to, not the first alone.
                    let added = if has(4) { 9.0 } else { 0.0 };
                    near(
                        pair[2 * i],
                        added + b * factor,
                        added + (b * factor).abs(),
                        &format!("a, {what}"),
                    );
                    near(
                        pair[2 * i + 1],
                        added + a * factor,
                        added + (a * factor).abs(),
                        &format!("b, {what}"),
                    );
                    let value = (a * b + x * x) * w;
                    let terms = ((a * b).abs() + x * x) * w.abs();
                    near(out[i], value, terms, &format!("out, {what}"));
                    total += value;
                    sizes += terms;
                }
                assert!((sum - total).abs() <= 1e-6 * sizes, "{sum}, not {total}");
                let all = [dx, pair, out];
                let first = first.get_or_insert((sum, bits(&all)));
                assert_eq!(
                    (first.0.to_bits(), &first.1),
                    (sum.to_bits(), &bits(&all)),
                    "{}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn what_overflows_single_precision_is_computed_again() {
    // (x·x) by a factor in the same instruction, e^x, and a quotient: value and gradient are floats again in the end.
    let rows = 300;
    let mut x = tame(1, rows);
    x[17] = 1e30;
    x[200] = 89.5;
    let case = Case {
        code: assemble(&[
            ("exp", &[0, 3]),
            ("mul", &[4, 0, 1]),
            ("mul", &[5, 3, 3]),
            ("mul", &[5, 5, 2]),
            ("sum", &[0, 0]),
        ]),
        registers: 1,
        uniforms: vec![1e-20, 1e-30],
        inputs: vec![(1, x.iter().map(|x| x.min(89.5)).collect())],
        outputs: vec![1, 1],
        rows,
    };
    let mut large = case.clone();
    large.inputs[0].1 = x
        .iter()
        .map(|x| if *x > 100.0 { *x } else { x.min(80.0) })
        .collect();
    large.code = assemble(&[
        ("mul", &[0, 3, 3]),
        ("mul", &[4, 0, 2]),
        ("mov", &[5, 3]),
        ("sum", &[0, 0]),
    ]);
    for level in Level::available() {
        let (sum, grads) = case.run(level, 0, Share::ALL);
        let truth: f64 = case.inputs[0].1.iter().map(|x| f64::from(*x).exp()).sum();
        assert!(
            (sum / truth - 1.0).abs() < 1e-6,
            "{sum}, not {truth}, on {}",
            level.name()
        );
        let got = f64::from(grads[0][200]) / (89.5f64.exp() * 1e-20);
        assert!((got - 1.0).abs() < 1e-6, "{got} on {}", level.name());
        let (sum, grads) = large.run(level, 0, Share::ALL);
        assert!((sum / 1e60 - 1.0).abs() < 1e-6, "{sum} on {}", level.name());
        assert!(
            (grads[0][17] / 1e30 - 1.0).abs() < 1e-6,
            "{} on {}",
            grads[0][17],
            level.name()
        );
    }
}

#[test]
fn programs_that_are_none_are_refused() {
    let refused = |code: &[u8], registers, uniforms, inputs: &[usize], outputs: &[usize]| {
        Program::new(code, registers, uniforms, inputs, outputs).unwrap_err()
    };
    let add = assemble(&[("add", &[3, 1, 2])]);
    assert!(Program::new(&add, 1, 0, &[1, 1], &[1]).is_ok());
    // Whole instructions; operands that are there.
    refused(&add[..7], 1, 0, &[1, 1], &[1]);
    refused(&add, 0, 0, &[1, 1], &[1]);
    refused(&add, 60, 3, &[1, 1], &[1]);
    refused(&add, usize::MAX, usize::MAX, &[1, 1], &[1]);
    refused(&add, 1, 0, &[0, 1], &[1]);
    // Columns have instructions of their own.
    refused(&add, 1, 0, &[4, 1], &[1]);
    refused(&add, 1, 0, &[1, 1], &[4]);
    for (name, operands) in [
        // Inputs and uniforms are not written, nor is anything read before it is.
        ("mov", [1, 2, 0, 0, 0, 0]),
        ("mov", [2, 2, 0, 0, 0, 0]),
        ("mov", [5, 0, 0, 0, 0, 0]),
        ("mov", [5, 5, 0, 0, 0, 0]),
        ("mov", [64, 2, 0, 0, 0, 0]),
        ("mov", [5, 255, 0, 0, 0, 0]),
        ("load4", [0, 0, 0, 0, 2, 0]),
        ("load4", [0, 0, 0, 2, 3, 0]),
        ("load4", [0, 0, 0, 0, 200, 0]),
        ("store4", [1, 1, 1, 1, 5, 0]),
        ("store4", [0, 1, 1, 1, 6, 0]),
        ("loadc", [0, 0, 0, 3, 4, 0]),
        ("loadc", [0, 0, 0, 0, 2, 0]),
        ("storec", [0, 1, 0, 4, 6, 0]),
        ("storec", [0, 1, 0, 0, 5, 0]),
        // A logit that is a destination.
        ("logistic", [0, 0, 0, 5, 5, 0]),
        ("logistic", [0, 0, 0, 1, 2, 0]),
    ] {
        let code = assemble(&[(name, &operands), ("mov", &[5, 2])]);
        refused(&code, 1, 1, &[1, 4, 3], &[1, 4]);
    }
    for number in (0..=255).filter(|number| OPERATIONS.iter().all(|(own, _)| own != number)) {
        let mut code = assemble(&[("mov", &[5, 2]), ("mov", &[5, 2])]);
        code[8] = number;
        refused(&code, 1, 1, &[1, 4, 3], &[1, 4]);
    }
    refused(
        &assemble(&[("mov", &[5, 2]), ("sum", &[0, 2]), ("sum", &[0, 2])]),
        1,
        1,
        &[1, 4, 3],
        &[1, 4],
    );
    refused(&assemble(&[("sum", &[0, 2])]), 1, 1, &[1, 4, 3], &[1, 4]);
}

/// Whatever the bytes, a program is refused or runs, and no element has another value from one set to the next.
#[test]
fn random_bytes_are_refused_or_run() {
    let mut state = 12345u64;
    let mut next = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let columns = [1, 1, 4, 3];
    let exact: Vec<u8> = EXACT
        .iter()
        .map(|own| operation(own.0))
        .chain([60, 61, 62, 63, 50, 51])
        .collect();
    let mut ran = 0;
    for _ in 0..20_000 {
        let rows = next(90) as usize;
        let length = 1 + next(5) as usize;
        let mut code: Vec<u8> = assemble(&[("load4", &[0, 1, 2, 3, 8]), ("mov", &[10, 6])]);
        for _ in 0..length {
            code.push(exact[next(exact.len() as u64) as usize]);
            code.extend((0..7).map(|_| next(13) as u8));
        }
        if next(4) == 0 {
            let at = next(code.len() as u64) as usize;
            code[at] = next(256) as u8;
        }
        let case = Case {
            code,
            registers: 4,
            uniforms: vec![0.5, -3.0],
            inputs: columns
                .iter()
                .enumerate()
                .map(|(k, &columns)| (columns, tame(k, columns * rows)))
                .collect(),
            outputs: vec![1, 4],
            rows,
        };
        if Program::new(&case.code, 4, 2, &columns, &case.outputs).is_err() {
            continue;
        }
        ran += 1;
        let uses_close = case
            .code
            .chunks(8)
            .any(|instruction| !exact.contains(&instruction[0]));
        let mut first = None;
        for level in Level::available() {
            let (sum, grads) = case.run(level, 64, Share::ALL);
            let own = (sum.to_bits(), bits(&grads));
            let first = first.get_or_insert(own.clone());
            assert!(
                uses_close || sum.is_nan() || *first == own,
                "{:?} on {}",
                case.code,
                level.name()
            );
        }
    }
    assert!(ran > 500, "{ran} programs ran");
}

#[test]
#[should_panic(expected = "not the uniforms or inputs")]
fn an_array_of_another_length_is_refused() {
    let mut case = huber(100);
    case.inputs[1].1.pop();
    case.run(Level::available()[0], 0, Share::ALL);
}

#[test]
fn operands_are_numbered_up_to_the_last() {
    // All registers that there can be beside one input and one output, each from the one before.
    let registers = OPERANDS as u8 - 2;
    let mut instructions = vec![("mov".to_owned(), vec![0, registers])];
    for r in 1..registers {
        instructions.push(("add".to_owned(), vec![r, r - 1, registers]));
    }
    instructions.push(("mov".to_owned(), vec![registers + 1, registers - 1]));
    let instructions: Vec<(&str, &[u8])> = instructions
        .iter()
        .map(|(name, operands)| (name.as_str(), &operands[..]))
        .collect();
    let case = Case {
        code: assemble(&instructions),
        registers: usize::from(registers),
        uniforms: vec![],
        inputs: vec![(1, vec![1.0; 700])],
        outputs: vec![1],
        rows: 700,
    };
    for level in Level::available() {
        let (_, grads) = case.run(level, 0, Share::ALL);
        assert_eq!(
            grads[0],
            vec![f32::from(registers); 700],
            "{}",
            level.name()
        );
    }
}
