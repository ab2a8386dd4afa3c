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
//! | FREE | unmapped | too old, too many, or asked for: [`release_free`](Pool::release_free), [`release_aged`](Pool::release_aged) |
//!
//! The tier is no word of its own: it follows from the free pieces, which the walker holds while it looks.
//! A FREE SuperSlab has no piece that anybody could give back, so nobody but who popped it touches it.

use super::Pool;
use super::zone::Zone;
use crate::slab::avail::{Rest, State};
use crate::slab::space::{SuperIndex, SuperLinks};
use crate::sync::Ordering;
use crate::sync::tagged_stack::Links;
use crate::units::{PIECES, SUPERSLAB_BYTES};

/// How many FREE SuperSlabs of a zone are spared, at most, while the node maps or reuses some.
const MOST_RESERVE: u64 = 2;

/// What a node may keep of FREE SuperSlabs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FreeBounds {
    /// How many, in each zone.
    pub(crate) superslabs: usize,
    /// For how long, in milliseconds.
    pub(crate) age_ms: u32,
}

/// SuperSlabs that the caller owns, linked in the order in which they were added.
#[derive(Default)]
struct Queue {
    ends: Option<(u32, u32)>,
}

impl Queue {
    fn add(&mut self, links: &SuperLinks<'_>, index: u32) {
        self.ends = Some(match self.ends {
            None => (index, index),
            Some((first, last)) => {
                // Relaxed: the nodes are the caller's; the push publishes.
                links.link(last).store(index + 1, Ordering::Relaxed);
                (first, index)
            }
        });
    }
}

impl Pool<'_> {
    /// Gives FREE SuperSlabs back to the kernel that are beyond the bounds, the longest free first, but
    /// `most` at most; returns the bytes. Those that were freed last stay on top, where they are taken from.
    pub(crate) fn release_aged(&self, bounds: FreeBounds, now_ms: u64, most: usize) -> usize {
        let reserve = self.reserve();
        let mut left = most;
        Zone::ALL
            .map(|zone| self.release_aged_in(zone, bounds, now_ms as u32, reserve, &mut left))
            .iter()
            .sum()
    }

    fn release_aged_in(
        &self,
        zone: Zone,
        bounds: FreeBounds,
        now_ms: u32,
        reserve: usize,
        left: &mut usize,
    ) -> usize {
        let links = SuperLinks(self.space);
        let list = &self.lists(zone).runs[PIECES];
        if list.looks_empty() {
            return 0;
        }
        let (mut keeps, mut goes, mut kept) = (Queue::default(), Queue::default(), 0);
        let mut chain = list.take_all();
        while let Some(index) = chain.next(&links) {
            // What has become free since this pass began is younger than nothing.
            let age_ms = now_ms.wrapping_sub(self.space.superslab(SuperIndex(index)).freed_ms()) as i32;
            let stays =
                kept < reserve || (kept < bounds.superslabs && age_ms.max(0).unsigned_abs() < bounds.age_ms);
            if stays || *left == 0 {
                keeps.add(&links, index);
                kept += 1;
            } else {
                goes.add(&links, index);
                *left -= 1;
            }
        }
        if let Some((first, last)) = keeps.ends {
            list.push_chain(&links, first, last);
        }
        let Some((mut index, last)) = goes.ends else { return 0 };
        let mut released = 0;
        loop {
            // Relaxed: ours; read before the SuperSlab is somebody else's.
            let next = links.link(index).load(Ordering::Relaxed);
            released += self.release(SuperIndex(index));
            if index == last {
                return released;
            }
            index = next - 1;
        }
    }

    /// How many FREE SuperSlabs of a zone stay whatever their age: as many as were mapped or reused since
    /// this was last asked, two at most; so a heap that breathes by one does not go to the kernel each time.
    fn reserve(&self) -> usize {
        let counts = &self.node.counts;
        // Relaxed: a rule of thumb.
        let wanted = counts.superslabs_mapped.load(Ordering::Relaxed)
            + counts.superslabs_reused.load(Ordering::Relaxed);
        let before = self.node.wanted.swap(wanted, Ordering::Relaxed);
        wanted.saturating_sub(before).min(MOST_RESERVE) as usize
    }

    /// Gives all FREE SuperSlabs back to the kernel; returns the bytes.
    pub(crate) fn release_free(&self) -> usize {
        let links = SuperLinks(self.space);
        // Some may have become free since they were listed.
        self.sort_all();
        let mut released = 0;
        for zone in Zone::ALL {
            let mut chain = self.lists(zone).runs[PIECES].take_all();
            while let Some(index) = chain.next(&links) {
                released += self.release(SuperIndex(index));
            }
        }
        released
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
