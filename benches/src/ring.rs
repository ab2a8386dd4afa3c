//! Blocks of which each holds a pointer to the next, in random order, round in a ring.

#![allow(unsafe_code)]

use std::hint::black_box;

use crate::{
    block::{Block, Contestant},
    rng::Rng,
};

/// The blocks. Dropping it leaks them.
#[must_use = "blocks that are not given back are leaked"]
pub struct Ring<A> {
    blocks: Vec<Block<A>>,
}

impl<A: Contestant> Ring<A> {
    /// Links blocks, at least one, of 8 bytes or more each.
    pub fn link(blocks: Vec<Block<A>>, rng: &mut Rng) -> Self {
        assert!(!blocks.is_empty(), "a ring has a block");
        let mut order: Vec<u32> = (0..blocks.len() as u32).collect();
        rng.shuffle(&mut order);
        let all = order.iter().zip(order.iter().cycle().skip(1));
        for (from, to) in all.map(|(from, to)| (&blocks[*from as usize], &blocks[*to as usize])) {
            assert!(from.bytes() >= size_of::<*mut u8>(), "a pointer fits");
            // SAFETY: the block is live, `ALIGN`ed as a pointer, large enough, and ours alone.
            unsafe { from.pointer().cast::<*mut u8>().write(to.pointer()) };
        }
        Self { blocks }
    }

    /// Goes on by `steps` blocks from the first one, reading each: a step begins when the one before has come
    /// from memory.
    #[inline(never)]
    pub fn walk(&self, steps: u64) {
        let mut at = self.blocks[0].pointer();
        for _ in 0..steps {
            // SAFETY: every block of the ring is live, and begins with a pointer to another block of it.
            at = unsafe { at.cast::<*mut u8>().read() };
        }
        black_box(at);
    }

    /// Gives all blocks back.
    pub fn give_back(self, heap: A) {
        self.blocks.into_iter().for_each(|block| block.give_back(heap));
    }
}
