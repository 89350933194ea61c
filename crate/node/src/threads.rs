//! One call on several threads.

use fused_loss_core::share::Share;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Shares that each thread gets: more than one, so that who is late has less to do.
const SHARES: usize = 4;

/// Helpers of all environments: worker threads of Node share them.
static POOL: Mutex<Option<Arc<ThreadPool>>> = Mutex::new(None);

/// Threads for a call of so many elements, of which a thread should have at least `least`.
pub fn count(threads: usize, elements: usize, least: usize, units: usize) -> usize {
    if elements < 2 * least {
        return 1;
    }
    threads.min(elements / least).min(units).max(1)
}

/// Runs `work` for shares of the units of a call, with `numbers` sums per unit; all sums, in the order of the units.
///
/// # Safety
/// `work` runs for shares without a common unit at the same time. What it writes for one unit it must neither read nor write for
/// another.
pub unsafe fn run<W: Fn(Share)>(threads: usize, units: usize, numbers: usize, work: W) -> Vec<f64> {
    let mut sums = vec![0.0; units * numbers];
    let shares = units.min(threads * SHARES);
    let shared = Shared {
        work,
        sums: Cell::from_mut(&mut sums[..]).as_slice_of_cells(),
    };
    let compute = |Range { start, end }: Range<usize>| {
        // The whole, of which a closure would otherwise take the fields.
        let Shared { work, sums } = &shared;
        work(Share {
            first: start,
            end,
            sums: Some(&sums[start * numbers..end * numbers]),
        });
    };
    let next = AtomicUsize::new(0);
    let until_done = || {
        loop {
            let share = next.fetch_add(1, Ordering::Relaxed);
            if share >= shares {
                break;
            }
            compute(units * share / shares..units * (share + 1) / shares);
        }
    };
    match pool(threads - 1) {
        Some(pool) => pool.in_place_scope(|scope| {
            for _ in 1..threads {
                scope.spawn(|_| until_done());
            }
            until_done();
        }),
        // The system gives no threads.
        None => until_done(),
    }
    sums
}

/// What the threads of a call have in common.
struct Shared<'a, W> {
    work: W,
    sums: &'a [Cell<f64>],
}

// SAFETY: threads compute units of their own, to which their sums belong; for the rest the caller of `run` answers.
unsafe impl<W> Sync for Shared<'_, W> {}

/// At least so many helpers. They end with the process: the addon is never unloaded.
fn pool(helpers: usize) -> Option<Arc<ThreadPool>> {
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pool) = &*pool
        && pool.current_num_threads() >= helpers
    {
        return Some(pool.clone());
    }
    let name = |i| format!("fused-loss-{i}");
    let new = ThreadPoolBuilder::new()
        .num_threads(helpers)
        .thread_name(name);
    *pool = Some(Arc::new(new.build().ok()?));
    pool.clone()
}
