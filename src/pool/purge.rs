//! Giving free pieces back to the kernel while their SuperSlab is in use.
//!
//! A piece goes if it was free when the walk before this one came by and is so still. The SuperSlab is held
//! meanwhile, so nobody takes the piece; others see fewer SuperSlabs for a moment. Where the kernel backs
//! the SuperSlab by a huge page, giving back a part splits it, which costs those who use the rest dearly:
//! so a SuperSlab keeps all its pages while more than a quarter of it is in use.

use super::Pool;
use super::zone::Zone;
use crate::os::memory::{self, Advice};
use crate::slab::avail::{Rest, State};
use crate::slab::piece_mask::{run_mask, runs};
use crate::slab::space::{SuperIndex, SuperLinks};
use crate::sync::Ordering;
use crate::units::{PIECE_BYTES, PIECES};

/// A huge page is split when at most this many pieces of it are in use.
const MOST_USED: u32 = PIECES as u32 / 4;

/// How many SuperSlabs are worked on before the lists are looked at again.
const AT_ONCE: usize = 16;

impl Pool<'_> {
    /// Whether `interval_ms` have passed since this was last true; only one thread hears so.
    pub(crate) fn is_time_to_purge(&self, now_ms: u64, interval_ms: u64) -> bool {
        let purged_ms = &self.node.purged_ms;
        // Relaxed: a clock.
        let last = purged_ms.load(Ordering::Relaxed);
        now_ms.saturating_sub(last) >= interval_ms
            && purged_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Gives free pieces of SuperSlabs in use back to the kernel, of `most` SuperSlabs at most; returns the
    /// bytes.
    pub(crate) fn purge(&self, most: usize) -> usize {
        if self.strict.is_some() {
            // What goes might come back from another node.
            return 0;
        }
        let (mut purged, mut left) = (0, most);
        for zone in Zone::ALL {
            for list in self.lists(zone).runs[..PIECES].iter().rev() {
                if left == 0 {
                    return purged;
                }
                let links = SuperLinks(self.space);
                let mut work = [(SuperIndex(0), 0); AT_ONCE];
                let mut found = 0;
                let mut chain = list.take_all();
                while let Some(index) = chain.next(&links) {
                    let superslab = SuperIndex(index);
                    let pieces = self.hold_for_purge(superslab);
                    match work.get_mut(found).filter(|_| pieces != 0 && left > 0) {
                        Some(slot) => {
                            *slot = (superslab, pieces);
                            found += 1;
                            left -= 1;
                        }
                        None => self.list_again(superslab),
                    }
                }
                for (superslab, pieces) in &work[..found] {
                    purged += self.purge_pieces(*superslab, *pieces);
                    self.list_again(*superslab);
                }
            }
        }
        purged
    }

    /// Holds a SuperSlab that was taken off its list; returns the pieces that may go back to the kernel.
    fn hold_for_purge(&self, superslab: SuperIndex) -> u32 {
        let descriptor = self.space.superslab(superslab);
        let units = descriptor.units();
        units.hold();
        let free = units.word(0) as u32;
        let rested = descriptor.exchange_rested(free);
        if self.may_be_huge(superslab) && PIECES as u32 - free.count_ones() > MOST_USED {
            return 0;
        }
        free & rested & descriptor.backed()
    }

    /// Gives free pieces of a SuperSlab that the caller holds back to the kernel; returns the bytes.
    fn purge_pieces(&self, superslab: SuperIndex, pieces: u32) -> usize {
        let descriptor = self.space.superslab(superslab);
        // Taken for this moment, and not counted as taken: who gave them back is done with them.
        descriptor.units().take_mask(0, u64::from(pieces));
        let mut purged = 0;
        for (start, length) in runs(pieces) {
            let at = self.space.pointer(self.space.slab_address(superslab.piece(start)));
            let bytes = length as usize * PIECE_BYTES;
            // SAFETY: the pieces are the holder's.
            if unsafe { memory::advise(at, bytes, Advice::DontNeed) }.is_ok() {
                descriptor.set_backed(descriptor.backed() & !(run_mask(start, length) as u32));
                purged += bytes;
            }
        }
        let given = descriptor.units().set(0, u64::from(pieces));
        debug_assert!(given.is_ok(), "piece given back twice");
        purged
    }

    fn list_again(&self, superslab: SuperIndex) {
        if self.space.superslab(superslab).units().settle(0, Rest::List) == State::Listed {
            self.list_superslab(superslab);
        }
    }

    /// Whether the kernel may back the SuperSlab by a huge page.
    fn may_be_huge(&self, superslab: SuperIndex) -> bool {
        (superslab.0 - self.superslab(0).0) as usize >= self.settings.huge_from
    }

    /// Notes which pieces a taker is about to touch, in a SuperSlab that it holds.
    pub(super) fn note_backed(&self, superslab: SuperIndex, pieces: u32) {
        let touched = if self.may_be_huge(superslab) || self.settings.prefault { u32::MAX } else { pieces };
        let descriptor = self.space.superslab(superslab);
        if descriptor.backed() & touched != touched {
            descriptor.set_backed(descriptor.backed() | touched);
        }
    }
}
