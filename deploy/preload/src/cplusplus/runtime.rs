//! The C++ runtime that the program has, if it has one: where its own `operator new` is.
//!
//! Asked for when there is no memory, never before.

use core::ffi::{CStr, c_void};
use core::ptr::NonNull;
use core_api::os::fatal::{Line, die};

/// A form of `operator new`, by its name in the ABI.
#[allow(non_camel_case_types)]
#[derive(Clone, Copy)]
#[repr(usize)]
pub(super) enum Form {
    /// `operator new(size_t)`.
    _Znwm,
    /// `operator new[](size_t)`.
    _Znam,
    /// `operator new(size_t, align_val_t)`.
    _ZnwmSt11align_val_t,
    /// `operator new[](size_t, align_val_t)`.
    _ZnamSt11align_val_t,
    /// `operator new(size_t, nothrow_t const&)`.
    _ZnwmRKSt9nothrow_t,
    /// `operator new[](size_t, nothrow_t const&)`.
    _ZnamRKSt9nothrow_t,
    /// `operator new(size_t, align_val_t, nothrow_t const&)`.
    _ZnwmSt11align_val_tRKSt9nothrow_t,
    /// `operator new[](size_t, align_val_t, nothrow_t const&)`.
    _ZnamSt11align_val_tRKSt9nothrow_t,
}

/// The names, in the order of [`Form`].
const NAMES: [&CStr; 8] = [
    c"_Znwm",
    c"_Znam",
    c"_ZnwmSt11align_val_t",
    c"_ZnamSt11align_val_t",
    c"_ZnwmRKSt9nothrow_t",
    c"_ZnamRKSt9nothrow_t",
    c"_ZnwmSt11align_val_tRKSt9nothrow_t",
    c"_ZnamSt11align_val_tRKSt9nothrow_t",
];

/// The runtimes that there are: GCC's and LLVM's.
const RUNTIMES: [&CStr; 2] = [c"libstdc++.so.6", c"libc++.so.1"];

/// The C++ runtime's own function of that form; `None` if the program has no such runtime.
#[cold]
pub(super) fn find(form: Form) -> Option<NonNull<c_void>> {
    let name = NAMES[form as usize].as_ptr();
    // SAFETY: dlsym(3) with a name; what comes after this library in the order of search.
    let next = NonNull::new(unsafe { libc::dlsym(libc::RTLD_NEXT, name) });
    next.or_else(|| {
        // A runtime that came by `dlopen` is not in that order.
        RUNTIMES.iter().find_map(|runtime| {
            // SAFETY: dlopen(3) with a name; loads nothing. The handle is kept, since the caller goes there.
            let handle = unsafe { libc::dlopen(runtime.as_ptr(), libc::RTLD_LAZY | libc::RTLD_NOLOAD) };
            let handle = NonNull::new(handle)?;
            // SAFETY: an open handle and a name.
            NonNull::new(unsafe { libc::dlsym(handle.as_ptr(), name) })
        })
    })
}

/// As [`find`], for forms that throw: without a runtime that throws the process ends.
#[cold]
pub(super) extern "C" fn find_or_die(form: Form) -> NonNull<c_void> {
    match find(form) {
        Some(function) => function,
        None => die(Line::new().push_str("operator new: no memory, and no C++ runtime to say so")),
    }
}
