//! Cosine embedding loss.

use crate::family::embedding::{Embedding, Eval, Measure, OfPairs, OfRows, Params};

/// The largest norm of a row that counts as 0, and what PyTorch adds to squared norms.
const LEAST: f64 = 1e-8;
const ADDED: f64 = 1e-12;

/// 1 − cos of pairs that belong together, max(0, cos − margin) of the others
#[derive(Clone, Copy)]
pub struct CosineEmbedding {
    margin: f64,
}

impl From<Params> for CosineEmbedding {
    /// The similarity that others may have.
    fn from([margin, ..]: Params) -> Self {
        Self { margin }
    }
}

impl OfRows for CosineEmbedding {
    const ROWS: usize = 2;
}

impl Embedding for CosineEmbedding {
    fn measure(&self) -> Measure {
        Measure::Cosine {
            least: LEAST,
            added: ADDED,
        }
    }

    fn eval(&self, [cosine, ..]: OfPairs, positive: bool) -> Eval {
        if positive {
            return Eval {
                value: 1.0 - cosine,
                factors: [-1.0, 0.0, 0.0],
            };
        }
        let value = cosine - self.margin;
        if value <= 0.0 {
            return Eval::default();
        }
        Eval {
            value,
            factors: [1.0, 0.0, 0.0],
        }
    }
}
