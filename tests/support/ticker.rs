//! A timer signal every 100 microseconds, to a thread of one's choice.

use std::mem;
use std::ptr;

/// The signal.
pub(crate) const SIGNAL: i32 = libc::SIGUSR1;
const PERIOD_NS: libc::c_long = 100_000;

/// What a handler looks like.
pub(crate) type Handler = extern "C" fn(i32);

/// Installs `handler` for the whole process.
pub(crate) fn install(handler: Handler) {
    // SAFETY: a zeroed action with an empty mask is valid; the handler has the type of one.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        assert_eq!(libc::sigaction(SIGNAL, &raw const action, ptr::null_mut()), 0);
    }
}

/// Signals the thread that made it, until dropped.
pub(crate) struct Ticker(libc::timer_t);

impl Ticker {
    /// Starts signalling the calling thread.
    pub(crate) fn start() -> Self {
        let period = libc::timespec { tv_sec: 0, tv_nsec: PERIOD_NS };
        let every = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: zeroed structs are valid, the kernel reads and fills them; a timer of one's own.
        unsafe {
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = SIGNAL;
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer: libc::timer_t = ptr::null_mut();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const every, ptr::null_mut()), 0);
            Self(timer)
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        // SAFETY: made in `start`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
