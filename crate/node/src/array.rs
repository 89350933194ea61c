//! Typed arrays as arguments: pointer and length, without the reference that an owned array of napi-rs keeps (110 ns
//! each), and without a `&mut [f32]` that could alias a `&[f32]` when a gradient is written in place.

use core::cell::Cell;
use core::ptr;
use fused_loss_core::family::positions::Values;
use napi::bindgen_prelude::{FromNapiValue, TypeName, ValueType};
use napi::{Error, Result, Status, sys};

/// The elements of a typed array, for the time of one call.
pub struct Array<T: Element>(&'static [T]);

/// An element type and the N-API constant of its typed array.
pub trait Element: 'static {
    const KIND: sys::napi_typedarray_type;
    const NAME: &'static str;
}

impl Element for Cell<f32> {
    const KIND: sys::napi_typedarray_type = sys::TypedarrayType::float32_array;
    const NAME: &'static str = "Float32Array";
}

impl Element for Cell<f64> {
    const KIND: sys::napi_typedarray_type = sys::TypedarrayType::float64_array;
    const NAME: &'static str = "Float64Array";
}

macro_rules! integers {
    ($($element:ty: $kind:ident $name:literal),*) => {
        $(impl Element for $element {
            const KIND: sys::napi_typedarray_type = sys::TypedarrayType::$kind;
            const NAME: &'static str = $name;
        })*
    };
}

integers! {
    i8: int8_array "Int8Array",
    u8: uint8_array "Uint8Array",
    i16: int16_array "Int16Array",
    u16: uint16_array "Uint16Array",
    i32: int32_array "Int32Array",
    u32: uint32_array "Uint32Array",
    i64: bigint64_array "BigInt64Array"
}

impl<T: Element> Array<T> {
    /// The elements. The borrow of `self` keeps them within the call.
    pub fn get(&self) -> &[T] {
        self.0
    }
}

impl<T: Element> TypeName for Array<T> {
    fn type_name() -> &'static str {
        T::NAME
    }
    fn value_type() -> ValueType {
        ValueType::Object
    }
}

impl<T: Element> FromNapiValue for Array<T> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi-rs passes the environment and the value of the running call.
        let elements = unsafe { elements(env, value) };
        elements
            .map(Self)
            .ok_or_else(|| Error::new(Status::InvalidArg, format!("expected a {}", T::NAME)))
    }
}

/// The same, or nothing where anything else comes. `Option<Array>` would ask for the type first, which takes 15 ns.
pub struct MaybeArray<T: Element>(Option<Array<T>>);

impl<T: Element> MaybeArray<T> {
    /// No array.
    pub const NONE: Self = Self(None);

    /// The elements, if an array came.
    pub fn get(&self) -> Option<&[T]> {
        self.0.as_ref().map(Array::get)
    }
}

impl<T: Element> TypeName for MaybeArray<T> {
    fn type_name() -> &'static str {
        T::NAME
    }
    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl<T: Element> FromNapiValue for MaybeArray<T> {
    unsafe fn from_napi_value(env: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        // SAFETY: napi-rs passes the environment and the value of the running call.
        Ok(Self(unsafe { elements(env, value) }.map(Array)))
    }
}

/// A typed array of numbers of any type that is read and never written.
pub enum AnyArray {
    F32(Array<Cell<f32>>),
    I32(Array<i32>),
    U8(Array<u8>),
    I8(Array<i8>),
    I16(Array<i16>),
    U16(Array<u16>),
    U32(Array<u32>),
    I64(Array<i64>),
}

impl AnyArray {
    /// The elements. The borrow of `self` keeps them within the call.
    pub fn get(&self) -> Values<'_> {
        match self {
            Self::F32(array) => Values::F32(array.get()),
            Self::I32(array) => Values::I32(array.get()),
            Self::U8(array) => Values::U8(array.get()),
            Self::I8(array) => Values::I8(array.get()),
            Self::I16(array) => Values::I16(array.get()),
            Self::U16(array) => Values::U16(array.get()),
            Self::U32(array) => Values::U32(array.get()),
            Self::I64(array) => Values::I64(array.get()),
        }
    }
}

/// The elements of `value`, or nothing where it is no typed array.
///
/// The facade has checked the kind, so only the memory is asked for: `napi_get_buffer_info` takes 25 ns and answers for
/// any view in Node, `napi_get_typedarray_info` takes 45 ns and is asked where a host answers for buffers alone.
///
/// # Safety
/// `env` and `value` belong to a running call, and the elements are not used after it.
unsafe fn elements<T: Element>(env: sys::napi_env, value: sys::napi_value) -> Option<&'static [T]> {
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
        if status != sys::Status::napi_ok || kind != T::KIND {
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
