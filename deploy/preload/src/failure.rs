//! How functions fail on their arguments: null and an `errno`. Want of memory is told by the core.

use core::ffi::c_void;
use core::ptr;
use core_api::os::Errno;

/// Null, with `errno` saying why.
#[cold]
#[inline(never)]
pub(crate) fn fail(errno: Errno) -> *mut c_void {
    errno.set();
    ptr::null_mut()
}
