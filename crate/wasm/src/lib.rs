//! The WebAssembly module: the same functions as the addon, over pointers and lengths in its own memory.
//! `ts/backend/wasm.ts` is its only caller; it asks for memory by [`reserve`], copies a piece of the arrays in, calls, and
//! copies the outputs out. A null pointer stands for an array that is not given.

#![cfg(target_arch = "wasm32")]

use core::cell::{Cell, RefCell};
use fused_loss_core::family::domain;
use fused_loss_core::family::pointwise::{self, Extra};
use fused_loss_core::family::region;
use fused_loss_core::family::softmax;
use fused_loss_core::family::stream::Stream;
use fused_loss_core::loss::{Agreement, REGISTRY};
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Cells, Level, Simd128};
use wasm_bindgen::prelude::wasm_bindgen;

thread_local! {
    /// The one block of memory that all calls share. It only grows, so a million calls leave nothing behind.
    static ARENA: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for `length` words and returns where they start. Earlier pointers and views are void after it.
#[wasm_bindgen]
pub fn reserve(length: usize) -> *mut f32 {
    ARENA.with_borrow_mut(|arena| {
        if arena.len() < length {
            // Not `resize`, which would copy what nobody needs any more.
            *arena = Vec::new();
            *arena = vec![0.0; length];
        }
        arena.as_mut_ptr()
    })
}

/// Version of the crate, which the facade compares with its own.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").into()
}

/// What the module is compiled for.
#[wasm_bindgen]
#[must_use]
pub fn instruction_set() -> String {
    level().name().into()
}

/// Every loss, as lines of `name family ulp param…`; ulp is 0 for the class `exact`.
#[wasm_bindgen]
#[must_use]
pub fn registry() -> String {
    let row = |row: &fused_loss_core::loss::Row| {
        let ulp = match row.agreement {
            Agreement::Exact => 0,
            Agreement::Close(ulp) => ulp,
        };
        format!("{} {} {ulp} {}", row.name, row.family, row.params.join(" "))
    };
    REGISTRY.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn level() -> Level {
    Level::Simd128(Simd128::new())
}

/// The array at `at`.
///
/// # Safety
/// `at` must be null or point to `length` elements inside the arena.
unsafe fn array<'a, T>(at: *const T, length: usize) -> Option<&'a [T]> {
    // SAFETY: the caller's, passed on. Floats are only ever seen through cells, so that in place is sound.
    (!at.is_null()).then(|| unsafe { core::slice::from_raw_parts(at, length) })
}

/// Index of the first of `length` values that is not in [low, high], NaN included, or −1.
///
/// # Safety
/// `values` must point to `length` elements inside the arena.
#[wasm_bindgen]
#[must_use]
pub unsafe fn first_outside(length: usize, values: *const Cell<f32>, low: f32, high: f32) -> i32 {
    // SAFETY: the caller's.
    let values: Cells = unsafe { array(values, length) }.unwrap_or_default();
    domain::first_outside(level(), values, low, high).map_or(-1, |i| i as i32)
}

/// Sum of the values after `sum`, and the gradient into `dx`; where that is null, over `x`.
///
/// # Safety
/// Every pointer must be null or point to `length` elements inside the arena; `x` and `t` must not be null.
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
        t: floats(t).unwrap_or_default(),
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
///
/// # Safety
/// As for [`pointwise`]; `weight` and `aux_stream` point to as many elements as their lengths say.
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
    grad_output: *const Cell<f32>,
    dt: *const Cell<f32>,
    out: *const Cell<f32>,
    accumulate: bool,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at, length| -> Option<Cells> { unsafe { array(at, length) } };
    let args = pointwise::Args {
        x: floats(x, length).unwrap_or_default(),
        t: floats(t, length).unwrap_or_default(),
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
/// `labels`, `sample_weight`, `grad_output` and `out` must point to `positions` elements inside the arena, `x`, `dx`, `target` and
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
    scale: f32,
    ignore_index: i32,
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
    let scores = positions * classes;
    let extra = softmax::Extra {
        inner,
        target: floats(target, scores),
        sample_weight: floats(sample_weight, positions),
        dt: floats(dt, scores),
        accumulate,
    };
    let (x, dx) = (floats(x, scores).unwrap_or_default(), floats(dx, scores));
    let args = softmax::Args {
        x,
        labels: labels.unwrap_or_default(),
        classes,
        dx: dx.or((!extra.needed()).then_some(x)),
        out: floats(out, positions),
        weight: floats(weight, classes),
        grad_output: floats(grad_output, positions),
        scale,
        ignore_index,
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
/// the part's values, and keeps what it can in `dx`; otherwise writes the gradient by way of `planes` into `dx`.
///
/// # Safety
/// `x`, `target` and `dx` must point to `positions · classes` elements inside the arena, `labels` to `positions`, `auxs` and
/// `weight` to `classes`, `sums` and `planes` to three times as many; all but `x` may be null.
#[wasm_bindgen]
#[must_use]
pub unsafe fn region(
    positions: usize,
    classes: usize,
    classes_last: bool,
    x: *const Cell<f32>,
    target: *const Cell<f32>,
    labels: *const i32,
    ignore_index: i32,
    activation: u32,
    squared: bool,
    part: i32,
    p0: f32,
    p1: f32,
    aux: f32,
    auxs: *const Cell<f32>,
    weight: *const Cell<f32>,
    label_smoothing: f32,
    scale: f32,
    sums: *const Cell<f64>,
    planes: *const Cell<f32>,
    dx: *const Cell<f32>,
    accumulate: bool,
) -> f64 {
    // SAFETY: the caller's.
    let floats = |at, length| -> Option<Cells> { unsafe { array(at, length) } };
    // SAFETY: the caller's.
    let labels = unsafe { array(labels, positions) };
    // SAFETY: the caller's.
    let sums = unsafe { array(sums, classes * region::NUMBERS) };
    let args = region::Args {
        x: floats(x, positions * classes).unwrap_or_default(),
        target: floats(target, positions * classes),
        labels: labels.unwrap_or_default(),
        ignore_index,
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
        None => region::Pass::Gradient {
            planes: floats(planes, classes * region::NUMBERS).unwrap_or_default(),
            dx: floats(dx, positions * classes).unwrap_or_default(),
            accumulate,
        },
    };
    region::region(level(), args, pass)
}
