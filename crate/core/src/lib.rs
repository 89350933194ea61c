//! The kernels of fused-loss. Knows nothing of JavaScript and depends on nothing.
//!
//! A binding finds the arrays of a [`call::Call`] and runs what [`registry::CALLS`] has for it. That checks the arrays and picks the
//! loss by its row; the family's loop, compiled for the instruction set, asks the loss for value and derivatives of 16 elements at a
//! time. Modules use only those further down in this list:
//!
//! - [`registry`]: one row for each loss, and one for each kind of call.
//! - [`loss`]: the formulas.
//! - [`family`]: the loops.
//! - [`expression`]: losses that come as programs.
//! - [`scan`]: what is looked at before a call runs.
//! - [`call`]: what a call is made of.
//! - [`layout`]: where the numbers of a call lie.
//! - [`share`]: the part of a call that a thread computes.
//! - [`mod@sum`]: the one order of summation.
//! - [`math`]: exp, log, sigmoid over vectors, each with its tested error.
//! - [`simd`]: a vector of 16 lanes on every instruction set; the only `unsafe`.
//!
//! Kernels return sums. Dividing by the denominator of `mean`, and what the mean of nothing is, is the caller's part:
//! `scale` already holds the upstream gradient over the denominator, so that no second pass is needed.

#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod call;
#[forbid(unsafe_code)]
pub mod expression;
#[forbid(unsafe_code)]
pub mod family;
#[forbid(unsafe_code)]
pub mod layout;
#[forbid(unsafe_code)]
pub mod loss;
#[forbid(unsafe_code)]
pub mod math;
#[forbid(unsafe_code)]
mod precision;
#[forbid(unsafe_code)]
pub mod registry;
#[forbid(unsafe_code)]
pub mod scan;
#[forbid(unsafe_code)]
pub mod share;
#[allow(unsafe_code)]
pub mod simd;
#[forbid(unsafe_code)]
pub mod sum;
