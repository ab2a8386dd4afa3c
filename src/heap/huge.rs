//! Blocks beyond 1 MiB: runs of whole SuperSlabs in a node's range.
//!
//! A few freed blocks are kept for the next request of their size; else freed memory goes back to the kernel
//! at once, so that a new block reads as zero. A block that finds no room in any range gets a mapping of its
//! own ([`super::mappings`]).

use super::{Answer, Heap, corruption};
use crate::os::{ErrnoGuard, clock};
use crate::pool::Pool;
use crate::pool::range::Run;
use crate::slab::page_map::{Entry, Tenant};
use crate::sync::Ordering;
use crate::units::{NodeId, SUPERSLAB_BYTES, SUPERSLAB_SHIFT};
use core::ptr::NonNull;

/// SuperSlabs that a block of `size` bytes takes, one at least; `None` if that is beyond any address
/// space.
pub(super) fn superslabs(size: usize) -> Option<usize> {
    Some(size.max(1).checked_add(SUPERSLAB_BYTES - 1)? >> SUPERSLAB_SHIFT)
}

impl Heap {
    /// A Huge block; nothing if there is no memory.
    #[cold]
    #[inline(never)]
    pub(crate) fn allocate_huge(&self, size: usize, align: usize) -> Answer {
        let Some(len) = superslabs(size) else { return Answer::NOTHING };
        let _errno = ErrnoGuard::new();
        if let Some(block) = self.reuse_huge(len, align) {
            return Answer::used(block.as_ptr());
        }
        if let Some(block) = self.place_huge_somewhere(size, align) {
            return Answer::fresh(block.as_ptr());
        }
        let block = self.allocate_mapping(len * SUPERSLAB_BYTES, align);
        // What can never be had is no reason to empty everybody's caches.
        let is_within_reach =
            len <= self.space.node_superslabs() && self.budget.is_within_reach(len * SUPERSLAB_BYTES);
        if !block.is_null() || !is_within_reach {
            return Answer::fresh(block);
        }
        self.reclaim();
        self.place_huge_somewhere(size, align).map_or(Answer::NOTHING, |block| Answer::fresh(block.as_ptr()))
    }

    /// A Huge block of `len` SuperSlabs that was freed a short while ago.
    fn reuse_huge(&self, len: usize, align: usize) -> Option<NonNull<u8>> {
        let pool = self.pool(self.seat().node());
        let is_aligned = |start| self.space.superslab_address(pool.superslab(start)).is_multiple_of(align);
        let run = pool.node.huge_cache.take(len, is_aligned)?;
        let block = self.begin_huge(&pool, run, len);
        if run.len > len {
            self.discard_huge(&pool, Run { start: run.start + len, len: run.len - len });
        }
        Some(block)
    }

    /// Keeps the run of a block that was freed, if there is room.
    fn keep_huge(&self, pool: &Pool<'_>, run: Run) -> bool {
        // Where pages lie where they are touched first, they suit one thread only; above the soft limit nothing
        // is kept.
        let most = self.settings.huge_cache_superslabs;
        let keeps = !self.settings.touch_on_carve
            && !self.budget.is_tight(0)
            && pool.node.huge_cache.keep(run, most, clock::monotonic_ms());
        if keeps {
            // Relaxed: a statistic.
            let bytes = (run.len * SUPERSLAB_BYTES) as u64;
            pool.node.counts.huge_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        keeps
    }

    /// A Huge block in the range of the nearest node that has room.
    fn place_huge_somewhere(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let own = self.seat().node();
        let mut nodes = self.topology.nearest(own).filter(|node| node.index() < self.nodes);
        nodes.find_map(|node| self.place_huge(node, size, align))
    }

    /// A Huge block in the range of `node`.
    pub(super) fn place_huge(&self, node: NodeId, size: usize, align: usize) -> Option<NonNull<u8>> {
        let len = superslabs(size)?;
        let run = self.claim_huge(node, len, align)?;
        Some(self.begin_huge(&self.pool(node), run, len))
    }

    /// Begins a Huge block of `len` SuperSlabs in a run that the caller owns, and counts all of the run.
    fn begin_huge(&self, pool: &Pool<'_>, run: Run, len: usize) -> NonNull<u8> {
        let first = pool.superslab(run.start);
        self.space.set_tenant(first.piece(0), 1, |_| Entry::HUGE);
        self.space.superslab(first).set_huge(len);
        // Relaxed: statistics.
        pool.node.counts.huge_blocks.fetch_add(1, Ordering::Relaxed);
        pool.node.counts.huge_bytes.fetch_add((run.len * SUPERSLAB_BYTES) as u64, Ordering::Relaxed);
        self.space.pointer(self.space.superslab_address(first))
    }

    /// Claims and commits a run of a node's range, within the budget.
    fn claim_huge(&self, node: NodeId, len: usize, align: usize) -> Option<Run> {
        let pool = self.pool(node);
        if len > self.space.node_superslabs() || !self.budget.take(len * SUPERSLAB_BYTES) {
            return None;
        }
        let (align, base) =
            ((align >> SUPERSLAB_SHIFT).max(1), self.space.superslab_address(pool.superslab(0)));
        let claimed = pool.range().claim_run(len, align, (base >> SUPERSLAB_SHIFT) % align);
        let Some(run) = claimed.filter(|run| self.commit_or_release(&pool, *run)) else {
            self.budget.give(len * SUPERSLAB_BYTES);
            return None;
        };
        Some(run)
    }

    fn commit_or_release(&self, pool: &Pool<'_>, run: Run) -> bool {
        let at = self.space.pointer(self.space.superslab_address(pool.superslab(run.start)));
        let committed = pool.commit(run) && pool.is_acceptable(at, run.len * SUPERSLAB_BYTES);
        if !committed {
            pool.range().release(run);
        }
        committed
    }

    /// Takes back a Huge block of `size` bytes.
    #[cold]
    #[inline(never)]
    pub(crate) fn release_huge(&self, block: *mut u8, size: usize) {
        let _errno = ErrnoGuard::new();
        let Some(len) = superslabs(size) else { corruption::not_huge(block, size) };
        let Some(node) = self.space.node_of(block.addr()) else {
            return self.release_mapping(block, len * SUPERSLAB_BYTES);
        };
        match self.huge_run(node, block, len) {
            Some(run) if self.end_huge(node, run) => {
                let pool = self.pool(node);
                if !self.keep_huge(&pool, run) {
                    self.discard_huge(&pool, run);
                }
            }
            _ => corruption::not_huge(block, size),
        }
    }

    /// The run of a Huge block of `len` SuperSlabs, if one begins there.
    pub(super) fn huge_run(&self, node: NodeId, block: *mut u8, len: usize) -> Option<Run> {
        let pool = self.pool(node);
        let piece = self.space.slab_at(block.addr())?;
        let begins = self.space.slab_address(piece) == block.addr() && piece.piece() == 0;
        let start = (piece.superslab().0 - pool.superslab(0).0) as usize;
        let is_block =
            self.space.tenant(piece) == Tenant::Huge && self.space.superslab(piece.superslab()).huge() == len;
        (begins && is_block).then_some(Run { start, len })
    }

    /// Ends a Huge block, whose memory and run the caller has then; `false` if another thread has ended
    /// it meanwhile.
    fn end_huge(&self, node: NodeId, run: Run) -> bool {
        let pool = self.pool(node);
        let first = pool.superslab(run.start);
        if !self.space.superslab(first).end_huge(run.len) {
            return false;
        }
        self.space.set_tenant(first.piece(0), 1, |_| Entry::NONE);
        // Relaxed: statistics.
        pool.node.counts.huge_blocks.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Ends a Huge block whose addresses can't be used any more: they are lost, its memory is not.
    pub(super) fn abandon_huge(&self, node: NodeId, run: Run) {
        if self.end_huge(node, run) {
            let bytes = run.len * SUPERSLAB_BYTES;
            self.budget.give(bytes);
            // Relaxed: a statistic.
            self.pool(node).node.counts.huge_bytes.fetch_sub(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Gives the memory of a run, or of the tail of one, back.
    pub(super) fn discard_huge(&self, pool: &Pool<'_>, run: Run) {
        pool.discard(run);
        // Relaxed: a statistic.
        let bytes = (run.len * SUPERSLAB_BYTES) as u64;
        pool.node.counts.huge_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
