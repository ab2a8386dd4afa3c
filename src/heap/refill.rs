//! An allocation found its list empty.
//!
//! Blocks are looked for in the node's transfer cache, its slabs, and, if the node has no memory, the
//! slabs of the nearest others. One block answers the request, the rest goes on the list.

use super::{CacheMode, Heap};
use crate::cache::control::Event;
use crate::cache::layout::ListIndex;
use crate::cache::per_thread;
use crate::cache::policy::Demand;
use crate::cache::seat::Seat;
use crate::pool::Stage;
use crate::pool::transfer::MAX_BATCH;
use crate::size_class::SizeClass;
use core::ptr;

/// A batch on the stack.
pub(super) type BatchBuffer = [*mut u8; MAX_BATCH];

impl Heap {
    /// A block of `class` for a thread whose list is empty; null if there is no memory.
    #[cold]
    #[inline(never)]
    pub(super) fn refill(&self, class: SizeClass) -> *mut u8 {
        let seat = self.seat();
        let events = self.events(&seat);
        // A thread without rseq among others that have it comes here each time.
        if let (Seat::Thread(_), CacheMode::PerCpu { .. }) = (seat, self.cache_mode) {
            let block = per_thread::pop(class);
            if !block.is_null() {
                return block;
            }
        }
        events.count(Event::PopMiss);
        let demand = match seat.control() {
            Some(control) => {
                let demand = control.demand(class).after_pop_miss(class);
                control.set_demand(class, demand);
                demand
            }
            None => Demand(0),
        };
        let mut batch: BatchBuffer = [ptr::null_mut(); MAX_BATCH];
        let (found, event) = self.find_blocks(&seat, class, demand.batch(), &mut batch);
        events.count(event);
        let Some((answer, rest)) = batch[..found].split_last_mut() else { return ptr::null_mut() };
        if !rest.is_empty() {
            self.shelve(&seat, class, rest);
        }
        *answer
    }

    /// Looks for up to `want` blocks, more if a batch of the transfer cache has them. Those of another
    /// node come singly, since they don't belong on the own list.
    fn find_blocks(
        &self,
        seat: &Seat,
        class: SizeClass,
        want: usize,
        batch: &mut BatchBuffer,
    ) -> (usize, Event) {
        let pool = self.pool(seat.node());
        if seat.region().is_some() {
            let found = pool.node.transfer.pop(&pool.batches(), class, batch);
            if found > 0 {
                return (found, Event::RefillTransfer);
            }
        }
        let held = seat.control().and_then(|control| control.held.get(class.index()));
        let want = want.min(MAX_BATCH);
        let (found, stage) = pool.take_blocks(class, held, &mut batch[..want]);
        if found > 0 {
            let event = match stage {
                Stage::Held => Event::RefillHeld,
                Stage::Shelf => Event::RefillShelf,
                Stage::Carve => Event::RefillCarve,
            };
            return (found, event);
        }
        for node in self.topology.nearest(seat.node()).filter(|n| *n != seat.node() && n.index() < self.nodes)
        {
            if self.pool(node).take_blocks(class, None, &mut batch[..1]).0 > 0 {
                return (1, Event::RefillSteal);
            }
        }
        (0, Event::RefillFailed)
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
