//! The child that runs workloads on the C library's `malloc`.

use std::{alloc::System, process::ExitCode};

numaslab_bench::contestant!(Glibc, System = System);

fn main() -> ExitCode {
    numaslab_bench::child::main::<Glibc>(version, || None)
}

fn version() -> String {
    // SAFETY: it returns a static, nul-terminated string.
    let version = unsafe { std::ffi::CStr::from_ptr(libc::gnu_get_libc_version()) };
    version.to_string_lossy().into_owned()
}
