//! Kernel error numbers as a value, and the guard that keeps the caller's `errno` intact.
//!
//! Key types: [`Errno`], [`Result`], [`ErrnoGuard`]. Every other file of this floor returns
//! [`Result`]; nobody above it reads `errno` itself.
//!
//! # Invariants
//! - An [`Errno`] that this floor returns is never 0.
//! - System calls of this floor may overwrite `errno`, also when they succeed in the end (a refused
//!   first try counts). Whoever is called by C code, where `malloc` and `free` must leave `errno`
//!   alone on success, holds an [`ErrnoGuard`] around its cold path.

use core::fmt;

/// What this floor returns: a value, or the kernel's reason for refusing it.
pub type Result<T> = core::result::Result<T, Errno>;

/// A kernel error number (`errno(3)`), positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// Not permitted, by privilege or by a seccomp filter.
    pub const EPERM: Self = Self(libc::EPERM);
    /// No such file, page or thing.
    pub const ENOENT: Self = Self(libc::ENOENT);
    /// Interrupted by a signal before anything was done.
    pub const EINTR: Self = Self(libc::EINTR);
    /// Input or output failed; from `mbind`: pages are elsewhere and must not move.
    pub const EIO: Self = Self(libc::EIO);
    /// Try again: a resource is short for the moment.
    pub const EAGAIN: Self = Self(libc::EAGAIN);
    /// No memory, or a limit on address space or on the number of mappings is reached.
    pub const ENOMEM: Self = Self(libc::ENOMEM);
    /// Access denied.
    pub const EACCES: Self = Self(libc::EACCES);
    /// A bad address, or (from `MADV_POPULATE_WRITE`) a touch that would have killed.
    pub const EFAULT: Self = Self(libc::EFAULT);
    /// The resource is busy.
    pub const EBUSY: Self = Self(libc::EBUSY);
    /// It exists already.
    pub const EEXIST: Self = Self(libc::EEXIST);
    /// An argument that this kernel does not accept or does not know.
    pub const EINVAL: Self = Self(libc::EINVAL);
    /// Too many open files in the process.
    pub const EMFILE: Self = Self(libc::EMFILE);
    /// The result does not fit.
    pub const ERANGE: Self = Self(libc::ERANGE);
    /// The system call does not exist here.
    pub const ENOSYS: Self = Self(libc::ENOSYS);
    /// The operation is not supported here.
    pub const EOPNOTSUPP: Self = Self(libc::EOPNOTSUPP);

    /// The calling thread's `errno`, as the last failed call left it.
    #[inline]
    pub fn last() -> Self {
        // SAFETY: `__errno_location` returns the address of the calling thread's `errno`, which is
        // valid, aligned and written by this thread only.
        Self(unsafe { *libc::__errno_location() })
    }

    /// Makes it the calling thread's `errno`.
    #[inline]
    pub fn set(self) {
        // SAFETY: as in `last`.
        unsafe { *libc::__errno_location() = self.0 }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

/// Keeps the calling thread's `errno`: reads it when made, puts it back when dropped.
#[must_use = "errno is restored when the guard is dropped"]
#[derive(Debug)]
pub struct ErrnoGuard {
    saved: i32,
}

impl ErrnoGuard {
    /// Remembers the current `errno`.
    #[inline]
    pub fn new() -> Self {
        Self { saved: Errno::last().0 }
    }
}

impl Default for ErrnoGuard {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ErrnoGuard {
    #[inline]
    fn drop(&mut self) {
        Errno(self.saved).set();
    }
}

/// Turns the return value of a libc wrapper or of `syscall(2)` into a [`Result`]: -1 is the error
/// in `errno`, any other value is the result.
#[inline]
pub(super) fn check(ret: libc::c_long) -> Result<usize> {
    if ret == -1 { Err(Errno::last()) } else { Ok(ret as usize) }
}

/// Repeats a call as long as a signal interrupts it.
pub(super) fn until_done(mut call: impl FnMut() -> Result<usize>) -> Result<usize> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guard_restores_errno_over_a_failing_call() {
        Errno(77).set();
        {
            let _guard = ErrnoGuard::new();
            // SAFETY: closing a descriptor that cannot exist touches nothing.
            let ret = unsafe { libc::close(-1) };
            assert_eq!(ret, -1);
            assert_eq!(Errno::last(), Errno(libc::EBADF));
        }
        assert_eq!(Errno::last(), Errno(77));
    }

    #[test]
    fn minus_one_is_the_error_and_nothing_else_is() {
        Errno::EPERM.set();
        assert_eq!(check(-1), Err(Errno::EPERM));
        assert_eq!(check(0), Ok(0));
        assert_eq!(check(4096), Ok(4096));
    }

    #[test]
    fn an_interrupted_call_is_repeated_and_another_error_is_not() {
        let mut answers = [Err(Errno::EINTR), Err(Errno::EINTR), Ok(5), Err(Errno::EIO)].into_iter();
        assert_eq!(until_done(|| answers.next().unwrap()), Ok(5));
        assert_eq!(until_done(|| answers.next().unwrap()), Err(Errno::EIO));
    }
}
