//! The fallback: a region per thread, with the same layout, for where there is no rseq.
//!
//! A thread reaches its region through its [`ThreadBlock`]. Only the thread changes it, but a signal
//! handler may interrupt it at any instruction and allocate: so each operation takes the region out of
//! the block while it works on it, and a handler that finds none goes to the layer below. No operation
//! calls anything that could allocate meanwhile.

use super::layout::{Header, ListIndex};
use super::region::Region;
use crate::pool::batch::{Batch, MAX_BATCH};
use crate::rseq::thread_block::{self, ThreadBlock};
use crate::size_class::SizeClass;
use crate::sync::{Ordering, compiler_fence};
use core::ptr;

/// The calling thread's region, out of its block for as long as this lives.
pub(crate) struct Busy {
    block: &'static ThreadBlock,
    region: Region,
}

impl Busy {
    /// `None` if the thread has no region, or is inside an operation on it (this is a handler).
    #[inline]
    pub(crate) fn enter() -> Option<Self> {
        let block = thread_block::current();
        // SAFETY: the block holds null or the base of a region of this thread.
        let region = unsafe { Region::from_base(block.free_region.get()) }?;
        block.free_region.set(ptr::null_mut());
        // A handler on this thread sees the null before it can see anything that follows.
        compiler_fence(Ordering::SeqCst);
        Some(Self { block, region })
    }

    /// The region.
    pub(crate) fn region(&self) -> Region {
        self.region
    }

    /// Takes the topmost block of a list; null if it is empty.
    #[inline]
    pub(crate) fn pop(&self, list: ListIndex) -> *mut u8 {
        let [len, _] = self.region.halves(list);
        // Relaxed, here and below: the region is this thread's; other threads read headers for
        // statistics only.
        let top = len.load(Ordering::Relaxed);
        let block = self.region.below(top).load(Ordering::Relaxed);
        if block != 0 {
            len.store(top - 1, Ordering::Relaxed);
        }
        ptr::with_exposed_provenance_mut(block as usize)
    }

    /// Puts a block on a list; `false` if it is full.
    #[inline]
    pub(crate) fn push(&self, list: ListIndex, block: *mut u8) -> bool {
        let [len, end] = self.region.halves(list);
        let top = len.load(Ordering::Relaxed);
        if top >= end.load(Ordering::Relaxed) {
            return false;
        }
        self.region.cell(top as usize).store(block.expose_provenance() as u64, Ordering::Relaxed);
        len.store(top + 1, Ordering::Relaxed);
        true
    }

    /// Takes up to `want` blocks off a list to the end of `out`.
    pub(crate) fn pop_batch(&self, list: ListIndex, want: usize, out: &mut Batch) {
        for _ in 0..want.min(MAX_BATCH - out.len()) {
            let block = self.pop(list);
            if block.is_null() {
                break;
            }
            out.push(block);
        }
    }

    /// Puts as many blocks on a list as fit; returns how many.
    pub(crate) fn push_batch(&self, list: ListIndex, blocks: &[*mut u8]) -> usize {
        blocks.iter().take_while(|block| self.push(list, **block)).count()
    }

    /// Sets a header that is still `old`.
    pub(crate) fn exchange_header(&self, list: ListIndex, old: u32, new: u32) -> bool {
        let same = self.region.header(list).0 == old;
        if same {
            self.region.set_header(list, Header(new));
        }
        same
    }
}

impl Drop for Busy {
    #[inline]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.block.free_region.set(self.region.base());
    }
}

/// While this lives, the calling thread's region does not follow it to another node, not even where a
/// signal handler allocates: what is on its way between the region and a node's pool belongs together.
pub(crate) struct Stay {
    block: &'static ThreadBlock,
}

impl Stay {
    pub(super) fn begin() -> Self {
        let block = thread_block::current();
        block.stays.set(block.stays.get() + 1);
        compiler_fence(Ordering::SeqCst);
        Self { block }
    }

    /// Whether the calling thread's region has to stay where it is.
    pub(crate) fn is_asked_for() -> bool {
        thread_block::current().stays.get() != 0
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        self.block.stays.set(self.block.stays.get() - 1);
    }
}

/// A block of `class` from the calling thread's region; null if it has none.
#[inline]
pub(crate) fn pop(class: SizeClass) -> *mut u8 {
    match Busy::enter() {
        Some(busy) => busy.pop(ListIndex::own(class)),
        None => ptr::null_mut(),
    }
}

/// Puts a block of `class` that lives on node `home` into the calling thread's region; `false` if it is
/// full or there is none.
#[inline]
pub(crate) fn push(class: SizeClass, home: usize, block: *mut u8) -> bool {
    match Busy::enter() {
        Some(busy) => {
            let slot = home ^ busy.region.node().index();
            busy.push(ListIndex::new(slot, class), block)
        }
        None => false,
    }
}
