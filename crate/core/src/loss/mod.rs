//! The losses, one file each, and the registry: one row per loss.

mod bce;
mod bce_with_logits;
mod cross_entropy;
mod distillation;
mod huber;
mod kl_div;
mod l1;
mod mse;
mod nll;
mod sigmoid_focal;
mod smooth_l1;
mod softmax_focal;

use crate::family::region::{self, Part, Pass};
use crate::simd::Level;

/// Scalar parameters of a loss, in the order of its registry row; 0 where it has fewer.
pub type Params = [f32; 2];

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
}

macro_rules! registry {
    ($($family:ident { $($name:ident $params:tt => $loss:path, $agreement:expr;)* })*) => {
        /// Every loss. Its index is the number by which the bindings call it.
        pub const REGISTRY: &[Row] = &[
            $($(Row {
                name: stringify!($name),
                family: stringify!($family),
                params: &$params,
                agreement: $agreement,
            },)*)*
        ];

        $(
            /// Runs the family's loop with loss number `op`.
            ///
            /// # Panics
            /// Where `op` is not of this family.
            pub(crate) fn $family(level: Level, op: usize, args: &crate::family::$family::Args) -> f64 {
                $(
                    if op == const { position(stringify!($name)) } {
                        return crate::family::$family::run(level, <$loss>::new(args.params), args);
                    }
                )*
                panic!(concat!("no ", stringify!($family), " loss has number {}"), op)
            }
        )*
    };
}

registry! {
    pointwise {
        mse [] => mse::Mse, Agreement::Exact;
        l1 [] => l1::L1, Agreement::Exact;
        smoothL1 ["beta"] => smooth_l1::SmoothL1, Agreement::Exact;
        huber ["delta"] => huber::Huber, Agreement::Exact;
        bce ["labelSmoothing"] => bce::Bce, Agreement::Close(6);
        bceWithLogits ["labelSmoothing"] => bce_with_logits::BceWithLogits, Agreement::Close(8);
        sigmoidFocal ["gamma", "alpha"] => sigmoid_focal::SigmoidFocal, Agreement::Close(32);
        klDiv ["logTarget"] => kl_div::KlDiv, Agreement::Close(6);
    }
    softmax {
        crossEntropy [] => cross_entropy::CrossEntropy, Agreement::Close(8);
        softmaxFocal ["gamma"] => softmax_focal::SoftmaxFocal, Agreement::Close(32);
        nll [] => nll::Nll, Agreement::Exact;
        distillation [] => distillation::Distillation, Agreement::Close(16);
    }
}

/// The losses of a logit that a region can take along.
pub(crate) fn sigmoid_part(level: Level, part: Part, args: region::Args, pass: Pass) -> f64 {
    const BCE: usize = position("bceWithLogits");
    const FOCAL: usize = position("sigmoidFocal");
    match part.op {
        BCE => {
            let loss = bce_with_logits::BceWithLogits::new(part.params);
            region::with_pointwise(level, loss, args, pass)
        }
        FOCAL => {
            let loss = sigmoid_focal::SigmoidFocal::new(part.params);
            region::with_pointwise(level, loss, args, pass)
        }
        op => panic!("loss {op} is no part of a sigmoid"),
    }
}

/// The losses of a softmax that a region can take along.
pub(crate) fn softmax_part(level: Level, part: Part, args: region::Args, pass: Pass) -> f64 {
    const CROSS_ENTROPY: usize = position("crossEntropy");
    const FOCAL: usize = position("softmaxFocal");
    match part.op {
        CROSS_ENTROPY => {
            let loss = cross_entropy::CrossEntropy::new(part.params);
            region::with_softmax(level, loss, args, pass)
        }
        FOCAL => {
            let loss = softmax_focal::SoftmaxFocal::new(part.params);
            region::with_softmax(level, loss, args, pass)
        }
        op => panic!("loss {op} is no part of a softmax"),
    }
}

const fn position(name: &str) -> usize {
    let mut i = 0;
    while i < REGISTRY.len() {
        if same(REGISTRY[i].name.as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("not in the registry")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}
