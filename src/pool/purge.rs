//! Giving free memory back to the kernel while its SuperSlab is in use: free pieces, and the pages of free
//! blocks in slabs of larger blocks.
//!
//! The SuperSlab, or the slab, is held meanwhile, so nobody takes what is free in it; others see fewer of
//! them for a moment. Where the kernel backs a SuperSlab by a huge page, giving back a part splits it, which
//! costs those who use the rest dearly: so a SuperSlab keeps all its pages until half of them are of no
//! use.

use super::Pool;
use super::queue::Queue;
use super::zone::Zone;
use crate::os::memory::{self, Advice};
use crate::size_class::SizeClass;
use crate::slab::avail::{Rest, State};
use crate::slab::page_map::Tenant;
use crate::slab::piece_mask::{run_mask, runs};
use crate::slab::shape::Shape;
use crate::slab::space::{SlabIndex, SlabLinks, SuperIndex, SuperLinks};
use crate::units::{PIECE_BYTES, PIECES, SUPERSLAB_BYTES};

/// Blocks from so many of the kernel's pages on give them back: smaller ones have hardly a whole page.
const LEAST_PAGES: usize = 2;
/// Blocks in a slab, at most, of which it is known which have given their pages back: a word of bits.
const MOST_BLOCKS: usize = 64;

/// How much is wanted back, and how much work that may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    /// Bytes.
    pub(crate) bytes: usize,
    /// Calls into the kernel.
    pub(crate) calls: usize,
}

impl Want {
    /// Everything, whatever work that is.
    pub(crate) const ALL: Self = Self { bytes: usize::MAX, calls: usize::MAX };

    /// Whether that's it.
    pub(super) const fn is_met(&self) -> bool {
        self.bytes == 0 || self.calls == 0
    }

    /// Notes a call that gave back `bytes` bytes; 0 if the kernel refused.
    pub(super) fn note(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.calls = self.calls.saturating_sub(1);
    }
}

/// The whole pages in `length` blocks of a slab from number `start` on: where they begin in the slab, in bytes,
/// and how many bytes they are, if any. The kernel takes pages and no less: what it is told in smaller measure it
/// rounds up.
fn whole_pages(block_bytes: usize, start: u32, length: u32, page_bytes: usize) -> Option<(usize, usize)> {
    let from = (start as usize * block_bytes).next_multiple_of(page_bytes);
    let to = (start + length) as usize * block_bytes / page_bytes * page_bytes;
    (from < to).then(|| (from, to - from))
}

impl Pool<'_> {
    /// Gives free pieces of SuperSlabs in use back, from those with the longest free runs on.
    pub(super) fn purge_pieces(&self, want: &mut Want) {
        let links = SuperLinks(self.space);
        for length in (1..PIECES).rev() {
            for zone in Zone::ALL {
                let list = &self.lists(zone).runs[length];
                if want.is_met() {
                    return;
                }
                if list.looks_empty() {
                    continue;
                }
                let (mut chain, mut dirty) = (list.take_all(), Queue::default());
                while let Some(superslab) = chain.next(&links).map(SuperIndex) {
                    let descriptor = self.space.superslab(superslab);
                    descriptor.units().hold();
                    let backed = descriptor.units().word(0) as u32 & descriptor.backed();
                    if backed != 0 && self.may_split(superslab) {
                        dirty.add(&links, superslab);
                    } else {
                        self.list_again(superslab);
                    }
                }
                while let Some(superslab) = dirty.take(&links) {
                    if !want.is_met() {
                        self.purge_pieces_of(superslab, want);
                    }
                    self.list_again(superslab);
                }
            }
        }
    }

    /// Gives the free pieces of a SuperSlab that the caller holds back.
    fn purge_pieces_of(&self, superslab: SuperIndex, want: &mut Want) {
        let descriptor = self.space.superslab(superslab);
        for (start, length) in runs(descriptor.units().free_now(0) & u64::from(descriptor.backed())) {
            let at = self.space.pointer(self.space.slab_address(superslab.piece(start)));
            let bytes = length as usize * PIECE_BYTES;
            // SAFETY: the pieces are free, and only the holder takes any.
            let purged = unsafe { memory::advise(at, bytes, Advice::DontNeed) }.is_ok();
            if purged {
                descriptor.note_purged(run_mask(start, length) as u32);
                descriptor.note_split();
            }
            want.note(if purged { bytes } else { 0 });
        }
    }

    fn list_again(&self, superslab: SuperIndex) {
        if self.space.superslab(superslab).units().settle(0, Rest::List) == State::Listed {
            self.list_superslab(superslab);
        }
    }

    /// Gives the pages of free blocks back.
    pub(super) fn purge_blocks(&self, want: &mut Want) {
        if self.settings.touch_on_carve {
            // They would come back on the node of whoever touches them first.
            return;
        }
        let links = SlabLinks(self.space);
        let classes = (0..).map_while(SizeClass::from_index);
        for class in classes.filter(|class| self.is_purged_by_block(*class)) {
            let shelf = &self.node.shelves[class.index()];
            if want.is_met() {
                return;
            }
            if shelf.looks_empty() {
                continue;
            }
            let mut chain = shelf.take_all();
            while let Some(slab) = chain.next(&links).map(SlabIndex) {
                self.space.blocks(slab, Shape::of(class)).hold();
                if !want.is_met() && self.may_split(slab.superslab()) {
                    self.purge_blocks_of(slab, class, want);
                }
                self.let_go(slab, class);
            }
        }
    }

    /// Gives the pages of the free blocks of a slab that the caller holds back.
    fn purge_blocks_of(&self, slab: SlabIndex, class: SizeClass, want: &mut Want) {
        let descriptor = self.space.slab(slab);
        let free = self.space.blocks(slab, Shape::of(class)).free_now(0);
        for (start, length) in runs(free & !descriptor.purged()) {
            let pages = whole_pages(class.bytes(), start, length, self.settings.page_bytes);
            let Some((from, bytes)) = pages else { continue };
            let at = self.space.pointer(self.space.slab_address(slab) + from);
            // SAFETY: the blocks are free, and only the holder takes any.
            let purged = unsafe { memory::advise(at, bytes, Advice::DontNeed) }.is_ok();
            if purged {
                descriptor.set_purged(descriptor.purged() | run_mask(start, length));
                self.space.superslab(slab.superslab()).note_split();
            }
            want.note(if purged { bytes } else { 0 });
        }
    }

    /// Notes that a holder takes the blocks `mask` of a slab, whose bitmap is one word.
    #[inline]
    pub(super) fn note_blocks_taken(&self, slab: SlabIndex, class: SizeClass, mask: u64) {
        let descriptor = self.space.slab(slab);
        let again = descriptor.purged() & mask;
        if again != 0 {
            descriptor.set_purged(descriptor.purged() & !mask);
            self.regret(again.count_ones() as usize * class.bytes());
        }
    }

    /// Whether free blocks of a class give their pages back.
    fn is_purged_by_block(&self, class: SizeClass) -> bool {
        class.bytes() >= LEAST_PAGES * self.settings.page_bytes
            && Shape::of(class).blocks as usize <= MOST_BLOCKS
    }

    /// Bytes of free blocks in a SuperSlab whose pages could go back, at about this moment.
    pub(super) fn dirt_of_blocks(&self, superslab: SuperIndex) -> usize {
        let slabs = (0..PIECES as u32).map(|piece| superslab.piece(piece));
        slabs
            .map(|slab| match self.space.tenant(slab) {
                Tenant::Slab { class, distance: 0 } if self.is_purged_by_block(class) => {
                    let free = self.space.blocks(slab, Shape::of(class)).word(0);
                    (free & !self.space.slab(slab).purged()).count_ones() as usize * class.bytes()
                }
                _ => 0,
            })
            .sum()
    }

    /// Whether parts of a SuperSlab may go back to the kernel.
    pub(super) fn may_split(&self, superslab: SuperIndex) -> bool {
        let descriptor = self.space.superslab(superslab);
        // A reserved page goes whole or not at all.
        !descriptor.is_on_reserved()
            && (!self.may_be_huge(superslab)
                || descriptor.is_split()
                || descriptor.dirt() >= SUPERSLAB_BYTES / 2)
    }

    /// Whether the kernel may back the SuperSlab by a huge page.
    pub(super) fn may_be_huge(&self, superslab: SuperIndex) -> bool {
        (superslab.0 - self.superslab(0).0) as usize >= self.settings.huge.from()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_goes_that_is_not_whole_whatever_its_size() {
        for page in [4 << 10, 16 << 10, 64 << 10] {
            for class in SizeClass::all() {
                let (shape, bytes) = (Shape::of(class), class.bytes());
                let blocks = u32::from(shape.blocks).min(MOST_BLOCKS as u32);
                for (start, length) in
                    (0..blocks).flat_map(|start| (1..=blocks - start).map(move |l| (start, l)))
                {
                    let all = start as usize * bytes..(start + length) as usize * bytes;
                    match whole_pages(bytes, start, length, page) {
                        Some((from, len)) => {
                            assert!(from.is_multiple_of(page) && len.is_multiple_of(page) && len > 0);
                            assert!(all.start <= from && from + len <= all.end, "{class:?} {start} {length}");
                        }
                        None => assert!(all.len() < LEAST_PAGES * page, "{class:?} {start} {length}"),
                    }
                }
            }
        }
    }
}
