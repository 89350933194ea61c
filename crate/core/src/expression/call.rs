//! What a call of a program has. Its inputs and gradients follow the arrays that have places.

use super::interpreter::{Args, expression};
use super::program::{INSTRUCTION, OPERANDS, Program};
use super::raw::Raw;
use crate::call::{
    ACCUMULATE, Call, GRADS, Host, INPUTS, Lengths, MANY, MASK_INNER, OWN, Outcome, POSITIONS,
    SAMPLE_INNER, SUM, Work, fields, places,
};
use crate::layout::positions::Values;
use crate::share::Share;
use crate::simd::Level;

fields! {
    CODE = "code": Input Bytes Whole;
    UNIFORMS = "uniforms": Input Floats Whole;
    WEIGHT = "weight": Input Floats Cycled(None);
    SAMPLE_WEIGHT = "sampleWeight": Input Floats Shared(SAMPLE_INNER);
    GRAD_OUTPUT = "gradOutput": Input Floats Positions;
    OUT = "out": Output Floats Positions;
    LABELS = "labels": Input Labels Positions;
    MASK = "mask": Input Mask Shared(MASK_INNER);
}

places! {
    /// Numbers of the call.
    NUMBERS from OWN;
    REGISTERS = "registers",
    /// Whether the program leaves values and slopes, which are weighed and scaled here, and whether it has values.
    IS_RAW = "isRaw",
    HAS_VALUE = "hasValue",
    /// Factor of the gradients of such a program.
    SCALE = "scale",
}

/// Rows times instructions that a thread should have at least: an instruction of a row takes about as long as any other, and the
/// arrays of short programs as long as some.
const INSTRUCTIONS: usize = 600_000;

/// Columns of the outputs of a program that leaves values and slopes.
static ONES: [usize; OPERANDS] = [1; OPERANDS];

/// Checks a call and runs it.
pub(crate) fn run(call: &Call, host: &Host) -> Outcome {
    let rows = call.count(POSITIONS);
    if rows == 0 {
        return Ok(call.number(SUM));
    }
    let lengths = Lengths {
        scores: rows,
        positions: rows,
        classes: 1,
        samples: 1,
    };
    call.check(FIELDS, lengths)?;
    let Some(Values::U8(code)) = call.values(CODE) else {
        return Err("no code".into());
    };
    let (inputs, grads) = (call.count(INPUTS), call.count(GRADS));
    if inputs.saturating_add(grads) != call.rest.len() || call.rest.len() > OPERANDS {
        return Err(format!("{inputs} inputs and {grads} gradients"));
    }
    let mut columns = [0; OPERANDS];
    for (columns, array) in columns.iter_mut().zip(call.rest) {
        // A rest of a row is found where the lengths are checked.
        *columns = array.len() / rows;
    }
    let (input_columns, grad_columns) = columns[..call.rest.len()].split_at(inputs);
    let value = call.is_set(HAS_VALUE);
    let raw = call.is_set(IS_RAW).then(|| Raw {
        columns: grad_columns,
        value,
        scale: call.number(SCALE),
        weight: call.stream(WEIGHT, 1),
        sample_weight: call.sample_weight(SAMPLE_WEIGHT),
        marks: call.marks(LABELS, MASK),
        grad_output: call.floats(GRAD_OUTPUT),
        out: call.floats(OUT),
        accumulate: call.is_set(ACCUMULATE),
    });
    let outputs = match raw {
        None => grad_columns,
        Some(_) => {
            let slopes = grad_columns.iter().sum::<usize>() + usize::from(value);
            let outputs = ONES.get(..slopes);
            outputs.ok_or_else(|| format!("{slopes} slopes and values"))?
        }
    };
    let uniforms = call.floats(UNIFORMS).ok_or("no uniforms")?;
    let registers = call.count(REGISTERS);
    let program = Program::new(code, registers, uniforms.len(), input_columns, outputs)?;
    let (inputs, grads) = call.rest.split_at(inputs);
    let args = Args {
        program,
        uniforms,
        inputs,
        grads,
        rows,
        block: 0,
        sum: call.number(SUM),
        share: Share::ALL,
        raw,
    };
    args.check()?;
    let instructions = code.len() / INSTRUCTION;
    Ok(host.run(&Rows { args, instructions }))
}

struct Rows<'a> {
    args: Args<'a>,
    instructions: usize,
}

impl Work for Rows<'_> {
    fn size(&self) -> (usize, usize) {
        let least = INSTRUCTIONS / self.instructions.max(1);
        (self.args.rows, least.min(MANY))
    }

    fn units(&self) -> usize {
        self.args.units()
    }

    fn run(&self, level: Level, share: Share) -> f64 {
        expression(level, &Args { share, ..self.args })
    }
}
