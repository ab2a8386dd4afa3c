//! `malloc`, `free` and what else the C standard has (malloc(3), C23 7.24.3).

use crate::HEAP;
use crate::failure::fail;
use core::ffi::c_void;
use core::ptr;
use core_api::os::Errno;

/// A block of `size` bytes, aligned to 16; null and `ENOMEM` if there is no memory. Size 0 gives a block of its
/// own.
#[unsafe(no_mangle)]
pub extern "C" fn malloc(size: usize) -> *mut c_void {
    HEAP.malloc(size).cast()
}

/// Gives a block back; nothing happens for null. Keeps `errno`.
///
/// # Safety
/// `block` is null or a block of this library that is not used any more. Other pointers end the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free(block: *mut c_void) {
    // SAFETY: the same contract.
    unsafe { HEAP.free(block.cast()) }
}

/// As [`malloc`] of `count` times `size` bytes, all zero. `ENOMEM` also if the product overflows.
#[unsafe(no_mangle)]
pub extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        Some(bytes) => HEAP.malloc_zeroed(bytes).cast(),
        None => fail(Errno::ENOMEM),
    }
}

/// Resizes a block. Null is none, and a new one is returned. As in glibc, size 0 gives the block back and
/// returns null, with `errno` as it was.
///
/// # Safety
/// As [`free`], unless null is returned for a size other than 0: then the block is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn realloc(block: *mut c_void, size: usize) -> *mut c_void {
    if size == 0 && !block.is_null() {
        // SAFETY: the same contract.
        unsafe { HEAP.free(block.cast()) };
        return ptr::null_mut();
    }
    // SAFETY: the same contract.
    unsafe { HEAP.resize(block.cast(), size) }.cast()
}

/// As [`realloc`] to `count` times `size` bytes; `ENOMEM` if the product overflows, and the block is as it was.
///
/// # Safety
/// As [`realloc`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn reallocarray(block: *mut c_void, count: usize, size: usize) -> *mut c_void {
    match count.checked_mul(size) {
        // SAFETY: the same contract.
        Some(bytes) => unsafe { realloc(block, bytes) },
        None => fail(Errno::ENOMEM),
    }
}

/// [`free`], by a name that old programs use.
///
/// # Safety
/// As [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cfree(block: *mut c_void) {
    // SAFETY: the same contract.
    unsafe { HEAP.free(block.cast()) }
}

/// [`free`] of a block that was asked for with `_size` bytes (C23). The address tells as much.
///
/// # Safety
/// As [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_sized(block: *mut c_void, _size: usize) {
    // SAFETY: the same contract.
    unsafe { HEAP.free(block.cast()) }
}

/// [`free`] of a block that was asked for with `_size` bytes aligned to `_align` (C23). The address tells as
/// much.
///
/// # Safety
/// As [`free`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn free_aligned_sized(block: *mut c_void, _align: usize, _size: usize) {
    // SAFETY: the same contract.
    unsafe { HEAP.free(block.cast()) }
}
