//! Slabs come and go: carved from runs of pieces, retired when every block is free.

use super::Pool;
use super::runs::Run;
use super::zone::Zone;
use crate::os::memory::{self, Advice};
use crate::size_class::SizeClass;
use crate::slab::avail::State;
use crate::slab::page_map::Entry;
use crate::slab::shape::Shape;
use crate::slab::space::{SlabIndex, SlabLinks};
use crate::slab::spread::Spread;
use crate::sync::Ordering;
use crate::units::PIECE_BYTES;

/// How many slabs must have become empty before a thread that is about to map a new SuperSlab looks
/// for them instead: half a SuperSlab of Tiny ones.
const WORTHWHILE: u32 = 16;

/// A new slab.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carved {
    pub(super) slab: SlabIndex,
    /// Whether the carver holds it (`Held`), or nothing is left (`Full`).
    pub(super) state: State,
    /// Whether nobody has written to its blocks since the kernel gave the memory.
    pub(super) reads_zero: bool,
}

impl Pool<'_> {
    /// Carves a slab of `class` and takes its first `want` blocks, each passed to `sink(word, mask)`.
    /// `None` if there is no memory, or the thread [may not carve](Pool::may_carve) here.
    pub(super) fn carve(
        &self,
        class: SizeClass,
        want: u32,
        sink: impl FnMut(SlabIndex, usize, u64),
    ) -> Option<Carved> {
        let shape = Shape::of(class);
        if !self.may_carve() {
            return None;
        }
        let Run { first: slab, reads_zero } = self.take_run(Zone::of(class), shape.pieces as u32).ok()?;
        // A reserved page is backed already, and lies at home. A part of it must not be dropped: Linux 5.18 to 6.0
        // drops all of it.
        let touches =
            self.settings.touch_on_carve && !self.space.superslab(slab.superslab()).is_on_reserved();
        if touches && !self.touch(slab, shape) {
            self.give_run(slab, shape.pieces as u32);
            return None;
        }
        self.space.slab(slab).set_cursor(0);
        self.space.slab(slab).set_purged(0);
        self.space.set_tenant(slab, shape.pieces, |distance| Entry::slab(class, distance));
        let mut sink = sink;
        let units = self.space.blocks(slab, shape);
        let state = units
            .open_taking(shape.blocks as u32, want, Spread::of(shape), |word, mask| sink(slab, word, mask));
        // Relaxed: a statistic.
        self.node.counts.slabs_carved.fetch_add(1, Ordering::Relaxed);
        Some(Carved { slab, state, reads_zero })
    }

    /// Backs the pages of a slab at once, by this CPU: for where nothing but the first touch decides
    /// on which node a page lies. `false`, and no page is backed, if the thread is on another node.
    fn touch(&self, slab: SlabIndex, shape: &Shape) -> bool {
        let bytes = shape.pieces as usize * PIECE_BYTES;
        self.touch_first(self.space.slab_address(slab), bytes, bytes)
    }

    /// Backs the pages of `bytes` bytes by this CPU. If the thread is moved to another node meanwhile, the
    /// pages of `all` bytes are dropped again, and `false` returned. The caller owns that memory.
    pub(super) fn touch_first(&self, address: usize, bytes: usize, all: usize) -> bool {
        let at = self.space.pointer(address);
        if !self.may_carve() {
            return false;
        }
        // SAFETY: nobody else uses the memory. Failing means that the pages come with their first touch,
        // wherever that is.
        let _ = unsafe { memory::populate(at, bytes) };
        let stayed = self.may_carve();
        if !stayed {
            // SAFETY: as above. What the kernel keeps is on a wrong node.
            let _ = unsafe { memory::advise(at, all, Advice::DontNeed) };
        }
        stayed
    }

    /// Ends a slab that the caller holds, if every block is free; `false` if one is not.
    pub(super) fn retire(&self, slab: SlabIndex, class: SizeClass) -> bool {
        let shape = Shape::of(class);
        let retired = self.space.blocks(slab, shape).retire(shape.blocks as u32);
        if retired {
            self.give_up(slab, shape);
        }
        retired
    }

    /// Gives back the pieces of a slab that was retired.
    pub(super) fn give_up(&self, slab: SlabIndex, shape: &Shape) {
        self.space.set_tenant(slab, shape.pieces, |_| Entry::NONE);
        self.give_run(slab, shape.pieces as u32);
        // Relaxed: a statistic.
        self.node.counts.slabs_retired.fetch_add(1, Ordering::Relaxed);
    }

    /// Retires empty slabs if enough have become empty to be worth the walk; whether it retired any.
    pub(super) fn retire_if_worthwhile(&self) -> bool {
        // Relaxed: a hint. One thread resets it and walks; others go on to map.
        self.node.empties.load(Ordering::Relaxed) >= WORTHWHILE
            && self.node.empties.swap(0, Ordering::Relaxed) >= WORTHWHILE
            && self.retire_empty() > 0
    }

    /// Retires empty slabs if any slab has become empty since the last walk; returns how many.
    pub(crate) fn retire_returned(&self) -> usize {
        // Relaxed: a hint, as above.
        let any =
            self.node.empties.load(Ordering::Relaxed) > 0 && self.node.empties.swap(0, Ordering::Relaxed) > 0;
        if any { self.retire_empty() } else { 0 }
    }

    /// Walks all shelves and retires the slabs of which every block is free; returns how many.
    ///
    /// A shelf is empty for others while it is walked: they carve.
    pub(crate) fn retire_empty(&self) -> usize {
        let links = SlabLinks(self.space);
        let mut retired = 0;
        for class in SizeClass::all() {
            let shelf = &self.node.shelves[class.index()];
            if shelf.looks_empty() {
                continue;
            }
            let mut chain = shelf.take_all();
            while let Some(index) = chain.next(&links) {
                let slab = SlabIndex(index);
                self.space.blocks(slab, Shape::of(class)).hold();
                if self.retire(slab, class) {
                    retired += 1;
                } else {
                    self.let_go(slab, class);
                }
            }
        }
        retired
    }
}
