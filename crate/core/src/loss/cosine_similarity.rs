//! Cosine similarity.

use crate::family::embedding::{Embedding, Eval, Params, Products};

/// −cos
#[derive(Clone, Copy)]
pub struct CosineSimilarity {
    eps: f64,
}

impl From<Params> for CosineSimilarity {
    /// The largest norm of a row that counts as 0.
    fn from([eps, _]: Params) -> Self {
        Self { eps }
    }
}

impl Embedding for CosineSimilarity {
    #[inline(always)]
    fn eval(self, products: Products, _: bool) -> Eval {
        let cosine = products.cosine(self.eps, 0.0);
        Eval {
            // Not `-`: that of a row of zeros is 0, not −0.
            value: 0.0 - cosine.value,
            slopes: cosine.slopes.times(-1.0),
        }
    }
}
