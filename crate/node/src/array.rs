//! Typed arrays as arguments: pointer and length, without the reference that an owned array of napi-rs keeps, which takes
//! most of the time of a small call, and without a `&mut [f32]` that could alias a `&[f32]` when a gradient is written in place.

use core::ptr;
use fused_loss_core::call::{Array, Type};
use fused_loss_core::layout::positions::Values;
use napi::sys;

/// The array `value`, or nothing where it is none whose elements are of this type.
///
/// It is inlined, so that pointer and length go from registers to the place of the array: to copy them there takes longer than to
/// write them, since the processor then waits for them to arrive.
///
/// # Safety
/// `env` and `value` belong to a running call, and the elements are not used after it.
#[inline(always)]
pub unsafe fn array(
    env: sys::napi_env,
    value: sys::napi_value,
    of: Type,
) -> Option<Array<'static>> {
    // SAFETY: the caller's.
    let memory = unsafe { memory(env, value, of) }?;
    // SAFETY: the memory is that of elements of this type, and read by the call alone, as the caller says.
    Some(Array::Values(unsafe {
        match of {
            Type::F32 => Values::F32(elements(memory)?),
            Type::I32 => Values::I32(elements(memory)?),
            Type::U8 => Values::U8(elements(memory)?),
            Type::I8 => Values::I8(elements(memory)?),
            Type::I16 => Values::I16(elements(memory)?),
            Type::U16 => Values::U16(elements(memory)?),
            Type::U32 => Values::U32(elements(memory)?),
            Type::I64 => Values::I64(elements(memory)?),
            Type::F64 => return elements(memory).map(Array::F64),
        }
    }))
}

/// Where the elements of `value` lie, and how many bytes they have, or nothing where it is no typed array of theirs.
///
/// The facade has checked the kind, so only the memory is asked for: `napi_get_buffer_info` answers for
/// any view in Node, and `napi_get_typedarray_info`, which takes nearly twice as long, is asked where a host answers for buffers alone.
///
/// # Safety
/// `env` and `value` belong to a running call.
unsafe fn memory(
    env: sys::napi_env,
    value: sys::napi_value,
    of: Type,
) -> Option<(*const u8, usize)> {
    let mut bytes = 0;
    let mut data = ptr::null_mut();
    // SAFETY: the caller's; the out pointers are to locals.
    let status = unsafe { sys::napi_get_buffer_info(env, value, &mut data, &mut bytes) };
    if status == sys::Status::napi_ok {
        return Some((data.cast(), bytes));
    }
    let (mut kind, mut length) = (0, 0);
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
    use sys::TypedarrayType as Kind;
    let size = match (kind, of) {
        (Kind::int8_array, Type::I8) => 1,
        // Two types for the same elements, as far as labels go.
        (Kind::uint8_array | Kind::uint8_clamped_array, Type::U8) => 1,
        (Kind::int16_array, Type::I16) | (Kind::uint16_array, Type::U16) => 2,
        (Kind::float32_array, Type::F32) => 4,
        (Kind::int32_array, Type::I32) | (Kind::uint32_array, Type::U32) => 4,
        (Kind::bigint64_array | Kind::biguint64_array, Type::I64) => 8,
        (Kind::float64_array, Type::F64) => 8,
        _ => return None,
    };
    (status == sys::Status::napi_ok).then_some((data.cast_const().cast(), length * size))
}

/// The elements of some memory, or nothing where they do not lie as such elements do.
///
/// # Safety
/// The memory is that of a typed array of a running call, and not used after it. `T` is a number, or a cell of one.
#[inline(always)]
unsafe fn elements<T>((data, bytes): (*const u8, usize)) -> Option<&'static [T]> {
    let length = bytes / size_of::<T>();
    if length == 0 {
        // An empty or detached array may come with a null pointer.
        return Some(&[]);
    }
    let data = data.cast::<T>();
    // What is not aligned is a view of bytes, which no array of words is.
    //
    // SAFETY: V8 guarantees the bytes at `data`, and any bits are a value of these types. The call is synchronous and runs
    // no JavaScript, so nothing moves, detaches or resizes the memory before it returns. Written memory is only ever seen
    // through cells. Memory shared with another thread may change under the kernel, which then computes with what it
    // reads: no index is used without a check.
    data.is_aligned()
        .then(|| unsafe { core::slice::from_raw_parts(data, length) })
}
