//! Cosine similarity.

use crate::family::embedding::{Embedding, Eval, Measure, OfPairs, OfRows, Params};

/// −cos
#[derive(Clone, Copy)]
pub struct CosineSimilarity {
    eps: f64,
}

impl From<Params> for CosineSimilarity {
    /// The largest norm of a row that counts as 0.
    fn from([eps, ..]: Params) -> Self {
        Self { eps }
    }
}

impl OfRows for CosineSimilarity {
    const ROWS: usize = 2;
}

impl Embedding for CosineSimilarity {
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
