//! Cosine similarity.

use crate::family::embedding::{Embedding, Eval, Measure, OfPairs, Params};

/// −cos
#[derive(Clone, Copy)]
pub struct CosineSimilarity {
    eps: f64,
}

impl CosineSimilarity {
    /// The largest norm of a row that counts as 0.
    #[must_use]
    pub fn new([eps, ..]: Params) -> Self {
        Self { eps }
    }
}

impl Embedding<2> for CosineSimilarity {
    fn measure(&self) -> Measure {
        Measure::Cosine {
            least: self.eps,
            added: 0.0,
        }
    }

    fn eval(&self, [cosine, ..]: OfPairs, _: bool) -> Eval {
        Eval {
            // Not `-`: that of a row of zeros is 0, not −0.
            value: 0.0 - cosine,
            factors: [-1.0, 0.0, 0.0],
        }
    }
}
