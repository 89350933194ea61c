//! The WebAssembly module: the same functions as the addon, over pointers and lengths in its own memory.
//! `ts/backend/wasm.ts` is its only caller; it adds memory of its own to that of the module, copies a piece of the arrays in,
//! calls, and copies the outputs out. A null pointer stands for an array that is not given. Only numbers travel, so that the
//! module runs without the glue of wasm-bindgen.

#![cfg(target_arch = "wasm32")]

use core::cell::Cell;
use fused_loss_core::expression::{self, OPERANDS, Program, Raw};
use fused_loss_core::family::domain;
use fused_loss_core::family::pointwise::{self, Extra};
use fused_loss_core::family::positions::{Positions, Values};
use fused_loss_core::family::region;
use fused_loss_core::family::softmax;
use fused_loss_core::family::stream::Stream;
use fused_loss_core::loss::{Agreement, REGISTRY};
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Cells, Level, Simd128};
use wasm_bindgen::prelude::wasm_bindgen;

/// What the module is, in lines that end with a 0: its version, what it is compiled for, and every loss as
/// `name family ulp param…`, where ulp is 0 for the class `exact`. The text is never freed: it is asked for once.
#[wasm_bindgen]
#[must_use]
pub fn describe() -> *const u8 {
    let mut text = format!("{}\n{}", env!("CARGO_PKG_VERSION"), level().name());
    for row in REGISTRY {
        let ulp = match row.agreement {
            Agreement::Exact => 0,
            Agreement::Close(ulp) => ulp,
        };
        let params = row.params.join(" ");
        text += &format!("\n{} {} {ulp} {params}", row.name, row.family);
    }
    text.push('\0');
    text.leak().as_ptr()
}

fn level() -> Level {
    Level::Simd128(Simd128::new())
}

/// The array at `at`.
///
/// # Safety
/// `at` must be null or point to `length` elements inside the caller's memory.
unsafe fn array<'a, T>(at: *const T, length: usize) -> Option<&'a [T]> {
    // SAFETY: the caller's, passed on. Floats are only ever seen through cells, so that in place is sound.
    (!at.is_null()).then(|| unsafe { core::slice::from_raw_parts(at, length) })
}

/// Index of the first of `length` values that is not in [low, high], NaN included, or −1.
///
/// # Safety
/// `values` must point to `length` elements inside the caller's memory.
#[wasm_bindgen]
#[must_use]
pub unsafe fn first_outside(length: usize, values: *const Cell<f32>, low: f32, high: f32) -> i32 {
    // SAFETY: the caller's.
    let values: Cells = unsafe { array(values, length) }.unwrap_or_default();
    let marks = Positions::default();
    domain::first_outside(level(), Values::F32(values), marks, low, high).map_or(-1, |i| i as i32)
}

/// Sum of the values after `sum`, and the gradient into `dx`; where that is null, over `x`.
///
/// # Safety
/// Every pointer must be null or point to `length` elements inside the caller's memory; `x` and `t` must not be null.
#[wasm_bindgen]
#[must_use]
pub unsafe fn pointwise(
    op: usize,
    length: usize,
    x: *const Cell<f32>,
    t: *const Cell<f32>,
    dx: *const Cell<f32>,
    scale: f64,
    aux: f32,
    p0: f32,
    p1: f32,
    sum: f64,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at| unsafe { array(at, length) };
    let args = pointwise::Args {
        x: floats(x).unwrap_or_default(),
        t: Values::F32(floats(t).unwrap_or_default()),
        dx: floats(dx).or(floats(x)),
        scale,
        aux,
        sum,
        params: [p0, p1],
        share: Share::ALL,
        extra: None,
    };
    pointwise::pointwise(level(), op, args)
}

/// The same with any combination of streams and outputs. A stream's `start` is the index of the first element in the whole.
/// Elements whose label is `ignored` count for nothing.
///
/// # Safety
/// As for [`pointwise`]; `weight` and `aux_stream` point to as many elements as their lengths say, `labels` to `length`.
#[wasm_bindgen]
#[must_use]
pub unsafe fn pointwise_general(
    op: usize,
    length: usize,
    x: *const Cell<f32>,
    t: *const Cell<f32>,
    dx: *const Cell<f32>,
    scale: f64,
    aux: f32,
    p0: f32,
    p1: f32,
    sum: f64,
    weight: *const Cell<f32>,
    weight_length: usize,
    weight_start: usize,
    aux_stream: *const Cell<f32>,
    aux_length: usize,
    aux_inner: usize,
    aux_start: usize,
    labels: *const i32,
    ignored: i32,
    grad_output: *const Cell<f32>,
    dt: *const Cell<f32>,
    out: *const Cell<f32>,
    accumulate: bool,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at, length| -> Option<Cells> { unsafe { array(at, length) } };
    // SAFETY: the caller's.
    let labels = unsafe { array(labels, length) };
    let ignored = [ignored];
    let args = pointwise::Args {
        x: floats(x, length).unwrap_or_default(),
        t: Values::F32(floats(t, length).unwrap_or_default()),
        dx: floats(dx, length),
        scale,
        aux,
        sum,
        params: [p0, p1],
        share: Share::ALL,
        extra: Some(Extra {
            weight: floats(weight, weight_length).map(|values| Stream {
                values,
                inner: 1,
                start: weight_start,
            }),
            sample_weight: None,
            marks: Positions::new(labels.unwrap_or_default(), &ignored),
            aux: floats(aux_stream, aux_length).map(|values| Stream {
                values,
                inner: aux_inner,
                start: aux_start,
            }),
            grad_output: floats(grad_output, length),
            dt: floats(dt, length),
            out: floats(out, length),
            accumulate,
        }),
    };
    pointwise::pointwise(level(), op, args)
}

/// Sum of the positions' values after `sum`, and the gradients into `dx` and `dt` and the positions' values into `out`, where
/// given; the module may write over `x`. Positions whose scores for a class are neighbours come in groups of `inner`.
///
/// # Safety
/// `labels`, `sample_weight`, `grad_output` and `out` must point to `positions` elements inside the caller's memory, `x`, `dx`, `target` and
/// `dt` to `positions · classes`, `weight` to `classes`; all but `x` may be null.
#[wasm_bindgen]
#[must_use]
pub unsafe fn softmax(
    op: usize,
    positions: usize,
    classes: usize,
    inner: usize,
    x: *const Cell<f32>,
    labels: *const i32,
    target: *const Cell<f32>,
    dx: *const Cell<f32>,
    dt: *const Cell<f32>,
    scale: f64,
    ignored: i32,
    label_smoothing: f32,
    temperature: f32,
    p0: f32,
    sum: f64,
    weight: *const Cell<f32>,
    sample_weight: *const Cell<f32>,
    grad_output: *const Cell<f32>,
    out: *const Cell<f32>,
    accumulate: bool,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at, length| -> Option<Cells> { unsafe { array(at, length) } };
    // SAFETY: the caller's.
    let labels = unsafe { array(labels, positions) };
    let ignored = [ignored];
    let scores = positions * classes;
    let extra = softmax::Extra {
        inner,
        target: floats(target, scores),
        sample_weight: floats(sample_weight, positions).map(|values| Stream {
            values,
            inner: 1,
            start: 0,
        }),
        dt: floats(dt, scores),
        accumulate,
    };
    let (x, dx) = (floats(x, scores).unwrap_or_default(), floats(dx, scores));
    let args = softmax::Args {
        x,
        marks: Positions::new(labels.unwrap_or_default(), &ignored),
        classes,
        dx: dx.or((!extra.needed()).then_some(x)),
        out: floats(out, positions),
        weight: floats(weight, classes),
        grad_output: floats(grad_output, positions),
        scale,
        label_smoothing,
        temperature,
        sum,
        params: [p0, 0.0],
        share: Share::ALL,
        extra: extra.needed().then_some(extra),
    };
    softmax::softmax(level(), op, args)
}

/// A pass of a region loss over some positions of one sample: adds to `sums`, where they are given, and returns the sum of
/// the part's values, and keeps what it can in `dx`; otherwise writes the gradient by way of `planes` into `dx`, which is the one by
/// the target where `by_target` says so.
///
/// # Safety
/// `x`, `target` and `dx` must point to `positions · classes` elements inside the caller's memory, `labels` to `positions`, `auxs` and
/// `weight` to `classes`, `sample_weight` to one, `sums` and `planes` to three times as many; all but `x` may be null.
#[wasm_bindgen]
#[must_use]
pub unsafe fn region(
    positions: usize,
    classes: usize,
    classes_last: bool,
    x: *const Cell<f32>,
    target: *const Cell<f32>,
    labels: *const i32,
    ignored: i32,
    activation: u32,
    squared: bool,
    part: i32,
    p0: f32,
    p1: f32,
    aux: f32,
    auxs: *const Cell<f32>,
    weight: *const Cell<f32>,
    sample_weight: *const Cell<f32>,
    label_smoothing: f32,
    scale: f32,
    sums: *const Cell<f64>,
    planes: *const Cell<f32>,
    dx: *const Cell<f32>,
    accumulate: bool,
    by_target: bool,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at, length| -> Option<Cells> { unsafe { array(at, length) } };
    // SAFETY: the caller's.
    let labels = unsafe { array(labels, positions) };
    let ignored = [ignored];
    // SAFETY: the caller's.
    let sums = unsafe { array(sums, classes * region::NUMBERS) };
    let args = region::Args {
        x: floats(x, positions * classes).unwrap_or_default(),
        target: floats(target, positions * classes).map(Values::F32),
        marks: Positions::new(labels.unwrap_or_default(), &ignored),
        classes,
        positions,
        classes_last,
        activation: region::Activation::from_number(activation),
        squared,
        part: usize::try_from(part).ok().map(|op| region::Part {
            op,
            params: [p0, p1],
            aux,
            auxs: floats(auxs, classes),
            weight: floats(weight, classes),
            sample_weight: floats(sample_weight, 1),
            label_smoothing,
            scale,
        }),
        share: Share::ALL,
    };
    let pass = match sums {
        Some(sums) => region::Pass::Sums {
            sums,
            keep: floats(dx, positions * classes),
        },
        None => {
            let planes = floats(planes, classes * region::NUMBERS).unwrap_or_default();
            let dx = floats(dx, positions * classes).unwrap_or_default();
            if by_target {
                region::Pass::TargetGradient { planes, dt: dx }
            } else {
                region::Pass::Gradient {
                    planes,
                    dx,
                    accumulate,
                }
            }
        }
    };
    region::region(level(), args, pass)
}

/// Sum of the values of a program after `sum`, and its gradients. `call` has words: the address of the code and its bytes, registers,
/// address and number of the uniforms, rows, whether the program is raw, whether there is a value; the addresses of weights, their
/// number, how many neighbours share one, and how many of those come before; addresses of labels, the upstream gradients and the
/// values, the label that is ignored, whether the first gradient is added to; the number of inputs and of gradients, and address and
/// columns of each of these.
///
/// # Safety
/// Every address must be null or point to as many elements inside the caller's memory as the call says.
#[wasm_bindgen]
#[must_use]
pub unsafe fn expression(call: *const usize, scale: f64, sum: f64) -> f64 {
    const FIXED: usize = 19;
    // SAFETY: the caller's.
    let words = unsafe { array(call, FIXED) }.unwrap_or_default();
    let &[
        code,
        bytes,
        registers,
        uniforms,
        uniform_count,
        rows,
        is_raw,
        value,
        weight,
        weight_count,
        weight_run,
        weight_before,
        labels,
        grad_output,
        out,
        ignored,
        accumulate,
        inputs,
        grads,
    ] = words
    else {
        panic!("no call")
    };
    let both = inputs + grads;
    assert!(
        inputs <= OPERANDS && grads <= OPERANDS && both <= OPERANDS,
        "too many arrays"
    );
    // SAFETY: the caller's.
    let floats = |at: usize, length| -> Option<Cells> { unsafe { array(at as *const _, length) } };
    // SAFETY: the caller's.
    let pairs: &[[usize; 2]] =
        unsafe { array(call.wrapping_add(FIXED).cast(), both) }.unwrap_or_default();
    let mut arrays: [Cells; OPERANDS] = [&[]; OPERANDS];
    let mut columns = [0; OPERANDS];
    for (&[at, own], (array, columns)) in pairs.iter().zip(arrays.iter_mut().zip(&mut columns)) {
        *columns = own;
        *array = floats(at, rows * own).unwrap_or_default();
    }
    let (input_columns, grad_columns) = columns[..both].split_at(inputs);
    let ones = [1; OPERANDS];
    let outputs = if is_raw == 0 {
        grad_columns
    } else {
        &ones[..grad_columns.iter().sum::<usize>() + usize::from(value != 0)]
    };
    // SAFETY: the caller's.
    let (code, labels) = unsafe {
        (
            array(code as *const u8, bytes),
            array(labels as *const i32, rows),
        )
    };
    let code = code.unwrap_or_default();
    let ignored = [ignored as i32];
    let raw = (is_raw != 0).then(|| Raw {
        columns: grad_columns,
        value: value != 0,
        scale,
        weight: floats(weight, weight_count).map(|values| Stream {
            values,
            inner: weight_run,
            start: weight_before,
        }),
        sample_weight: None,
        marks: Positions::new(labels.unwrap_or_default(), &ignored),
        grad_output: floats(grad_output, rows),
        out: floats(out, rows),
        accumulate: accumulate != 0,
    });
    let program = match Program::new(code, registers, uniform_count, input_columns, outputs) {
        Ok(program) => program,
        Err(_) => panic!("no program"),
    };
    let args = expression::Args {
        program,
        uniforms: floats(uniforms, uniform_count).unwrap_or_default(),
        inputs: &arrays[..inputs],
        grads: &arrays[inputs..both],
        rows,
        block: 0,
        sum,
        share: Share::ALL,
        raw,
    };
    expression::expression(level(), &args)
}
