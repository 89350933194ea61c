//! Losses as programs: what `ts/expression` compiles an expression to, and the interpreter that runs it over blocks.
//!
//! - `call`: what a call of a program has.
//! - `program`: instructions, their operands, and what makes a program valid.
//! - `formula`: what each operation computes of one vector.
//! - `interpreter`: the loop over blocks, and over the instructions for each of them.
//! - `raw`: weights, masks and the like, of programs that leave them to the interpreter.
//! - `precise`: the same instructions in double precision, for the few rows whose numbers leave the range of `f32`.

mod call;
mod formula;
mod interpreter;
mod precise;
mod program;
mod raw;

pub(crate) use call::{FIELDS, NUMBERS, run as call};
pub use interpreter::{Args, expression};
pub use program::{INSTRUCTION, OPERANDS, OPERATIONS, Program};
pub use raw::Raw;
