//! Blocks whose owner is on record: stamped over their whole length and entered in the ledger, so that
//! neither a block with two owners nor a piece of one goes unseen.

use super::block::Block;
use super::ledger;
use super::rng::Rng;
use numaslab::NumaSlab;
use std::alloc::Layout;

const KIB: usize = 1 << 10;

/// A block that one owner has.
#[must_use]
pub(crate) struct Owned {
    block: Block,
    owner: u8,
}

impl Owned {
    /// A new block for `owner` (not 0); `None` if there is no memory.
    pub(crate) fn new(heap: &NumaSlab, layout: Layout, owner: u8, stamp: u64) -> Option<Self> {
        let block = Block::new(heap, layout, u64::from(owner) << 56 | stamp >> 8)?;
        let owned = Self { block, owner };
        assert!(ledger::enter(owned.block.address(), owner), "handed out twice: {:?}", owned.block);
        Some(owned)
    }

    /// Passes the block on.
    pub(crate) fn pass(mut self, to: u8) -> Self {
        assert!(ledger::pass(self.block.address(), self.owner, to), "not its owner: {:?}", self.block);
        self.owner = to;
        self
    }

    /// Changes the size; panics if there is no memory.
    pub(crate) fn resize(&mut self, heap: &NumaSlab, size: usize) {
        self.strike();
        assert!(self.block.resize(heap, size), "no memory for {size} bytes");
        assert!(ledger::enter(self.block.address(), self.owner), "handed out twice: {:?}", self.block);
    }

    /// Checks the block and gives it back.
    pub(crate) fn free(self, heap: &NumaSlab) {
        self.strike();
        self.block.free(heap);
    }

    fn strike(&self) {
        assert!(ledger::strike(self.block.address(), self.owner), "not its owner: {:?}", self.block);
    }
}

/// A mixture of sizes and alignments as programs have them: mostly Tiny, some Mid, few Large, hardly any
/// Huge.
pub(crate) fn any_layout(rng: &mut Rng) -> Layout {
    let size = match rng.below(1000) {
        0..800 => 1 + rng.below(KIB),
        800..960 => 1 + rng.below(32 * KIB),
        960..997 => 1 + rng.below(256 * KIB),
        _ => KIB * KIB + rng.below(4 * KIB * KIB),
    };
    let align = if rng.one_in(8) { 1 << rng.below(13) } else { 8 };
    Layout::from_size_align(size, align).expect("a layout")
}
