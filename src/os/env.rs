//! Reading the environment without libc's help and without allocating.
//!
//! Neighbours: `config` reads its variables here, once.

use core::ffi::{CStr, c_char};

unsafe extern "C" {
    /// The process environment: a null-terminated array of `NAME=value` strings (environ(7)), or
    /// null before libc has started.
    static environ: *const *const c_char;
}

/// The value of the environment variable `name`, or `None` if it is not set. environ(7).
///
/// As with getenv(3), nobody may change the environment at the same time; that is what
/// `std::env::set_var` demands of its callers, too.
pub fn var(name: &CStr) -> Option<&'static [u8]> {
    vars().find(|(found, _)| *found == name.to_bytes()).map(|(_, value)| value)
}

/// All environment variables as (name, value), in the order of the array. A name set twice comes
/// twice; an entry without `=` is left out. environ(7); see [`var`].
pub fn vars() -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
    // SAFETY: a plain read of the pointer that libc keeps.
    let mut next = unsafe { environ };
    core::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: `next` points into the array, at or before its terminating null, which ends the
        // walk below; each entry before it is a NUL-terminated string that lives on.
        let entry = unsafe {
            let entry = *next;
            if entry.is_null() {
                return None;
            }
            next = next.add(1);
            CStr::from_ptr(entry).to_bytes()
        };
        Some(entry)
    })
    .filter_map(|entry| {
        let equals = entry.iter().position(|byte| *byte == b'=')?;
        Some((&entry[..equals], &entry[equals + 1..]))
    })
}

/// Whether the program runs with privileges that its caller does not have (set-user-id and the
/// like), and must not listen to the environment. getauxval(3) with `AT_SECURE`.
pub fn is_untrusted() -> bool {
    // SAFETY: takes a number, reads the auxiliary vector.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::testing::{in_child, in_child_with};

    #[test]
    fn variables_are_found_by_their_whole_name() {
        let prepare = |child: &mut std::process::Command| {
            child.env("OS_TEST_AB", "long").env("OS_TEST_A", "x=y").env("OS_TEST_EMPTY", "");
        };
        in_child_with(prepare, || {
            assert_eq!(var(c"OS_TEST_A"), Some(&b"x=y"[..]));
            assert_eq!(var(c"OS_TEST_AB"), Some(&b"long"[..]));
            assert_eq!(var(c"OS_TEST_EMPTY"), Some(&b""[..]));
            assert_eq!(var(c"OS_TEST_"), None);
            assert_eq!(vars().count(), std::env::vars_os().count());
            assert!(!is_untrusted());
        });
    }

    #[test]
    fn an_emptied_environment_has_no_variables() {
        in_child(|| {
            // SAFETY: no other thread of this child reads the environment.
            unsafe { libc::clearenv() };
            assert_eq!(var(c"PATH"), None);
            assert_eq!(vars().count(), 0);
        });
    }
}
