//! The WebAssembly module. It knows no loss and no family: it finds the arrays of a call in its own memory, and the core does the rest.
//! `ts/backend/wasm.ts` is its only caller; it adds memory of its own to that of the module, copies a piece of the arrays in,
//! calls, and copies the outputs out. Only numbers travel, so that the module runs without the glue of wasm-bindgen.

#![cfg(target_arch = "wasm32")]

use core::cell::Cell;
use fused_loss_core::call::{Array, Host, NUMBERS, Numbers, PLACES, SUM, Type};
use fused_loss_core::expression::OPERANDS;
use fused_loss_core::layout::positions::Values;
use fused_loss_core::registry;
use fused_loss_core::simd::{Level, Simd128};
use wasm_bindgen::prelude::wasm_bindgen;

/// What the module is, in lines that end with a 0: its version, what it is compiled for, and every loss and every kind of call. The
/// text is never freed: it is asked for once.
#[wasm_bindgen]
#[must_use]
pub fn describe() -> *const u8 {
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("{version}\n{}\n{}\0", level().name(), registry::describe());
    text.leak().as_ptr()
}

fn level() -> Level {
    Level::Simd128(Simd128::new())
}

/// Where a call stands: its numbers, and address and length of each array, in the order of [`registry::read_and_run`].
#[repr(C)]
pub struct Block {
    numbers: Numbers,
    arrays: [[Cell<usize>; 2]; PLACES + OPERANDS],
}

/// The block in which calls are made. It is never freed: it is asked for once.
#[wasm_bindgen]
#[must_use]
pub fn block() -> *const Block {
    Box::leak(Box::new(Block {
        numbers: [const { Cell::new(0.0) }; NUMBERS],
        arrays: [const { [const { Cell::new(0) }; 2] }; PLACES + OPERANDS],
    }))
}

/// Makes the call of a block, whose result comes back in its first number.
///
/// # Safety
/// `block` is from [`block`], and its arrays lie inside the caller's memory.
///
/// # Panics
/// Where the call is none that can be run: the caller has checked it.
#[wasm_bindgen]
pub unsafe fn call(block: *const Block) {
    // SAFETY: the caller's.
    let Block { numbers, arrays } = unsafe { &*block };
    let host = Host {
        level: level(),
        threads: None,
        split_all: false,
    };
    // SAFETY: the caller's.
    let argument = |k: usize, of| unsafe { array(of, arrays.get(k)?.each_ref().map(Cell::get)) };
    match registry::read_and_run(numbers, &host, argument) {
        Ok(result) => numbers[SUM].set(result),
        Err(reason) => panic!("{reason}"),
    }
}

/// An array of a call. The caller writes integers as those of 32 bits.
///
/// # Safety
/// As of [`elements`].
#[inline(always)]
unsafe fn array<'a>(of: Type, place: [usize; 2]) -> Option<Array<'a>> {
    // SAFETY: the caller's.
    unsafe {
        match of {
            Type::F64 => Some(Array::F64(elements(place))),
            Type::I32 => Some(Array::Values(Values::I32(elements(place)))),
            Type::U8 => Some(Array::Values(Values::U8(elements(place)))),
            Type::F32 => Some(Array::Values(Values::F32(elements(place)))),
            _ => None,
        }
    }
}

/// The elements at an address.
///
/// # Safety
/// So many lie inside the caller's memory there, and what is written of them is only ever seen through cells.
unsafe fn elements<'a, T>([at, length]: [usize; 2]) -> &'a [T] {
    if length == 0 {
        return &[];
    }
    // SAFETY: the caller's.
    unsafe { core::slice::from_raw_parts(at as *const T, length) }
}
