//! 2 MiB pages of the machine's reserved pool (hugetlb) under SuperSlabs.
//!
//! The kernel promises such pages for the whole machine and not for a node, and where a promise turns out to
//! be empty, a touch kills. So a page is made ready elsewhere, and comes into the range when nothing can
//! fail any more:
//!
//! | step | if it fails |
//! | --- | --- |
//! | the node has free pages, as sysfs says | it is looked at again after a second |
//! | map a page at any address (`MAP_HUGETLB`, never `MAP_NORESERVE`) | nothing has changed |
//! | tie it to the node (`MPOL_PREFERRED`) | it may lie elsewhere: seen below |
//! | populate it (`MADV_POPULATE_WRITE`), which is an error where a touch would kill | unmapped again |
//! | ask where it lies | elsewhere: unmapped again; ordinary pages at home come before reserved ones away |
//! | move it over its place in the range, in one step (`mremap`) | the place is made ordinary memory again |
//!
//! Whatever fails, the SuperSlab gets ordinary memory, and no page is asked for during a second, or, after the
//! last step, ever again. Surplus pages (`nr_overcommit_hugepages`) are not asked for. A node that
//! grows takes several pages at once; those SuperSlabs that are not wanted yet are FREE. Huge blocks
//! get none: a page must be populated whether it is used or not, and can't be moved as ordinary memory can,
//! which is how such blocks are resized.
//!
//! # Forks
//! What is populated is never faulted in again, with one exception: after a fork, parent and child share each
//! page until one of them writes. Then one of them needs a second page, and if the pool is dry, the kernel
//! takes the page from the *child*, which dies of SIGBUS at its next touch; the parent gets what it needs. No
//! process can prevent that once it has forked. So pages are used only if [`HugeMode::Reserved`] asks for
//! them, some can be left free for children (`Config::with_huge_spare_pages`), and a child takes no pages.
//!
//! [`HugeMode::Reserved`]: crate::config::HugeMode::Reserved
//!
//! # Invariants
//! * A SuperSlab of the range that is not in use is ordinary memory.

use super::Pool;
use super::range::Run;
use crate::os::memory;
use crate::os::policy::pages_nodes;
use crate::os::topology::{node_free_huge_2m, unpromised_huge_2m};
use crate::os::{Errno, clock};
use crate::slab::space::SuperIndex;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::units::{KernelNode, SUPERSLAB_BYTES};
use core::ptr::NonNull;

const _: () = assert!(memory::HUGE_2M_BYTES == SUPERSLAB_BYTES);

/// How long a dry pool is left alone, in milliseconds.
const DRY_MS: u64 = 1000;

/// How many pages are asked for at once, at most. Each mapping of pages stays one for the kernel, which gives
/// a process only so many (`vm.max_map_count`, 65530).
pub(super) const MOST_AT_ONCE: usize = 16;

/// Where pages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PageSource {
    /// This node and no other.
    Node(KernelNode),
    /// Any node: the machine is taken as one.
    Machine,
}

/// What lies in the place of SuperSlabs now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placed {
    /// Pages of the reserved pool, populated.
    Reserved,
    /// What was there before, or the like of it.
    Ordinary,
    /// Nothing that may be used, ever: the kernel failed half-way.
    Lost,
}

/// What lies in the place of a SuperSlab whose page went back to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Returned {
    /// Ordinary memory.
    Ordinary,
    /// As in [`Placed`].
    Lost,
}

/// What is known of a node's free pages. Zeroed memory is valid: nothing is known.
#[derive(Default)]
#[repr(C)]
pub(super) struct FreePages {
    /// Pages that were free when sysfs was last read, less those tried for since. Who looks writes it, who
    /// takes subtracts.
    seen: AtomicU32,
    /// Before this moment, in milliseconds of the clock, nobody looks again. Written by who looks, and by who
    /// found the pool dry.
    look_ms: AtomicU64,
}

impl FreePages {
    /// Whether `pages` pages may be tried for: of those seen, or, if none of them is left and it is time to
    /// `look` again, of those seen now.
    fn take(&self, pages: u32, now_ms: impl FnOnce() -> u64, look: impl FnOnce() -> u32) -> bool {
        // Relaxed, throughout: hints. The kernel decides.
        let take = |seen: u32| seen.checked_sub(pages);
        match self.seen.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => return true,
            Err(0) => {}
            // Enough for fewer.
            Err(_) => return false,
        }
        let (now_ms, look_ms) = (now_ms(), self.look_ms.load(Ordering::Relaxed));
        let next_ms = now_ms + DRY_MS;
        if now_ms < look_ms
            // One thread looks, the others do without.
            || self.look_ms.compare_exchange(look_ms, next_ms, Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return false;
        }
        let seen = look();
        if seen == 0 {
            return false;
        }
        let left = seen.checked_sub(pages);
        self.seen.store(left.unwrap_or(seen), Ordering::Relaxed);
        // While there are pages, the next look is due when these are used up.
        self.look_ms.store(now_ms, Ordering::Relaxed);
        left.is_some()
    }

    /// Notes that it is no use to take any, ever.
    fn note_useless(&self) {
        // Relaxed: as in `take`.
        self.look_ms.store(u64::MAX, Ordering::Relaxed);
        self.seen.store(0, Ordering::Relaxed);
    }

    /// Notes that there are none after all.
    fn note_dry(&self, now_ms: u64) {
        // Relaxed: as in `take`. What is useless stays so.
        self.look_ms.fetch_max(now_ms + DRY_MS, Ordering::Relaxed);
        self.seen.store(0, Ordering::Relaxed);
    }
}

impl Pool<'_> {
    /// Puts pages of the reserved pool in the place of a run of SuperSlabs (at most [`MOST_AT_ONCE`]), which
    /// the caller has claimed and which is ordinary memory or a reservation, empty.
    pub(super) fn place_reserved(&self, run: Run) -> Placed {
        let Some(source) = self.reserved else { return Placed::Ordinary };
        let look = || free_pages(source, self.settings.spare_pages);
        let placed = match self.node.free_pages.take(run.len as u32, clock::monotonic_ms, look) {
            true => self.place_pages(source, run),
            false => Placed::Ordinary,
        };
        let counts = &self.node.counts;
        // Relaxed: statistics.
        if placed == Placed::Reserved {
            counts.huge_alloc.fetch_add(run.len as u64, Ordering::Relaxed);
            counts.superslabs_reserved.fetch_add(run.len as u32, Ordering::Relaxed);
        } else if run.len == 1 {
            counts.huge_fail.fetch_add(1, Ordering::Relaxed);
        }
        placed
    }

    fn place_pages(&self, source: PageSource, run: Run) -> Placed {
        let bytes = run.len * SUPERSLAB_BYTES;
        // Where several are not to be had, one may be.
        let note_dry = || {
            if run.len == 1 {
                self.node.free_pages.note_dry(clock::monotonic_ms());
            }
        };
        let Some(pages) = self.ready_pages(source, bytes) else {
            note_dry();
            return Placed::Ordinary;
        };
        let at = self.space.pointer(self.space.superslab_address(self.superslab(run.start)));
        // SAFETY: the pages are ours and unused; so are the SuperSlabs, which the caller has claimed.
        let Err(error) = (unsafe { memory::replace(pages, at, bytes) }) else {
            (run.start..run.start + run.len)
                .for_each(|number| self.space.superslab(self.superslab(number)).note_reserved());
            return Placed::Reserved;
        };
        discard(pages, bytes);
        // It will not do better next time: before Linux 5.16 it can't move such pages, a filter may forbid it,
        // and who has too many mappings needs no more of them.
        self.node.free_pages.note_useless();
        if error != Errno::EEXIST && self.renew(at, bytes) { Placed::Ordinary } else { Placed::Lost }
    }

    /// Pages that are populated and lie where they should, at an address of the kernel's choice.
    fn ready_pages(&self, source: PageSource, bytes: usize) -> Option<NonNull<u8>> {
        let pages = memory::map_huge_2m(bytes).ok()?;
        if let Some(binding) = self.settings.binding {
            let _ = super::backing::bind(binding, self.topology, self.id, pages, bytes);
        }
        // SAFETY: a fresh mapping.
        let is_ready = unsafe { memory::populate_safely(pages, bytes) }.is_ok();
        if is_ready && self.lie_home(source, pages, bytes) {
            return Some(pages);
        }
        discard(pages, bytes);
        None
    }

    /// Whether pages lie where they should. If the kernel does not say, they lie on the node of the CPU that
    /// populated them, or where the policy has put them.
    fn lie_home(&self, source: PageSource, pages: NonNull<u8>, bytes: usize) -> bool {
        let PageSource::Node(home) = source else { return true };
        let count = (bytes / SUPERSLAB_BYTES).min(MOST_AT_ONCE);
        let each: [*const u8; MOST_AT_ONCE] =
            core::array::from_fn(|page| pages.as_ptr().wrapping_add(page * SUPERSLAB_BYTES).cast_const());
        let mut status = [-1; MOST_AT_ONCE];
        let _ = pages_nodes(&each[..count], &mut status[..count]);
        let is_home =
            |on: &i32| u16::try_from(*on).map_or_else(|_| self.may_carve(), |node| KernelNode(node) == home);
        status[..count].iter().all(is_home)
    }

    /// Gives the page under a SuperSlab, of which every piece is the caller's, back to the pool; ordinary
    /// memory lies there then. `None` if the kernel refuses: the page stays.
    pub(super) fn return_reserved(&self, superslab: SuperIndex) -> Option<Returned> {
        let at = self.space.pointer(self.space.superslab_address(superslab));
        // SAFETY: the caller's, and nobody uses its contents any more.
        unsafe { memory::reserve_at(at, SUPERSLAB_BYTES) }.ok()?;
        self.space.superslab(superslab).note_ordinary();
        // Relaxed: a statistic.
        self.node.counts.superslabs_reserved.fetch_sub(1, Ordering::Relaxed);
        Some(if self.renew(at, SUPERSLAB_BYTES) { Returned::Ordinary } else { Returned::Lost })
    }
}

/// Unmaps pages that nobody has seen. If the kernel refuses they are lost until the process ends.
fn discard(pages: NonNull<u8>, bytes: usize) {
    // SAFETY: the callers' own mapping.
    let _ = unsafe { memory::unmap(pages, bytes) };
}

/// How many pages the pool has for us at this moment; 0 if sysfs does not tell.
fn free_pages(source: PageSource, spare: u32) -> u32 {
    let on_node = match source {
        PageSource::Node(node) => node_free_huge_2m(node).unwrap_or(0),
        PageSource::Machine => u64::MAX,
    };
    // A node's free pages may be promised to others.
    let unpromised = if on_node == 0 { 0 } else { unpromised_huge_2m().unwrap_or(0) };
    u32::try_from(on_node.min(unpromised.saturating_sub(spare.into()))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysfs_is_read_once_for_all_pages_it_tells_of() {
        let pages = FreePages::default();
        assert!(pages.take(1, || 0, || 4));
        assert!(pages.take(2, || unreachable!(), || unreachable!()));
        // One is left, and it is time to look again when that is used too.
        assert!(!pages.take(2, || unreachable!(), || unreachable!()));
        assert!(pages.take(1, || unreachable!(), || unreachable!()));
        assert!(!pages.take(16, || 0, || 1));
        assert!(pages.take(1, || unreachable!(), || unreachable!()));
        assert!(!pages.take(1, || 0, || 0));
    }

    #[test]
    fn a_dry_pool_is_left_alone_for_a_second() {
        let pages = FreePages::default();
        assert!(!pages.take(1, || 5000, || 0));
        assert!(!pages.take(1, || 5999, || unreachable!()));
        assert!(pages.take(1, || 6000, || 9));
        pages.note_dry(6000);
        assert!(!pages.take(1, || 6999, || unreachable!()));
        assert!(!pages.take(1, || 7000, || 0));
    }

    #[test]
    fn what_is_useless_is_not_tried_again() {
        let pages = FreePages::default();
        assert!(pages.take(1, || 5000, || 8));
        pages.note_useless();
        pages.note_dry(6000);
        assert!(!pages.take(1, || 5_000_000, || unreachable!()));
    }
}
