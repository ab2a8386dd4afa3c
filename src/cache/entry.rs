//! The table's entry for one CPU, and the protocol by which a region is taken away from its CPU.
//!
//! # State
//!
//! | entry | meaning | who may change it |
//! | --- | --- | --- |
//! | the unopened region | nobody has missed on the CPU yet | who misses there first, by exchange |
//! | a region's base | the CPU works on that region | who wants to take it away, by exchange |
//! | the empty region | the region is taken away; the CPU's operations miss | who took it, by a store; in a forked child whoever finds that this thread is gone |
//!
//! # Protocol
//! 1. Exchange the base for the empty region. Who succeeds is the only one who takes the region away.
//! 2. Fence the CPU's sections: when that returns, every section that had read the base has committed,
//!    or will begin anew and read the empty region.
//! 3. The region is the caller's: plain reads and writes.
//! 4. Store the base again.
//!
//! Neighbours: [`super::per_cpu`] is the table; [`super::revoke`] does this with the kernel's fence.

use crate::sync::{AtomicPtr, Ordering};

/// See the module. The critical sections read it as a plain pointer.
#[repr(transparent)]
pub(crate) struct Entry {
    /// The base of the region that the CPU works on. Written at start and as in the module's table; read
    /// by the sections, and by those who miss.
    base: AtomicPtr<u8>,
}

/// A region that belongs to the caller until this is dropped, which puts it back.
pub(super) struct TakenAway<'a> {
    entry: &'a Entry,
    base: *mut u8,
}

impl Entry {
    #[cfg(all(test, loom))]
    fn new(base: *mut u8) -> Self {
        Self { base: AtomicPtr::new(base) }
    }

    /// Makes the entry what it is at first, before anybody sees the table.
    pub(super) fn init(&self, base: *mut u8) {
        // Relaxed: published with the table's address.
        self.base.store(base, Ordering::Relaxed);
    }

    /// Puts the region at `base`, which is ready, in the place of `unopened`. Who comes second finds it done.
    #[cfg(not(loom))]
    pub(super) fn open(&self, unopened: *mut u8, base: *mut u8) {
        // Release: pairs with the Acquire in `in_use`. Relaxed on failure: nothing is read.
        let _ = self.base.compare_exchange(unopened, base, Ordering::Release, Ordering::Relaxed);
    }

    /// Puts the region at `base` back, if it is taken away. For who knows that the one who took it is gone.
    #[cfg(not(loom))]
    pub(super) fn put_back(&self, empty: *mut u8, base: *mut u8) {
        // Release: as in the drop of `TakenAway`. Relaxed on failure: nothing is read.
        let _ = self.base.compare_exchange(empty, base, Ordering::Release, Ordering::Relaxed);
    }

    /// The entry as the critical sections take it.
    #[cfg(not(loom))]
    pub(super) fn as_ptr(&self) -> *const *mut u8 {
        self.base.as_ptr().cast_const()
    }

    /// The base of the region that the CPU uses at this moment; `None` if that is `empty`.
    pub(super) fn in_use(&self, empty: *mut u8) -> Option<*mut u8> {
        // Acquire: pairs with the Release that put the region back.
        Some(self.base.load(Ordering::Acquire)).filter(|base| *base != empty)
    }

    /// Takes the region away, if nobody else has. `fence` restarts the sections of the CPU; if it can't,
    /// nothing has changed.
    pub(super) fn take_away(&self, empty: *mut u8, fence: impl FnOnce() -> bool) -> Option<TakenAway<'_>> {
        let base = self.in_use(empty)?;
        // AcqRel: Acquire pairs with the Release of the last one who put it back; Release orders nothing of
        // ours but keeps the exchange before the fence.
        self.base.compare_exchange(base, empty, Ordering::AcqRel, Ordering::Relaxed).ok()?;
        let taken = TakenAway { entry: self, base };
        // Dropped on failure, which puts the region back as it was.
        fence().then_some(taken)
    }
}

impl TakenAway<'_> {
    /// The base of the region.
    pub(super) fn base(&self) -> *mut u8 {
        self.base
    }
}

impl Drop for TakenAway<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `in_use`; the sections that read the base find what was
        // written here through it (an address dependency).
        self.entry.base.store(self.base, Ordering::Release);
    }
}

#[cfg(all(test, loom))]
#[path = "entry_loom.rs"]
mod loom_tests;
