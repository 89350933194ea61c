//! The families' loops from Rust: what the bindings cannot show, and what Miri should see. The numbers themselves are
//! held to references by the contract suite in `__test__`, over every backend.

use core::cell::Cell;
use fused_loss_core::family::embedding;
use fused_loss_core::family::pointwise::{self, Extra};
use fused_loss_core::family::region::{self, Activation};
use fused_loss_core::family::softmax;
use fused_loss_core::layout::positions::{Mask, NOTHING, Positions, Values};
use fused_loss_core::layout::stream::Stream;
use fused_loss_core::registry::{Agreement, Kernel, REGISTRY, Row};
use fused_loss_core::scan::first_outside;
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Cells, Level, cells};
use fused_loss_core::sum::positions_of_unit;

fn op(name: &str) -> usize {
    REGISTRY
        .iter()
        .position(|row| row.name == name)
        .expect("a loss of the registry")
}

fn pointwise(level: Level, op: usize, args: pointwise::Args) -> f64 {
    match REGISTRY[op].kernel {
        Kernel::Pointwise(run) => run(level, &args),
        _ => panic!("no pointwise loss"),
    }
}

fn softmax(level: Level, op: usize, args: softmax::Args) -> f64 {
    match REGISTRY[op].kernel {
        Kernel::Softmax(run) => run(level, &args),
        _ => panic!("no softmax loss"),
    }
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 7919) % 1000) as f32 / 250.0 - 2.0)
        .collect()
}

/// The same in the domain of a loss: probabilities, or their logarithms, where it takes those.
fn inputs(loss: &str, n: usize) -> Vec<f32> {
    let into = |x: f32| match loss {
        "bce" => 0.25 * (x + 2.0),
        "klDiv" => x - 2.0,
        _ => x,
    };
    numbers(n).into_iter().map(into).collect()
}

fn mse<'a>(x: Cells<'a>, t: Cells<'a>, dx: Option<Cells<'a>>, sum: f64) -> pointwise::Args<'a> {
    pointwise::Args {
        x,
        t: Values::F32(t),
        dx,
        scale: 0.5,
        aux: 1.0,
        sum,
        params: [0.0; 2],
        share: Share::ALL,
        extra: None,
    }
}

fn cross_entropy<'a>(
    x: Cells<'a>,
    labels: &'a [i32],
    classes: usize,
    dx: Option<Cells<'a>>,
) -> softmax::Args<'a> {
    softmax::Args {
        x,
        marks: Positions::new(labels, &[-100]),
        classes,
        dx,
        out: None,
        weight: None,
        grad_output: None,
        scale: 1.0,
        label_smoothing: 0.0,
        temperature: 1.0,
        sum: 0.0,
        params: [0.0; 2],
        share: Share::ALL,
        extra: None,
    }
}

#[test]
fn in_place_has_the_same_bits() {
    for level in Level::available() {
        for name in ["mse", "bceWithLogits", "bce", "klDiv"] {
            let (mut x, mut t, mut dx) = (inputs(name, 77), vec![0.25; 77], vec![0.0; 77]);
            let (x_cells, t_cells) = (cells(&mut x), cells(&mut t));
            let apart = pointwise(
                level,
                op(name),
                mse(x_cells, t_cells, Some(cells(&mut dx)), 0.0),
            );
            let in_place = pointwise(level, op(name), mse(x_cells, t_cells, Some(x_cells), 0.0));
            assert_eq!((apart, &dx), (in_place, &x), "{name} {}", level.name());
        }
        for classes in [7, 33] {
            let (mut x, mut dx) = (numbers(5 * classes), vec![0.0; 5 * classes]);
            let labels = [0, 3, -100, 6, 1];
            let x_cells = cells(&mut x);
            let ce = op("crossEntropy");
            let apart = softmax(
                level,
                ce,
                cross_entropy(x_cells, &labels, classes, Some(cells(&mut dx))),
            );
            let in_place = softmax(
                level,
                ce,
                cross_entropy(x_cells, &labels, classes, Some(x_cells)),
            );
            assert_eq!((apart, &dx), (in_place, &x), "{classes} {}", level.name());
        }
    }
}

/// Of every pointwise loss; the softmax family is covered by its own test below.
#[test]
fn instruction_sets_agree_on_pointwise_losses() {
    for (op, row) in REGISTRY
        .iter()
        .enumerate()
        .filter(|(_, row)| row.family == "pointwise")
    {
        let lengths = [0, 1, 7, 15, 16, 17, 31, 48, 63, 1023, 1024, 1025, 4097];
        for (n, params) in lengths
            .into_iter()
            .flat_map(|n| [(n, [0.0; 2]), (n, [1.0, 0.5])])
        {
            let results = Level::available().into_iter().map(|level| {
                let (mut x, mut t, mut dx, mut out) = (
                    inputs(row.name, n),
                    vec![0.25; n],
                    vec![9.0; n],
                    vec![9.0; n],
                );
                let (mut go, mut dt, mut weight) = (numbers(n), vec![9.0; n], vec![0.5, 2.0, 1.5]);
                let (x, t) = (cells(&mut x), cells(&mut t));
                let mut args = mse(x, t, Some(cells(&mut dx)), 0.0);
                args.params = params;
                let plain = pointwise(level, op, args);
                args.dx = None;
                assert_eq!(
                    plain.to_bits(),
                    pointwise(level, op, args).to_bits(),
                    "{} {}",
                    row.name,
                    level.name()
                );
                let extra = Extra {
                    weight: Some(Stream {
                        values: cells(&mut weight),
                        inner: 1,
                    }),
                    grad_output: Some(cells(&mut go)),
                    dt: Some(cells(&mut dt)),
                    out: Some(cells(&mut out)),
                    ..Extra::default()
                };
                args.extra = Some(&extra);
                let general = pointwise(level, op, args);
                (
                    level,
                    vec![plain as f32, general as f32],
                    [dx, dt, out].concat(),
                )
            });
            agree(row, results.collect());
        }
    }
}

#[test]
fn instruction_sets_agree_on_softmax_losses() {
    for (op, row) in REGISTRY
        .iter()
        .enumerate()
        .filter(|(_, row)| row.family == "softmax" && row.name != "distillation")
    {
        for classes in [1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 1023, 1025] {
            for label_smoothing in [0.0, 0.2] {
                let results = Level::available().into_iter().map(|level| {
                    let rows = 19;
                    let (mut x, mut dx, mut out) = (
                        numbers(rows * classes),
                        vec![9.0; rows * classes],
                        vec![9.0; rows],
                    );
                    let (mut go, mut weight) = (numbers(rows), vec![0.5; classes]);
                    let labels: Vec<i32> = (0..rows as i32)
                        .map(|i| if i == 3 { -100 } else { i % classes as i32 })
                        .collect();
                    let mut args =
                        cross_entropy(cells(&mut x), &labels, classes, Some(cells(&mut dx)));
                    args.label_smoothing = label_smoothing;
                    args.temperature = 1.5;
                    args.out = Some(cells(&mut out));
                    args.weight = Some(cells(&mut weight));
                    args.grad_output = Some(cells(&mut go));
                    let sum = softmax(level, op, args);
                    args.dx = None;
                    assert_eq!(
                        sum.to_bits(),
                        softmax(level, op, args).to_bits(),
                        "{} {}",
                        row.name,
                        level.name()
                    );
                    (level, vec![sum as f32], [dx, out].concat())
                });
                agree(row, results.collect());
            }
        }
    }
}

/// Extra arguments of a loss over a class axis, with memory for them.
fn on_any_axis(
    level: Level,
    op: usize,
    [positions, classes, inner]: [usize; 3],
    distribution: bool,
    in_place: bool,
) -> (f64, Vec<f32>) {
    let scores = positions * classes;
    let (mut x, mut dx, mut dt) = (numbers(scores), vec![9.0; scores], vec![9.0; scores]);
    let (mut out, mut own) = (vec![9.0; positions], numbers(positions));
    let mut target: Vec<f32> = numbers(scores).iter().map(|t| t.abs() / 4.0).collect();
    let labels: Vec<i32> = (0..positions as i32)
        .map(|i| if i % 5 == 3 { -100 } else { i % classes as i32 })
        .collect();
    let x_cells = cells(&mut x);
    let dx_cells = if in_place { x_cells } else { cells(&mut dx) };
    let mut args = cross_entropy(x_cells, &labels, classes, Some(dx_cells));
    args.out = Some(cells(&mut out));
    args.temperature = 1.5;
    args.params[0] = 0.5;
    let extra = softmax::Extra {
        inner,
        target: distribution.then_some(cells(&mut target)),
        sample_weight: Some(Stream {
            values: cells(&mut own),
            inner: 1,
        }),
        dt: distribution.then_some(cells(&mut dt)),
        accumulate: false,
    };
    args.extra = Some(&extra);
    let sum = softmax(level, op, args);
    let dx = if in_place { x } else { dx };
    (sum, [dx, dt, out].concat())
}

#[test]
fn instruction_sets_agree_on_any_axis() {
    for (op, row) in REGISTRY
        .iter()
        .enumerate()
        .filter(|(_, row)| row.family == "softmax")
    {
        // Tiles of rows, of gathered rows and of planes; whole and not; kept whole and not.
        for shape in [
            [6, 3, 3],
            [33, 2, 33],
            [40, 5, 20],
            [34, 70, 17],
            [19, 3, 1],
            [3, 100, 1],
            [2, 1100, 1],
        ] {
            for distribution in [false, true] {
                if distribution == (row.name == "nll")
                    || !distribution && row.name == "distillation"
                {
                    continue;
                }
                let results = Level::available().into_iter().map(|level| {
                    let apart = on_any_axis(level, op, shape, distribution, false);
                    let in_place = on_any_axis(level, op, shape, distribution, true);
                    assert_eq!(apart, in_place, "{} {}", row.name, level.name());
                    (level, vec![apart.0 as f32], apart.1)
                });
                agree(row, results.collect());
            }
        }
    }
}

/// The passes of a region loss: sums, value of the part, gradient, and by the target where there is no part.
fn passes(
    level: Level,
    [samples, positions, classes]: [usize; 3],
    classes_last: bool,
    activation: Activation,
    part: Option<usize>,
    in_place: bool,
    keep: bool,
) -> (Vec<f64>, Vec<f32>) {
    let scores = samples * positions * classes;
    let (mut x, mut dx) = (numbers(scores), vec![9.0; scores]);
    let mut target: Vec<f32> = numbers(scores).iter().map(|t| t.abs() / 2.0).collect();
    let mut planes = numbers(samples * classes * region::EACH);
    let mut sums = vec![0.0; samples * classes * region::EACH];
    let labels: Vec<i32> = (0..samples * positions)
        .map(|i| if i % 7 == 3 { -1 } else { 0 })
        .collect();
    let part = part.map(|op| region::Part {
        run: REGISTRY[op].part.expect("a loss that can be a part"),
        params: [2.0, 0.25],
        aux: 1.5,
        auxs: None,
        weight: None,
        sample_weight: None,
        label_smoothing: 0.1,
        scale: 0.5,
    });
    let x_cells = cells(&mut x);
    let dx_cells = if in_place { x_cells } else { cells(&mut dx) };
    let mut args = region::Args {
        x: x_cells,
        target: Some(Values::F32(cells(&mut target))),
        marks: Positions::new(&labels, &[-1]),
        classes,
        positions,
        classes_last,
        activation,
        squared: positions % 2 == 0,
        part,
        share: Share::ALL,
    };
    let pass = region::Pass::Sums {
        sums: Cell::from_mut(&mut sums[..]).as_slice_of_cells(),
        keep: keep.then_some(dx_cells),
    };
    let value = region::region(level, args, pass);
    if keep {
        args.x = dx_cells;
        args.activation = Activation::Kept;
    }
    let planes = cells(&mut planes);
    let mut dt = vec![9.0; scores];
    if args.part.is_none() {
        let dt = cells(&mut dt);
        region::region(level, args, region::Pass::TargetGradient { planes, dt });
    }
    let gradient = region::Pass::Gradient {
        planes,
        dx: dx_cells,
        accumulate: false,
    };
    region::region(level, args, gradient);
    sums.push(value);
    let mut gradients = if in_place { x } else { dx };
    gradients.extend(dt);
    (sums, gradients)
}

#[test]
fn instruction_sets_agree_on_regions() {
    let parts = [
        (Activation::None, None),
        (Activation::Sigmoid, None),
        (Activation::Sigmoid, Some("bceWithLogits")),
        (Activation::Sigmoid, Some("sigmoidFocal")),
        (Activation::Softmax, None),
        (Activation::Softmax, Some("crossEntropy")),
        (Activation::Softmax, Some("softmaxFocal")),
    ];
    for (activation, part) in parts {
        for shape in [[1, 1, 1], [2, 16, 3], [1, 1025, 2], [3, 35, 1], [1, 5, 70]] {
            for classes_last in [false, true] {
                let run = |level, in_place, keep| {
                    passes(
                        level,
                        shape,
                        classes_last,
                        activation,
                        part.map(op),
                        in_place,
                        keep,
                    )
                };
                let (sums, gradient) = run(Level::available()[0], false, false);
                let keeps = activation == Activation::Sigmoid && part.is_none();
                let ways = Level::available()
                    .into_iter()
                    .flat_map(|level| [(level, false), (level, keeps)]);
                for (level, keep) in ways {
                    let name = (level.name(), activation, part, shape, classes_last, keep);
                    let (other_sums, other_gradient) = run(level, false, keep);
                    for (a, b) in sums.iter().zip(&other_sums) {
                        assert!(
                            (a - b).abs() <= 4e-6 * a.abs().max(1.0),
                            "{name:?}: {a} {b}"
                        );
                    }
                    for (a, b) in gradient.iter().zip(&other_gradient) {
                        assert!(
                            (a - b).abs() <= 4e-6 * a.abs().max(1.0),
                            "{name:?}: {a} {b}"
                        );
                    }
                    assert_eq!(
                        (other_sums, other_gradient),
                        run(level, true, keep),
                        "{name:?}"
                    );
                }
            }
        }
    }
}

/// Results per instruction set: sums, and values and derivatives that are about 1 in size.
fn agree(row: &Row, results: Vec<(Level, Vec<f32>, Vec<f32>)>) {
    let (_, sums, elements) = results.last().expect("the scalar set");
    for (level, other_sums, other_elements) in &results {
        let close = |a: f32, b: f32, tolerance: f32| match row.agreement {
            Agreement::Exact => a.to_bits() == b.to_bits(),
            Agreement::Close(ulp) => {
                (a - b).abs() <= tolerance * ulp as f32 * f32::EPSILON * a.abs().max(1.0)
            }
        };
        let name = (row.name, level.name(), elements.len());
        assert!(
            sums.iter().zip(other_sums).all(|(a, b)| close(*a, *b, 4.0)),
            "{name:?}: {sums:?} {other_sums:?}"
        );
        for (a, b) in elements.iter().zip(other_elements) {
            assert!(close(*a, *b, 1.0), "{name:?}: {a} {b}");
        }
    }
}

#[test]
fn pieces_of_whole_blocks_have_the_bits_of_the_whole() {
    for level in Level::available() {
        let (mut x, mut t) = (numbers(5000), vec![0.1; 5000]);
        let (x, t) = (cells(&mut x), cells(&mut t));
        let whole = pointwise(level, op("mse"), mse(x, t, None, 0.0));
        let first = pointwise(level, op("mse"), mse(&x[..2048], &t[..2048], None, 0.0));
        let pieces = pointwise(level, op("mse"), mse(&x[2048..], &t[2048..], None, first));
        assert_eq!(whole.to_bits(), pieces.to_bits(), "{}", level.name());
    }
}

#[test]
fn a_gradient_is_added_to_what_is_there() {
    for level in Level::available() {
        for name in ["mse", "klDiv"] {
            for n in [1, 16, 77] {
                let (mut x, mut t, mut dx) = (inputs(name, n), vec![0.25; n], vec![0.0; n]);
                let (mut dt, mut both, mut dt_both) = (vec![0.0; n], numbers(n), vec![9.0; n]);
                let mut args = mse(cells(&mut x), cells(&mut t), Some(cells(&mut dx)), 0.0);
                let extra = Extra {
                    dt: Some(cells(&mut dt)),
                    ..Extra::default()
                };
                args.extra = Some(&extra);
                let alone = pointwise(level, op(name), args);
                let adding = Extra {
                    accumulate: true,
                    // The target's gradient is not added to.
                    dt: Some(cells(&mut dt_both)),
                    ..extra
                };
                args.extra = Some(&adding);
                args.dx = Some(cells(&mut both));
                let added = pointwise(level, op(name), args);
                let sums: Vec<f32> = numbers(n).iter().zip(&dx).map(|(a, b)| a + b).collect();
                assert_eq!(
                    (alone, sums, dt),
                    (added, both, dt_both),
                    "{name} {n} {}",
                    level.name()
                );
            }
        }
    }
}

fn outside(level: Level, values: &mut [f32]) -> Option<usize> {
    let values = Values::F32(cells(values));
    first_outside(level, values, Positions::default(), 0.0, 1.0)
}

#[test]
fn values_that_count_for_nothing_may_be_outside_a_range() {
    let level = Level::available()[0];
    let bytes: Vec<u8> = (0..3000).map(|i| if i == 2000 { 7 } else { 1 }).collect();
    let bytes = Values::U8(&bytes);
    let mut marks = Positions {
        labels: Some(bytes),
        ignored: &[7],
        mask: None,
    };
    assert_eq!(first_outside(level, bytes, marks, 0.0, 1.0), None);
    marks.ignored = &[1];
    assert_eq!(first_outside(level, bytes, marks, 0.0, 1.0), Some(2000));
    assert_eq!(
        first_outside(level, bytes, Positions::default(), 0.0, 1.0),
        Some(2000)
    );
    let mut floats = vec![f32::NAN; 2];
    let mask = Positions {
        labels: None,
        ignored: &[],
        mask: Some(Mask {
            values: Values::I64(&[0, -1]),
            inner: 1,
        }),
    };
    let floats = Values::F32(cells(&mut floats));
    assert_eq!(first_outside(level, floats, mask, 0.0, 1.0), Some(1));
}

#[test]
fn values_outside_a_range_are_found() {
    for level in Level::available() {
        for n in [0, 1, 15, 16, 17, 1023, 1024, 1025, 5000] {
            let mut values: Vec<f32> = (0..n).map(|i| [0.0, -0.0, 0.3, 1.0][i % 4]).collect();
            let name = (n, level.name());
            assert_eq!(outside(level, &mut values), None, "{name:?}");
            let above = f32::from_bits(1f32.to_bits() + 1);
            for (bad, i) in [-1e-45, above, f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
                .into_iter()
                .flat_map(|bad| [(bad, 0), (bad, n / 2), (bad, n.saturating_sub(1))])
                .filter(|(_, i)| *i < n)
            {
                let mut values = values.clone();
                values[i] = bad;
                // One behind the first is not the first.
                values[n - 1] = bad;
                let found = outside(level, &mut values);
                assert_eq!(found, Some(i), "{bad} {name:?}");
            }
        }
    }
}

#[test]
fn streams_cycle_and_repeat() {
    // Element i takes values[i / inner % len], whatever the lengths: also across the seams of a vector.
    for level in Level::available() {
        for (length, inner) in [(1, 1), (3, 1), (5, 4), (16, 1), (50, 1), (2, 20), (40, 3)] {
            let (mut x, mut t, mut out) = (vec![1.0; 40], vec![0.0; 40], vec![0.0; 40]);
            let mut values: Vec<f32> = (0..length).map(|i| 1.0 + i as f32).collect();
            let mut args = mse(cells(&mut x), cells(&mut t), None, 0.0);
            let extra = Extra {
                weight: Some(Stream {
                    values: cells(&mut values),
                    inner,
                }),
                out: Some(cells(&mut out)),
                ..Extra::default()
            };
            args.extra = Some(&extra);
            pointwise(level, op("mse"), args);
            let expected: Vec<f32> = (0..40).map(|i| values[i / inner % length]).collect();
            assert_eq!(out, expected, "{} {length} {inner}", level.name());
        }
    }
}

#[test]
fn labels_are_counted_and_checked() {
    let mut weight = [1.0, 10.0, 0.5];
    let weight = Some(cells(&mut weight));
    let count = |labels: &[i32], ignored: &[i32], weight| {
        Positions::new(labels, ignored).weight(labels.len(), 3, weight, None)
    };
    assert_eq!(count(&[], &[-100], None), 0.0);
    assert_eq!(count(&[0, 1, 2, -100], &[-100], None), 3.0);
    assert_eq!(count(&[0, 1, 1, 7], &[7], weight), 21.0);
    assert_eq!(
        count(&[0, 1, 7, 9, i32::MIN], &[7, 9, i32::MIN], weight),
        11.0
    );
    assert_eq!(count(&[0, i32::MIN], &[i32::MIN], None), 1.0);
    let mut labels = vec![2; 3000];
    assert_eq!(count(&labels, &[-100], weight), 1500.0);
    for bad in [-1, 3, i32::MIN, i32::MAX] {
        labels[2500] = bad;
        assert_eq!(count(&labels, &[-100], None), -2501.0);
        assert_eq!(count(&labels, &[-100, -7], None), -2501.0);
    }
}

fn each(values: Option<Values>, inner: usize) -> Option<Mask> {
    values.map(|values| Mask { values, inner })
}

#[test]
fn labels_and_masks_of_every_type_say_the_same() {
    let mut floats: Vec<f32> = (0..40).map(|i| (i % 3) as f32).collect();
    let classes = |marks: Positions| {
        let mut classes = [7; 37];
        marks.classes(3, &mut classes);
        classes
    };
    let expected: Vec<i32> = (3..40)
        .map(|i| if i % 3 == 2 { NOTHING } else { i % 3 })
        .collect();
    let masked: Vec<i32> = (3..40)
        .map(|i| if i % 3 == 0 { NOTHING } else { 0 })
        .collect();
    macro_rules! check {
        ($($kind:ident: $element:ty),*) => {$(
            let values: Vec<$element> = floats.iter().map(|&x| x as $element).collect();
            let values = Some(Values::$kind(&values));
            let labels = Positions { labels: values, ignored: &[2], mask: None };
            assert_eq!(classes(labels)[..], expected, stringify!($kind));
            let labels = Positions { labels: values, ignored: &[2, 100], mask: None };
            assert_eq!(classes(labels)[..], expected, stringify!($kind));
            let mask = Positions { labels: None, ignored: &[0], mask: each(values, 1) };
            assert_eq!(classes(mask)[..], masked, stringify!($kind));
        )*};
    }
    check!(I8: i8, U8: u8, I16: i16, U16: u16, I32: i32, U32: u32, I64: i64);
    let values = Some(Values::F32(cells(&mut floats)));
    let labels = Positions {
        labels: values,
        ignored: &[2],
        mask: each(values, 1),
    };
    let both: Vec<i32> = (3..40)
        .map(|i| if i % 3 == 1 { 1 } else { NOTHING })
        .collect();
    assert_eq!(classes(labels)[..], both);
    let thirds = Positions {
        labels: None,
        ignored: &[],
        mask: each(values, 3),
    };
    let shared: Vec<i32> = (3..40)
        .map(|i| if i / 3 % 3 == 0 { NOTHING } else { 0 })
        .collect();
    assert_eq!(classes(thirds)[..], shared);
    // What does not fit is no class, and never wraps around to one.
    for (values, kind) in [
        (Values::I64(&[1 << 32]), "i64"),
        (Values::U32(&[u32::MAX]), "u32"),
    ] {
        let marks = Positions {
            labels: Some(values),
            ignored: &[-1],
            mask: None,
        };
        assert_eq!(marks.weight(1, 2, None, None), -1.0, "{kind}");
    }
}

#[test]
fn a_label_that_changed_after_the_check_reaches_nothing() {
    // As if another thread had written to shared memory in between: the row counts for nothing.
    for level in Level::available() {
        for (classes, label) in [(5, 5), (5, -1), (40, 40), (40, i32::MIN)] {
            let (mut x, mut dx) = (numbers(classes), vec![9.0; classes]);
            let labels = [label];
            let args = cross_entropy(cells(&mut x), &labels, classes, Some(cells(&mut dx)));
            assert_eq!(softmax(level, op("crossEntropy"), args), 0.0);
            assert_eq!(dx, vec![0.0; classes]);
        }
    }
}

#[test]
fn another_length_panics_before_anything_is_written() {
    let (mut x, mut t, mut dx) = (numbers(8), numbers(7), vec![9.0; 8]);
    let args = mse(cells(&mut x), cells(&mut t), Some(cells(&mut dx)), 0.0);
    let panic = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| {
        pointwise(Level::available()[0], 0, args)
    }));
    assert!(panic.is_err());
    assert_eq!(dx, vec![9.0; 8]);
}

/// In one call and in shares of it, and with the gradient over the rows.
#[test]
fn instruction_sets_agree_on_rows() {
    for row in REGISTRY.iter().filter(|row| row.family == "embedding") {
        let Kernel::Embedding(run) = row.kernel else {
            panic!("no loss of rows")
        };
        // A third row is what has the parameters of its distance.
        let has_third = row.params.contains(&"distance");
        let all: &[embedding::Params] = if has_third {
            &[
                [0.25, 2.0, 1e-6, 0.0, 0.0, 0.0],
                [0.25, 1.0, 1e-6, 1.0, 0.0, 0.0],
                [0.25, f64::INFINITY, 1e-6, 1.0, 0.0, 0.0],
                [0.25, 2.0, 1e-6, 0.0, 1.0, 0.0],
                [0.25, 2.0, 1e-6, 1.0, 2.0, 0.0],
            ]
        } else {
            &[[0.25, 0.0, 0.0, 0.0, 0.0, 0.0]]
        };
        let shapes = [(0, 3), (1, 1), (3, 7), (5, 8), (40, 33), (1100, 2)];
        for (params, (rows, size)) in
            (all.iter().copied()).flat_map(|params| shapes.map(|shape| (params, shape)))
        {
            let results = Level::available().into_iter().flat_map(|level| {
                [false, true].map(|in_shares| {
                    let mut x = numbers(rows * size);
                    let (mut y, mut dy) = (x.iter().rev().copied().collect::<Vec<_>>(), x.clone());
                    let (mut z, mut dz) =
                        (x.iter().map(|x| 0.5 - x).collect::<Vec<_>>(), x.clone());
                    let mut signs: Vec<f32> = (0..rows).map(|i| [1.0, -1.0][i % 2]).collect();
                    let units = rows.div_ceil(positions_of_unit(size, true));
                    let sums = vec![Cell::new(0.0); units];
                    let x_cells = cells(&mut x);
                    let args = embedding::Args {
                        x: x_cells,
                        y: cells(&mut y),
                        z: has_third.then_some(cells(&mut z)),
                        size,
                        signs: Some(Values::F32(cells(&mut signs))),
                        marks: Positions::default(),
                        sample_weight: None,
                        dx: Some(x_cells),
                        dy: Some(cells(&mut dy)),
                        dz: has_third.then_some(cells(&mut dz)),
                        out: None,
                        grad_output: None,
                        scale: 0.5,
                        accumulate: false,
                        sum: 0.0,
                        params,
                        share: Share::ALL,
                    };
                    let sum = if in_shares {
                        for (unit, sum) in sums.iter().enumerate() {
                            let share = Share {
                                first: unit,
                                end: unit + 1,
                                sums: Some(core::slice::from_ref(sum)),
                            };
                            run(level, &embedding::Args { share, ..args });
                        }
                        sums.iter().fold(0.0, |total, sum| total + sum.get())
                    } else {
                        run(level, &args)
                    };
                    let bits = |values: Vec<f32>| -> Vec<u32> {
                        values.into_iter().map(f32::to_bits).collect()
                    };
                    (sum.to_bits(), bits(x), bits(dy), bits(dz))
                })
            });
            let results: Vec<_> = results.collect();
            for result in &results {
                assert_eq!(result, &results[0], "{} {rows} {size}", row.name);
            }
        }
    }
}

#[test]
fn registry_names_are_unique() {
    for (i, row) in REGISTRY.iter().enumerate() {
        assert_eq!(op(row.name), i);
        let most = if row.family == "embedding" { 6 } else { 2 };
        assert!(row.params.len() <= most, "{}", row.name);
    }
}
