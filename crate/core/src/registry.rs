//! All that is built in: one row for each loss, and one for each kind of call.

use crate::call::{
    self, Array, CALL, Call, Description, Elements, Extent, Host, LOSS, MOST_IGNORED, Numbers, OWN,
    Outcome, PLACES, Role, Type,
};
use crate::expression::{self, OPERANDS};
use crate::family::{embedding, pointwise, region, softmax};
use crate::layout::positions::Values;
use crate::loss::*;
use crate::scan;
use crate::simd::Cells;

/// How far two backends may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// + − × ÷, comparisons and selections only: the same bits on every backend and instruction set.
    Exact,
    /// Exponentials or logarithms inside: so many units in the last place from the true value at most, the unit being
    /// that of the true value or, where terms cancel, that of the largest term.
    Close(u32),
}

/// What the registry says of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The public name.
    pub name: &'static str,
    /// The family whose loop runs it.
    pub family: &'static str,
    /// Names of its scalar parameters.
    pub params: &'static [&'static str],
    /// How far two backends may differ.
    pub agreement: Agreement,
    /// Its loops.
    pub kernel: Kernel,
    /// Its loops where a region loss takes it along.
    pub part: Option<region::PartRun>,
}

/// The loops of a loss, by its family.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// Of one element.
    Pointwise(pointwise::Run),
    /// Of a class axis.
    Softmax(softmax::Run),
    /// Of rows.
    Embedding(embedding::Run),
}

macro_rules! registry {
    ($($family:ident $kernel:ident { $($name:ident $params:tt => $loss:path, $agreement:expr $(, $part:ident)?;)* })*) => {
        /// Every loss. Its index is the number by which the bindings call it.
        pub const REGISTRY: &[Row] = &[
            $($(Row {
                name: stringify!($name),
                family: stringify!($family),
                params: &$params,
                agreement: $agreement,
                kernel: Kernel::$kernel($family::run::<$loss>),
                part: registry!(@ $family $loss $(, $part)?),
            },)*)*
        ];
    };
    (@ $family:ident $loss:path, part) => {
        Some(region::$family::<$loss>)
    };
    (@ $family:ident $loss:path) => {
        None
    };
}

registry! {
    pointwise Pointwise {
        mse [] => mse::Mse, Agreement::Exact;
        l1 [] => l1::L1, Agreement::Exact;
        smoothL1 ["beta"] => smooth_l1::SmoothL1, Agreement::Exact;
        huber ["delta"] => huber::Huber, Agreement::Exact;
        bce ["labelSmoothing"] => bce::Bce, Agreement::Close(6);
        bceWithLogits ["labelSmoothing"] => bce_with_logits::BceWithLogits, Agreement::Close(8), part;
        sigmoidFocal ["gamma", "alpha"] => sigmoid_focal::SigmoidFocal, Agreement::Close(32), part;
        klDiv ["logTarget"] => kl_div::KlDiv, Agreement::Close(6);
    }
    softmax Softmax {
        crossEntropy [] => cross_entropy::CrossEntropy, Agreement::Close(8), part;
        softmaxFocal ["gamma"] => softmax_focal::SoftmaxFocal, Agreement::Close(32), part;
        nll [] => nll::Nll, Agreement::Exact;
        distillation [] => distillation::Distillation, Agreement::Close(16);
    }
    embedding Embedding {
        cosineSimilarity ["eps"] => cosine_similarity::CosineSimilarity, Agreement::Exact;
        cosineEmbedding ["margin"] => cosine_embedding::CosineEmbedding, Agreement::Exact;
        tripletMargin ["margin", "p", "eps", "swap", "distance", "smooth"] => triplet_margin::TripletMargin, Agreement::Close(2);
    }
}

/// Every kind of call. Its index is the number by which the bindings make it.
pub const CALLS: &[Description] = &[
    Description {
        name: "pointwise",
        fields: pointwise::FIELDS,
        numbers: pointwise::NUMBERS,
        run: |call, host| match row_of(call)? {
            Row {
                kernel: Kernel::Pointwise(run),
                agreement,
                ..
            } => pointwise::call(call, host, *run, *agreement == Agreement::Exact),
            row => Err(format!("{} is no loss of an element", row.name)),
        },
    },
    Description {
        name: "softmax",
        fields: softmax::FIELDS,
        numbers: softmax::NUMBERS,
        run: |call, host| match row_of(call)? {
            Row {
                kernel: Kernel::Softmax(run),
                ..
            } => softmax::call(call, host, *run),
            row => Err(format!("{} is no loss of a class axis", row.name)),
        },
    },
    Description {
        name: "region",
        fields: region::FIELDS,
        numbers: region::NUMBERS,
        run: |call, host| region::call(call, host, part_of),
    },
    Description {
        name: "expression",
        fields: expression::FIELDS,
        numbers: expression::NUMBERS,
        run: expression::call,
    },
    Description {
        name: "firstOutside",
        fields: scan::outside::FIELDS,
        numbers: scan::outside::NUMBERS,
        run: scan::outside::run,
    },
    Description {
        name: "keptWeight",
        fields: scan::weight::FIELDS,
        numbers: scan::weight::NUMBERS,
        run: scan::weight::run,
    },
    Description {
        name: "embedding",
        fields: embedding::FIELDS,
        numbers: embedding::NUMBERS,
        run: |call, host| match row_of(call)? {
            Row {
                kernel: Kernel::Embedding(run),
                ..
            } => embedding::call(call, host, *run),
            row => Err(format!("{} is no loss of rows", row.name)),
        },
    },
];

/// Arrays without a place of their own that most calls have at most.
const FEW: usize = 8;

/// Reads a call whose arrays are the arguments of a function, checks it and runs it: those that have no place of their own, then those
/// that have, at their places. `argument` finds one of them, if it is an array of such a type.
///
/// # Errors
/// Where an array is missing, and as [`run`].
#[inline(always)]
pub fn read_and_run<'a>(
    numbers: &Numbers,
    host: &Host,
    mut argument: impl FnMut(usize, Type) -> Option<Array<'a>>,
) -> Outcome {
    let missing = |k, of| format!("argument {k} is no array of {of:?}");
    let count = Type::rest(numbers);
    // Most calls have none or few: to make room for all takes as long as a small kernel.
    let (mut few, mut many);
    let rest: &mut [Cells] = match count {
        0 => &mut [],
        1..=FEW => {
            few = [&[][..]; FEW];
            &mut few[..count]
        }
        _ => {
            many = [&[][..]; OPERANDS];
            many.get_mut(..count).ok_or("too many arrays")?
        }
    };
    for (k, floats) in rest.iter_mut().enumerate() {
        let Some(Array::Values(Values::F32(given))) = argument(k, Type::F32) else {
            return Err(missing(k, Type::F32));
        };
        *floats = given;
    }
    let mut arrays = [None; PLACES];
    let mut places = 0;
    for (array, of) in arrays.iter_mut().zip(Type::of(numbers)) {
        if let Some(of) = of {
            *array = argument(count + places, of);
            if array.is_none() {
                return Err(missing(count + places, of));
            }
        }
        places += 1;
    }
    let mut ignored = [0; MOST_IGNORED];
    let call = Call {
        arrays: &arrays[..places],
        rest,
        numbers,
        ignored: Call::ignored(numbers, &mut ignored),
    };
    run(&call, host)
}

/// Checks a call and runs it.
///
/// # Errors
/// Where it is none that can be run, before anything is written. The facade has checked the arguments of losses, so that only faults
/// of its own come to light here.
pub fn run(call: &Call, host: &Host) -> Outcome {
    let kind = call.count(CALL);
    let description = CALLS.get(kind);
    let run = description
        .ok_or_else(|| format!("there is no call {kind}"))?
        .run;
    run(call, host)
}

/// All of this in words, for who makes calls: a line for each loss (name, family, how many units in the last place backends may
/// differ by, parameters), one for the names of the numbers that all calls have, and for each kind of call one with the names of its
/// own numbers, and one for each of its arrays.
#[must_use]
pub fn describe() -> String {
    let mut lines = Vec::new();
    for row in REGISTRY {
        let ulp = match row.agreement {
            Agreement::Exact => 0,
            Agreement::Close(ulp) => ulp,
        };
        let params = row.params.join(" ");
        lines.push(format!("loss {} {} {ulp} {params}", row.name, row.family));
    }
    lines.push(format!("numbers {}", call::COMMON.join(" ")));
    for call in CALLS {
        lines.push(format!("call {} {}", call.name, call.numbers.join(" ")));
        let number = |place: usize| match place.checked_sub(OWN) {
            Some(index) => call.numbers[index],
            None => call::COMMON[place],
        };
        for field in call.fields {
            // Words of their own: to write a name in lower case takes tables of Unicode, which users would download.
            let role = match field.role {
                Role::Input => "input",
                Role::Output => "output",
                Role::Total => "total",
                Role::Gradient => "gradient",
                Role::Further => "further",
            };
            let elements = match field.elements {
                Elements::Floats => "floats",
                Elements::Doubles => "doubles",
                Elements::Numbers => "numbers",
                Elements::Labels => "labels",
                Elements::Mask => "mask",
                Elements::Bytes => "bytes",
            };
            let (extent, detail) = match field.extent {
                Extent::Scores => ("scores", String::new()),
                Extent::Positions => ("positions", String::new()),
                Extent::Shared(place) => ("shared", number(place).into()),
                Extent::Cycled(place) => ("cycled", place.map_or("", number).into()),
                Extent::Classes => ("classes", String::new()),
                Extent::Samples => ("samples", String::new()),
                Extent::Planes(each) => ("planes", each.to_string()),
                Extent::Whole => ("whole", String::new()),
            };
            let name = field.name;
            lines.push(format!("array {name} {role} {elements} {extent} {detail}"));
        }
    }
    lines.join("\n")
}

fn row_of(call: &Call) -> Result<&'static Row, String> {
    let loss = call.count(LOSS);
    REGISTRY
        .get(loss)
        .ok_or_else(|| format!("there is no loss {loss}"))
}

/// The loops of a loss that a region with this activation takes along: what both have in common are its exponentials.
fn part_of(loss: usize, activation: region::Activation) -> Option<region::PartRun> {
    let row = REGISTRY.get(loss)?;
    match (row.kernel, activation) {
        (Kernel::Pointwise(_), region::Activation::Sigmoid)
        | (Kernel::Softmax(_), region::Activation::Softmax) => row.part,
        _ => None,
    }
}
