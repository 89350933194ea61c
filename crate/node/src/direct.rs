//! Functions that take their place on N-API itself: the glue that napi-rs generates takes 150 ns of a call, more than
//! all else that a call with 16 elements does.
//!
//! Only arrays are arguments. The numbers travel in an array of their own that both sides keep: an argument that is a
//! number takes 8 ns and a number as result 14 ns, an element of this array 1 ns.

use crate::array::{AnyArray, Array, Element, MaybeArray};
use crate::threads;
use core::cell::Cell;
use core::ffi::{CStr, c_void};
use core::ptr;
use napi::bindgen_prelude::{FromNapiValue, Object};
use napi::{Env, Error, JsError, JsValue, Result, Status, check_status, sys};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Elements of the array of numbers.
pub const NUMBERS: usize = 32;

/// Number of threads, and whether small calls are split too: numbers that stay from call to call.
const THREADS: usize = 15;
const SPLIT_ALL: usize = 14;

/// Types of the labels, the mask and the target, as [`AnyArray`] counts them; 0 where there is none.
pub const LABELS: usize = 16;
pub const MASK: usize = 17;
pub const TARGET: usize = 18;
/// Neighbouring positions that share a value of the mask, and a sample weight.
pub const MASK_INNER: usize = 19;
pub const SAMPLE: usize = 20;
/// How many labels are ignored, and which.
const IGNORED: usize = 21;

/// Labels that a call can ignore, at most.
pub const MOST_IGNORED: usize = NUMBERS - IGNORED - 1;

type Numbers = [Cell<f64>; NUMBERS];

/// A function with `N` arrays as arguments. Its result goes into the first number.
pub trait Function<const N: usize> {
    /// Its name among the exports.
    const NAME: &'static CStr;
    /// What it does. An error or a panic is thrown as exception.
    fn run(call: &Call<N>) -> Result<f64>;
}

/// A running call.
pub struct Call<'a, const N: usize> {
    env: sys::napi_env,
    arguments: [sys::napi_value; N],
    /// Those that the caller has given.
    count: usize,
    numbers: &'a Numbers,
}

impl<const N: usize> Call<'_, N> {
    /// Number i that the caller has set.
    pub fn number(&self, i: usize) -> f64 {
        self.numbers[i].get()
    }

    /// Argument i, an array of the type that number `kind` says; nothing where that is 0.
    pub fn any(&self, i: usize, kind: usize) -> Result<Option<AnyArray>> {
        Ok(match self.number(kind) as u32 {
            _ if i >= self.count => None,
            0 => None,
            1 => Some(AnyArray::F32(self.array(i)?)),
            2 => Some(AnyArray::I32(self.array(i)?)),
            3 => Some(AnyArray::U8(self.array(i)?)),
            4 => Some(AnyArray::I8(self.array(i)?)),
            5 => Some(AnyArray::I16(self.array(i)?)),
            6 => Some(AnyArray::U16(self.array(i)?)),
            7 => Some(AnyArray::U32(self.array(i)?)),
            _ => Some(AnyArray::I64(self.array(i)?)),
        })
    }

    /// The labels that are ignored.
    pub fn ignored(&self) -> ([i32; MOST_IGNORED], usize) {
        let mut ignored = [0; MOST_IGNORED];
        let count = (self.number(IGNORED) as usize).min(MOST_IGNORED);
        for (i, ignored) in ignored.iter_mut().take(count).enumerate() {
            *ignored = self.number(IGNORED + 1 + i) as i32;
        }
        (ignored, count)
    }

    /// Threads for so many elements, of which each should have at least `least`. A test may have every call split.
    pub fn threads(&self, elements: usize, least: usize, units: usize) -> usize {
        let least = if self.number(SPLIT_ALL) == 0.0 {
            least
        } else {
            1
        };
        threads::count(self.number(THREADS) as usize, elements, least, units)
    }

    /// Argument i.
    pub fn array<T: Element>(&self, i: usize) -> Result<Array<T>> {
        // SAFETY: environment and value are those of the running call.
        unsafe { Array::from_napi_value(self.env, self.arguments[i]) }
    }

    /// Argument i, if it is an array. To ask for one that is not there takes 40 ns, so callers leave the last ones out.
    pub fn maybe<T: Element>(&self, i: usize) -> Result<MaybeArray<T>> {
        if i >= self.count {
            return Ok(MaybeArray::NONE);
        }
        // SAFETY: environment and value are those of the running call.
        unsafe { MaybeArray::from_napi_value(self.env, self.arguments[i]) }
    }
}

/// The array of numbers of one environment; every worker thread has its own.
pub struct Exports<'a> {
    env: sys::napi_env,
    exports: Object<'a>,
    numbers: *mut c_void,
}

impl<'a> Exports<'a> {
    /// Makes the array and exports it as `numbers`.
    pub fn new(env: Env, exports: Object<'a>) -> Result<Self> {
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

    /// Exports a function.
    pub fn function<F: Function<N>, const N: usize>(&self) -> Result<()> {
        let name = F::NAME.as_ptr();
        let mut function = ptr::null_mut();
        // SAFETY: `env` is the one that loads the addon, and the name ends with a zero.
        unsafe {
            check_status!(sys::napi_create_function(
                self.env,
                name,
                F::NAME.count_bytes() as isize,
                Some(callback::<F, N>),
                self.numbers,
                &mut function,
            ))?;
            check_status!(sys::napi_set_named_property(
                self.env,
                self.exports.raw(),
                name,
                function
            ))
        }
    }
}

/// What Node calls.
unsafe extern "C" fn callback<F: Function<N>, const N: usize>(
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
        let result = F::run(&Call {
            env,
            arguments,
            count,
            numbers,
        })?;
        numbers[0].set(result);
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
