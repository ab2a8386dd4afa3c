//! Being called when a thread ends: one pthread key.
//!
//! # Order of destructors
//! When a thread ends, by returning, `pthread_exit` or cancellation, glibc and musl run
//! 1. C++ and Rust `thread_local!` destructors, then
//! 2. the destructors of all pthread keys whose value is not null, in rising order of keys (no
//!    promise), setting the value to null before each; and again, as long as some value is not null,
//!    for at most [`ROUNDS`] rounds. After that, values are forgotten.
//! 3. The thread's static TLS is still readable all along, and is freed after.
//!
//! So a destructor of somebody else may allocate after ours has run. That allocation calls
//! [`ThreadExit::arm`] again, and ours runs once more in the next round. In the last round nobody
//! comes any more: the owner counts the rounds, and after [`ROUNDS`] of them lets the thread work
//! without a cache.
//!
//! `exit(3)` and a return from `main` run no key destructors, in no thread.

use super::errno::{Errno, Result};
use super::fault::{Call, inject};
use core::ffi::c_void;
use core::ptr::{self, NonNull};

/// How many rounds of key destructors a thread gets (`PTHREAD_DESTRUCTOR_ITERATIONS`: 4 in glibc and
/// musl, and the least that POSIX allows).
pub const ROUNDS: u32 = 4;

/// A pthread key whose destructor is called in each ending thread that has armed it.
#[derive(Clone, Copy, Debug)]
pub struct ThreadExit {
    key: libc::pthread_key_t,
}

impl ThreadExit {
    /// Creates the key. `destructor` gets the pointer that the ending thread has armed, on that
    /// thread.
    ///
    /// Errors: `EAGAIN` if all keys (1024 in glibc, 128 in musl) are taken. pthread_key_create(3).
    pub fn create(destructor: unsafe extern "C" fn(*mut c_void)) -> Result<Self> {
        let mut key = 0;
        inject(Call::KeyCreate)?;
        // SAFETY: writes one key; the destructor has the type that pthread calls.
        match unsafe { libc::pthread_key_create(&raw mut key, Some(destructor)) } {
            0 => Ok(Self { key }),
            errno => Err(Errno(errno)),
        }
    }

    /// Makes the destructor run, with `pointer`, when the calling thread ends. Arming again replaces
    /// the pointer; arming inside the destructor asks for another round.
    ///
    /// glibc keeps the first 32 keys in the thread itself; for a later key, the first arming in a
    /// thread allocates (calloc(3)), and may so come back to an allocator that replaces it: the owner
    /// must be ready for that before it arms.
    ///
    /// Errors: `ENOMEM`; then nobody is called. pthread_setspecific(3).
    pub fn arm(&self, pointer: NonNull<c_void>) -> Result<()> {
        self.set(pointer.as_ptr())
    }

    /// Undoes [`arm`](Self::arm) for the calling thread.
    ///
    /// Errors: `ENOMEM`, only if the thread was never armed.
    pub fn disarm(&self) -> Result<()> {
        self.set(ptr::null_mut())
    }

    /// Whether the calling thread is armed: false again while and after the destructor runs.
    pub fn is_armed(&self) -> bool {
        // SAFETY: the key was created and is never deleted.
        !unsafe { libc::pthread_getspecific(self.key) }.is_null()
    }

    fn set(&self, value: *mut c_void) -> Result<()> {
        inject(Call::KeySet)?;
        // SAFETY: the key was created and is never deleted; the value is stored, not followed.
        match unsafe { libc::pthread_setspecific(self.key, value) } {
            0 => Ok(()),
            errno => Err(Errno(errno)),
        }
    }
}
