//! SuperSlabs from the node's range: claimed, committed, counted against the limit.

use super::Pool;
use super::purge::Want;
use super::range::{RangeMap, Run};
use super::reserved::{MOST_AT_ONCE, Placed, Returned};
use super::zone::Zone;
use crate::os::memory::{self, Advice};
use crate::slab::avail::{Rest, State};
use crate::slab::space::SuperIndex;
use crate::sync::Ordering;
use crate::units::{PAGE_BYTES, PIECES, SUPERSLAB_BYTES};
use core::ptr;

/// SuperSlabs are committed in chunks of this many: {when the node has at least, chunk}.
const CHUNKS: [(u32, usize); 3] = [(64, 16), (8, 4), (0, 1)];

impl Pool<'_> {
    /// The map of the node's range, both zones.
    pub(crate) fn range(&self) -> RangeMap<'_> {
        RangeMap::new(self.used, &self.lists(Zone::Small).hint)
    }

    /// The map of a zone, and the number of its first SuperSlab.
    fn zone_range(&self, zone: Zone) -> (RangeMap<'_>, usize) {
        let half = self.used.len() / 2;
        let hint = &self.lists(zone).hint;
        match zone {
            Zone::Small => (RangeMap::new(&self.used[..half], hint), 0),
            Zone::Large => (RangeMap::new(&self.used[half..], hint), half * 64),
        }
    }

    /// The zone in which a SuperSlab lies.
    pub(super) fn zone_of(&self, superslab: SuperIndex) -> Zone {
        let number = (superslab.0 - self.superslab(0).0) as usize;
        if number < self.used.len() / 2 * 64 { Zone::Small } else { Zone::Large }
    }

    /// A new SuperSlab of a zone, readable and writable, that the caller owns; `None` if the range is used up,
    /// the limit is reached, or the kernel refuses.
    pub(super) fn map_superslab(&self, zone: Zone) -> Option<SuperIndex> {
        if !self.may_map {
            return None;
        }
        if self.budget.is_tight(SUPERSLAB_BYTES) {
            self.retire_empty();
            self.release_free();
        }
        let Some(superslab) = self.claim_superslab(zone) else {
            // Relaxed: a statistic.
            self.node.counts.superslabs_refused.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        // Relaxed: statistics.
        self.node.counts.superslabs.fetch_add(1, Ordering::Relaxed);
        self.node.counts.superslabs_mapped.fetch_add(1, Ordering::Relaxed);
        self.regret_superslab();
        if self.space.superslab(superslab).is_on_reserved() {
            return Some(superslab);
        }
        if self.settings.touch_on_carve {
            // The first touch may back all of it, by a huge page; while it is nobody else's, a wrong one
            // can be dropped.
            let bytes = if self.settings.prefault { SUPERSLAB_BYTES } else { PAGE_BYTES };
            self.touch_first(self.space.superslab_address(superslab), bytes, SUPERSLAB_BYTES);
        } else if self.settings.prefault {
            let at = self.space.pointer(self.space.superslab_address(superslab));
            // SAFETY: just claimed and committed, so nobody uses it. Failing means that the pages come with
            // their first touch.
            let _ = unsafe { memory::populate(at, SUPERSLAB_BYTES) };
        }
        Some(superslab)
    }

    /// Takes a SuperSlab from the range and from the kernel.
    fn claim_superslab(&self, zone: Zone) -> Option<SuperIndex> {
        if self.reserved.is_some()
            && let Some(superslab) = self.claim_reserved(zone)
        {
            return Some(superslab);
        }
        if !self.budget.take(SUPERSLAB_BYTES) {
            return None;
        }
        let (range, first) = self.zone_range(zone);
        let Some(start) = range.claim_one().map(|number| first + number) else {
            self.budget.give(SUPERSLAB_BYTES);
            return None;
        };
        let superslab = self.superslab(start);
        let at = self.space.pointer(self.space.superslab_address(superslab));
        let placed = self.place_reserved(Run { start, len: 1 });
        let is_ready = match placed {
            Placed::Reserved => true,
            Placed::Ordinary => self.commit(Run { start, len: 1 }) && self.is_acceptable(at, SUPERSLAB_BYTES),
            Placed::Lost => false,
        };
        if is_ready {
            return Some(superslab);
        }
        if placed == Placed::Ordinary {
            range.release(Run { start: start - first, len: 1 });
        }
        self.budget.give(SUPERSLAB_BYTES);
        None
    }

    /// Takes several SuperSlabs on reserved pages at once, if the node is large enough to want more, and may
    /// keep as many free; returns one of them, the others are FREE. `None` if they are not to be had.
    fn claim_reserved(&self, zone: Zone) -> Option<SuperIndex> {
        let len = self.chunk().min(MOST_AT_ONCE).min(self.least_slack() / 2 / SUPERSLAB_BYTES);
        if len <= 1 || !self.budget.take(len * SUPERSLAB_BYTES) {
            return None;
        }
        let (range, first) = self.zone_range(zone);
        let claimed = range.claim_run(len, len, 0);
        let placed = claimed.map(|run| self.place_reserved(Run { start: first + run.start, len }));
        match (claimed, placed) {
            (Some(run), Some(Placed::Reserved)) => {
                let start = first + run.start;
                // Relaxed: statistics. The caller counts the one that it gets.
                self.node.counts.superslabs.fetch_add(len as u32 - 1, Ordering::Relaxed);
                self.node.counts.superslabs_mapped.fetch_add(len as u64 - 1, Ordering::Relaxed);
                (start + 1..start + len).for_each(|number| self.list_fresh(self.superslab(number)));
                return Some(self.superslab(start));
            }
            (Some(run), Some(Placed::Ordinary)) => range.release(run),
            _ => {}
        }
        self.budget.give(len * SUPERSLAB_BYTES);
        None
    }

    /// Makes up to `count` SuperSlabs for small blocks ready.
    pub(crate) fn prewarm(&self, count: u32) {
        (0..count).map_while(|_| self.map_superslab(Zone::Small)).for_each(|fresh| self.list_fresh(fresh));
    }

    /// Lists a new SuperSlab, which is the caller's, as FREE.
    fn list_fresh(&self, superslab: SuperIndex) {
        let units = self.space.superslab(superslab).units();
        units.open(PIECES as u32);
        if units.settle(0, Rest::List) == State::Listed {
            self.list_superslab(superslab);
        }
    }

    /// Gives the memory of a SuperSlab that the caller holds back to the kernel, and its place back to
    /// the range, where everything reads as zero. `false` if a piece is in use, or the kernel keeps the
    /// memory (because it is locked).
    pub(super) fn unmap_superslab(&self, superslab: SuperIndex) -> bool {
        let units = self.space.superslab(superslab).units();
        if !units.all_free(PIECES as u32) {
            return false;
        }
        let Some(returned) = self.empty_superslab(superslab) else { return false };
        self.space.superslab(superslab).note_released();
        let retired = units.retire(PIECES as u32);
        debug_assert!(retired);
        let (range, first) = self.zone_range(self.zone_of(superslab));
        let start = (superslab.0 - self.superslab(0).0) as usize - first;
        if returned == Returned::Ordinary {
            range.release(Run { start, len: 1 });
        }
        self.budget.give(SUPERSLAB_BYTES);
        // Relaxed: a statistic.
        self.node.counts.superslabs.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Gives the memory of a run that the caller owns, of Huge blocks, back to the kernel, and the run to the
    /// range; it reads as zero then.
    pub(crate) fn discard(&self, run: Run) {
        if self.empty_run(run) == Returned::Ordinary {
            self.range().release(run);
        }
        self.budget.give(run.len * SUPERSLAB_BYTES);
    }

    /// Gives the memory of a run of Huge blocks that the caller owns back to the kernel.
    ///
    /// What was moved there is one mapping more, of which a process may have so many only
    /// (`vm.max_map_count`), and stays one when it is empty. So another one takes its place, which the kernel
    /// joins with those around it.
    fn empty_run(&self, run: Run) -> Returned {
        let bytes = run.len * SUPERSLAB_BYTES;
        let at = self.space.pointer(self.space.superslab_address(self.superslab(run.start)));
        let superslabs = || (run.start..run.start + run.len).map(|number| self.superslab(number));
        if superslabs().any(|superslab| self.space.superslab(superslab).is_moved())
            // SAFETY: the run is the caller's, and the block that lay there is not in use any more.
            && unsafe { memory::reserve_at(at, bytes) }.is_ok()
        {
            superslabs().for_each(|superslab| self.space.superslab(superslab).note_unmoved());
            return if self.renew(at, bytes) { Returned::Ordinary } else { Returned::Lost };
        }
        // SAFETY: the block that lay there is not in use any more.
        if unsafe { memory::advise(at, bytes, Advice::DontNeed) }.is_err() {
            // Locked memory: the kernel keeps it as it is, so it would not read as zero. Clear it, so
            // that the promise holds.
            // SAFETY: readable and writable, and nobody else's.
            unsafe { ptr::write_bytes(at.as_ptr(), 0, bytes) };
        }
        Returned::Ordinary
    }

    /// Gives freed Huge blocks back that have been kept for `age_ms`, as long as more is wanted; returns the
    /// bytes.
    pub(super) fn discard_kept(&self, age_ms: u32, now_ms: u64, want: &mut Want) -> usize {
        let mut discarded = 0;
        while !want.is_met()
            && let Some(run) = self.node.huge_cache.take_older(age_ms, now_ms)
        {
            self.discard(run);
            want.note(run.len * SUPERSLAB_BYTES);
            discarded += run.len * SUPERSLAB_BYTES;
        }
        discarded
    }

    /// Gives the memory of a SuperSlab that nobody uses back to the kernel; `None` if the kernel keeps it.
    fn empty_superslab(&self, superslab: SuperIndex) -> Option<Returned> {
        if self.space.superslab(superslab).is_on_reserved() {
            return self.return_reserved(superslab);
        }
        let at = self.space.pointer(self.space.superslab_address(superslab));
        // SAFETY: every piece is free and only the holder takes any, so nobody uses the memory.
        unsafe { memory::advise(at, SUPERSLAB_BYTES, Advice::DontNeed) }.ok().map(|()| Returned::Ordinary)
    }

    /// The SuperSlab with this number in the node's range.
    pub(crate) fn superslab(&self, number: usize) -> SuperIndex {
        SuperIndex(self.space.first_superslab(self.id).0 + number as u32)
    }

    /// Makes a claimed run readable and writable. Single SuperSlabs are committed in chunks that grow
    /// with the node, so that a growing heap needs few system calls.
    pub(crate) fn commit(&self, run: Run) -> bool {
        if self.is_committed(run) {
            return true;
        }
        let chunk = self.chunk();
        if run.len == 1 && chunk > 1 {
            let start = run.start / chunk * chunk;
            let len = chunk.min(self.used.len() * 64 - start);
            if self.commit_exactly(Run { start, len }) {
                return true;
            }
        }
        self.commit_exactly(run)
    }

    /// How many SuperSlabs the node takes from the kernel at once.
    fn chunk(&self) -> usize {
        // Relaxed: a statistic, here a rule of thumb.
        let mapped = self.node.counts.superslabs.load(Ordering::Relaxed);
        CHUNKS.iter().find(|(least, _)| mapped >= *least).map_or(1, |(_, chunk)| *chunk)
    }

    fn commit_exactly(&self, run: Run) -> bool {
        let at = self.space.pointer(self.space.superslab_address(self.superslab(run.start)));
        // SAFETY: the range is reserved, and making it accessible changes no contents: parts of it that
        // are in use already are as they were.
        if unsafe { memory::commit(at, run.len * SUPERSLAB_BYTES) }.is_err() {
            return false;
        }
        for number in run.start..run.start + run.len {
            // Release: pairs with the Acquire in `is_committed`.
            self.committed[number / 64].fetch_or(1 << (number % 64), Ordering::Release);
        }
        true
    }

    fn is_committed(&self, run: Run) -> bool {
        (run.start..run.start + run.len)
            // Acquire: pairs with the Release in `commit_exactly`; the mapping is changed before.
            .all(|n| self.committed[n / 64].load(Ordering::Acquire) >> (n % 64) & 1 == 1)
    }
}
