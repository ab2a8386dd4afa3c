//! Runs of pieces from the SuperSlabs of a node.
//!
//! A SuperSlab with free pieces lies on the list for the length of its longest free run, as it was
//! when it was listed; frees may have made it longer since, never shorter. A request goes to the
//! shortest list that serves it, and within the SuperSlab to the shortest run: so large runs stay
//! whole as long as possible. A request that finds nothing sorts the shorter lists anew, if enough
//! pieces have come back to make that worth the walk.
//!
//! Neighbours: [`super::slabs`] carves slabs from the runs and gives them back.

use super::Pool;
use super::zone::{Zone, ZoneLists};
use crate::os::clock;
use crate::slab::avail::{Rest, State};
use crate::slab::free_units::Duty;
use crate::slab::piece_mask::{longest_run, run_mask, shortest_run};
use crate::slab::space::{SlabIndex, SuperIndex, SuperLinks};
use crate::sync::Ordering;
use crate::sync::tagged_stack::TaggedStack;
use crate::units::{PIECE_BYTES, PIECES};

/// How many SuperSlabs of one list are looked at before the next list is tried.
const TRIES: usize = 2;

/// How many pieces must have come back before lists are sorted anew, at least.
const WORTHWHILE: u32 = 16;

/// A run of pieces that is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its first piece.
    pub(crate) first: SlabIndex,
    /// Whether nobody has written to it since the kernel gave the memory.
    pub(crate) reads_zero: bool,
}

/// Why no run was handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The node's SuperSlabs have no such run, and a new one can't be had.
    Memory,
}

impl Pool<'_> {
    /// The lists of a zone.
    pub(super) fn lists(&self, zone: Zone) -> &ZoneLists {
        &self.node.zones[zone as usize]
    }

    /// Takes a run of `pieces` (1 to 32) that lies in one SuperSlab, of the given zone if there is one to be
    /// had; maps a new SuperSlab if need be.
    pub(crate) fn take_run(&self, zone: Zone, pieces: u32) -> Result<Run, Shortage> {
        if let Some(run) = self.take_listed_run(zone, pieces) {
            return Ok(run);
        }
        let walked = [self.sort_if_worthwhile(zone, pieces), self.retire_if_worthwhile()];
        if walked.contains(&true)
            && let Some(run) = self.take_listed_run(zone, pieces)
        {
            return Ok(run);
        }
        // The zone is full, or nothing more may be mapped: the other zone is better than nothing.
        self.take_new_run(zone, pieces)
            .or_else(|| self.take_listed_run(zone.other(), pieces))
            .or_else(|| self.take_new_run(zone.other(), pieces))
            .ok_or(Shortage::Memory)
    }

    /// Takes a run from a new SuperSlab.
    fn take_new_run(&self, zone: Zone, pieces: u32) -> Option<Run> {
        let superslab = self.map_superslab(zone)?;
        self.space.superslab(superslab).units().open(PIECES as u32);
        self.take_held_run(superslab, pieces)
    }

    fn take_listed_run(&self, zone: Zone, pieces: u32) -> Option<Run> {
        let links = SuperLinks(self.space);
        for (length, list) in self.lists(zone).runs.iter().enumerate().skip(pieces as usize) {
            for _ in 0..TRIES {
                if list.looks_empty() {
                    break;
                }
                let Some(index) = list.pop(&links) else { break };
                let superslab = SuperIndex(index);
                self.space.superslab(superslab).units().hold();
                if let Some(run) = self.take_held_run(superslab, pieces) {
                    if length == PIECES {
                        // Relaxed: a rule of thumb.
                        self.node.counts.superslabs_reused.fetch_add(1, Ordering::Relaxed);
                    }
                    return Some(run);
                }
            }
        }
        None
    }

    /// Takes a run from a SuperSlab that the caller holds, and lets go of it.
    fn take_held_run(&self, superslab: SuperIndex, pieces: u32) -> Option<Run> {
        let units = self.space.superslab(superslab).units();
        let found = shortest_run(units.word(0) as u32, pieces).map(|start| {
            units.take_mask(0, run_mask(start, pieces));
            let reads_zero = self.note_pieces_taken(superslab, run_mask(start, pieces) as u32);
            Run { first: superslab.piece(start), reads_zero }
        });
        let taken = if found.is_some() { pieces } else { 0 };
        if units.settle(taken, Rest::List) == State::Listed {
            self.list_superslab(superslab);
        }
        found
    }

    /// Notes that a taker is about to touch pieces of a SuperSlab that it holds; returns whether they read as
    /// zero.
    fn note_pieces_taken(&self, superslab: SuperIndex, pieces: u32) -> bool {
        let descriptor = self.space.superslab(superslab);
        // Where a part has gone back, no huge page comes with a touch any more.
        let is_whole = !descriptor.is_split() && (self.may_be_huge(superslab) || self.settings.prefault);
        let taken = descriptor.note_taken(pieces, if is_whole { u32::MAX } else { pieces });
        if taken.again > 0 {
            self.regret(taken.again as usize * PIECE_BYTES);
        }
        taken.reads_zero
    }

    /// Gives back a run that the caller owns.
    pub(crate) fn give_run(&self, first: SlabIndex, pieces: u32) {
        let superslab = first.superslab();
        let units = self.space.superslab(superslab).units();
        let duty = units.add(pieces);
        let given = units.set(0, run_mask(first.piece(), pieces));
        debug_assert!(given.is_ok(), "piece given back twice");
        if duty == Duty::List {
            units.list();
            self.list_superslab(superslab);
        } else {
            // Relaxed: a hint that sorting would find something.
            self.lists(self.zone_of(superslab)).returned.fetch_add(pieces, Ordering::Relaxed);
        }
    }

    /// Sorts the lists below `pieces` anew if at least that many pieces have come back to listed
    /// SuperSlabs since the last time; whether it did.
    fn sort_if_worthwhile(&self, zone: Zone, pieces: u32) -> bool {
        let (lists, least) = (self.lists(zone), pieces.max(WORTHWHILE));
        // Relaxed: a hint. One thread resets it and walks; others go on to map.
        let worthwhile = lists.returned.load(Ordering::Relaxed) >= least
            && lists.returned.swap(0, Ordering::Relaxed) >= least;
        if worthwhile {
            lists.runs[..pieces as usize].iter().for_each(|list| self.sort(list));
        }
        worthwhile
    }

    /// Puts every SuperSlab on the list where it belongs by now.
    pub(super) fn sort_all(&self) {
        for lists in &self.node.zones {
            // Relaxed: a hint, as above.
            lists.returned.store(0, Ordering::Relaxed);
            lists.runs[..PIECES].iter().for_each(|list| self.sort(list));
        }
    }

    /// Puts each SuperSlab of a list on the list where it belongs by now.
    pub(super) fn sort(&self, list: &TaggedStack) {
        let links = SuperLinks(self.space);
        let mut chain = list.take_all();
        while let Some(index) = chain.next(&links) {
            let superslab = SuperIndex(index);
            let units = self.space.superslab(superslab).units();
            units.hold();
            if units.settle(0, Rest::List) == State::Listed {
                self.list_superslab(superslab);
            }
        }
    }

    /// Puts a SuperSlab, which the caller owns, on the list for its longest free run.
    pub(crate) fn list_superslab(&self, superslab: SuperIndex) {
        let free = self.space.superslab(superslab).units().word(0) as u32;
        // The count may run ahead of the bits, so there may be no bit yet: then the list for 1.
        let longest = longest_run(free).max(1);
        if longest as usize == PIECES {
            self.space.superslab(superslab).set_freed_ms(clock::monotonic_ms() as u32);
        }
        let lists = self.lists(self.zone_of(superslab));
        lists.runs[longest as usize].push(&SuperLinks(self.space), superslab.0);
    }
}
