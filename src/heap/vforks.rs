//! A thread is lent to a child of `vfork`, which works in its place until it executes or ends.
//!
//! The child shares the thread's memory, and so its rseq area; but the kernel has no registration of the child
//! (`rseq_fork`, `CLONE_VM`). It would read the number of the CPU on which the thread was, and change that CPU's
//! region while others work there. So the area's registration is paused as long as the child has the thread: its
//! critical sections miss, and it is served by the layer below, without a cache ([`Seat::Bare`]).
//!
//! # State
//! `lent` in the thread's block, and a child may have children of its own:
//!
//! | value | meaning | changed by |
//! | --- | --- | --- |
//! | 0 | the thread works itself, or the area was not registered before | [`Heap::lend_thread`], to 1, if it pauses the area |
//! | n | the nth child of a child works | who calls `vfork`: one more before it, one less after it; at 0 the area is resumed |
//!
//! [`Seat::Bare`]: crate::cache::seat::Seat::Bare

use super::{CacheMode, Heap};
use crate::os::ErrnoGuard;
use crate::rseq::area;
use crate::rseq::thread_block;
use crate::sync::{AtomicU32, Ordering};

/// The bytes with which areas are registered, for all threads the same; 0 before the first was paused. Written by
/// whoever pauses one.
static AREA_BYTES: AtomicU32 = AtomicU32::new(0);

impl Heap {
    /// The calling thread is about to call `vfork`.
    pub(crate) fn lend_thread(&self) {
        let _errno = ErrnoGuard::new();
        let lent = &thread_block::current().lent;
        if lent.get() != 0 {
            lent.set(lent.get().saturating_add(1));
            return;
        }
        if matches!(self.cache_mode, CacheMode::PerThread(_)) {
            // What the child does to the thread's region is what the thread could have done.
            return;
        }
        // A thread that has no registration of its own yet would leave that to the child, which would leave it a
        // number of a CPU and no registration.
        let _ = self.seat();
        // First, so that a signal handler is not given a cache in between.
        lent.set(1);
        match area::pause(self.area) {
            // Relaxed: this thread reads it back.
            Some(bytes) => AREA_BYTES.store(bytes, Ordering::Relaxed),
            None => lent.set(0),
        }
    }

    /// `vfork` has returned to the thread that called it.
    pub(crate) fn take_thread_back(&self) {
        let _errno = ErrnoGuard::new();
        let lent = &thread_block::current().lent;
        if lent.get() == 1 {
            // Relaxed: written by this thread, or by another one with the same value.
            area::resume(self.area, AREA_BYTES.load(Ordering::Relaxed));
        }
        lent.set(lent.get().saturating_sub(1));
    }
}
