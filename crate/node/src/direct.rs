//! The function that makes calls, which takes its place on N-API itself: the glue that napi-rs generates takes longer than all else
//! that a call with 16 elements does.
//!
//! Only arrays are arguments. The numbers travel in an array of their own that both sides keep: an argument that is a
//! number takes eight times as long as an element of this array, and a number as result fourteen times.

use crate::array::array;
use crate::threads;
use core::cell::Cell;
use core::ffi::{CStr, c_void};
use core::ptr;
use fused_loss_core::call::{self, Host, NUMBERS, Numbers, PLACES, SPLIT_ALL, SUM, THREADS, Work};
use fused_loss_core::expression::OPERANDS;
use fused_loss_core::registry;
use fused_loss_core::share::Share;
use fused_loss_core::simd::Level;
use napi::bindgen_prelude::Object;
use napi::{Env, Error, JsError, JsValue, Result, Status, check_status, sys};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Exports the array of numbers of one environment, of which every worker thread has its own, and the functions that make calls. These
/// differ in how many arrays they take at most, since room for them costs time.
pub fn export(env: Env, exports: Object) -> Result<()> {
    let exports = Exports::new(env, exports)?;
    exports.function::<FEW>(c"few")?;
    exports.function::<PLACES>(c"some")?;
    exports.function::<{ PLACES + OPERANDS }>(c"many")
}

/// Arrays of a step of training: input, target and gradient.
const FEW: usize = 3;

struct Exports<'a> {
    env: sys::napi_env,
    exports: Object<'a>,
    numbers: *mut c_void,
}

impl<'a> Exports<'a> {
    /// Makes the array and exports it as `numbers`.
    fn new(env: Env, exports: Object<'a>) -> Result<Self> {
        let env = env.raw();
        let mut memory = ptr::null_mut();
        let mut buffer = ptr::null_mut();
        let mut array = ptr::null_mut();
        let mut reference = ptr::null_mut();
        // SAFETY: `env` is the one that loads the addon; the out pointers are to locals. The reference is never deleted, so
        // that the memory lives as long as the environment, whose functions alone get the pointer. Memory of an array
        // buffer does not move, and `ts/backend/native.ts`, which has the array to itself, does not detach it.
        unsafe {
            let bytes = size_of::<Numbers>();
            check_status!(sys::napi_create_arraybuffer(
                env,
                bytes,
                &mut memory,
                &mut buffer
            ))?;
            let kind = sys::TypedarrayType::float64_array;
            check_status!(sys::napi_create_typedarray(
                env, kind, NUMBERS, buffer, 0, &mut array
            ))?;
            check_status!(sys::napi_create_reference(env, array, 1, &mut reference))?;
            let name = c"numbers".as_ptr();
            check_status!(sys::napi_set_named_property(
                env,
                exports.raw(),
                name,
                array
            ))?;
        }
        Ok(Self {
            env,
            exports,
            numbers: memory,
        })
    }

    /// Exports the function for calls of at most `N` arrays.
    fn function<const N: usize>(&self, name: &'static CStr) -> Result<()> {
        let mut function = ptr::null_mut();
        // SAFETY: `env` is the one that loads the addon, and the name ends with a zero.
        unsafe {
            check_status!(sys::napi_create_function(
                self.env,
                name.as_ptr(),
                name.count_bytes() as isize,
                Some(callback::<N>),
                self.numbers,
                &mut function,
            ))?;
            check_status!(sys::napi_set_named_property(
                self.env,
                self.exports.raw(),
                name.as_ptr(),
                function
            ))
        }
    }
}

/// What Node calls.
unsafe extern "C" fn callback<const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    let mut arguments = [ptr::null_mut(); N];
    let mut count = N;
    let mut numbers = ptr::null_mut();
    // SAFETY: Node passes the environment and the call; the out pointers are to locals, with room for `count` arguments.
    // It writes undefined where there are fewer.
    let status = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &mut numbers,
        )
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        check_status!(status)?;
        // SAFETY: the pointer that `Exports::function` gave, to memory that lives as long as the environment. It is only
        // ever seen through cells, and JavaScript does not run before this function returns.
        let numbers = unsafe { &*numbers.cast::<Numbers>() };
        // More may be given than there is room for.
        let given = &arguments[..count.min(N)];
        // SAFETY: environment and values are those of the running call.
        let result = unsafe { run(env, given, numbers) };
        let result = result.map_err(|reason| Error::new(Status::InvalidArg, reason))?;
        numbers[SUM].set(result);
        Ok(())
    }));
    let error = match outcome {
        Ok(Ok(())) => return ptr::null_mut(),
        Ok(Err(error)) => error,
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            Error::new(Status::GenericFailure, message.unwrap_or("panic"))
        }
    };
    // SAFETY: `env` is that of the running call.
    unsafe { JsError::from(error).throw_into(env) };
    ptr::null_mut()
}

/// Makes the call.
///
/// # Safety
/// Environment and values are those of the running call.
unsafe fn run(env: sys::napi_env, given: &[sys::napi_value], numbers: &Numbers) -> call::Outcome {
    let threads = Threads(numbers[THREADS].get() as usize);
    let host = Host {
        level: crate::level(),
        threads: Some(&threads),
        split_all: numbers[SPLIT_ALL].get() != 0.0,
    };
    // SAFETY: the caller's.
    let argument = |k: usize, of| unsafe { array(env, *given.get(k)?, of) };
    registry::read_and_run(numbers, &host, argument)
}

/// As many threads as the numbers say.
struct Threads(usize);

impl call::Threads for Threads {
    fn run(&self, work: &dyn Work, level: Level, least: usize) -> f64 {
        let (size, _) = work.size();
        let units = work.units();
        let threads = threads::count(self.0, size, least, units);
        if threads == 1 {
            return work.run(level, Share::ALL);
        }
        // SAFETY: a unit has elements of its own in all arrays that are written but for sums, which are added up here; the kernels read
        // those arrays nowhere else, and a call whose arrays overlap has been refused.
        let mut sums = unsafe {
            threads::run(threads, units, work.sums_of_unit(), |share| {
                _ = work.run(level, share);
            })
        };
        work.add_up(Cell::from_mut(&mut sums[..]).as_slice_of_cells())
    }
}
