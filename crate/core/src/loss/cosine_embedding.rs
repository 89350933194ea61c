//! Cosine embedding loss.

use crate::family::embedding::{Embedding, Eval, Params, Products};

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
    fn from([margin, _]: Params) -> Self {
        Self { margin }
    }
}

impl Embedding for CosineEmbedding {
    #[inline(always)]
    fn eval(self, products: Products, positive: bool) -> Eval {
        let cosine = products.cosine(LEAST, ADDED);
        if positive {
            return Eval {
                value: 1.0 - cosine.value,
                slopes: cosine.slopes.times(-1.0),
            };
        }
        let value = cosine.value - self.margin;
        if value <= 0.0 {
            return Eval::default();
        }
        Eval {
            value,
            slopes: cosine.slopes,
        }
    }
}
