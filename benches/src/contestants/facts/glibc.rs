//! glibc about itself.

use std::ffi::CStr;

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

fn version() -> String {
    // SAFETY: it returns a static, nul-terminated string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_string_lossy().into_owned()
}
