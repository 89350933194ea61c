//! The N-API addon: one function per family and call shape, none per loss. Scalars travel as numbers and a bare number
//! comes back, since an object costs more than a small kernel. `ts/backend/native.ts` is its only caller.

mod array;
mod direct;
mod threads;

use array::{AnyArray, Array, MaybeArray};
use core::cell::Cell;
use core::ffi::CStr;
use direct::{Call, Exports, Function, LABELS, MASK, MASK_INNER, MOST_IGNORED, SAMPLE, TARGET};
use fused_loss_core::expression::{self, OPERANDS, Program, Raw};
use fused_loss_core::family::domain;
use fused_loss_core::family::pointwise::{self, Extra};
use fused_loss_core::family::positions::{Mask, Positions, Values};
use fused_loss_core::family::region;
use fused_loss_core::family::softmax;
use fused_loss_core::family::stream::Stream;
use fused_loss_core::loss::{Agreement, REGISTRY};
use fused_loss_core::share::Share;
use fused_loss_core::simd::{Cells, Level, overlap};
use napi::bindgen_prelude::Object;
use napi::{Env, Error, Result, Status};
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

/// Threads that this process may use at the same time: its cores, or what its control group leaves of them.
#[napi]
pub fn available_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
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

/// Exports the functions that do without the glue of napi-rs.
#[napi(module_exports)]
pub fn export(exports: Object, env: Env) -> Result<()> {
    let direct = Exports::new(env, exports)?;
    direct.function::<FirstOutside, _>()?;
    direct.function::<KeptWeight, _>()?;
    direct.function::<Pointwise, _>()?;
    direct.function::<PointwiseGeneral, _>()?;
    direct.function::<Softmax, _>()?;
    direct.function::<SoftmaxGeneral, _>()?;
    direct.function::<Region, _>()?;
    direct.function::<FewArrays, _>()?;
    direct.function::<ManyArrays, _>()
}

/// Which positions count: labels and mask of a call, in the arguments of these numbers, and what is ignored of the labels.
struct Marks {
    labels: Option<AnyArray>,
    mask: Option<AnyArray>,
    /// Neighbouring positions that share a value of the mask.
    inner: usize,
    ignored: ([i32; MOST_IGNORED], usize),
}

impl Marks {
    fn new<const N: usize>(call: &Call<N>, labels: usize, mask: usize) -> Result<Self> {
        Ok(Self {
            labels: call.any(labels, LABELS)?,
            mask: call.any(mask, MASK)?,
            inner: call.number(MASK_INNER) as usize,
            ignored: call.ignored(),
        })
    }

    fn get(&self) -> Positions<'_> {
        let (ignored, count) = &self.ignored;
        Positions {
            labels: self.labels.as_ref().map(AnyArray::get),
            ignored: &ignored[..*count],
            mask: self.mask.as_ref().map(|mask| Mask {
                values: mask.get(),
                inner: self.inner,
            }),
        }
    }
}

/// Sum of the values of x and t, and the gradient into dx, where it is given. Numbers: op, scale, aux, p0, p1.
struct Pointwise;

impl Function<3> for Pointwise {
    const NAME: &'static CStr = c"pointwise";

    fn run(call: &Call<3>) -> Result<f64> {
        let (x, t, dx): (Floats, Floats, Maybe) = (call.array(0)?, call.array(1)?, call.maybe(2)?);
        let (x, t, dx) = (x.get(), t.get(), dx.get());
        separate(dx, x, t)?;
        let args = pointwise::Args {
            x,
            t: Values::F32(t),
            dx,
            scale: call.number(1),
            aux: call.number(2) as f32,
            sum: 0.0,
            params: [call.number(3) as f32, call.number(4) as f32],
            share: Share::ALL,
            extra: None,
        };
        Ok(run_pointwise(call, args))
    }
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

/// Elements that a thread should have at least, where each costs an exponential, and where it is little more than memory.
/// Below twice as many the second thread gains less than it takes to wake it: `npm run bench -- --threads 2`.
const SOME: usize = 50_000;
const MANY: usize = 200_000;

fn run_pointwise<const N: usize>(call: &Call<N>, args: pointwise::Args) -> f64 {
    let op = call.number(0) as usize;
    let exact = REGISTRY
        .get(op)
        .is_some_and(|row| row.agreement == Agreement::Exact);
    let least = if exact { MANY } else { SOME };
    let threads = call.threads(args.x.len(), least, args.units());
    let run = |share: Share| pointwise::pointwise(level(), op, pointwise::Args { share, ..args });
    // SAFETY: an element has a place of its own in all arrays that are written, and the kernels read those arrays nowhere else;
    // the facade refuses others that overlap.
    unsafe { on_threads(threads, args.units(), run) }
}

/// Runs a call whose units have one sum each; their total.
///
/// # Safety
/// As of [`threads::run`].
unsafe fn on_threads<R: Fn(Share) -> f64>(threads: usize, units: usize, run: R) -> f64 {
    if threads == 1 {
        return run(Share::ALL);
    }
    // SAFETY: the caller's.
    let sums = unsafe { threads::run(threads, units, 1, |share| _ = run(share)) };
    sums.into_iter().fold(0.0, |total, sum| total + sum)
}

fn stream(values: &Maybe, inner: usize) -> Option<Stream<'_>> {
    values.get().map(|values| Stream {
        values,
        inner,
        start: 0,
    })
}

/// The same with a target of any type, and any combination of streams and outputs. Two numbers more: neighbouring elements of a
/// class, and whether dx is added to.
struct PointwiseGeneral;

impl Function<11> for PointwiseGeneral {
    const NAME: &'static CStr = c"pointwiseGeneral";

    fn run(call: &Call<11>) -> Result<f64> {
        let (x, dx): (Floats, Maybe) = (call.array(0)?, call.maybe(2)?);
        let t = target(call.any(1, TARGET)?)?;
        let (sample_weight, marks) = (call.maybe(8)?, Marks::new(call, 9, 10)?);
        let (weight, aux): (Maybe, Maybe) = (call.maybe(3)?, call.maybe(4)?);
        let (grad_output, dt, out): (Maybe, Maybe, Maybe) =
            (call.maybe(5)?, call.maybe(6)?, call.maybe(7)?);
        let extra = Extra {
            weight: stream(&weight, 1),
            sample_weight: stream(&sample_weight, call.number(SAMPLE) as usize),
            marks: marks.get(),
            aux: stream(&aux, call.number(5) as usize),
            grad_output: grad_output.get(),
            dt: dt.get(),
            out: out.get(),
            accumulate: call.number(6) != 0.0,
        };
        let args = pointwise::Args {
            x: x.get(),
            t: t.get(),
            dx: dx.get(),
            scale: call.number(1),
            aux: call.number(2) as f32,
            sum: 0.0,
            params: [call.number(3) as f32, call.number(4) as f32],
            share: Share::ALL,
            extra: extra.needed().then_some(extra),
        };
        Ok(run_pointwise(call, args))
    }
}

/// A target that must be there.
fn target(array: Option<AnyArray>) -> Result<AnyArray> {
    array.ok_or_else(|| Error::new(Status::InvalidArg, "no target"))
}

/// Index of the first value that counts and is not in a range, NaN included, or −1. Numbers: low, high.
struct FirstOutside;

impl Function<3> for FirstOutside {
    const NAME: &'static CStr = c"firstOutside";

    fn run(call: &Call<3>) -> Result<f64> {
        let (values, marks) = (target(call.any(0, TARGET)?)?, Marks::new(call, 1, 2)?);
        let (low, high) = (call.number(0) as f32, call.number(1) as f32);
        let outside = domain::first_outside(level(), values.get(), marks.get(), low, high);
        Ok(outside.map_or(-1.0, |i| i as f64))
    }
}

/// Total weight of the positions that count, or −1 − i where label i is no class. Numbers: positions, classes.
struct KeptWeight;

impl Function<4> for KeptWeight {
    const NAME: &'static CStr = c"keptWeight";

    fn run(call: &Call<4>) -> Result<f64> {
        let marks = Marks::new(call, 0, 1)?;
        let (weight, own): (Maybe, Maybe) = (call.maybe(2)?, call.maybe(3)?);
        let (positions, classes) = (call.number(0) as usize, call.number(1) as usize);
        let own = stream(&own, call.number(SAMPLE) as usize);
        Ok(marks.get().weight(positions, classes, weight.get(), own))
    }
}

/// Sum of the rows' values, and the gradient into dx, where it is given: rows of scores with class indices. Numbers: op, scale,
/// classes, ignoreIndex, labelSmoothing, temperature, p0.
struct Softmax;

impl Function<3> for Softmax {
    const NAME: &'static CStr = c"softmax";

    fn run(call: &Call<3>) -> Result<f64> {
        let (x, labels): (Floats, Array<i32>) = (call.array(0)?, call.array(1)?);
        let dx: Maybe = call.maybe(2)?;
        separate(dx.get(), x.get(), labels.get())?;
        let (ignored, count) = call.ignored();
        let marks = Positions::new(labels.get(), &ignored[..count]);
        let args = softmax_args(call, x.get(), marks, dx.get());
        Ok(run_softmax(call, args))
    }
}

/// The same for any class axis and target, with any combination of streams and outputs. Two numbers more: positions whose
/// scores for a class are neighbours, and whether dx is added to.
struct SoftmaxGeneral;

impl Function<10> for SoftmaxGeneral {
    const NAME: &'static CStr = c"softmaxGeneral";

    fn run(call: &Call<10>) -> Result<f64> {
        let (x, marks): (Floats, Marks) = (call.array(0)?, Marks::new(call, 1, 9)?);
        let (dx, target): (Maybe, Maybe) = (call.maybe(2)?, call.maybe(3)?);
        let (weight, sample_weight): (Maybe, Maybe) = (call.maybe(4)?, call.maybe(5)?);
        let (grad_output, dt, out): (Maybe, Maybe, Maybe) =
            (call.maybe(6)?, call.maybe(7)?, call.maybe(8)?);
        let extra = softmax::Extra {
            inner: call.number(7) as usize,
            target: target.get(),
            sample_weight: stream(&sample_weight, call.number(SAMPLE) as usize),
            dt: dt.get(),
            accumulate: call.number(8) != 0.0,
        };
        let args = softmax::Args {
            out: out.get(),
            weight: weight.get(),
            grad_output: grad_output.get(),
            extra: extra.needed().then_some(extra),
            ..softmax_args(call, x.get(), marks.get(), dx.get())
        };
        Ok(run_softmax(call, args))
    }
}

fn softmax_args<'a, const N: usize>(
    call: &Call<N>,
    x: Cells<'a>,
    marks: Positions<'a>,
    dx: Option<Cells<'a>>,
) -> softmax::Args<'a> {
    softmax::Args {
        x,
        marks,
        classes: call.number(2) as usize,
        dx,
        out: None,
        weight: None,
        grad_output: None,
        scale: call.number(1),
        label_smoothing: call.number(4) as f32,
        temperature: call.number(5) as f32,
        sum: 0.0,
        params: [call.number(6) as f32, 0.0],
        share: Share::ALL,
        extra: None,
    }
}

fn run_softmax<const N: usize>(call: &Call<N>, args: softmax::Args) -> f64 {
    let op = call.number(0) as usize;
    let run = |share: Share| softmax::softmax(level(), op, softmax::Args { share, ..args });
    let threads = call.threads(args.x.len(), SOME, args.units());
    // SAFETY: a position has elements of its own in all arrays that are written, and the kernels read those arrays nowhere else;
    // the facade refuses others that overlap.
    unsafe { on_threads(threads, args.units(), run) }
}

/// A pass of a region loss: adds to the sums, where they are given, with the sum of the part's values as result, and keeps
/// what it can in dx; otherwise writes the gradient by way of the planes' numbers into dx. Numbers: op of the part or −1, its
/// scale, classes, ignoreIndex, labelSmoothing, positions of a sample, whether classes are last, activation, squared, p0, p1,
/// aux, whether dx is added to, whether it is the gradient by the target.
struct Region;

impl Function<10> for Region {
    const NAME: &'static CStr = c"region";

    fn run(call: &Call<10>) -> Result<f64> {
        let (x, marks): (Floats, Marks) = (call.array(0)?, Marks::new(call, 1, 9)?);
        let target = call.any(2, TARGET)?;
        let sample_weight: Maybe = call.maybe(8)?;
        let sums: MaybeArray<Cell<f64>> = call.maybe(3)?;
        let (planes, dx): (Maybe, Maybe) = (call.maybe(4)?, call.maybe(5)?);
        let (auxs, weight): (Maybe, Maybe) = (call.maybe(6)?, call.maybe(7)?);
        let part = (call.number(0) >= 0.0).then(|| region::Part {
            op: call.number(0) as usize,
            params: [call.number(9) as f32, call.number(10) as f32],
            aux: call.number(11) as f32,
            auxs: auxs.get(),
            weight: weight.get(),
            sample_weight: sample_weight.get(),
            label_smoothing: call.number(4) as f32,
            scale: call.number(1) as f32,
        });
        let args = region::Args {
            x: x.get(),
            target: target.as_ref().map(AnyArray::get),
            marks: marks.get(),
            classes: call.number(2) as usize,
            positions: call.number(5) as usize,
            classes_last: call.number(6) != 0.0,
            activation: region::Activation::from_number(call.number(7) as u32),
            squared: call.number(8) != 0.0,
            part,
            share: Share::ALL,
        };
        let pass = match (sums.get(), planes.get(), dx.get()) {
            (Some(sums), _, keep) => region::Pass::Sums { sums, keep },
            (_, Some(planes), Some(dt)) if call.number(13) != 0.0 => {
                region::Pass::TargetGradient { planes, dt }
            }
            (_, Some(planes), Some(dx)) => region::Pass::Gradient {
                planes,
                dx,
                accumulate: call.number(12) != 0.0,
            },
            _ => {
                let message = "neither sums nor a gradient to compute";
                return Err(Error::new(Status::InvalidArg, message));
            }
        };
        let run = |share: Share| region::region(level(), region::Args { share, ..args }, pass);
        let little = args.activation == region::Activation::None;
        let least = if little { MANY } else { SOME };
        let threads = match args.x.len() {
            0 => 1,
            n => call.threads(n, least, args.units()),
        };
        if threads == 1 {
            return Ok(run(Share::ALL));
        }
        let numbers = match pass {
            region::Pass::Sums { .. } => args.sums_of_unit(),
            _ => 0,
        };
        // SAFETY: a position has elements of its own in all arrays that are written but for the sums, which the shares leave to
        // this thread; the facade refuses arrays that overlap.
        let mut left =
            unsafe { threads::run(threads, args.units(), numbers, |share| _ = run(share)) };
        let left = Cell::from_mut(&mut left[..]).as_slice_of_cells();
        Ok(match pass {
            region::Pass::Sums { sums, .. } => region::add_up(args, left, sums),
            _ => 0.0,
        })
    }
}

/// Arrays of a call of a program: its code, the uniforms, inputs, gradients, and those that a call may have beside them.
const FEW_ARRAYS: usize = 10;
const MANY_ARRAYS: usize = 2 + OPERANDS + 6;

/// Rows times instructions that a thread should have at least: an instruction of a row takes about as long as any other, and the
/// arrays of short programs as long as some.
const INSTRUCTIONS: usize = 600_000;

/// A call of a program with few arrays. Arguments cost time even where they are not given.
struct FewArrays;

impl Function<FEW_ARRAYS> for FewArrays {
    const NAME: &'static CStr = c"expression";

    fn run(call: &Call<FEW_ARRAYS>) -> Result<f64> {
        run_expression(call)
    }
}

/// A call of a program with any number of arrays.
struct ManyArrays;

impl Function<MANY_ARRAYS> for ManyArrays {
    const NAME: &'static CStr = c"expressionOfMany";

    fn run(call: &Call<MANY_ARRAYS>) -> Result<f64> {
        run_expression(call)
    }
}

/// Streams of a call, as bits of the number that says which of them follow the gradients, in this order.
const WEIGHT: u32 = 1;
const SAMPLE_WEIGHT: u32 = 2;
const GRAD_OUTPUT: u32 = 4;
const OUT: u32 = 8;
const LABELS_OF_ROWS: u32 = 16;
const MASK_OF_ROWS: u32 = 32;

/// Sum of the values of a program, and its gradients. Numbers: rows, registers, inputs, gradients; whether the program is raw, scale,
/// whether there is a value, which streams there are, whether the first gradient is added to.
fn run_expression<const N: usize>(call: &Call<N>) -> Result<f64> {
    let number = |i: usize| call.number(i) as usize;
    let (rows, inputs, grads) = (number(0), number(2), number(3));
    if rows == 0 {
        return Ok(0.0);
    }
    let error = |message: String| Error::new(Status::InvalidArg, message);
    if inputs.saturating_add(grads) > OPERANDS.min(N - 2) {
        return Err(error(format!("{inputs} inputs and {grads} gradients")));
    }
    let (code, uniforms): (Array<u8>, Floats) = (call.array(0)?, call.array(1)?);
    let mut arrays: [Cells; OPERANDS] = [&[]; OPERANDS];
    let mut columns = [0; OPERANDS];
    // The elements live as long as the call, and so must what holds them.
    let mut held: [Option<Floats>; OPERANDS] = [const { None }; OPERANDS];
    for (i, held) in held.iter_mut().enumerate().take(inputs + grads) {
        *held = Some(call.array(2 + i)?);
    }
    for ((array, columns), held) in arrays.iter_mut().zip(&mut columns).zip(&held) {
        let Some(held) = held else { break };
        *array = held.get();
        // A rest of a row is found where the lengths are checked.
        *columns = array.len() / rows;
    }
    let (input_columns, rest) = columns.split_at(inputs);
    let grad_columns = &rest[..grads];
    let is_raw = call.number(4) != 0.0;
    let which = if is_raw { call.number(7) as u32 } else { 0 };
    let mut next = 2 + inputs + grads;
    let mut place = |bit: u32| {
        let there = which & bit != 0;
        next += usize::from(there);
        if there { next - 1 } else { N }
    };
    let streams = [WEIGHT, SAMPLE_WEIGHT, GRAD_OUTPUT, OUT].map(&mut place);
    let [weight, sample_weight, grad_output, out] = streams.map(|i| call.maybe(i));
    let (weight, sample_weight): (Maybe, Maybe) = (weight?, sample_weight?);
    let (grad_output, out): (Maybe, Maybe) = (grad_output?, out?);
    let [labels, mask] = [LABELS_OF_ROWS, MASK_OF_ROWS].map(&mut place);
    let marks = if which & (LABELS_OF_ROWS | MASK_OF_ROWS) == 0 {
        None
    } else {
        Some(Marks::new(call, labels, mask)?)
    };
    let value = call.number(6) != 0.0;
    let raw = is_raw.then(|| Raw {
        columns: grad_columns,
        value,
        scale: call.number(5),
        weight: stream(&weight, 1),
        sample_weight: stream(&sample_weight, call.number(SAMPLE) as usize),
        marks: marks.as_ref().map_or_else(Positions::default, Marks::get),
        grad_output: grad_output.get(),
        out: out.get(),
        accumulate: call.number(8) != 0.0,
    });
    let ones = [1; OPERANDS];
    let outputs = match raw {
        None => grad_columns,
        Some(_) => {
            let slopes = grad_columns.iter().sum::<usize>() + usize::from(value);
            let outputs = ones.get(..slopes);
            outputs.ok_or_else(|| error(format!("{slopes} slopes and values")))?
        }
    };
    let (code, uniforms) = (code.get(), uniforms.get());
    let program = Program::new(code, number(1), uniforms.len(), input_columns, outputs);
    let (inputs, grads) = arrays[..inputs + grads].split_at(inputs);
    let args = expression::Args {
        program: program.map_err(error)?,
        uniforms,
        inputs,
        grads,
        rows,
        block: 0,
        sum: 0.0,
        share: Share::ALL,
        raw,
    };
    let instructions = code.len() / expression::INSTRUCTION;
    let least = (INSTRUCTIONS / instructions.max(1)).min(MANY);
    let threads = call.threads(rows, least, args.units());
    let run = |share: Share| expression::expression(level(), &expression::Args { share, ..args });
    // SAFETY: a row has elements of its own in all arrays that are written, and those arrays are read nowhere else; the front end
    // refuses others that overlap.
    Ok(unsafe { on_threads(threads, args.units(), run) })
}
