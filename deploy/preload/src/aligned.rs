//! Blocks with an alignment: posix_memalign(3) and its kin. They are given back like any other.

use crate::HEAP;
use crate::failure::fail;
use core::ffi::{c_int, c_void};
use core_api::os::{Errno, ErrnoGuard};

/// The page size that `valloc` promises, in bytes: the machine's.
fn page_bytes() -> usize {
    // SAFETY: reads a constant of the process.
    unsafe { libc::getauxval(libc::AT_PAGESZ) as usize }
}

/// Puts a block of `size` bytes aligned to `align` at `out`; returns 0, `EINVAL` if `align` is no power of two
/// or no multiple of a pointer's size, or `ENOMEM`. `errno` is as it was, and so is `*out` after a failure.
///
/// # Safety
/// `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_memalign(out: *mut *mut c_void, align: usize, size: usize) -> c_int {
    if !align.is_power_of_two() || !align.is_multiple_of(size_of::<*mut c_void>()) {
        return libc::EINVAL;
    }
    let _errno = ErrnoGuard::new();
    let block = HEAP.malloc_aligned(size, align);
    if block.is_null() {
        return libc::ENOMEM;
    }
    // SAFETY: the caller's promise.
    unsafe { *out = block.cast() };
    0
}

/// A block of `size` bytes aligned to `align`; null and `EINVAL` if that is no power of two, `ENOMEM` if there
/// is no memory. The size need not be a multiple of it.
#[unsafe(no_mangle)]
pub extern "C" fn aligned_alloc(align: usize, size: usize) -> *mut c_void {
    if !align.is_power_of_two() {
        return fail(Errno::EINVAL);
    }
    HEAP.malloc_aligned(size, align).cast()
}

/// As [`aligned_alloc`], but as in glibc an alignment is rounded up to a power of two; `EINVAL` if there is
/// none that large.
#[unsafe(no_mangle)]
pub extern "C" fn memalign(align: usize, size: usize) -> *mut c_void {
    match align.checked_next_power_of_two() {
        Some(align) => HEAP.malloc_aligned(size, align).cast(),
        None => fail(Errno::EINVAL),
    }
}

/// A block of `size` bytes, aligned to a page.
#[unsafe(no_mangle)]
pub extern "C" fn valloc(size: usize) -> *mut c_void {
    HEAP.malloc_aligned(size, page_bytes()).cast()
}

/// As [`valloc`], of whole pages, one at least.
#[unsafe(no_mangle)]
pub extern "C" fn pvalloc(size: usize) -> *mut c_void {
    match size.max(1).checked_next_multiple_of(page_bytes()) {
        Some(size) => valloc(size),
        None => fail(Errno::ENOMEM),
    }
}
