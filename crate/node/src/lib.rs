//! The N-API addon: one function per family and call shape, none per loss. Scalars travel as numbers and a bare number
//! comes back, since an object costs more than a small kernel. `ts/backend/native.ts` is its only caller.

mod array;

use array::{Array, MaybeArray};
use core::cell::Cell;
use fused_loss_core::family::domain;
use fused_loss_core::family::pointwise::{self, Extra};
use fused_loss_core::family::softmax;
use fused_loss_core::family::stream::Stream;
use fused_loss_core::loss::{Agreement, REGISTRY};
use fused_loss_core::simd::{Cells, Level, overlap};
use napi::{Error, Result, Status};
use napi_derive::napi;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

type Floats = Array<Cell<f32>>;
type Maybe = MaybeArray<Cell<f32>>;

static LEVELS: LazyLock<Vec<Level>> = LazyLock::new(Level::available);
/// Index of the set in use: the best one, unless a test pins another.
static LEVEL: AtomicUsize = AtomicUsize::new(0);

fn level() -> Level {
    LEVELS[LEVEL.load(Ordering::Relaxed)]
}

/// The instruction sets of this machine, the best first.
#[napi]
pub fn instruction_sets() -> Vec<&'static str> {
    LEVELS.iter().map(|level| level.name()).collect()
}

/// The instruction set in use.
#[napi]
pub fn instruction_set() -> &'static str {
    level().name()
}

/// Pins an instruction set for the whole process; false where this machine does not have it.
#[napi]
pub fn pin_instruction_set(name: String) -> bool {
    let found = LEVELS.iter().position(|level| level.name() == name);
    if let Some(index) = found {
        LEVEL.store(index, Ordering::Relaxed);
    }
    found.is_some()
}

/// Version of the crate, which the facade compares with its own.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// A registry row.
#[napi(object, object_from_js = false)]
pub struct Row {
    /// Public name of the loss; its position is the `op` of the other functions.
    pub name: &'static str,
    /// Family that runs it.
    pub family: &'static str,
    /// Names of its scalar parameters.
    pub params: Vec<&'static str>,
    /// Largest difference from the true value in units in the last place; 0 for the class `exact`.
    pub ulp: u32,
}

/// Every loss.
#[napi]
pub fn registry() -> Vec<Row> {
    REGISTRY
        .iter()
        .map(|row| Row {
            name: row.name,
            family: row.family,
            params: row.params.to_vec(),
            ulp: match row.agreement {
                Agreement::Exact => 0,
                Agreement::Close(ulp) => ulp,
            },
        })
        .collect()
}

/// Sum of the values, and the gradient into `dx`, where it is given.
#[napi(catch_unwind)]
pub fn pointwise(
    op: u32,
    x: Floats,
    t: Floats,
    dx: Maybe,
    scale: f64,
    aux: f64,
    p0: f64,
    p1: f64,
) -> Result<f64> {
    let (x, t, dx) = (x.get(), t.get(), dx.get());
    separate(dx, x, t)?;
    let args = pointwise::Args {
        x,
        t,
        dx,
        scale: scale as f32,
        aux: aux as f32,
        sum: 0.0,
        params: [p0 as f32, p1 as f32],
        extra: None,
    };
    Ok(pointwise::pointwise(level(), op as usize, args))
}

/// Refuses a gradient that would overwrite what is still read. The pointers are at hand here, while to ask an array for
/// its buffer takes 30 ns in JavaScript; the caller finds out which array it was.
fn separate<T>(dx: Option<Cells>, x: Cells, t: &[T]) -> Result<()> {
    match dx {
        Some(dx) if overlap(dx, x, true) || overlap(dx, t, false) => Err(Error::new(
            Status::InvalidArg,
            "dx overlaps the input or the target",
        )),
        _ => Ok(()),
    }
}

fn stream(values: &Maybe, inner: u32) -> Option<Stream<'_>> {
    let inner = inner as usize;
    values.get().map(|values| Stream {
        values,
        inner,
        start: 0,
    })
}

/// The same with any combination of streams and outputs.
#[napi(catch_unwind)]
pub fn pointwise_general(
    op: u32,
    x: Floats,
    t: Floats,
    dx: Maybe,
    scale: f64,
    aux: f64,
    p0: f64,
    p1: f64,
    weight: Maybe,
    aux_stream: Maybe,
    aux_inner: u32,
    grad_output: Maybe,
    dt: Maybe,
    out: Maybe,
    accumulate: bool,
) -> f64 {
    let args = pointwise::Args {
        x: x.get(),
        t: t.get(),
        dx: dx.get(),
        scale: scale as f32,
        aux: aux as f32,
        sum: 0.0,
        params: [p0 as f32, p1 as f32],
        extra: Some(Extra {
            weight: stream(&weight, 1),
            aux: stream(&aux_stream, aux_inner),
            grad_output: grad_output.get(),
            dt: dt.get(),
            out: out.get(),
            accumulate,
        }),
    };
    pointwise::pointwise(level(), op as usize, args)
}

/// Index of the first value that is not in [low, high], NaN included, or −1.
#[napi(catch_unwind)]
pub fn first_outside(values: Floats, low: f64, high: f64) -> f64 {
    let outside = domain::first_outside(level(), values.get(), low as f32, high as f32);
    outside.map_or(-1.0, |i| i as f64)
}

/// Total weight of the rows that are not ignored, or −1 − i where label i is no class.
#[napi(catch_unwind)]
pub fn kept_weight(labels: Array<i32>, classes: u32, ignore_index: i32, weight: Maybe) -> f64 {
    let weight = weight.get();
    softmax::kept_weight(labels.get(), classes as usize, ignore_index, weight)
}

/// Sum of the rows' values, and the gradient into `dx` and the rows' values into `out`, where they are given.
#[napi(catch_unwind)]
pub fn softmax(
    op: u32,
    x: Floats,
    labels: Array<i32>,
    classes: u32,
    dx: Maybe,
    scale: f64,
    ignore_index: i32,
    label_smoothing: f64,
    temperature: f64,
    p0: f64,
    p1: f64,
    weight: Maybe,
    grad_output: Maybe,
    out: Maybe,
) -> Result<f64> {
    let (x, labels, dx) = (x.get(), labels.get(), dx.get());
    separate(dx, x, labels)?;
    let args = softmax::Args {
        x,
        labels,
        classes: classes as usize,
        dx,
        out: out.get(),
        weight: weight.get(),
        grad_output: grad_output.get(),
        scale: scale as f32,
        ignore_index,
        label_smoothing: label_smoothing as f32,
        temperature: temperature as f32,
        sum: 0.0,
        params: [p0 as f32, p1 as f32],
    };
    Ok(softmax::softmax(level(), op as usize, args))
}
