//! `realloc`: in place where the block serves both sizes, by moving page tables for Huge blocks, else
//! by copying.
//!
//! A block is found again by its layout alone, so one that would be of another class with the new size
//! has to move, also to a smaller one.

use super::{Heap, allocate, release};
use crate::config::Config;
use crate::os::ErrnoGuard;
use crate::os::memory::{self, Advice, Stopped, Target};
use crate::pool::range::Run;
use crate::size_class::{MID_MAX, SizeClass};
use crate::sync::Ordering;
use crate::units::{NodeId, PAGE_BYTES, SUPERSLAB_BYTES};
use core::ptr::{self, NonNull};

/// Sizes of a block before and after, rounded up to its alignment.
#[derive(Clone, Copy)]
pub(crate) struct Resize {
    pub(crate) old: usize,
    pub(crate) new: usize,
    pub(crate) align: usize,
}

/// Resizes a block; null if there is no memory, and the block is then as it was.
///
/// # Safety
/// `block` was allocated with size `old` and `align`, and is not used by this address afterwards unless
/// null is returned.
#[inline(never)]
pub(crate) unsafe fn resize(config: &Config, block: *mut u8, size: Resize) -> *mut u8 {
    // SAFETY: the same contract.
    unsafe { resize_with(|size, align| allocate(config, size, align), block, size) }
}

/// As [`resize`], with a block from `fresh(size, align)` if it has to be copied.
///
/// # Safety
/// As [`resize`]; `fresh` gives null or a block of that size.
#[inline]
pub(crate) unsafe fn resize_with(
    fresh: impl FnOnce(usize, usize) -> *mut u8,
    block: *mut u8,
    size: Resize,
) -> *mut u8 {
    match (Heap::is_huge(size.old, size.align), Heap::is_huge(size.new, size.align)) {
        (false, false) if SizeClass::of(size.old) == SizeClass::of(size.new) => return block,
        (false, false)
            if size.old.min(size.new) > MID_MAX
                && Heap::get().is_some_and(|heap| heap.serves(block, size.old, size.new)) =>
        {
            return block;
        }
        (true, true) => {
            if let Some(heap) = Heap::get()
                && let Some(resized) = heap.resize_huge(block, size)
            {
                return resized;
            }
        }
        _ => {}
    }
    let fresh = fresh(size.new, size.align);
    if !fresh.is_null() {
        // SAFETY: both blocks have at least the smaller size, and are different ones.
        unsafe {
            ptr::copy_nonoverlapping(block, fresh, size.old.min(size.new));
            release(block, size.old, size.align);
        }
    }
    fresh
}

impl Heap {
    /// Resizes a Huge block without copying: in place, or by moving its pages. `None` if that can't be
    /// done.
    fn resize_huge(&self, block: *mut u8, size: Resize) -> Option<*mut u8> {
        let _errno = ErrnoGuard::new();
        let units = |bytes: usize| bytes.max(1).div_ceil(SUPERSLAB_BYTES);
        let Some(node) = self.space.node_of(block.addr()) else {
            // A mapping of its own is known by its SuperSlabs.
            return (units(size.old) == units(size.new)).then_some(block);
        };
        let (old, new) = (self.huge_run(node, block, units(size.old))?, units(size.new));
        if new > old.len {
            return match self.grow_in_place(node, old, new) {
                true => Some(block),
                false => self.move_huge(node, old, new, size),
            };
        }
        self.shrink_in_place(node, old, size);
        Some(block)
    }

    fn grow_in_place(&self, node: NodeId, old: Run, new: usize) -> bool {
        let pool = self.pool(node);
        let more = Run { start: old.start + old.len, len: new - old.len };
        if more.start + more.len > self.space.node_superslabs()
            || !self.budget.take(more.len * SUPERSLAB_BYTES)
        {
            return false;
        }
        if pool.range().claim(more) {
            let at = self.space.pointer(self.space.superslab_address(pool.superslab(more.start)));
            if pool.commit(more) && pool.is_acceptable(at, more.len * SUPERSLAB_BYTES) {
                self.space.superslab(pool.superslab(old.start)).set_huge(new);
                // Relaxed: a statistic.
                pool.node.counts.huge_bytes.fetch_add((more.len * SUPERSLAB_BYTES) as u64, Ordering::Relaxed);
                return true;
            }
            pool.range().release(more);
        }
        self.budget.give(more.len * SUPERSLAB_BYTES);
        false
    }

    /// Moves the pages of a block to a run of `new` SuperSlabs of the same node.
    fn move_huge(&self, node: NodeId, old: Run, new: usize, size: Resize) -> Option<*mut u8> {
        let target = self.place_huge(node, size.new, size.align)?;
        let from = self.space.pointer(self.space.superslab_address(self.pool(node).superslab(old.start)));
        let bytes = size.old.next_multiple_of(PAGE_BYTES);
        let to = self.huge_run(node, target.as_ptr(), new)?;
        for number in to.start..to.start + old.len {
            self.space.superslab(self.pool(node).superslab(number)).note_moved();
        }
        // SAFETY: both are ours, committed, and do not overlap; nobody uses the target yet. The source
        // stays mapped and reads as zero.
        if let Err(stopped) = unsafe { memory::move_mappings(from, target, bytes) }
            && !self.finish_by_copying(node, from, target, size.old, stopped)
        {
            self.abandon_huge(node, to);
            return None;
        }
        self.release_huge(from.as_ptr(), size.old);
        Some(target.as_ptr())
    }

    /// Copies what of `bytes` bytes was not moved from one block to another of the node. `false` if the target
    /// can't be used: then all of it lies where it was before, and the target has no pages.
    fn finish_by_copying(
        &self,
        node: NodeId,
        from: NonNull<u8>,
        target: NonNull<u8>,
        bytes: usize,
        stopped: Stopped,
    ) -> bool {
        let Stopped { moved, failed, target: state } = stopped;
        // SAFETY: both blocks are the caller's and have that many bytes; the source is mapped throughout, and so
        // is of the target what was moved, and what is usable.
        unsafe {
            let usable = match state {
                Target::Unchanged => true,
                Target::Reserved => self.pool(node).renew(target.add(moved), failed),
                Target::Unknown => false,
            };
            if usable {
                ptr::copy_nonoverlapping(from.add(moved).as_ptr(), target.add(moved).as_ptr(), bytes - moved);
            } else if moved > 0 {
                ptr::copy_nonoverlapping(target.as_ptr(), from.as_ptr(), moved);
                let _ = memory::advise(target, moved, Advice::DontNeed);
            }
            usable
        }
    }

    fn shrink_in_place(&self, node: NodeId, old: Run, size: Resize) {
        let pool = self.pool(node);
        let new = size.new.max(1).div_ceil(SUPERSLAB_BYTES);
        if new < old.len {
            self.space.superslab(pool.superslab(old.start)).set_huge(new);
            self.discard_huge(&pool, Run { start: old.start + new, len: old.len - new });
        }
        // The last SuperSlab's pages beyond the new end.
        let keeps = size.new.next_multiple_of(PAGE_BYTES);
        let ends = size.old.min(new * SUPERSLAB_BYTES).next_multiple_of(PAGE_BYTES);
        if keeps < ends {
            let base = self.space.superslab_address(pool.superslab(old.start));
            // SAFETY: the tail is not in use any more; its contents are gone with the resize.
            let _ =
                unsafe { memory::advise(self.space.pointer(base + keeps), ends - keeps, Advice::DontNeed) };
        }
    }
}
