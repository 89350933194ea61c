//! T²·Σ t_c·(ln t_c − ln p_c), t = softmax(teacher/T), p = softmax(x/T)

use crate::family::Params;
use crate::family::softmax::{Kind, Softmax};

/// Knowledge distillation. Of its two softmaxes the family makes the divergence; this is the part of the student.
#[derive(Clone, Copy)]
pub struct Distillation;

impl From<Params> for Distillation {
    /// Takes no parameters of its own.
    fn from(_: Params) -> Self {
        Self
    }
}

impl Softmax for Distillation {
    const KIND: Kind = Kind::Teacher;
}
