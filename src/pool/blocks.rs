//! Blocks from the slabs of a node, and back into them.
//!
//! A taker looks, in this order, into the slab that its CPU holds for the class, the shelf, and a
//! slab newly carved. What it leaves of the slab becomes the CPU's held slab.
//!
//! A giver sorts its blocks by address, so that blocks of one slab, and of one bitmap word, go back
//! together: one addition a slab and one atomic operation a word.

use super::batch::{Batch, MAX_BATCH};
use super::{Pool, Stage};
use crate::size_class::{Group, SizeClass};
use crate::slab::avail::{Rest, State};
use crate::slab::free_units::{AlreadyFree, Duty};
use crate::slab::held::HeldSlab;
use crate::slab::shape::Shape;
use crate::slab::space::{SlabIndex, SlabLinks};
use crate::slab::spread::Spread;
use crate::sync::Ordering;

/// How many slabs of a shelf are tried before a new one is carved: a listed slab may turn out to have
/// no bit set yet.
const TRIES: usize = 4;

/// What is wrong with a block that was given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Corruption {
    /// It was free already.
    DoubleFree,
    /// No block begins at this address.
    NotABlock,
    /// It is a block of another class: allocated with another layout.
    WrongClass(SizeClass),
}

impl Pool<'_> {
    /// Takes up to `want` blocks of `class` into `out`, which must be empty, so that the last of `out` is
    /// the first to go out by the class's [`Spread`]; returns from where they came. None if there is no
    /// memory.
    pub(crate) fn take_blocks(
        &self,
        class: SizeClass,
        held: Option<&HeldSlab>,
        want: usize,
        out: &mut Batch,
    ) -> Option<Stage> {
        if let Some(slab) = held.and_then(HeldSlab::take).map(SlabIndex)
            && self.take_from(slab, class, held, want, out)
        {
            return Some(Stage::Held);
        }
        let shelf = &self.node.shelves[class.index()];
        for _ in 0..TRIES {
            if shelf.looks_empty() {
                break;
            }
            let Some(index) = shelf.pop(&SlabLinks(self.space)) else { break };
            let slab = SlabIndex(index);
            self.space.blocks(slab, Shape::of(class)).hold();
            if self.take_from(slab, class, held, want, out) {
                return Some(Stage::Shelf);
            }
        }
        let want = want.min(MAX_BATCH) as u32;
        let carved = self.carve(class, want, |slab, word, mask| self.put(slab, class, word, mask, out))?;
        out.blocks().reverse();
        out.set_reads_zero(carved.reads_zero);
        self.leave(carved.slab, class, carved.state, held);
        Some(Stage::Carve)
    }

    /// Takes blocks from a slab that the caller holds, and lets go of it: into `held` if there is a
    /// rest, else on the shelf. `false` if it had none.
    fn take_from(
        &self,
        slab: SlabIndex,
        class: SizeClass,
        held: Option<&HeldSlab>,
        want: usize,
        out: &mut Batch,
    ) -> bool {
        let (units, descriptor) = (self.space.blocks(slab, Shape::of(class)), self.space.slab(slab));
        let want = want.min(MAX_BATCH) as u32;
        let spread = Spread::of(Shape::of(class));
        let (taken, word) = units.take(descriptor.cursor(), want, spread, |word, mask| {
            self.note_blocks_taken(slab, class, mask);
            self.put(slab, class, word, mask, out);
        });
        out.blocks().reverse();
        descriptor.set_cursor(word);
        let rest = if held.is_some() && taken > 0 { Rest::Keep } else { Rest::List };
        self.leave(slab, class, units.settle(taken, rest), held);
        taken > 0
    }

    /// Adds the blocks that `mask` in bitmap word `word` stands for to `out`.
    #[inline]
    fn put(&self, slab: SlabIndex, class: SizeClass, word: usize, mask: u64, out: &mut Batch) {
        let (base, bytes) = (self.space.slab_address(slab), class.bytes());
        for mut left in Spread::of(Shape::of(class)).phases(mask) {
            while left != 0 {
                let block = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                out.push(core::ptr::with_exposed_provenance_mut(base + block * bytes));
            }
        }
    }

    /// Leaves a slab from which blocks were taken where its state says.
    fn leave(&self, slab: SlabIndex, class: SizeClass, state: State, held: Option<&HeldSlab>) {
        match (state, held) {
            (State::Held, Some(held)) => {
                if let Some(other) = held.put(slab.0) {
                    self.let_go(SlabIndex(other), class);
                }
            }
            (State::Held, None) => self.let_go(slab, class),
            (State::Listed, _) => self.node.shelves[class.index()].push(&SlabLinks(self.space), slab.0),
            (State::Full | State::None, _) => {}
        }
    }

    /// Lists a slab that the caller holds.
    pub(crate) fn let_go(&self, slab: SlabIndex, class: SizeClass) {
        if self.space.blocks(slab, Shape::of(class)).settle(0, Rest::List) == State::Listed {
            self.node.shelves[class.index()].push(&SlabLinks(self.space), slab.0);
        }
    }

    /// Gives blocks of `class` back to their slabs; sorts `blocks`. All must lie on this node. On
    /// error returns the block and what is wrong with it; the blocks below it are given back already.
    pub(crate) fn give_blocks(
        &self,
        class: SizeClass,
        blocks: &mut [*mut u8],
    ) -> Result<(), (*mut u8, Corruption)> {
        blocks.sort_unstable();
        let mut rest = &*blocks;
        while let Some(first) = rest.first() {
            let slab = self.slab_of(*first, class).map_err(|what| (*first, what))?;
            let end =
                self.space.slab_address(slab) + Shape::of(class).pieces as usize * crate::units::PIECE_BYTES;
            let here = rest.iter().take_while(|block| block.addr() < end).count();
            let (of_slab, others) = rest.split_at(here);
            self.give_to_slab(slab, class, of_slab)?;
            rest = others;
        }
        Ok(())
    }

    fn slab_of(&self, block: *mut u8, class: SizeClass) -> Result<SlabIndex, Corruption> {
        match self.space.place(block.addr()) {
            None => Err(Corruption::NotABlock),
            Some(place) if place.class != class => Err(Corruption::WrongClass(place.class)),
            Some(place) => Ok(place.slab),
        }
    }

    /// Gives back `blocks`, sorted and all of one slab.
    fn give_to_slab(
        &self,
        slab: SlabIndex,
        class: SizeClass,
        blocks: &[*mut u8],
    ) -> Result<(), (*mut u8, Corruption)> {
        let shape = Shape::of(class);
        let units = self.space.blocks(slab, shape);
        let base = self.space.slab_address(slab);
        let count = blocks.len() as u32;
        let before = units.avail().count();
        let duty = units.add(count);
        let set = |word: usize, mask: u64| {
            units.set(word, mask).map_err(|AlreadyFree(twice)| {
                let index = word * 64 + twice.trailing_zeros() as usize;
                let address = base + index * shape.block_bytes as usize;
                (core::ptr::with_exposed_provenance_mut(address), Corruption::DoubleFree)
            })
        };
        let mut at = (0, 0u64);
        for block in blocks {
            let index = shape.block_from(block.addr() - base).ok_or((*block, Corruption::NotABlock))?;
            let (word, bit) = (index / 64, 1u64 << (index % 64));
            if word != at.0 && at.1 != 0 {
                set(at.0, at.1)?;
                at.1 = 0;
            }
            if word == at.0 && at.1 & bit != 0 {
                return Err((*block, Corruption::DoubleFree));
            }
            at = (word, at.1 | bit);
        }
        set(at.0, at.1)?;
        if duty == Duty::List {
            self.first_came_back(slab, class, count);
        } else if before + count >= shape.blocks as u32 {
            // Relaxed: a hint that `retire_empty` would find something.
            self.node.empties.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The duty of the one who gave the first block back to a slab that nobody looked after: lists it,
    /// or ends it if it was a Large slab whose only blocks these are.
    fn first_came_back(&self, slab: SlabIndex, class: SizeClass, count: u32) {
        let shape = Shape::of(class);
        let units = self.space.blocks(slab, shape);
        let all = class.group() == Group::Large && count == shape.blocks as u32;
        if all && units.retire_full(shape.blocks as u32) {
            self.give_up(slab, shape);
        } else {
            units.list();
            self.node.shelves[class.index()].push(&SlabLinks(self.space), slab.0);
        }
    }
}
