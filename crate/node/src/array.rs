//! Typed arrays as arguments: pointer and length, without the reference that an owned array of napi-rs keeps, which takes
//! most of the time of a small call, and without a `&mut [f32]` that could alias a `&[f32]` when a gradient is written in place.

use core::cell::Cell;
use core::ptr;
use fused_loss_core::call::{Array, Type};
use fused_loss_core::layout::positions::Values;
use napi::{Error, Result, Status, sys};

/// The array `value`, whose elements are of a type.
///
/// # Safety
/// `env` and `value` belong to a running call, and the elements are not used after it.
pub unsafe fn array(
    env: sys::napi_env,
    value: sys::napi_value,
    of: Type,
) -> Result<Array<'static>> {
    use sys::TypedarrayType as Kind;
    // SAFETY: the caller's, passed on to each of these.
    let array = unsafe {
        match of {
            Type::F32 => elements(env, value, Kind::float32_array).map(Values::F32),
            Type::I32 => elements(env, value, Kind::int32_array).map(Values::I32),
            Type::U8 => elements(env, value, Kind::uint8_array).map(Values::U8),
            Type::I8 => elements(env, value, Kind::int8_array).map(Values::I8),
            Type::I16 => elements(env, value, Kind::int16_array).map(Values::I16),
            Type::U16 => elements(env, value, Kind::uint16_array).map(Values::U16),
            Type::U32 => elements(env, value, Kind::uint32_array).map(Values::U32),
            Type::I64 => elements(env, value, Kind::bigint64_array).map(Values::I64),
            Type::F64 => {
                return elements::<Cell<f64>>(env, value, Kind::float64_array)
                    .map(Array::F64)
                    .ok_or_else(|| refused(of));
            }
        }
    };
    array.map(Array::Values).ok_or_else(|| refused(of))
}

/// The array `value` of floats.
///
/// # Safety
/// As of [`array`].
pub unsafe fn floats(env: sys::napi_env, value: sys::napi_value) -> Result<&'static [Cell<f32>]> {
    // SAFETY: the caller's.
    let floats = unsafe { elements(env, value, sys::TypedarrayType::float32_array) };
    floats.ok_or_else(|| refused(Type::F32))
}

fn refused(of: Type) -> Error {
    Error::new(Status::InvalidArg, format!("expected an array of {of:?}"))
}

/// The elements of `value`, or nothing where it is no typed array.
///
/// The facade has checked the kind, so only the memory is asked for: `napi_get_buffer_info` answers for
/// any view in Node, and `napi_get_typedarray_info`, which takes nearly twice as long, is asked where a host answers for buffers alone.
///
/// # Safety
/// `env` and `value` belong to a running call, and the elements are not used after it. `T` is a number, or a cell of one.
unsafe fn elements<T>(
    env: sys::napi_env,
    value: sys::napi_value,
    expected: sys::napi_typedarray_type,
) -> Option<&'static [T]> {
    let mut bytes = 0;
    let mut data = ptr::null_mut();
    // SAFETY: the caller's; the out pointers are to locals.
    let status = unsafe { sys::napi_get_buffer_info(env, value, &mut data, &mut bytes) };
    let mut length = bytes / size_of::<T>();
    if status != sys::Status::napi_ok {
        let mut kind = 0;
        // SAFETY: the caller's; the out pointers are to locals, and N-API accepts null for what is not asked.
        let status = unsafe {
            sys::napi_get_typedarray_info(
                env,
                value,
                &mut kind,
                &mut length,
                &mut data,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        // Two types for the same elements, as far as labels go.
        let kind = match kind {
            sys::TypedarrayType::uint8_clamped_array => sys::TypedarrayType::uint8_array,
            sys::TypedarrayType::biguint64_array => sys::TypedarrayType::bigint64_array,
            kind => kind,
        };
        if status != sys::Status::napi_ok || kind != expected {
            return None;
        }
    }
    if length == 0 {
        // An empty or detached array may come with a null pointer.
        return Some(&[]);
    }
    if !data.cast::<T>().is_aligned() {
        // A view of bytes, which no array of words is.
        return None;
    }
    // SAFETY: V8 guarantees the bytes at `data`, and any bits are a value of these types. The call is synchronous and runs
    // no JavaScript, so nothing moves, detaches or resizes the memory before it returns. Written memory is only ever seen
    // through cells. Memory shared with another thread may change under the kernel, which then computes with what it
    // reads: no index is used without a check.
    Some(unsafe { core::slice::from_raw_parts(data.cast(), length) })
}
