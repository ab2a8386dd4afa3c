//! An allocation found its list empty.
//!
//! Blocks are looked for in the node's transfer cache, its slabs, and, if the node has no memory, the
//! slabs of the nearest others. One block answers the request, the rest goes on the list.

use super::{Answer, CacheMode, Heap};
use crate::cache::control::Event;
use crate::cache::layout::ListIndex;
use crate::cache::per_thread;
use crate::cache::policy::Demand;
use crate::cache::seat::Seat;
use crate::os::ErrnoGuard;
use crate::os::cpu::Visit;
use crate::pool::Stage;
use crate::pool::batch::Batch;
use crate::size_class::{Group, SizeClass};
use crate::units::NodeId;

impl Heap {
    /// A block of `class` for a thread whose list is empty; null if there is no memory.
    #[cold]
    #[inline(never)]
    pub(super) fn refill(&self, class: SizeClass) -> Answer {
        let seat = self.seat();
        let _stay = seat.stay();
        // A thread without rseq among others that have it comes here each time.
        if let (Seat::Thread(_), CacheMode::PerCpu { .. }) = (seat, self.cache_mode) {
            let block = per_thread::pop(class);
            if !block.is_null() {
                return Answer::used(block);
            }
        }
        self.count(&seat, Event::PopMiss);
        if class.group() == Group::Large {
            self.recount_large(&seat);
        }
        let demand = match seat.control() {
            Some(control) => {
                let demand = control.demand(class).after_pop_miss(class);
                control.set_demand(class, demand);
                demand
            }
            None => {
                self.count(&seat, Event::Bypass);
                Demand(0)
            }
        };
        let mut batch = Batch::new();
        let _errno = ErrnoGuard::new();
        let mut found = self.find_blocks(&seat, class, demand.batch(), &mut batch);
        if found == Event::RefillFailed && self.nodes > 1 {
            // The others may have had nothing at a moment when the kernel was not asked.
            found = self.find_blocks(&seat, class, 1, &mut batch);
        }
        if found == Event::RefillFailed {
            self.reclaim();
            found = self.find_blocks(&seat, class, 1, &mut batch);
        }
        self.count(&seat, found);
        if let (Event::RefillHeld | Event::RefillShelf | Event::RefillCarve, false, Some(control)) =
            (found, batch.reads_zero(), seat.control())
        {
            control.note_growth(-((batch.len() * class.bytes()) as isize));
        }
        if found == Event::RefillSteal {
            self.count_blocks(&seat, Event::BlocksStolen, batch.len());
        }
        self.send_home_the_old(&seat);
        let Some(block) = batch.pop() else { return Answer::NOTHING };
        if batch.len() > 0 {
            self.shelve(&seat, class, batch.blocks());
        }
        Answer { block, reads_zero: batch.reads_zero() }
    }

    /// Looks for up to `want` blocks, more if a batch of the transfer cache has them. Those of another
    /// node come singly, since they don't belong on the own list.
    fn find_blocks(&self, seat: &Seat, class: SizeClass, want: usize, batch: &mut Batch) -> Event {
        let pool = self.pool(seat.node());
        if seat.region().is_some() && pool.node.transfer.pop(&pool.parcels(), class, batch) > 0 {
            return Event::RefillTransfer;
        }
        let held = seat.control().and_then(|control| control.held.get(class.index()));
        match pool.within_allowance().take_blocks(class, held, want, batch) {
            Some(stage) => refilled_from(stage),
            None => self.find_elsewhere(seat.node(), class, batch),
        }
    }

    /// Looks for one block on the other nodes, the nearest first: there was none on the seat's node, or its
    /// CPUs may take from others for a while before the kernel is asked again.
    fn find_elsewhere(&self, own: NodeId, class: SizeClass, batch: &mut Batch) -> Event {
        // Where pages lie where they are touched first, a thread that is on a CPU of another node than its
        // seat's has found nothing for that reason alone.
        let barred = !self.pool(own).may_carve();
        let here = self.current_node();
        for node in self.topology.nearest(here).filter(|node| node.index() < self.nodes) {
            if node == own && !barred {
                continue;
            }
            match self.take_one(node, class, batch) {
                Some(stage) if node == here || node == own => return refilled_from(stage),
                Some(_) => {
                    self.pool(own).took_elsewhere(class.bytes());
                    return Event::RefillSteal;
                }
                None => {}
            }
        }
        self.pool(own).found_nothing_elsewhere();
        Event::RefillFailed
    }

    /// Takes one block of a node that is not the seat's.
    fn take_one(&self, node: NodeId, class: SizeClass, batch: &mut Batch) -> Option<Stage> {
        let pool = self.pool(node);
        let taken = pool.take_blocks(class, None, 1, batch);
        if taken.is_some() || pool.may_carve() {
            return taken;
        }
        // Only CPUs of the node carve there. One without CPUs can't be visited.
        let _visit = Visit::to(self.topology.cpus_of(node));
        pool.open_to_all().take_blocks(class, None, 1, batch)
    }

    /// Puts blocks of the seat's node on its own-node list; what does not fit goes back.
    fn shelve(&self, seat: &Seat, class: SizeClass, blocks: &mut [*mut u8]) {
        let list = ListIndex::own(class);
        self.make_room(seat, class, list, blocks.len() + 1);
        let shelved = seat.push_batch(list, blocks);
        if shelved < blocks.len() {
            self.give_home(class, &mut blocks[shelved..]);
        }
    }
}

/// The event of a refill from a node's own slabs.
pub(super) const fn refilled_from(stage: Stage) -> Event {
    match stage {
        Stage::Held => Event::RefillHeld,
        Stage::Shelf => Event::RefillShelf,
        Stage::Carve => Event::RefillCarve,
    }
}
