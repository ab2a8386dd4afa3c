//! Taking a region away from its CPU: to drain it, count it, or resize its lists.
//!
//! The protocol, the same for idle CPUs, offline CPUs, trim and the learner:
//! 1. Exchange the table's entry for the empty region. Who succeeds is the only one who revokes.
//! 2. `membarrier(PRIVATE_EXPEDITED_RSEQ)` for that CPU: when it returns, every section that had read
//!    the old entry has committed, or will begin anew and read the new one.
//! 3. The region is the caller's: plain reads and writes.
//! 4. Store the region's base in the entry again.
//!
//! Between 1 and 4 threads on that CPU miss, find no region ([`super::seat::Seat::Bare`]), and go to
//! the layer below: they don't wait.

use super::layout::{Header, Layout};
use super::per_cpu::PerCpu;
use super::region::Region;
use crate::os::membarrier;
use crate::pool::batch::{Batch, MAX_BATCH};
use crate::rseq::empty_region;
use crate::size_class::SizeClass;
use crate::sync::{AtomicPtr, Ordering};
use crate::units::CpuId;

/// A region that belongs to the caller until this is dropped, which puts it back.
pub(crate) struct Revoked<'a> {
    entry: &'a AtomicPtr<u8>,
    region: Region,
}

/// Revokes the region of `cpu`. `None` if another thread has it, or the kernel has no fence for it.
pub(crate) fn revoke(all: &PerCpu, cpu: CpuId) -> Option<Revoked<'_>> {
    let entry = all.slot(cpu)?;
    let region = all.in_use(cpu)?;
    // AcqRel: Acquire pairs with the Release of the last one who put it back; Release orders nothing of
    // ours but keeps the exchange before the fence.
    entry.compare_exchange(region.base(), empty_region(), Ordering::AcqRel, Ordering::Relaxed).ok()?;
    let revoked = Revoked { entry, region };
    // On failure nothing was touched, and dropping puts the region back.
    membarrier::fence_rseq(Some(cpu)).ok()?;
    Some(revoked)
}

impl Revoked<'_> {
    /// Takes all blocks off all lists, in batches, and closes the lists.
    pub(crate) fn drain(&self, layout: &Layout, sink: impl FnMut(SizeClass, &mut [*mut u8])) {
        empty_all(self.region, layout, sink);
    }
}

impl Drop for Revoked<'_> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `in_use`; the sections that read the new entry find what
        // was written here through it (an address dependency).
        self.entry.store(self.region.base(), Ordering::Release);
    }
}

/// Takes all blocks off all lists of a region that the caller owns, and closes the lists.
pub(crate) fn empty_all(region: Region, layout: &Layout, mut sink: impl FnMut(SizeClass, &mut [*mut u8])) {
    for (list, class) in layout.lists() {
        let (mut len, first) = (region.header(list).len(), layout.first(list));
        // Relaxed, here and below: the region is the caller's.
        region.set_header(list, Header(0));
        while len > first {
            let from = len.saturating_sub(MAX_BATCH).max(first);
            let mut batch = Batch::new();
            for cell in from..len {
                let block = region.cell(cell).load(Ordering::Relaxed) as usize;
                batch.push(core::ptr::with_exposed_provenance_mut(block));
            }
            len = from;
            sink(class, batch.blocks());
        }
    }
    region.control().reset();
}
