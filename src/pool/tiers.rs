//! The tiers of SuperSlabs, and giving FREE ones back to the kernel.
//!
//! | tier | what | where |
//! | --- | --- | --- |
//! | HOT | some pieces are in use | on the list for its longest free run; on none if every piece is in use |
//! | DRAINING | few pieces are in use | on one of the lists for long runs, which requests reach last |
//! | FREE | every piece is free | on the list for a run of all pieces |
//!
//! | from | to | when |
//! | --- | --- | --- |
//! | mapped | HOT | a request found no run |
//! | HOT | DRAINING | pieces came back: sorting moves it to a list for longer runs |
//! | DRAINING | HOT | the lists before its own had no such run |
//! | HOT, DRAINING | FREE | every piece came back, seen at give-back or by sorting; the moment is noted |
//! | FREE | HOT | no other SuperSlab had such a run |
//! | FREE | unmapped | too old, too many, beyond the slack, or asked for: [`release_aged`](Pool::release_aged), [`super::surplus`] |
//!
//! The tier is no word of its own: it follows from the free pieces, which the walker holds while it looks.
//! A FREE SuperSlab has no piece that anybody could give back, so nobody but who popped it touches it.

use super::Pool;
use super::purge::Want;
use super::queue::Queue;
use super::zone::Zone;
use crate::slab::avail::{Rest, State};
use crate::slab::space::{SuperIndex, SuperLinks};
use crate::sync::Ordering;
use crate::units::{PIECES, SUPERSLAB_BYTES};

/// How many FREE SuperSlabs are spared, at most, while the node maps or reuses some.
const MOST_RESERVE: u64 = 2;

/// What a node may keep of FREE SuperSlabs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeBounds {
    /// How many, in both zones together.
    pub(crate) superslabs: usize,
    /// For how long, in milliseconds.
    pub(crate) age_ms: u32,
}

impl Pool<'_> {
    /// Gives FREE SuperSlabs back to the kernel that are beyond the bounds, the longest free first, and freed
    /// Huge blocks that are too old, but `most` of them at most; returns the bytes. SuperSlabs that were freed last stay on top, where they are taken from.
    pub(crate) fn release_aged(&self, bounds: FreeBounds, now_ms: u64, most: usize) -> usize {
        let mut want = Want { bytes: usize::MAX, calls: most };
        self.discard_kept(bounds.age_ms, now_ms, &mut want)
            + self.release_beyond(bounds, self.reserve(), now_ms, &mut want)
    }

    /// Gives FREE SuperSlabs back that are beyond the bounds, the longest free first, as long as more is
    /// wanted; `reserve` of them stay whatever their age. Returns the bytes.
    pub(super) fn release_beyond(
        &self,
        bounds: FreeBounds,
        reserve: usize,
        now_ms: u64,
        want: &mut Want,
    ) -> usize {
        let links = SuperLinks(self.space);
        let (mut kept, mut released) = (0, 0);
        for list in Zone::ALL.map(|zone| &self.lists(zone).runs[PIECES]) {
            if list.looks_empty() {
                continue;
            }
            let (mut oldest_first, mut count) = (Queue::default(), 0);
            let mut chain = list.take_all();
            while let Some(superslab) = chain.next(&links).map(SuperIndex) {
                oldest_first.add_first(&links, superslab);
                count += 1;
            }
            let (mut stays, mut goes, mut going) = (Queue::default(), Queue::default(), *want);
            while let Some(superslab) = oldest_first.take(&links) {
                count -= 1;
                let rank = kept + count;
                // What has become free since this pass began is younger than nothing.
                let age_ms = (now_ms as u32).wrapping_sub(self.space.superslab(superslab).freed_ms()) as i32;
                let is_young = age_ms.max(0).unsigned_abs() < bounds.age_ms;
                if going.is_met() || rank < reserve || (rank < bounds.superslabs && is_young) {
                    stays.add_first(&links, superslab);
                } else {
                    goes.add(&links, superslab);
                    going.note(SUPERSLAB_BYTES);
                }
            }
            kept += stays.push_all(&links, list);
            while let Some(superslab) = goes.take(&links) {
                let bytes = self.release(superslab);
                want.note(bytes);
                released += bytes;
            }
        }
        released
    }

    /// How many FREE SuperSlabs stay whatever their age: as many as were mapped or reused since this was last
    /// asked, or between the two times before, two at most; so a heap that breathes by one does not go to the
    /// kernel each time.
    fn reserve(&self) -> usize {
        let counts = &self.node.counts;
        // Relaxed: a rule of thumb.
        let wanted = counts.superslabs_mapped.load(Ordering::Relaxed)
            + counts.superslabs_reused.load(Ordering::Relaxed);
        let before = self.node.wanted.swap(wanted, Ordering::Relaxed);
        let lately = wanted.saturating_sub(before).min(MOST_RESERVE);
        self.node.wanted_before.swap(lately, Ordering::Relaxed).max(lately) as usize
    }

    /// Gives all FREE SuperSlabs and freed Huge blocks back to the kernel; returns the bytes.
    pub(crate) fn release_free(&self) -> usize {
        // Some may have become free since they were listed.
        self.sort_all();
        let mut want = Want::ALL;
        self.discard_kept(0, 0, &mut want)
            + self.release_beyond(FreeBounds { superslabs: 0, age_ms: 0 }, 0, 0, &mut want)
    }

    /// Gives a SuperSlab, which the caller took off its list, back to the kernel; lists it again if that can't
    /// be done. Returns the bytes given back.
    fn release(&self, superslab: SuperIndex) -> usize {
        let units = self.space.superslab(superslab).units();
        units.hold();
        if self.unmap_superslab(superslab) {
            return SUPERSLAB_BYTES;
        }
        if units.settle(0, Rest::List) == State::Listed {
            self.list_superslab(superslab);
        }
        0
    }

    /// Sorts the lists if pieces have come back since they were last sorted.
    pub(crate) fn sort_returned(&self) {
        for zone in Zone::ALL {
            let lists = self.lists(zone);
            // Relaxed: a hint. One thread resets it and walks.
            if lists.returned.load(Ordering::Relaxed) > 0 && lists.returned.swap(0, Ordering::Relaxed) > 0 {
                lists.runs[..PIECES].iter().for_each(|list| self.sort(list));
            }
        }
    }
}
