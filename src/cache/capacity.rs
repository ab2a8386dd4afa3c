//! How much room each list has, under the byte budget of its region.
//!
//! A list is opened with the room that its first batch needs. It gets more when it swings (see
//! [`super::policy`]). When the budget is used up, room is taken from lists that were not missed since
//! the hand last passed them: from their empty part at once, and of their content `heap` takes half
//! away first. Large lists are outside of all that: see `heap::large`.

use super::control::Event;
use super::layout::{Header, Layout, ListIndex};
use super::seat::Seat;
use crate::size_class::{CLASSES, Group, SizeClass};
use crate::sync::Ordering;

/// How many lists are looked at in one search for room.
const LOOKS: usize = CLASSES;

/// Makes room for `blocks` blocks in all on a list. Takes nothing from others; `false` if the budget,
/// the list's bound, or a move of the thread stands against it.
pub(crate) fn widen(
    seat: &Seat,
    layout: &Layout,
    budget: usize,
    class: SizeClass,
    list: ListIndex,
    blocks: usize,
) -> bool {
    let Some(region) = seat.region() else { return false };
    let (old, first) = (region.header(list), layout.first(list));
    let has = old.end().saturating_sub(first);
    let wants = blocks.min(layout.most(list));
    if wants <= has {
        return wants == blocks;
    }
    let bytes = (wants - has) * class.bytes();
    let control = region.control();
    if control.allotted().saturating_add(bytes) > budget {
        return false;
    }
    let len = if old.0 == 0 { first } else { old.len() };
    if !seat.exchange_header(list, old.0, Header::new(len, first + wants).0) {
        return false;
    }
    seat.add(control.allotment(), bytes as u64);
    seat.add(control.events.counter(Event::Grow), 1);
    true
}

/// Sets the sum of the capacities right again.
pub(crate) fn recount(seat: &Seat, layout: &Layout) {
    let Some(region) = seat.region() else { return };
    let control = region.control();
    let sum: usize = layout
        .lists()
        .filter(|(list, class)| list.is_outbox() || class.group() != Group::Large)
        .map(|(list, class)| region.header(list).end().saturating_sub(layout.first(list)) * class.bytes())
        .sum();
    // Relaxed: a bound, not ownership.
    let counted = control.allotment().load(Ordering::Relaxed);
    seat.add(control.allotment(), (sum as u64).wrapping_sub(counted));
}

/// Finds a list of the own node that can lose room, and was not missed lately; not that of `but`.
pub(crate) fn victim(seat: &Seat, layout: &Layout, but: SizeClass) -> Option<SizeClass> {
    let region = seat.region()?;
    let control = region.control();
    for _ in 0..LOOKS {
        let class = control.next_victim();
        let list = ListIndex::own(class);
        let header = region.header(list);
        if class == but || class.group() == Group::Large || header.end() <= layout.first(list) {
            continue;
        }
        let (touched, passed) = control.demand(class).pass();
        if touched {
            control.set_demand(class, passed);
            continue;
        }
        return Some(class);
    }
    None
}

/// Takes half of a list's room, or as much as is empty of that; returns the bytes.
pub(crate) fn narrow(seat: &Seat, layout: &Layout, class: SizeClass) -> usize {
    let Some(region) = seat.region() else { return 0 };
    let list = ListIndex::own(class);
    let (old, first) = (region.header(list), layout.first(list));
    let keeps = (old.end().saturating_sub(first) / 2 + first).max(old.len());
    if keeps >= old.end() || !seat.exchange_header(list, old.0, Header::new(old.len(), keeps).0) {
        return 0;
    }
    let bytes = (old.end() - keeps) * class.bytes();
    let control = region.control();
    seat.add(control.allotment(), (bytes as u64).wrapping_neg());
    seat.add(control.events.counter(Event::Shrink), 1);
    bytes
}
