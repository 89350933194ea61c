//! The loop over blocks of rows.
//!
//! A register is a strip of memory in the first-level cache, with a number for each row of a block. For every block, and for every
//! instruction, the operation chooses one loop over the strips of its operands: what the choice costs is shared by 256 rows or more.
//! Inputs and outputs are operands like registers and are used where they lie, without a copy, but for
//!
//! - the last blocks of a call, since a strip of fixed length would reach behind the array: these have strips of their own;
//! - inputs that a gradient is written over, since a block may have to be computed again ([`super::precise`]): the copy is read;
//! - rows of several columns, which instructions of their own read and write.
//!
//! A unit of 1,024 rows is some blocks. At its end its values add up by fours, as all losses add them ([`sum_of_fours`]), and what has left
//! the range of single precision is computed again row by row in double ([`precise`]). Where weights or masks come in, the program
//! gives values and slopes of a unit, and [`super::raw`] makes sums and gradients of them. Units add up in double precision. Results do not
//! depend on the length of a block.

use super::formula::Tail;
use super::precise;
use super::program::{
    Instruction, Machine, OPERANDS, PLACES, Program, VALUES, column, destination, fifth, quad,
    sources, step, without_sum,
};
use super::raw::{Epilogue, Raw};
use crate::share::{Share, Total};
use crate::simd::{Cells, Chunk, Kernel, LANES, Level, Map, STRIP, Simd, Strip, cells, one_by_one};
use crate::sum::{BLOCK, FOUR, Fours, sum_of_fours};
use core::cell::RefCell;
use core::ops::Range;

/// Elements of a strip: the rows of the longest block.
const LONGEST: usize = STRIP * LANES;

/// Registers and uniforms of a program whose blocks may be the longest. Beyond it the strips of one would not fit a first-level cache
/// of 32 KiB beside inputs and outputs, and blocks have half as many rows.
const FEW: usize = 14;

/// Rows from which on the arrays of a call are more than a second-level cache holds, so that it pays to ask for the next block.
const FAR: usize = 1 << 19;

/// Elements of scratch that a thread keeps from call to call: 1 MiB.
const KEPT: usize = 1 << 18;

/// One call. Arrays have the number of rows times their columns.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// What to run.
    pub program: Program<'a>,
    /// Values of the uniforms.
    pub uniforms: Cells<'a>,
    /// Inputs.
    pub inputs: &'a [Cells<'a>],
    /// Gradients. Each may be the memory of one input, which the program reads no more after it has written the gradient.
    pub grads: &'a [Cells<'a>],
    /// Number of rows.
    pub rows: usize,
    /// Rows of a block, a multiple of 64 that divides 1,024 and is no more than 512; 0 where it does not matter.
    pub block: usize,
    /// The sum of what came before, when a caller passes its memory piece by piece in whole units of 1,024 rows.
    pub sum: f64,
    /// Which units to compute.
    pub share: Share<'a>,
    /// Where the program gives values and slopes, what is done with them. Without it its outputs are the gradients.
    pub raw: Option<Raw<'a>>,
}

impl Args<'_> {
    /// Units of the whole call.
    #[must_use]
    pub fn units(&self) -> usize {
        self.rows.div_ceil(BLOCK)
    }

    /// What is wrong with the arrays, which are missing or of another length than they should be.
    pub(super) fn check(&self) -> Result<(), String> {
        let program = &self.program;
        let (inputs, outputs) = (program.inputs(), program.outputs());
        let fit = |arrays: &[Cells], columns: &[usize]| {
            let mut both = arrays.iter().zip(columns);
            arrays.len() == columns.len()
                && both.all(|(array, columns)| array.len() == self.rows * columns)
        };
        let fits = match &self.raw {
            None => fit(self.grads, outputs),
            Some(raw) => {
                let slopes: usize = raw.columns.iter().sum();
                fit(self.grads, raw.columns)
                    && raw.fits(self.rows)
                    && outputs.len() == slopes + usize::from(raw.value)
                    && outputs.iter().all(|&columns| columns == 1)
                    && !program.sums()
            }
        };
        if self.uniforms.len() != program.uniforms() || !fit(self.inputs, inputs) {
            return Err("not the uniforms or inputs of the program".into());
        }
        if !fits {
            return Err("not the outputs of the program".into());
        }
        Ok(())
    }

    /// Rows of a block.
    fn rows_of_block(&self) -> usize {
        let operands = self.program.registers() + self.program.uniforms();
        match self.block {
            0 if operands <= FEW => LONGEST,
            0 => LONGEST / 2,
            block => {
                let whole = block.is_multiple_of(FOUR * LANES) && BLOCK.is_multiple_of(block);
                assert!(whole && block <= LONGEST, "no length of a block");
                block
            }
        }
    }
}

/// Runs a program; the sum of its values.
///
/// # Panics
/// Where an array is missing or of another length than it should be.
#[must_use]
pub fn expression(level: Level, args: &Args) -> f64 {
    thread_local! {
        // Not of each call: to have so much memory and clear it takes longer than short calls do.
        static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
    }
    if let Err(reason) = args.check() {
        panic!("{reason}");
    }
    SCRATCH.with_borrow_mut(|scratch| {
        let block = args.rows_of_block();
        let places = Places::new(args, block);
        let needed = places.end + LONGEST + LANES;
        if scratch.len() < needed {
            *scratch = vec![0.0; needed];
        }
        // A strip begins with a line of the cache.
        let first = scratch.as_ptr().addr() / size_of::<f32>() % LANES;
        let memory = &cells(scratch)[(LANES - first) % LANES..];
        let sum = level.run(Interpreter {
            call: &Call::new(args, block, &places, memory),
        });
        if scratch.len() > KEPT {
            *scratch = Vec::new();
        }
        sum
    })
}

/// Where operands have memory of their own in the scratch.
struct Places {
    strips: [usize; PLACES],
    /// Of an input, where a copy of a whole unit is, if there is one.
    old: [Option<usize>; OPERANDS],
    factors: [usize; 3],
    end: usize,
}

impl Places {
    fn new(args: &Args, block: usize) -> Self {
        let Args { program, rows, .. } = args;
        let longest = |most: usize| most.min(rows.next_multiple_of(FOUR * LANES));
        let mut places = Self {
            strips: [0; PLACES],
            old: [None; OPERANDS],
            factors: [0; 3],
            end: 0,
        };
        let inputs = program.first_input();
        let outputs = program.first_output();
        for operand in 0..inputs {
            places.strips[operand] = places.take(longest(block));
        }
        for (k, &columns) in program.inputs().iter().enumerate() {
            let is_input = |grad: &Cells| core::ptr::eq(*grad, args.inputs[k]);
            if args.grads.iter().any(is_input) {
                places.old[k] = Some(places.take(columns * longest(BLOCK)));
            } else if columns == 1 {
                places.strips[inputs + k] = places.take(longest(block));
            }
        }
        for (k, &columns) in program.outputs().iter().enumerate() {
            if columns == 1 {
                let most = if args.raw.is_some() { BLOCK } else { block };
                places.strips[outputs + k] = places.take(longest(most));
            }
        }
        places.strips[usize::from(VALUES)] = places.take(longest(block));
        if args.raw.is_some() {
            places.factors = [(); 3].map(|()| places.take(longest(BLOCK)));
        }
        places
    }

    fn take(&mut self, elements: usize) -> usize {
        let at = self.end;
        self.end += elements;
        at
    }
}

/// A call, and its scratch.
pub(super) struct Call<'a> {
    pub args: &'a Args<'a>,
    /// Rows of a block.
    block: usize,
    /// The strip of each operand that has one.
    own: [&'a Strip; PLACES],
    /// Copies of the inputs that gradients are written over, from the first row of a unit on.
    old: [Option<Cells<'a>>; OPERANDS],
    /// Slopes and values of a unit.
    pub results: [Cells<'a>; OPERANDS],
    /// Weight of the rows of a unit, factor of their gradients, and whether they count.
    pub factors: [Cells<'a>; 3],
}

impl<'a> Call<'a> {
    fn new(args: &'a Args<'a>, block: usize, places: &Places, memory: Cells<'a>) -> Self {
        let program = &args.program;
        let mut own = [strip(memory); PLACES];
        let all = program.first_output() + program.outputs().len();
        for operand in (0..all).chain([usize::from(VALUES)]) {
            own[operand] = strip(&memory[places.strips[operand]..]);
        }
        let mut results: [Cells; OPERANDS] = [&[]; OPERANDS];
        if args.raw.is_some() {
            for (k, results) in results.iter_mut().take(program.outputs().len()).enumerate() {
                *results = &memory[places.strips[program.first_output() + k]..];
            }
        }
        let longest = block.min(args.rows.next_multiple_of(2 * LANES));
        for (uniform, own) in args.uniforms.iter().zip(&own[program.registers()..]) {
            let own = &own.as_flattened()[..longest];
            own.iter().for_each(|element| element.set(uniform.get()));
        }
        Self {
            args,
            block,
            own,
            old: places.old.map(|at| at.map(|at| &memory[at..])),
            results,
            factors: places.factors.map(|at| &memory[at..]),
        }
    }

    /// Input k of the rows from the first one of a unit on.
    pub fn input(&self, k: usize, unit: usize) -> Cells<'a> {
        let columns = self.args.program.inputs()[k];
        self.old[k].unwrap_or(&self.args.inputs[k][unit * columns..])
    }
}

#[inline(always)]
fn strip(memory: Cells<'_>) -> &Strip {
    memory
        .as_chunks::<LANES>()
        .0
        .first_chunk()
        .expect("memory for a strip")
}

struct Interpreter<'a> {
    call: &'a Call<'a>,
}

impl Kernel for Interpreter<'_> {
    type Out = f64;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f64 {
        interpret(s, self.call)
    }
}

#[inline(always)]
fn interpret<S: Simd>(s: S, call: &Call) -> f64 {
    let args = call.args;
    let program = &args.program;
    let (first_input, first_output) = (program.first_input(), program.first_output());
    let mut fours = Fours::new();
    let fours = fours.zeros(args.rows.min(BLOCK).div_ceil(FOUR * LANES));
    let mut vectors = Vectors {
        s,
        call,
        operands: call.own,
        rows: 0..0,
        count: 0,
        fours,
    };
    let mut total = Total::new(args.share, args.sum);
    let all = args.share.elements(BLOCK, args.rows);
    let mut unit = all.start;
    while unit < all.end {
        let end = all.end.min(unit + BLOCK);
        let mut start = unit;
        while start < end {
            let rows = start..end.min(start + call.block);
            let count = rows.len();
            // A strip may be longer than the block.
            let staged = count < call.block || start + LONGEST > args.rows;
            for (k, (input, &columns)) in args.inputs.iter().zip(program.inputs()).enumerate() {
                let from = &input[rows.start * columns..rows.end * columns];
                let operand = &mut vectors.operands[first_input + k];
                if let Some(old) = call.old[k] {
                    let old = &old[(start - unit) * columns..];
                    copy(s, from, old);
                    if columns == 1 {
                        *operand = strip(old);
                    }
                } else if columns == 1 {
                    *operand = if staged {
                        copy(s, from, call.own[first_input + k].as_flattened());
                        call.own[first_input + k]
                    } else {
                        strip(&input[start..])
                    };
                }
            }
            if args.raw.is_some() {
                let results = call.results.iter().take(program.outputs().len());
                for (k, results) in results.enumerate() {
                    vectors.operands[first_output + k] = strip(&results[start - unit..]);
                }
            } else {
                for (k, output) in args.grads.iter().enumerate() {
                    if program.outputs()[k] == 1 {
                        vectors.operands[first_output + k] = if staged {
                            call.own[first_output + k]
                        } else {
                            strip(&output[start..])
                        };
                    }
                }
            }
            if args.rows >= FAR && !staged {
                ask_for_next(s, args, start, count);
            }
            vectors.rows = rows.clone();
            vectors.count = count.div_ceil(LANES);
            vectors.fours = &fours[(start - unit) / (FOUR * LANES)..];
            let apart = S::COMPACT || count % (FOUR * LANES) != 0;
            for instruction in program.code() {
                let alone = if apart {
                    without_sum(instruction)
                } else {
                    None
                };
                step(&mut vectors, alone.as_ref().unwrap_or(instruction));
                if alone.is_some() {
                    vectors.add_up();
                }
            }
            if staged && args.raw.is_none() {
                for (k, output) in args.grads.iter().enumerate() {
                    if program.outputs()[k] == 1 {
                        copy(
                            s,
                            &call.own[first_output + k].as_flattened()[..count],
                            &output[rows.clone()],
                        );
                    }
                }
            }
            start = rows.end;
        }
        let fours = &fours[..(end - unit).div_ceil(FOUR * LANES)];
        total.add(match &args.raw {
            Some(raw) => s.vectorize(Epilogue {
                raw,
                call,
                unit: unit..end,
                fours,
            }),
            None => close(s, call, unit..end, fours),
        });
        unit = end;
    }
    total.get()
}

/// The sum of a unit whose gradients are written.
#[inline(always)]
fn close<S: Simd>(s: S, call: &Call, unit: Range<usize>, fours: &[Chunk]) -> f64 {
    let (sum, large) = if call.args.program.sums() {
        sum_of_fours(s, fours, false)
    } else {
        (0.0, 0)
    };
    // 0 while all gradients are finite, NaN from then on.
    let zero = s.splat(0.0);
    let mut finite = zero;
    for (grad, &columns) in call.args.grads.iter().zip(call.args.program.outputs()) {
        let grad = &grad[unit.start * columns..unit.end * columns];
        let (whole, rest) = grad.as_chunks::<LANES>();
        for vector in whole {
            finite = s.mul_add(s.load(vector), zero, finite);
            one_by_one();
        }
        finite = s.mul_add(s.load_head(rest, 0.0), zero, finite);
    }
    if large != 0 || s.sum(finite).is_nan() {
        return sum + precise::unit(call, unit, large);
    }
    sum
}

/// Copies elements to the front of other memory.
#[inline(always)]
fn copy<S: Simd>(s: S, from: Cells, to: Cells) {
    let to = &to[..from.len()];
    let ((from, from_rest), (to, to_rest)) = (from.as_chunks::<LANES>(), to.as_chunks::<LANES>());
    for (from, to) in from.iter().zip(to) {
        s.store(to, s.load(from));
        one_by_one();
    }
    if !from_rest.is_empty() {
        s.store_head(to_rest, s.load_head(from_rest, 0.0));
    }
}

/// Asks for the block behind this one.
#[inline(always)]
fn ask_for_next<S: Simd>(s: S, args: &Args, start: usize, count: usize) {
    let arrays = args.inputs.iter().chain(args.grads);
    for array in arrays {
        let columns = array.len() / args.rows;
        let here = &array[columns * start..columns * (start + count)];
        for vector in here.as_chunks::<LANES>().0 {
            s.prefetch(vector, columns * count);
        }
    }
}

/// A block of rows.
struct Vectors<'a, S> {
    s: S,
    call: &'a Call<'a>,
    operands: [&'a Strip; PLACES],
    rows: Range<usize>,
    /// Its vectors, of which the last may be shorter.
    count: usize,
    /// Where the sums of its fours go.
    fours: &'a [Chunk],
}

impl<S: Simd> Vectors<'_, S> {
    /// Elements of the rows in an array of so many columns.
    #[inline(always)]
    fn elements(&self, columns: usize) -> Range<usize> {
        self.rows.start * columns..self.rows.end * columns
    }

    /// Adds up the values that have been computed before.
    #[inline(always)]
    fn add_up(&self) {
        let s = self.s;
        let values = &self.operands[usize::from(VALUES)][..self.count.min(STRIP)];
        let mut rest = self.rows.len();
        for (values, to) in values.chunks(FOUR).zip(self.fours) {
            let mut four = s.splat(0.0);
            for value in values {
                // What is behind the last row may be anything.
                let value = s.load(value);
                four = s.add(
                    four,
                    if rest < LANES {
                        s.head(value, rest)
                    } else {
                        value
                    },
                );
                rest = rest.saturating_sub(LANES);
            }
            s.store(to, four);
        }
    }
}

impl<S: Simd> Machine for Vectors<'_, S> {
    #[inline(always)]
    fn map<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction) {
        let to = self.operands[destination(instruction)];
        let x = sources(instruction).map(|operand| self.operands[operand]);
        self.s.each(f, [to], x, self.count);
    }

    #[inline(always)]
    fn sum<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction) {
        // The others are computed first, and then added up.
        if S::COMPACT {
            return;
        }
        let s = self.s;
        let fours = (self.count / FOUR).min(STRIP / FOUR);
        let x = sources(instruction).map(|operand| self.operands[operand]);
        let x = x.map(|x| &x.as_chunks::<FOUR>().0[..fours]);
        for (k, to) in self.fours.iter().enumerate().take(fours) {
            let mut four = s.splat(0.0);
            for j in 0..FOUR {
                let [value] = f.eval(s, x.map(|x| s.load(&x[k][j])));
                four = s.add(four, value);
            }
            s.store(to, four);
            one_by_one();
        }
    }

    #[inline(always)]
    fn split<F: Map<2, M>, const M: usize>(
        &mut self,
        f: F,
        instruction: &Instruction,
        first: usize,
    ) {
        let to = quad(instruction).map(|operand| self.operands[operand]);
        let to: [&Strip; M] = core::array::from_fn(|k| to[first + k]);
        let x = self.operands[fifth(instruction)];
        // In a pass of its own, as in the kernels written by hand: two short chains of operations overlap more than a long one.
        self.s.each(Tail, [to[0]], [x], self.count);
        self.s.each(f, to, [x, to[0]], self.count);
    }

    #[inline(always)]
    fn load4(&mut self, instruction: &Instruction) {
        let s = self.s;
        let k = fifth(instruction) - self.call.args.program.first_input();
        let rows = &self.call.args.inputs[k][self.elements(4)];
        let to = quad(instruction).map(|operand| self.operands[operand]);
        let (vectors, _) = rows.as_chunks::<LANES>().0.as_chunks::<4>();
        for (j, from) in vectors.iter().enumerate().take(STRIP) {
            for (to, column) in to.iter().zip(s.unzip4(from)) {
                s.store(&to[j], column);
            }
        }
        let done = vectors.len() * LANES;
        for (column, to) in to.into_iter().enumerate() {
            gather(&rows[4 * done..], 4, column, &to.as_flattened()[done..]);
        }
    }

    #[inline(always)]
    fn store4(&mut self, instruction: &Instruction) {
        let s = self.s;
        let k = fifth(instruction) - self.call.args.program.first_output();
        let rows = &self.call.args.grads[k][self.elements(4)];
        let from = quad(instruction).map(|operand| self.operands[operand]);
        let (vectors, _) = rows.as_chunks::<LANES>().0.as_chunks::<4>();
        for (j, to) in vectors.iter().enumerate().take(STRIP) {
            s.zip4(to, from.map(|from| s.load(&from[j])));
        }
        let done = vectors.len() * LANES;
        for (column, from) in from.into_iter().enumerate() {
            scatter(&from.as_flattened()[done..], &rows[4 * done..], 4, column);
        }
    }

    #[inline(always)]
    fn load_column(&mut self, instruction: &Instruction) {
        let Args {
            program, inputs, ..
        } = self.call.args;
        let k = fifth(instruction) - program.first_input();
        let columns = program.inputs()[k];
        let to = self.operands[destination(instruction)];
        gather(
            &inputs[k][self.elements(columns)],
            columns,
            column(instruction),
            to.as_flattened(),
        );
    }

    #[inline(always)]
    fn store_column(&mut self, instruction: &Instruction) {
        let Args { program, grads, .. } = self.call.args;
        let k = fifth(instruction) - program.first_output();
        let columns = program.outputs()[k];
        let [from] = sources(instruction).map(|operand| self.operands[operand]);
        scatter(
            from.as_flattened(),
            &grads[k][self.elements(columns)],
            columns,
            column(instruction),
        );
    }
}

/// Reads a column of some rows. One function for all instruction sets: they have no faster way.
#[inline(never)]
pub(super) fn gather(rows: Cells, columns: usize, column: usize, to: Cells) {
    for (row, to) in rows.chunks_exact(columns).zip(to) {
        to.set(row[column].get());
    }
}

/// Writes a column of some rows.
#[inline(never)]
pub(super) fn scatter(from: Cells, rows: Cells, columns: usize, column: usize) {
    for (row, from) in rows.chunks_exact(columns).zip(from) {
        row[column].set(from.get());
    }
}
