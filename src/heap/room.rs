//! A list needs room: from the region's budget, or from lists that were not missed lately.

use super::Heap;
use crate::cache::capacity;
use crate::cache::layout::ListIndex;
use crate::cache::seat::Seat;
use crate::pool::batch::Batch;
use crate::size_class::{Group, SizeClass};

/// How many lists lose room for one that needs it.
const VICTIMS: usize = 4;

impl Heap {
    /// Tries to make room for `blocks` blocks in all on a list.
    pub(super) fn make_room(&self, seat: &Seat, class: SizeClass, list: ListIndex, blocks: usize) {
        if class.group() == Group::Large && !list.is_outbox() {
            return self.open_large(seat, list);
        }
        let budget = self.cache_bytes(seat);
        if capacity::widen(seat, &self.layout, budget, class, list, blocks) {
            return;
        }
        let Some(region) = seat.region() else { return };
        let has = region.header(list).end().saturating_sub(self.layout.first(list));
        let wants = blocks.min(self.layout.most(list));
        if wants <= has {
            return;
        }
        let mut left = budget.saturating_sub(region.control().allotted());
        if region.control().is_time_to_search() {
            left = left.saturating_add(self.shrink_idle(seat, class, (wants - has) * class.bytes()));
        }
        let fit = (left / class.bytes()).min(wants - has);
        if fit > 0 {
            capacity::widen(seat, &self.layout, budget, class, list, has + fit);
        }
    }

    /// Takes about `lacks` bytes of room from lists that were not missed lately; returns the bytes.
    fn shrink_idle(&self, seat: &Seat, but: SizeClass, lacks: usize) -> usize {
        capacity::recount(seat, &self.layout);
        let mut freed = 0;
        for _ in 0..VICTIMS {
            let Some(victim) = capacity::victim(seat, &self.layout, but).filter(|_| freed < lacks) else {
                break;
            };
            freed += self.shrink(seat, victim);
        }
        freed
    }

    /// Takes half of the victim's room; first what lies there, if there is no empty part.
    fn shrink(&self, seat: &Seat, victim: SizeClass) -> usize {
        let Some(region) = seat.region() else { return 0 };
        let list = ListIndex::own(victim);
        let (header, first) = (region.header(list), self.layout.first(list));
        let keeps = header.end().saturating_sub(first) / 2;
        let lies = header.len().saturating_sub(first);
        if lies > keeps {
            let mut batch = Batch::new();
            seat.pop_batch(list, lies - keeps, &mut batch);
            self.give_home(victim, batch.blocks());
        }
        capacity::narrow(seat, &self.layout, victim)
    }

    /// Bytes that the seat's region may cache.
    pub(super) fn cache_bytes(&self, seat: &Seat) -> usize {
        match seat {
            Seat::Cpu(_) => self.config.cpu_cache_bytes(),
            Seat::Thread(_) => self.config.thread_cache_bytes(),
            Seat::Bare(_) => 0,
        }
    }
}
