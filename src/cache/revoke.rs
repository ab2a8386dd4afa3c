//! Taking a region away from its CPU: to drain it, count it, or resize its lists.
//!
//! One protocol, that of [`super::entry`], for idle CPUs, offline CPUs, trim and the learner. Its fence is
//! `membarrier(PRIVATE_EXPEDITED_RSEQ)`.
//!
//! Meanwhile threads on that CPU miss, find no region ([`super::seat::Seat::Bare`]), and go to
//! the layer below: they don't wait.

use super::entry::TakenAway;
use super::layout::{Header, Layout};
use super::per_cpu::PerCpu;
use super::region::Region;
use crate::os::membarrier;
use crate::pool::batch::{Batch, MAX_BATCH};
use crate::rseq::empty_region;
use crate::size_class::SizeClass;
use crate::sync::Ordering;
use crate::units::CpuId;

/// A region that belongs to the caller until this is dropped, which puts it back.
pub(crate) struct Revoked<'a> {
    taken: TakenAway<'a>,
}

/// Revokes the region of `cpu`. `None` if another thread has it, nobody has used it yet, or the kernel has no
/// fence for it.
pub(crate) fn revoke(all: &PerCpu, cpu: CpuId) -> Option<Revoked<'_>> {
    if all.is_unopened(cpu) {
        return None;
    }
    let fence = || membarrier::fence_rseq(Some(cpu)).is_ok();
    let taken = all.slot(cpu)?.take_away(empty_region(), fence)?;
    Some(Revoked { taken })
}

impl Revoked<'_> {
    /// Takes all blocks off all lists, in batches, and closes the lists.
    pub(crate) fn drain(&self, layout: &Layout, sink: impl FnMut(SizeClass, &mut [*mut u8])) {
        // SAFETY: entries in use are bases of regions.
        if let Some(region) = unsafe { Region::from_base(self.taken.base()) } {
            empty_all(region, layout, sink);
        }
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
