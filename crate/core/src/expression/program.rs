//! Instructions, and what makes a program of them valid.
//!
//! An instruction has eight bytes: the operation, its destination d, its sources a, b, c, e, f, and a byte that is not used. The bytes
//! of operands are numbers of 0 to 63: registers, then uniforms (numbers that are the same for all rows), then inputs, then
//! outputs. `ts/expression/operations.ts` has the same numbers for the operations, and they never change their meaning: programs have the
//! same bits for a major version.

use super::formula as of;
use crate::simd::Map;
use core::ops::Range;

/// Bytes of an instruction.
pub const INSTRUCTION: usize = 8;

/// Registers, uniforms, inputs and outputs together, at most.
pub const OPERANDS: usize = 64;

/// Operands for interpreters: those of programs, and [`VALUES`]. A power of two, so that no number of an operand needs a check.
pub(super) const PLACES: usize = 2 * OPERANDS;

/// The operand that takes the values of a block where they are added up in a pass of their own.
pub(super) const VALUES: u8 = OPERANDS as u8;

/// The operation, d, a, b, c, e, f.
pub(super) type Instruction = [u8; INSTRUCTION];

/// Sources of an instruction, in the order of its formula.
#[inline(always)]
pub(super) fn sources<const N: usize>(instruction: &Instruction) -> [usize; N] {
    const { assert!(N <= 5) };
    core::array::from_fn(|k| usize::from(instruction[2 + k]) % PLACES)
}

/// The destination of an instruction.
#[inline(always)]
pub(super) fn destination(instruction: &Instruction) -> usize {
    usize::from(instruction[1]) % PLACES
}

/// The four operands of an instruction that has more destinations than one, or reads or writes rows of four.
#[inline(always)]
pub(super) fn quad(instruction: &Instruction) -> [usize; 4] {
    core::array::from_fn(|k| usize::from(instruction[1 + k]) % PLACES)
}

/// The operand of such an instruction that is none of the four: a logit, or the input or output with several columns.
#[inline(always)]
pub(super) fn fifth(instruction: &Instruction) -> usize {
    usize::from(instruction[5]) % PLACES
}

/// The column of an instruction that reads or writes one.
#[inline(always)]
pub(super) fn column(instruction: &Instruction) -> usize {
    usize::from(instruction[4])
}

/// What runs instructions.
pub(super) trait Machine {
    /// d takes a formula of the sources.
    fn map<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction);
    /// The values of the rows, which are added up, are a formula of the sources.
    fn sum<F: Map<N, 1>, const N: usize>(&mut self, f: F, instruction: &Instruction);
    /// Some of d, a, b and c, from the first of these on, take a formula of e and of e^−|e|, where e is the source.
    fn split<F: Map<2, M>, const M: usize>(
        &mut self,
        f: F,
        instruction: &Instruction,
        first: usize,
    );
    /// d, a, b and c take the columns of input e.
    fn load4(&mut self, instruction: &Instruction);
    /// The columns of output e take d, a, b and c.
    fn store4(&mut self, instruction: &Instruction);
    /// d takes column c of input e.
    fn load_column(&mut self, instruction: &Instruction);
    /// Column c of output e takes a.
    fn store_column(&mut self, instruction: &Instruction);
}

/// What an instruction reads and writes.
enum Kind {
    /// So many sources, and d.
    Map(usize),
    /// So many sources.
    Sum(usize),
    /// A logit, and some of four destinations.
    Split(Range<usize>),
    Load4,
    Store4,
    LoadColumn,
    StoreColumn,
}

macro_rules! operations {
    (
        map { $($map:literal $map_name:literal $map_formula:ident $map_sources:literal;)* }
        sum { $($sum:literal $sum_name:literal $sum_map:literal $sum_formula:ident $sum_sources:literal;)* }
        split { $($split:literal $split_name:literal $split_formula:ident $which:expr;)* }
        $($other:literal $other_name:literal $kind:ident $method:ident;)*
    ) => {
        /// Numbers and names of all operations.
        pub const OPERATIONS: &[(u8, &str)] = &[
            $(($map, $map_name),)* $(($sum, $sum_name),)* $(($split, $split_name),)* $(($other, $other_name),)*
        ];

        fn kind(operation: u8) -> Option<Kind> {
            match operation {
                $($map => Some(Kind::Map($map_sources)),)*
                $($sum => Some(Kind::Sum($sum_sources)),)*
                $($split => Some(Kind::Split($which)),)*
                $($other => Some(Kind::$kind),)*
                _ => None,
            }
        }

        /// Of an instruction whose values are added up, the one that gives them to [`VALUES`].
        #[inline(always)]
        pub(super) fn without_sum(instruction: &Instruction) -> Option<Instruction> {
            let map = match instruction[0] {
                $($sum => $sum_map,)*
                _ => return None,
            };
            let [_, _, a, b, c, e, f, rest] = *instruction;
            Some([map, VALUES, a, b, c, e, f, rest])
        }

        /// Has a machine run an instruction.
        #[inline(always)]
        pub(super) fn step<M: Machine>(machine: &mut M, instruction: &Instruction) {
            match instruction[0] {
                $($map => machine.map::<_, $map_sources>(of::$map_formula, instruction),)*
                $($sum => machine.sum::<_, $sum_sources>(of::$sum_formula, instruction),)*
                $($split => machine.split(of::$split_formula, instruction, $which.start),)*
                $($other => machine.$method(instruction),)*
                // There is none in a program.
                _ => {}
            }
        }
    };
}

operations! {
    map {
        0 "mov" Move 1;
        1 "add" Add 2;
        2 "sub" Sub 2;
        3 "mul" Mul 2;
        4 "div" Div 2;
        5 "neg" Neg 1;
        6 "abs" Abs 1;
        7 "min" Min 2;
        8 "max" Max 2;
        9 "sqrt" Sqrt 1;
        10 "madd" MulAdd 3;
        11 "msub" MulSub 3;
        12 "nmadd" NegMulAdd 3;
        13 "fma" FMulAdd 3;
        14 "fms" FMulSub 3;
        15 "fnma" FNegMulAdd 3;
        16 "sign" Sign 1;
        17 "mulsign" MulSign 2;
        18 "lt" Less 2;
        19 "le" LessOrEqual 2;
        20 "eq" Equal 2;
        21 "sel" Select 3;
        22 "sellt" SelectLess 4;
        23 "selle" SelectLessOrEqual 4;
        24 "seleq" SelectEqual 4;
        25 "mul0" MulOrZero 2;
        30 "exp" Exp 1;
        31 "expm1" Expm1 1;
        32 "log" Log 1;
        33 "log1p" Log1p 1;
        34 "tail" Tail 1;
        35 "log1pu" Log1pUnit 1;
        36 "rcp1p" ReciprocalOnePlus 1;
        39 "omtail" OneMinusTail 2;
        40 "pow" Pow 2;
        41 "atan" Atan 1;
        44 "addmul" AddMul 3;
        45 "submul" SubMul 3;
        46 "mulmul" MulMul 3;
        47 "subabs" SubAbs 2;
        48 "minsub" MinSub 3;
        49 "maxsub" MaxSub 3;
        80 "dot" Dot 4;
        81 "dotsub" DotSub 4;
        82 "mul4" Mul4 4;
        83 "subsubmul" SubSubMul 4;
        84 "fdot" FDot 4;
        85 "fdotsub" FDotSub 4;
        86 "minmaxsub" MinMaxSub 4;
        87 "maxminsub" MaxMinSub 4;
        88 "submulmul" SubMulMul 4;
        89 "addmulmul" AddMulMul 4;
        90 "selltmul" SelectLessMul 5;
        91 "sellemul" SelectLessOrEqualMul 5;
        92 "addsub" AddSub 3;
        93 "addadd" AddAdd 3;
        94 "subsub" SubSub 3;
        95 "submax" SubMax 3;
        96 "mulmax" MulMax 3;
        97 "divmul" DivMul 3;
        100 "fmamul" FMulAddMul 4;
        101 "fmsmul" FMulSubMul 4;
        102 "fnmamul" FNegMulAddMul 4;
        103 "maddmul" MulAddMul 4;
        104 "msubmul" MulSubMul 4;
        105 "nmaddmul" NegMulAddMul 4;
        106 "dotmul" DotMul 5;
        107 "dotsubmul" DotSubMul 5;
        108 "fdotmul" FDotMul 5;
        109 "fdotsubmul" FDotSubMul 5;
    }
    sum {
        50 "sum" 0 Move 1;
        51 "summul" 3 Mul 2;
        52 "sumadd" 1 Add 2;
        53 "sumsub" 2 Sub 2;
        54 "sumfma" 13 FMulAdd 3;
        55 "sumfms" 14 FMulSub 3;
        56 "sumfnma" 15 FNegMulAdd 3;
        57 "summadd" 10 MulAdd 3;
        58 "sumsellt" 22 SelectLess 4;
        59 "sumselle" 23 SelectLessOrEqual 4;
        110 "sumdot" 80 Dot 4;
        111 "sumfdot" 84 FDot 4;
        112 "summax" 8 Max 2;
        113 "sumdotsub" 81 DotSub 4;
        114 "sumfdotsub" 85 FDotSub 4;
    }
    split {
        70 "logistic" Logistic 0..4;
        71 "sigmoid" Sigmoids 0..2;
        72 "softplus" Softpluses 2..4;
    }
    60 "load4" Load4 load4;
    61 "store4" Store4 store4;
    62 "loadc" LoadColumn load_column;
    63 "storec" StoreColumn store_column;
}

/// Operands, as bits.
struct Operands(u64);

impl Operands {
    const NONE: Self = Self(0);

    fn add(&mut self, operand: usize) {
        self.0 |= 1 << operand;
    }

    fn has(&self, operand: usize) -> bool {
        operand < OPERANDS && self.0 >> operand & 1 == 1
    }
}

/// A program that reads nothing before it is written, and no operand that is not there.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    code: &'a [Instruction],
    registers: usize,
    uniforms: usize,
    /// Columns of each.
    inputs: &'a [usize],
    outputs: &'a [usize],
    sums: bool,
}

impl<'a> Program<'a> {
    /// Of so many registers and uniforms, and of inputs and outputs of so many columns each.
    ///
    /// # Errors
    /// Says what is wrong with an instruction, or with the number of operands.
    pub fn new(
        code: &'a [u8],
        registers: usize,
        uniforms: usize,
        inputs: &'a [usize],
        outputs: &'a [usize],
    ) -> Result<Self, String> {
        let (code, rest) = code.as_chunks::<INSTRUCTION>();
        if !rest.is_empty() {
            return Err(format!("an instruction has {} bytes", rest.len()));
        }
        // In this order: the sum of what is small enough does not overflow.
        if registers > OPERANDS
            || uniforms > OPERANDS
            || inputs.len() + outputs.len() > OPERANDS
            || registers + uniforms + inputs.len() + outputs.len() > OPERANDS
        {
            return Err(format!("a program has more than {OPERANDS} operands"));
        }
        if inputs.contains(&0) || outputs.contains(&0) {
            return Err("an input or output without columns".into());
        }
        let mut program = Self {
            code,
            registers,
            uniforms,
            inputs,
            outputs,
            sums: false,
        };
        let mut known = Operands::NONE;
        for operand in registers..program.first_input() {
            known.add(operand);
        }
        for (k, _) in inputs.iter().enumerate().filter(|input| *input.1 == 1) {
            known.add(program.first_input() + k);
        }
        for (k, instruction) in code.iter().enumerate() {
            if !program.admits(instruction, &mut known) {
                return Err(format!("instruction {k} is {instruction:?}"));
            }
        }
        let mut outputs = outputs.iter().enumerate();
        if outputs.any(|(k, &columns)| columns == 1 && !known.has(program.first_output() + k)) {
            return Err("an output is not written".into());
        }
        Ok(program)
    }

    /// Whether an instruction has all that it reads, and writes what may be written, which is known from then on.
    fn admits(&mut self, instruction: &Instruction, known: &mut Operands) -> bool {
        let [_, d, a, b, c, e, f, _] = instruction.map(usize::from);
        let sources = |count: usize| [a, b, c, e, f][..count].iter().all(|&from| known.has(from));
        let (admitted, written): (bool, &[usize]) = match kind(instruction[0]) {
            None => (false, &[]),
            Some(Kind::Map(count)) => (sources(count), &[d]),
            Some(Kind::Sum(count)) => {
                // The values of a block have one place.
                let first = !self.sums;
                self.sums = true;
                (first && sources(count), &[])
            }
            Some(Kind::Split(which)) => {
                // e^−|e| waits in a destination while e is read.
                let apart = [d, a, b, c].iter().all(|&to| to != e && self.writes(to));
                (apart && known.has(e), &[d, a, b, c][which])
            }
            Some(Kind::Load4) => (self.input(e) == Some(4), &[d, a, b, c]),
            Some(Kind::Store4) => {
                let from = [d, a, b, c];
                let all = from.iter().all(|&from| known.has(from));
                (all && self.output(e) == Some(4), &[])
            }
            Some(Kind::LoadColumn) => {
                let columns = self.input(e).unwrap_or(1);
                (columns > 1 && c < columns, &[d])
            }
            Some(Kind::StoreColumn) => {
                let columns = self.output(e).unwrap_or(1);
                (columns > 1 && c < columns && known.has(a), &[])
            }
        };
        let admitted = admitted && written.iter().all(|&to| self.writes(to));
        if admitted {
            written.iter().for_each(|&to| known.add(to));
        }
        admitted
    }

    /// Columns of the input that an operand is.
    fn input(&self, operand: usize) -> Option<usize> {
        let k = operand.checked_sub(self.first_input())?;
        self.inputs.get(k).copied()
    }

    /// Columns of the output that an operand is.
    fn output(&self, operand: usize) -> Option<usize> {
        let k = operand.checked_sub(self.first_output())?;
        self.outputs.get(k).copied()
    }

    /// Whether an operand may be written by instructions that give one number for each row.
    fn writes(&self, operand: usize) -> bool {
        operand < self.registers || self.output(operand) == Some(1)
    }

    pub(super) fn code(&self) -> &'a [Instruction] {
        self.code
    }

    pub(super) fn registers(&self) -> usize {
        self.registers
    }

    pub(super) fn uniforms(&self) -> usize {
        self.uniforms
    }

    pub(super) fn inputs(&self) -> &'a [usize] {
        self.inputs
    }

    pub(super) fn outputs(&self) -> &'a [usize] {
        self.outputs
    }

    /// The operand that is the first input.
    pub(super) fn first_input(&self) -> usize {
        self.registers + self.uniforms
    }

    /// The operand that is the first output.
    pub(super) fn first_output(&self) -> usize {
        self.first_input() + self.inputs.len()
    }

    /// Whether the values of the rows are added up.
    pub(super) fn sums(&self) -> bool {
        self.sums
    }
}
