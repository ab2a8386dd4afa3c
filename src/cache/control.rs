//! What belongs to a region beside its lists: touched on misses only.

use super::policy::Demand;
use crate::size_class::{CLASSES, SizeClass};
use crate::slab::held::HeldSlab;
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// How many lists must want room for each search: a search takes room from lists that were not missed
/// since the one before, so searches must be far enough apart for a list in use to be missed.
const SEARCH_EVERY: u32 = 64;

/// How many misses pass between two looks at the clock.
const CLOCK_EVERY: u32 = 8;

/// How many Large misses pass between two recounts.
const RECOUNT_EVERY: u32 = 32;

/// How many bytes that come from slabs are set against those that go there, at most.
const MOST_SHRINKING: i64 = 16 << 20;

/// How often growth doubles, at most, before it is told again in vain.
const MOST_PATIENCE: u32 = 3;

/// The slow-path state of one region. Zeroed memory is valid.
///
/// A CPU's control is used by whichever threads miss on that CPU, also by one that has moved away
/// since; so all fields are atomics, and all but the held slabs are hints and statistics.
#[repr(C, align(64))]
pub(crate) struct Control {
    /// The slab that this CPU (or thread) holds for each class.
    pub(crate) held: [HeldSlab; CLASSES],
    /// How each class has been asked for, a [`Demand`]. Written by those who miss.
    demand: [AtomicU8; CLASSES],
    /// Bytes of capacity given to the lists. Counted like an event by those who grow and shrink lists;
    /// an addition that came too late (the thread had moved) is made good by the next search for room.
    allotted: AtomicU64,
    /// Bytes of blocks on Large lists, counted likewise by those who put them there and take them.
    large: AtomicU64,
    /// Where the search for a list to shrink goes on.
    hand: AtomicU32,
    /// How many lists wanted room when the budget was used up.
    wants: AtomicU32,
    /// How many misses there were, for the clock.
    ticks: AtomicU32,
    /// When the outboxes were last emptied for their age, in milliseconds of the clock; 0 for never.
    emptied_ms: AtomicU64,
    /// What stood for the region's content when the maintenance last looked. Written by it.
    state: AtomicU64,
    /// How many Large blocks were not to be had from, or not kept by, the region.
    large_misses: AtomicU32,
    /// Bytes that went from this region to slabs, less those that came from used slabs, since it was last asked
    /// for; and how often it was asked for in vain.
    growth: AtomicU64,
    in_vain: AtomicU32,
    /// Statistics.
    pub(crate) events: Events,
}

/// How often each thing happened on the slow path.
///
/// A region's are counted by threads on its CPU, without a lock prefix ([`super::seat::Seat::count`]);
/// those of threads without a region by atomic additions.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Events {
    counts: [AtomicU64; Event::COUNT],
}

/// A thing that happens on the slow path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Event {
    /// An allocation found its list empty.
    PopMiss,
    /// A free found its list full.
    PushMiss,
    /// Blocks came from the transfer cache.
    RefillTransfer,
    /// Blocks came from the slab that the CPU held.
    RefillHeld,
    /// Blocks came from a slab of the shelf.
    RefillShelf,
    /// Blocks came from a newly carved slab.
    RefillCarve,
    /// Blocks came from another node, because the own one had no memory.
    RefillSteal,
    /// No memory was found anywhere.
    RefillFailed,
    /// A batch went into the transfer cache.
    FlushTransfer,
    /// A batch went back to its slabs.
    FlushSlabs,
    /// A batch of an outbox went home.
    FlushOutbox,
    /// A list got more room.
    Grow,
    /// A list lost room to another.
    Shrink,
    /// A request or a free went past the cache (revoked region, signal handler, ending thread).
    Bypass,
    /// Not a time but a block: it was freed on its own node, and has left the caches there.
    BlocksLocal,
    /// A block was freed on another node than its own, and has gone home.
    BlocksReturned,
    /// A block was taken from another node, because the own one had no memory.
    BlocksStolen,
}

impl Event {
    /// How many there are.
    pub const COUNT: usize = 17;

    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); Self::COUNT] = [
        (Self::PopMiss, "pop_miss"),
        (Self::PushMiss, "push_miss"),
        (Self::RefillTransfer, "refill_transfer"),
        (Self::RefillHeld, "refill_held"),
        (Self::RefillShelf, "refill_shelf"),
        (Self::RefillCarve, "refill_carve"),
        (Self::RefillSteal, "refill_steal"),
        (Self::RefillFailed, "refill_failed"),
        (Self::FlushTransfer, "flush_transfer"),
        (Self::FlushSlabs, "flush_slabs"),
        (Self::FlushOutbox, "flush_outbox"),
        (Self::Grow, "grow"),
        (Self::Shrink, "shrink"),
        (Self::Bypass, "bypass"),
        (Self::BlocksLocal, "blocks_local"),
        (Self::BlocksReturned, "blocks_returned"),
        (Self::BlocksStolen, "blocks_stolen"),
    ];
}

impl Events {
    /// Counts `times`, atomically. Of a region's events only its owner may: one who has revoked it.
    pub(crate) fn add(&self, event: Event, times: usize) {
        // Relaxed: a statistic.
        self.counts[event as usize].fetch_add(times as u64, Ordering::Relaxed);
    }

    /// The counter of an event.
    pub(crate) fn counter(&self, event: Event) -> &AtomicU64 {
        &self.counts[event as usize]
    }

    /// How often it happened.
    pub(crate) fn of(&self, event: Event) -> u64 {
        // Relaxed: a statistic.
        self.counts[event as usize].load(Ordering::Relaxed)
    }
}

impl Control {
    /// How `class` has been asked for.
    pub(crate) fn demand(&self, class: SizeClass) -> Demand {
        // Relaxed: a hint.
        Demand(self.demand[class.index()].load(Ordering::Relaxed))
    }

    /// Notes how `class` has been asked for. A note by a thread at the same moment may be lost.
    pub(crate) fn set_demand(&self, class: SizeClass, demand: Demand) {
        // Relaxed: a hint.
        self.demand[class.index()].store(demand.0, Ordering::Relaxed);
    }

    /// The sum of capacity given to the lists, as a counter.
    pub(crate) fn allotment(&self) -> &AtomicU64 {
        &self.allotted
    }

    /// Bytes of blocks on Large lists, as a counter.
    pub(crate) fn large(&self) -> &AtomicU64 {
        &self.large
    }

    /// Bytes of blocks on Large lists; 0 rather than less.
    pub(crate) fn large_bytes(&self) -> usize {
        // Relaxed: a bound, not ownership.
        (self.large.load(Ordering::Relaxed) as i64).max(0) as usize
    }

    /// Forgets all capacity and content: the lists have been closed.
    pub(crate) fn reset(&self) {
        // Relaxed: bounds and hints; the caller owns the region.
        self.allotted.store(0, Ordering::Relaxed);
        self.large.store(0, Ordering::Relaxed);
        for demand in &self.demand {
            demand.store(0, Ordering::Relaxed);
        }
    }

    /// Bytes of capacity given to the lists. Additions that came too late may leave the sum below 0: then
    /// 0.
    pub(crate) fn allotted(&self) -> usize {
        // Relaxed: a bound, not ownership.
        (self.allotted.load(Ordering::Relaxed) as i64).max(0) as usize
    }

    /// Notes that a list wants room that the budget does not have; whether it is time to look for a list
    /// that can do without.
    pub(crate) fn is_time_to_search(&self) -> bool {
        // Relaxed, and not one operation: any count will do.
        let wants = self.wants.load(Ordering::Relaxed);
        self.wants.store(wants.wrapping_add(1), Ordering::Relaxed);
        wants % SEARCH_EVERY == SEARCH_EVERY - 1
    }

    /// Whether it is time to look at the clock; to be asked at each miss.
    pub(crate) fn is_time_for_the_clock(&self) -> bool {
        // Relaxed, and not one operation: any count will do.
        let ticks = self.ticks.load(Ordering::Relaxed);
        self.ticks.store(ticks.wrapping_add(1), Ordering::Relaxed);
        ticks % CLOCK_EVERY == CLOCK_EVERY - 1
    }

    /// Notes what stands for the region's content now; returns what did when this was last called.
    pub(crate) fn exchange_state(&self, state: u64) -> u64 {
        // Relaxed: a hint.
        self.state.swap(state, Ordering::Relaxed)
    }

    /// When the outboxes were last emptied for their age.
    pub(crate) fn emptied_ms(&self) -> u64 {
        // Relaxed: a hint.
        self.emptied_ms.load(Ordering::Relaxed)
    }

    /// Notes that the outboxes are emptied now.
    pub(crate) fn set_emptied_ms(&self, now_ms: u64) {
        // Relaxed: a hint.
        self.emptied_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Notes that `bytes` bytes went to slabs, or if less than 0 came from there. However many come, only some
    /// of them count: after a heap has grown, what falls is noticed soon.
    #[inline]
    pub(crate) fn note_growth(&self, bytes: isize) {
        // Relaxed, and not one operation: a rule of thumb.
        let growth = self.growth.load(Ordering::Relaxed) as i64 + bytes as i64;
        self.growth.store(growth.max(-MOST_SHRINKING) as u64, Ordering::Relaxed);
    }

    /// Bytes that went to slabs, less those that came from there, if they are at least `least`, or more if that
    /// was told in vain the last times.
    pub(crate) fn growth(&self, least: usize) -> Option<usize> {
        // Relaxed, here and below: a rule of thumb.
        let growth = usize::try_from(self.growth.load(Ordering::Relaxed) as i64).unwrap_or(0);
        let patience = self.in_vain.load(Ordering::Relaxed).min(MOST_PATIENCE);
        (growth >= least << patience).then(|| {
            self.growth.store(0, Ordering::Relaxed);
            growth
        })
    }

    /// Notes whether it was of use to tell that.
    pub(crate) fn note_use_of_growth(&self, was_of_use: bool) {
        let in_vain = if was_of_use { 0 } else { self.in_vain.load(Ordering::Relaxed).saturating_add(1) };
        self.in_vain.store(in_vain, Ordering::Relaxed);
    }

    /// Whether it is time to count anew what lies on the Large lists; to be asked at each miss.
    pub(crate) fn is_time_to_recount(&self) -> bool {
        // Relaxed, and not one operation: any count will do.
        let misses = self.large_misses.load(Ordering::Relaxed);
        self.large_misses.store(misses.wrapping_add(1), Ordering::Relaxed);
        misses % RECOUNT_EVERY == RECOUNT_EVERY - 1
    }

    /// The next class at which the search for a list to shrink looks.
    pub(crate) fn next_victim(&self) -> SizeClass {
        // Relaxed, and not one operation: any order will do.
        let hand = self.hand.load(Ordering::Relaxed);
        self.hand.store(hand.wrapping_add(1), Ordering::Relaxed);
        SizeClass::from_index(hand as usize % CLASSES).unwrap_or(SizeClass::of(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtraction_without_its_addition_is_no_huge_sum() {
        // SAFETY: zeroed memory is valid.
        let control: Control = unsafe { core::mem::zeroed() };
        control.allotment().fetch_sub(64, Ordering::Relaxed);
        assert_eq!(control.allotted(), 0);
    }
}
