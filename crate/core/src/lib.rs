//! The kernels of fused-loss. Knows nothing of JavaScript and depends on nothing.
//!
//! A call goes `family::pointwise::pointwise(level, op, args)` → the registry picks the loss → the family's loop, compiled
//! for the instruction set, asks the loss for value and derivatives of 16 elements at a time.
//!
//! - [`simd`]: a vector of 16 lanes on every instruction set; the only `unsafe`.
//! - [`math`]: exp, log, sigmoid over such vectors, each with its tested error.
//! - [`mod@sum`]: the one order of summation.
//! - [`share`]: the part of a call that a thread computes.
//! - [`family`]: the loops.
//! - [`expression`]: losses that come as programs.
//! - [`loss`]: the formulas, and the registry with one row per loss.
//!
//! Kernels return sums. Dividing by the denominator of `mean`, and what the mean of nothing is, is the caller's part:
//! `scale` already holds the upstream gradient over the denominator, so that no second pass is needed.

#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod expression;
#[forbid(unsafe_code)]
pub mod family;
#[forbid(unsafe_code)]
pub mod loss;
#[forbid(unsafe_code)]
pub mod math;
#[forbid(unsafe_code)]
pub mod share;
#[allow(unsafe_code)]
pub mod simd;
#[forbid(unsafe_code)]
pub mod sum;
