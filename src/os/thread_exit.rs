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

    /// The key as a number, to be kept in an atomic.
    pub const fn to_raw(self) -> u32 {
        self.key
    }

    /// The key that [`to_raw`](Self::to_raw) has made a number of.
    ///
    /// # Safety
    /// The number comes from `to_raw`.
    pub const unsafe fn from_raw(key: u32) -> Self {
        Self { key }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fault;
    use crate::os::testing::in_child;
    use crate::sync::{AtomicU32, AtomicUsize, Ordering};
    use std::sync::OnceLock;
    use std::thread::spawn;

    fn pointer(value: &AtomicU32) -> NonNull<c_void> {
        NonNull::from(value).cast()
    }

    unsafe extern "C" fn count(counter: *mut c_void) {
        // SAFETY: the tests arm with static counters.
        unsafe { &*counter.cast::<AtomicU32>() }.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn the_destructor_runs_once_in_each_armed_thread_with_the_last_pointer() {
        static FIRST: AtomicU32 = AtomicU32::new(0);
        static LAST: AtomicU32 = AtomicU32::new(0);
        let key = ThreadExit::create(count).unwrap();
        // SAFETY: the number comes from the key.
        let key = unsafe { ThreadExit::from_raw(key.to_raw()) };
        for arm in [true, false, true] {
            spawn(move || {
                assert!(!key.is_armed());
                if arm {
                    key.arm(pointer(&FIRST)).unwrap();
                    key.arm(pointer(&LAST)).unwrap();
                    assert!(key.is_armed());
                }
            })
            .join()
            .unwrap();
        }
        assert_eq!((FIRST.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed)), (0, 2));
    }

    #[test]
    fn a_disarmed_thread_is_left_alone() {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let key = ThreadExit::create(count).unwrap();
        spawn(move || {
            key.arm(pointer(&COUNT)).unwrap();
            key.disarm().unwrap();
            assert!(!key.is_armed());
        })
        .join()
        .unwrap();
        assert_eq!(COUNT.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn arming_in_the_destructor_gives_all_rounds_and_no_more() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        static KEY: OnceLock<ThreadExit> = OnceLock::new();
        unsafe extern "C" fn again(counter: *mut c_void) {
            let key = KEY.get().unwrap();
            assert!(!key.is_armed());
            CALLS.fetch_add(1, Ordering::Relaxed);
            key.arm(NonNull::new(counter).unwrap()).unwrap();
        }
        let key = *KEY.get_or_init(|| ThreadExit::create(again).unwrap());
        spawn(move || key.arm(NonNull::dangling()).unwrap()).join().unwrap();
        assert_eq!(CALLS.load(Ordering::Relaxed), ROUNDS);
    }

    #[test]
    fn thread_locals_are_gone_before_and_their_late_use_arms_again() {
        static ORDER: AtomicUsize = AtomicUsize::new(0);
        static KEY: OnceLock<ThreadExit> = OnceLock::new();
        struct Local;
        impl Drop for Local {
            fn drop(&mut self) {
                // As if this destructor freed a block and so made the thread's cache come back.
                ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + 1, Ordering::Relaxed);
                KEY.get().unwrap().arm(NonNull::dangling()).unwrap();
            }
        }
        std::thread_local!(static LOCAL: Local = const { Local });
        unsafe extern "C" fn note(_: *mut c_void) {
            ORDER.store(ORDER.load(Ordering::Relaxed) * 10 + 2, Ordering::Relaxed);
        }
        let key = *KEY.get_or_init(|| ThreadExit::create(note).unwrap());
        spawn(move || {
            LOCAL.with(|_| ());
            key.arm(NonNull::dangling()).unwrap();
        })
        .join()
        .unwrap();
        assert_eq!(ORDER.load(Ordering::Relaxed), 12);
    }

    #[test]
    fn refusals_are_reported() {
        in_child(|| {
            fault::fail_nth(Call::KeyCreate, 1, Errno::EAGAIN);
            assert_eq!(ThreadExit::create(count).err(), Some(Errno::EAGAIN));
            let key = ThreadExit::create(count).unwrap();
            fault::fail_nth(Call::KeySet, 1, Errno::ENOMEM);
            assert_eq!(key.arm(NonNull::dangling()), Err(Errno::ENOMEM));
            assert!(!key.is_armed());
            while let Ok(key) = ThreadExit::create(count) {
                // A late key, for which glibc allocates, works too.
                key.arm(NonNull::dangling()).unwrap();
                key.disarm().unwrap();
            }
            assert_eq!(ThreadExit::create(count).err(), Some(Errno::EAGAIN));
        });
    }
}
