//! What single precision cannot hold: (3·10³⁸)² is ∞, and ∞ · 0 is NaN, though the mean, or the product with a factor, may be a float.
//! Such rows are computed again by the same instructions over one `f64` for each operand.
//!
//! What single precision holds stays as it is, so that no row's bits depend on its neighbours.

use super::formula::Tail;
use super::interpreter::Call;
use super::program::{
    Instruction, Machine, PLACES, column, destination, fifth, quad, sources, step,
};
use crate::simd::{Cells, Double, LANES, Map};
use crate::sum::FOUR;
use core::ops::Range;

/// Writes those gradients of a unit anew that are not finite; the sum of the values whose fours are `large`, as bits.
#[cold]
#[inline(never)]
pub(super) fn unit(call: &Call, rows: Range<usize>, large: u32) -> f64 {
    let args = call.args;
    let outputs = args.program.outputs();
    let mut sum = 0.0;
    for vector in rows.clone().step_by(LANES) {
        let large = is_large(large, vector - rows.start);
        for row in vector..rows.end.min(vector + LANES) {
            let is_lost = |(grad, &columns): (&Cells, &usize)| {
                let own = &grad[row * columns..(row + 1) * columns];
                own.iter().any(|element| !element.get().is_finite())
            };
            if large || args.grads.iter().zip(outputs).any(is_lost) {
                let doubles = Doubles::of(call, rows.start, row);
                for (k, grad) in args.grads.iter().enumerate() {
                    if outputs[k] == 1 {
                        mend(&grad[row..=row], 0, doubles.output(k));
                    }
                }
                if large {
                    sum += doubles.sum;
                }
            }
        }
    }
    sum
}

/// Whether a row of a unit is in one of the fours that these bits are.
pub(super) fn is_large(fours: u32, row: usize) -> bool {
    fours >> (row / (FOUR * LANES)) & 1 == 1
}

/// Writes an element that is not finite.
fn mend(row: Cells, column: usize, double: f64) {
    if !row[column].get().is_finite() {
        row[column].set(double as f32);
    }
}

/// One row, its operands in double precision.
pub(super) struct Doubles<'a> {
    call: &'a Call<'a>,
    operands: [f64; PLACES],
    /// The row's value, where it is added up.
    sum: f64,
    /// The first row of the unit, and this one.
    unit: usize,
    row: usize,
}

impl<'a> Doubles<'a> {
    /// Runs the program.
    pub fn of(call: &'a Call<'a>, unit: usize, row: usize) -> Self {
        let program = &call.args.program;
        let mut operands = [0.0; PLACES];
        let uniforms = operands[program.registers()..].iter_mut();
        for (to, uniform) in uniforms.zip(call.args.uniforms) {
            *to = uniform.get().into();
        }
        for (k, &columns) in program.inputs().iter().enumerate() {
            if columns == 1 {
                let element = call.input(k, unit)[row - unit].get();
                operands[program.first_input() + k] = element.into();
            }
        }
        let mut doubles = Self {
            call,
            operands,
            sum: 0.0,
            unit,
            row,
        };
        for instruction in program.code() {
            step(&mut doubles, instruction);
        }
        doubles
    }

    /// Output k, which has one column.
    pub fn output(&self, k: usize) -> f64 {
        self.operands[self.call.args.program.first_output() + k]
    }

    fn sources<const N: usize>(&self, instruction: &Instruction) -> [f64; N] {
        sources(instruction).map(|operand| self.operands[operand])
    }

    fn load(&mut self, instruction: &Instruction, column: usize, to: usize) {
        let k = fifth(instruction) - self.call.args.program.first_input();
        let columns = self.call.args.program.inputs()[k];
        let at = (self.row - self.unit) * columns + column;
        self.operands[to] = self.call.input(k, self.unit)[at].get().into();
    }

    fn store(&self, instruction: &Instruction, column: usize, from: usize) {
        let k = fifth(instruction) - self.call.args.program.first_output();
        let columns = self.call.args.program.outputs()[k];
        let row = &self.call.args.grads[k][self.row * columns..(self.row + 1) * columns];
        mend(row, column, self.operands[from]);
    }
}

impl Machine for Doubles<'_> {
    fn map<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction) {
        let [value] = f.eval(Double, self.sources(instruction));
        self.operands[destination(instruction)] = value;
    }

    fn sum<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction) {
        [self.sum] = f.eval(Double, self.sources(instruction));
    }

    fn split<F: Map<2, M>, const M: usize>(
        &mut self,
        f: F,
        instruction: &Instruction,
        first: usize,
    ) {
        let x = self.operands[fifth(instruction)];
        let [tail] = Tail.eval(Double, [x]);
        let to = &quad(instruction)[first..];
        for (&to, value) in to.iter().zip(f.eval(Double, [x, tail])) {
            self.operands[to] = value;
        }
    }

    fn load4(&mut self, instruction: &Instruction) {
        for (column, to) in quad(instruction).into_iter().enumerate() {
            self.load(instruction, column, to);
        }
    }

    fn store4(&mut self, instruction: &Instruction) {
        for (column, from) in quad(instruction).into_iter().enumerate() {
            self.store(instruction, column, from);
        }
    }

    fn load_column(&mut self, instruction: &Instruction) {
        self.load(instruction, column(instruction), destination(instruction));
    }

    fn store_column(&mut self, instruction: &Instruction) {
        let [from] = sources(instruction);
        self.store(instruction, column(instruction), from);
    }
}
