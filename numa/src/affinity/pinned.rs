//! The guard of a pinned thread.

use std::marker::PhantomData;

use super::mask;
use crate::error::Result;
use crate::id_set::CpuSet;

/// A pinned thread; dropping it gives the thread the mask back that it had before.
///
/// It belongs to its thread and cannot be sent to another one. Guards must be dropped in the
/// reverse order of their making, as local variables are. A drop that fails (all old CPUs are
/// gone) leaves the mask as it is; [`restore`](Self::restore) reports that.
///
/// ```compile_fail,E0277
/// let pinned = numaslab_numa::pin_current(numaslab_numa::CpuId(0)).unwrap();
/// std::thread::spawn(move || drop(pinned));
/// ```
#[must_use = "the thread is unpinned when the guard is dropped; call `keep` to pin it for good"]
#[derive(Debug)]
pub struct Pinned {
    before: CpuSet,
    now: CpuSet,
    /// Ties the guard to its thread.
    not_send: PhantomData<*const ()>,
}

impl Pinned {
    pub(super) fn new(cpus: &CpuSet) -> Result<Self> {
        let before = mask::get_whole()?;
        mask::set(cpus)?;
        let mut pinned = Self { before, now: CpuSet::new(), not_send: PhantomData };
        pinned.now = mask::get()?;
        Ok(pinned)
    }

    /// The CPUs that the kernel granted, which may be fewer than were asked for.
    pub fn cpus(&self) -> &CpuSet {
        &self.now
    }

    /// The mask that the thread gets back afterwards. It may name CPUs that are switched off.
    pub fn before(&self) -> &CpuSet {
        &self.before
    }

    /// Leaves the thread pinned for the rest of its life.
    pub fn keep(self) {
        std::mem::forget(self);
    }

    /// Unpins the thread now, and tells if that fails.
    ///
    /// # Errors
    /// [`Error::Pin`](crate::Error::Pin) if none of the old CPUs is left.
    pub fn restore(self) -> Result<()> {
        let before = self.before.clone();
        self.keep();
        mask::set(&before)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Nobody is there to be told; `restore` is for those who want to know.
        let _ = mask::set(&self.before);
    }
}
