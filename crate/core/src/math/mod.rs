//! Elementary functions over a vector, on the domains that losses need.
//!
//! Each file states its function's largest error in `MAX_ULP`, measured over every `f32` of the domain on every
//! instruction set of the machine; `tests/math.rs` reads the constant and measures again.

pub mod atan;
pub mod exp;
pub mod log;
pub mod pow;
pub mod sigmoid;
