//! The forms of `operator new` that return null instead of throwing.
//!
//! They call the new-handler too, which may throw: so without memory the C++ runtime's own form goes on, which
//! catches that. A program without C++ runtime has no handler either.

use super::runtime::{Form, find};
use crate::HEAP;
use core::ffi::c_void;
use core::mem;
use core::ptr;

type Plain = unsafe extern "C" fn(usize, *const c_void) -> *mut c_void;
type Aligned = unsafe extern "C" fn(usize, usize, *const c_void) -> *mut c_void;

#[cold]
#[inline(never)]
unsafe fn plain(form: Form, size: usize, tag: *const c_void) -> *mut c_void {
    match find(form) {
        // SAFETY: the runtime's function of that name has this type, and throws nothing.
        Some(function) => unsafe { mem::transmute::<*mut c_void, Plain>(function.as_ptr())(size, tag) },
        None => ptr::null_mut(),
    }
}

#[cold]
#[inline(never)]
unsafe fn aligned(form: Form, size: usize, align: usize, tag: *const c_void) -> *mut c_void {
    match find(form) {
        // SAFETY: as above.
        Some(function) => unsafe {
            mem::transmute::<*mut c_void, Aligned>(function.as_ptr())(size, align, tag)
        },
        None => ptr::null_mut(),
    }
}

/// Defines the two forms of `new` and `new[]` without a throw.
macro_rules! news {
    ($($plain:ident, $aligned:ident;)+) => { $(
        /// A block of `size` bytes, aligned to 16; null if there is no memory.
        ///
        /// # Safety
        /// `tag` is `std::nothrow`.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub unsafe extern "C" fn $plain(size: usize, tag: *const c_void) -> *mut c_void {
            let block = HEAP.malloc(size);
            if !block.is_null() {
                return block.cast();
            }
            // SAFETY: the same contract.
            unsafe { plain(Form::$plain, size, tag) }
        }

        /// A block of `size` bytes, aligned to `align`, a power of two; null if there is no memory.
        ///
        /// # Safety
        /// `tag` is `std::nothrow`.
        #[unsafe(no_mangle)]
        #[allow(non_snake_case)]
        pub unsafe extern "C" fn $aligned(size: usize, align: usize, tag: *const c_void) -> *mut c_void {
            let block = HEAP.malloc_aligned(size, align);
            if !block.is_null() {
                return block.cast();
            }
            // SAFETY: the same contract.
            unsafe { aligned(Form::$aligned, size, align, tag) }
        }
    )+ };
}

news! {
    _ZnwmRKSt9nothrow_t, _ZnwmSt11align_val_tRKSt9nothrow_t;
    _ZnamRKSt9nothrow_t, _ZnamSt11align_val_tRKSt9nothrow_t;
}
