//! A free found its list full.
//!
//! The list gets more room if it swings, else a batch of it goes where it belongs: as a whole into the
//! transfer cache of its home node, or, if that is full, back into its slabs.

use super::Heap;
use super::corruption;
use crate::cache::control::Event;
use crate::cache::layout::ListIndex;
use crate::cache::seat::Seat;
use crate::pool::batch::{Batch, MAX_BATCH};
use crate::pool::blocks::Corruption;
use crate::size_class::SizeClass;
use crate::slab::held::HeldSlab;
use crate::slab::space::SlabIndex;
use crate::units::NodeId;

/// Whether a batch has to be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Homes {
    /// All blocks live on one node.
    One,
    /// They don't.
    Several,
}

/// Fewer blocks than this go straight back to their slabs.
const LEAST_TRANSFER: usize = 2;

impl Heap {
    /// Takes back a block of `class`, whose home is `home`, from a thread whose list is full.
    #[cold]
    #[inline(never)]
    pub(super) fn flush(&self, class: SizeClass, home: NodeId, block: *mut u8) {
        let seat = self.seat();
        let _stay = seat.stay();
        let Some(region) = seat.region() else {
            self.count(&seat, Event::Bypass);
            let away = home != seat.node();
            self.count(&seat, if away { Event::BlocksReturned } else { Event::BlocksLocal });
            self.give_home(class, &mut [block]);
            return;
        };
        let list = ListIndex::new(home.index() ^ region.node().index(), class);
        // The thread may have been moved to a CPU with room, or have no rseq among others that have.
        if seat.push_batch(list, &[block]) == 1 {
            return;
        }
        self.count(&seat, Event::PushMiss);
        let leaving = self.widen_or_batch(&seat, class, list);
        if seat.push_batch(list, &[block]) == 1 {
            return;
        }
        let mut batch = Batch::new();
        if leaving > 1 {
            seat.pop_batch(list, leaving - 1, &mut batch);
        }
        batch.push(block);
        self.count_blocks(&seat, left(list), batch.len());
        let went = self.give_home(class, batch.blocks());
        self.count(&seat, if list.is_outbox() { Event::FlushOutbox } else { went });
        if went == Event::FlushSlabs {
            region.control().note_growth((batch.len() * class.bytes()) as isize);
        }
        self.send_home_the_old(&seat);
    }

    /// Gives the list more room if that is due; returns how many blocks to take off if it is still full.
    fn widen_or_batch(&self, seat: &Seat, class: SizeClass, list: ListIndex) -> usize {
        let Some(region) = seat.region() else { return 1 };
        let has = region.header(list).end().saturating_sub(self.layout.first(list));
        if list.is_outbox() {
            if has == 0 {
                self.make_room(seat, class, list, self.layout.most(list));
            }
            return self.layout.most(list).min(MAX_BATCH);
        }
        let old = region.control().demand(class);
        let new = old.after_push_miss(class);
        region.control().set_demand(class, new);
        if old.swings() || has < 2 * new.batch() {
            self.make_room(seat, class, list, has + new.batch());
        }
        new.batch().min(has.div_ceil(2)).max(1)
    }

    /// Gives blocks of `class` back to their home node; says where they went. Aborts the process if one
    /// of them is no block of that class.
    ///
    /// Blocks of a list have one home, but a batch may have several: a block joins what was taken off the
    /// list of a CPU on another node, to which the thread was moved.
    pub(super) fn give_home(&self, class: SizeClass, blocks: &mut [*mut u8]) -> Event {
        let Some(first) = blocks.first() else { return Event::FlushSlabs };
        let Some(home) = self.space.node_of(first.addr()) else { corruption::foreign(*first) };
        if self.check(class, home, blocks) == Homes::Several {
            blocks.sort_unstable();
            let same =
                |a: &*mut u8, b: &*mut u8| self.space.node_of(a.addr()) == self.space.node_of(b.addr());
            return blocks
                .chunk_by_mut(same)
                .fold(Event::FlushSlabs, |_, group| self.give_home(class, group));
        }
        let pool = self.pool(home);
        if blocks.len() >= LEAST_TRANSFER
            && pool.node.transfer.push(&pool.parcels(), self.settings.transfer, class, blocks)
        {
            return Event::FlushTransfer;
        }
        self.give_to_slabs(class, home, blocks);
        Event::FlushSlabs
    }

    /// Checks that every block lies in a slab of `class`, and whether all live on `home`. That a block
    /// begins there is checked when it reaches its slab.
    fn check(&self, class: SizeClass, home: NodeId, blocks: &[*mut u8]) -> Homes {
        if self.space.all_of(class, home, blocks) {
            return Homes::One;
        }
        for block in blocks {
            match self.space.place(block.addr()) {
                None => corruption::found(*block, class, Corruption::NotABlock),
                Some(place) if place.class != class => {
                    corruption::found(*block, class, Corruption::WrongClass(place.class))
                }
                Some(_) => {}
            }
        }
        Homes::Several
    }

    /// Gives blocks of `class` on `home` back to their slabs; sorts them.
    pub(super) fn give_to_slabs(&self, class: SizeClass, home: NodeId, blocks: &mut [*mut u8]) {
        if let Err((block, what)) = self.pool(home).give_blocks(class, blocks) {
            corruption::found(block, class, what);
        }
    }

    /// Lists the slab that `held` holds for `class`.
    pub(super) fn let_go_of(&self, held: &HeldSlab, class: SizeClass) {
        // The pool only matters for the shelf, which is the slab's own node's.
        if let Some(slab) = held.take().map(SlabIndex) {
            self.pool(self.space.node_of_slab(slab)).let_go(slab, class);
        }
    }
}

/// What blocks count as that have left a list.
pub(super) const fn left(list: ListIndex) -> Event {
    if list.is_outbox() { Event::BlocksReturned } else { Event::BlocksLocal }
}
