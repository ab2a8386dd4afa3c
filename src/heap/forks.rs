//! A forked child gets back the regions that other threads of its parent had taken from their CPUs: those
//! threads are gone, and nobody else would put the regions back.
//!
//! The kernel tells a child what it is by clearing one page (`MADV_WIPEONFORK`). A thread of the child that
//! finds its CPU's region taken away looks there, and the first one to do so puts all such regions back.
//!
//! | mark | meaning | who changes it |
//! | --- | --- | --- |
//! | 0 | this is a child, and nobody has put its regions back yet | the kernel, at a fork |
//! | `REPAIRING` | one thread is at it | that thread, by exchange |
//! | `READY` | regions may be taken away | that thread; who starts the heap |
//!
//! # Invariants
//! * While the mark is not `READY` nobody takes a region away, so a region that is taken away then was so
//!   at the fork.
//!
//! What the thread that is gone had taken off the region's lists by then is lost to the child. A handler that
//! forks while its thread has a region taken away leaves that region to the thread, which goes on in the
//! child; the handler must not make threads in the child that allocate before it returns.

use super::Heap;
use crate::cache::per_cpu::PerCpu;
use crate::cache::revoke::{Revoked, is_revoking, revoke};
use crate::os::memory::{self, Advice};
use crate::sync::{AtomicU32, Ordering};
use crate::units::{CpuId, PAGE_BYTES};
use core::ptr::NonNull;

const REPAIRING: u32 = 1;
const READY: u32 = 2;

/// What a fork clears.
#[repr(C)]
struct Words {
    /// The mark.
    regions: AtomicU32,
    /// 1 in the process that started the heap, 0 in its children and theirs. Written at start.
    origin: AtomicU32,
}

/// The words that a fork clears; `None` where the kernel does not do that (before Linux 4.14): then regions
/// are not put back, and nobody is known as a child.
#[derive(Clone, Copy)]
pub(crate) struct ForkMark(Option<NonNull<Words>>);

// SAFETY: the words are atomics in memory that is never unmapped once the heap is published.
unsafe impl Send for ForkMark {}
// SAFETY: as above.
unsafe impl Sync for ForkMark {}

impl ForkMark {
    /// Makes a mark of a page.
    ///
    /// # Safety
    /// The page is zeroed, for the mark alone, and mapped as long as the mark is used.
    pub(super) unsafe fn new(page: NonNull<u8>) -> Self {
        // SAFETY: the caller's page; what a child loses of it is what it is for.
        let told = unsafe { memory::advise(page, PAGE_BYTES, Advice::WipeOnFork) }.is_ok();
        let mark = Self(told.then_some(page.cast()));
        if let Some(words) = mark.words() {
            // Relaxed: published with the heap.
            words.regions.store(READY, Ordering::Relaxed);
            words.origin.store(1, Ordering::Relaxed);
        }
        mark
    }

    fn words(&self) -> Option<&Words> {
        // SAFETY: see `new`.
        self.0.map(|words| unsafe { words.as_ref() })
    }

    fn word(&self) -> Option<&AtomicU32> {
        self.words().map(|words| &words.regions)
    }

    /// Whether this process is a child of the one that started the heap.
    pub(super) fn is_child(&self) -> bool {
        // Relaxed: written before the heap was published, and then by forks only.
        self.words().is_some_and(|words| words.origin.load(Ordering::Relaxed) == 0)
    }

    /// Whether regions may be taken away.
    fn is_ready(&self) -> bool {
        // Acquire: pairs with the Release in `put_back_regions`.
        self.word().is_none_or(|word| word.load(Ordering::Acquire) == READY)
    }
}

impl Heap {
    /// Takes the region of `cpu` away, if that can be done now.
    pub(super) fn revoke<'a>(&self, all: &'a PerCpu, cpu: CpuId) -> Option<Revoked<'a>> {
        if !self.fork_mark.is_ready() {
            self.put_back_regions();
        }
        if self.fork_mark.is_ready() { revoke(all, cpu) } else { None }
    }

    /// To be called by a thread that finds its CPU's region taken away: puts it back if the thread that took
    /// it is gone.
    #[cold]
    pub(super) fn put_back_regions(&self) {
        let (Some(word), Some(all)) = (self.fork_mark.word(), &self.per_cpu) else { return };
        // Acquire: nothing of the walk comes before. Relaxed on failure: another thread is at it, or it is done.
        let is_mine = |word: &AtomicU32| {
            word.compare_exchange(0, REPAIRING, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        // Relaxed: a glance; the exchange decides.
        if word.load(Ordering::Relaxed) != 0 || is_revoking() || !is_mine(word) {
            return;
        }
        (0..all.cpus() as u32).map(CpuId).for_each(|cpu| all.put_back(cpu));
        // Release: pairs with the Acquire in `is_ready`.
        word.store(READY, Ordering::Release);
    }
}
