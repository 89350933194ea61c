//! The N-API addon. It knows no loss and no family: it finds the arrays of a call, and the core does the rest.
//! `ts/backend/native.ts` is its only caller.

mod array;
mod direct;
mod threads;

use fused_loss_core::registry;
use fused_loss_core::simd::Level;
use napi::bindgen_prelude::Object;
use napi::{Env, Result};
use napi_derive::napi;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

static LEVELS: LazyLock<Vec<Level>> = LazyLock::new(Level::available);
/// Index of the set in use: the best one, unless a test pins another.
static LEVEL: AtomicUsize = AtomicUsize::new(0);

fn level() -> Level {
    LEVELS[LEVEL.load(Ordering::Relaxed)]
}

/// The instruction sets of this machine, the best first.
#[napi]
pub fn instruction_sets() -> Vec<&'static str> {
    LEVELS.iter().map(|level| level.name()).collect()
}

/// The instruction set in use.
#[napi]
pub fn instruction_set() -> &'static str {
    level().name()
}

/// Pins an instruction set for the whole process; false where this machine does not have it.
#[napi]
pub fn pin_instruction_set(name: String) -> bool {
    let found = LEVELS.iter().position(|level| level.name() == name);
    if let Some(index) = found {
        LEVEL.store(index, Ordering::Relaxed);
    }
    found.is_some()
}

/// Threads that this process may use at the same time: its cores, or what its control group leaves of them.
#[napi]
pub fn available_threads() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1))
}

/// Version of the crate, which the facade compares with its own.
#[napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

/// Every loss and every kind of call, in words.
#[napi]
pub fn describe() -> String {
    registry::describe()
}

/// Exports the functions that do without the glue of napi-rs.
#[napi(module_exports)]
pub fn export(exports: Object, env: Env) -> Result<()> {
    direct::export(env, exports)
}
