//! Large blocks: 33 KiB to 1 MiB.
//!
//! There are forty classes of them, of which a CPU can cache few blocks each; were a request served by
//! blocks of its own class only, most would miss. So one is served by the smallest cached block that fits
//! among the next [`WINDOW`] classes, and a free asks the page map for the class that a block really is
//! of. `realloc` stays in place by the same rule.
//!
//! Large lists have all the room of their layout from the first. What bounds them is the sum of bytes
//! that lie on them: as much again as the region's budget for all other blocks, and what those leave of it.

use super::corruption;
use super::{Answer, Heap};
use crate::cache::control::Event;
use crate::cache::layout::{Header, ListIndex};
use crate::cache::seat::Seat;
use crate::pool::blocks::Corruption;
use crate::size_class::{Group, SizeClass};
use crate::slab::shape::Shape;

/// How many classes above its own may serve a request: half again as large at most.
const WINDOW: usize = 4;

impl Heap {
    /// A block aligned to `align` for a request of `class`, which is Large; nothing if there is no memory.
    pub(super) fn allocate_large(&self, class: SizeClass, align: usize) -> Answer {
        let seat = self.seat();
        if let Some(region) = seat.region() {
            for fitting in fitting(class).filter(|fitting| fitting.bytes().is_multiple_of(align)) {
                let list = ListIndex::own(fitting);
                // A glance spares a section on an empty list.
                if region.count(&self.layout, list) == 0 {
                    continue;
                }
                let block = seat.pop(list);
                if !block.is_null() {
                    seat.add(region.control().large(), (fitting.bytes() as u64).wrapping_neg());
                    return Answer::used(block);
                }
            }
        }
        self.refill(class)
    }

    /// Takes back a block that was allocated as one of `class`, which is Large.
    pub(super) fn release_large(&self, class: SizeClass, block: *mut u8) {
        let Some(home) = self.space.node_of(block.addr()) else { corruption::foreign(block) };
        let real = self.large_class(class, block);
        let seat = self.seat();
        let _stay = seat.stay();
        let own = seat.region().is_some_and(|region| region.node() == home);
        if !own {
            // Outboxes are as for all blocks.
            return self.flush(real, home, block);
        }
        if !self.keep_large(&seat, real, block) {
            self.count(&seat, Event::PushMiss);
            self.count(&seat, Event::BlocksLocal);
            let went = self.give_home(real, &mut [block]);
            self.count(&seat, went);
            if let Some(control) = seat.control() {
                control.note_growth(real.bytes() as isize);
            }
        }
    }

    /// Whether a block allocated as one of the class of `old` bytes serves `new` bytes too; both are Large.
    pub(super) fn serves(&self, block: *mut u8, old: usize, new: usize) -> bool {
        let real = self.large_class(SizeClass::of(old), block);
        fitting(SizeClass::of(new)).any(|class| class == real)
    }

    /// The class of a block that was allocated as one of `class`. Aborts the process if there can be no
    /// such block.
    fn large_class(&self, class: SizeClass, block: *mut u8) -> SizeClass {
        let Some(place) = self.space.place(block.addr()) else {
            corruption::found(block, class, Corruption::NotABlock)
        };
        if !fitting(class).any(|fits| fits == place.class) {
            corruption::found(block, class, Corruption::WrongClass(place.class));
        }
        if Shape::of(place.class).block_from(place.offset).is_none() {
            corruption::found(block, class, Corruption::NotABlock);
        }
        place.class
    }

    /// Puts a block of the seat's node on its list, if the bound and the list allow.
    fn keep_large(&self, seat: &Seat, class: SizeClass, block: *mut u8) -> bool {
        let Some(region) = seat.region() else { return false };
        let (control, list) = (region.control(), ListIndex::own(class));
        let used = control.large_bytes() + control.allotted();
        if used + class.bytes() > 2 * self.cache_bytes(seat) {
            self.recount_large(seat);
            return false;
        }
        self.open_large(seat, list);
        // Counted first: should the thread be moved in between, the sum is too large rather than too small.
        let counted = seat.add(control.large(), class.bytes() as u64);
        let kept = seat.push_batch(list, &[block]) == 1;
        if counted && !kept {
            seat.add(control.large(), (class.bytes() as u64).wrapping_neg());
        }
        kept
    }

    /// Gives a Large list all the room of its layout.
    pub(super) fn open_large(&self, seat: &Seat, list: ListIndex) {
        let Some(region) = seat.region() else { return };
        let header = region.header(list);
        if header.end() == 0 {
            let first = self.layout.first(list);
            let open = Header::new(first, first + self.layout.most(list));
            seat.exchange_header(list, header.0, open.0);
        }
    }

    /// Sets the sum of bytes on Large lists right, now and then: what threads count that are moved in
    /// between, and what comes by other ways, is missing in it.
    pub(super) fn recount_large(&self, seat: &Seat) {
        let Some(region) = seat.region() else { return };
        if !region.control().is_time_to_recount() {
            return;
        }
        let sum: usize = SizeClass::all()
            .filter(|class| class.group() == Group::Large)
            .map(|class| region.count(&self.layout, ListIndex::own(class)) * class.bytes())
            .sum();
        let control = region.control();
        seat.add(control.large(), (sum as u64).wrapping_sub(control.large_bytes() as u64));
    }
}

/// The classes whose blocks serve a request of `class`, the best first.
fn fitting(class: SizeClass) -> impl Iterator<Item = SizeClass> {
    (class.index()..=class.index() + WINDOW).map_while(SizeClass::from_index)
}
