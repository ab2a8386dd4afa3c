//! Taking a region away from its CPU: to drain it, count it, or resize its lists.
//!
//! One protocol, that of [`super::entry`], for idle CPUs, offline CPUs, trim and the learner. Its fence is
//! `membarrier(PRIVATE_EXPEDITED_RSEQ)`.
//!
//! Meanwhile threads on that CPU miss, find no region ([`super::seat::Seat::Bare`]), and go to
//! the layer below: they don't wait.

use super::entry::TakenAway;
use super::layout::{Header, Layout, ListIndex};
use super::per_cpu::PerCpu;
use super::region::Region;
use crate::os::membarrier;
use crate::pool::batch::{Batch, MAX_BATCH};
use crate::rseq::{empty_region, thread_block};
use crate::size_class::SizeClass;
use crate::sync::{Ordering, compiler_fence};
use crate::units::CpuId;

/// A region that belongs to the caller until this is dropped, which puts it back.
pub(crate) struct Revoked<'a> {
    taken: TakenAway<'a>,
    /// Dropped after the region is back.
    _revoking: Revoking,
}

/// While this lives the calling thread says that it takes regions away.
struct Revoking;

impl Revoking {
    fn begin() -> Self {
        let count = &thread_block::current().revokes;
        count.set(count.get() + 1);
        compiler_fence(Ordering::SeqCst);
        Self
    }
}

impl Drop for Revoking {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        let count = &thread_block::current().revokes;
        count.set(count.get() - 1);
    }
}

/// Whether the calling thread has a region taken away: this is a signal handler then.
pub(crate) fn is_revoking() -> bool {
    thread_block::current().revokes.get() != 0
}

/// Revokes the region of `cpu`. `None` if another thread has it, nobody has used it yet, or the kernel has no
/// fence for it.
pub(crate) fn revoke(all: &PerCpu, cpu: CpuId) -> Option<Revoked<'_>> {
    if all.is_unopened(cpu) {
        return None;
    }
    let revoking = Revoking::begin();
    let fence = || membarrier::fence_rseq(Some(cpu)).is_ok();
    let taken = all.slot(cpu)?.take_away(empty_region(), fence)?;
    Some(Revoked { taken, _revoking: revoking })
}

impl Revoked<'_> {
    fn region(&self) -> Option<Region> {
        // SAFETY: entries in use are bases of regions.
        unsafe { Region::from_base(self.taken.base()) }
    }

    /// Takes all blocks off all lists, in batches, and closes the lists.
    pub(crate) fn drain(&self, layout: &Layout, sink: impl FnMut(ListIndex, SizeClass, &mut [*mut u8])) {
        if let Some(region) = self.region() {
            empty_all(region, layout, sink);
        }
    }

    /// Takes all blocks off the outboxes, in batches; they stay open.
    pub(crate) fn take_outboxes(&self, layout: &Layout, mut sink: impl FnMut(SizeClass, &mut [*mut u8])) {
        let Some(region) = self.region() else { return };
        for (list, class) in layout.lists().filter(|(list, _)| list.is_outbox()) {
            let (header, first) = (region.header(list), layout.first(list));
            if header.len() > first {
                region.set_header(list, Header::new(first, header.end()));
                take_cells(region, first, header.len(), |blocks| sink(class, blocks));
            }
        }
    }
}

/// Takes all blocks off all lists of a region that the caller owns, and closes the lists.
pub(crate) fn empty_all(
    region: Region,
    layout: &Layout,
    mut sink: impl FnMut(ListIndex, SizeClass, &mut [*mut u8]),
) {
    for (list, class) in layout.lists() {
        let len = region.header(list).len();
        region.set_header(list, Header(0));
        take_cells(region, layout.first(list), len, |blocks| sink(list, class, blocks));
    }
    region.control().reset();
}

/// Passes the blocks in the cells from `first` to `len` on, the topmost first, in batches. The region is the
/// caller's, and its header tells of them no more.
fn take_cells(region: Region, first: usize, len: usize, mut sink: impl FnMut(&mut [*mut u8])) {
    let mut end = len;
    while end > first {
        let from = end.saturating_sub(MAX_BATCH).max(first);
        let mut batch = Batch::new();
        for cell in from..end {
            // Relaxed: the region is the caller's.
            let block = region.cell(cell).load(Ordering::Relaxed) as usize;
            batch.push(core::ptr::with_exposed_provenance_mut(block));
        }
        end = from;
        sink(batch.blocks());
    }
}
