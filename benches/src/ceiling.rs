//! The ceiling: what a loop costs when its allocator does next to nothing.
//!
//! [`BareStack`] keeps one stack of pointers per size class and thread. A hit is a bounds check, a
//! load or store of one pointer and a store of the new length: no thread-local look-up, no
//! protection against preemption, no blocks from other threads, no memory ever returned. An
//! allocator that runs the same loop at 0.9 of this speed has a tenth of the loop's time left to win.

#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    ptr,
};

use crate::block::{ALIGN, Bounds, Contestant};

/// How many size classes there are at least: the largest block has a class of 33 to 64.
const CLASSES: usize = 65;

/// The stacks of one thread.
struct Stacks {
    /// A block of `size` bytes belongs to class `(size - 1) >> shift`.
    shift: u32,
    classes: [Stack; CLASSES],
}

/// Free blocks of one class, the last one given back on top.
struct Stack {
    len: usize,
    blocks: Box<[*mut u8]>,
}

/// The ceiling as a contestant of one thread. It is not `Send`, so its stacks see one thread only.
#[derive(Clone, Copy, Debug)]
pub struct BareStack {
    /// Leaked, so valid for the life of the process; used by the creating thread alone.
    stacks: *mut Stacks,
}

// SAFETY: a block is memory of `System` that is never freed, so any stack may take any block of
// its class; the class depends on `shift`, the same in all threads of one workload.
unsafe impl Contestant for BareStack {
    fn for_this_thread(bounds: Bounds) -> Self {
        let largest = bounds.largest.bytes() - 1;
        let shift = (usize::BITS - largest.leading_zeros()).saturating_sub(6).max(3);
        let live_blocks = bounds.live_blocks as usize;
        let empty = |_| Stack { len: 0, blocks: vec![ptr::null_mut(); live_blocks].into() };
        let stacks = Stacks { shift, classes: [(); CLASSES].map(empty) };
        Self { stacks: Box::leak(Box::new(stacks)) }
    }
}

// SAFETY: a block comes from `System` with at least the size asked (the upper end of its class)
// and is on no stack while it is live.
unsafe impl GlobalAlloc for BareStack {
    #[inline(always)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: leaked by `for_this_thread`, used by this thread alone, and no reference to it
        // outlives a call.
        let stacks = unsafe { &mut *self.stacks };
        let class = (layout.size() - 1) >> stacks.shift;
        let stack = &mut stacks.classes[class];
        match stack.blocks.get(stack.len.wrapping_sub(1)) {
            Some(&block) => {
                stack.len -= 1;
                block
            }
            None => fresh((class + 1) << stacks.shift),
        }
    }

    #[inline(always)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`.
        let stacks = unsafe { &mut *self.stacks };
        let stack = &mut stacks.classes[(layout.size() - 1) >> stacks.shift];
        if let Some(top) = stack.blocks.get_mut(stack.len) {
            *top = block;
            stack.len += 1;
        }
    }
}

/// A block that no stack had: only while the loop warms up.
#[cold]
#[inline(never)]
fn fresh(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, ALIGN).expect("a class is small");
    // SAFETY: a class is at least 8 bytes.
    unsafe { System.alloc(layout) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{block::Block, sizes::BlockSize};

    #[test]
    fn last_block_given_back_is_taken_first() {
        let largest = BlockSize::new(1024);
        let heap = BareStack::for_this_thread(Bounds { largest, live_blocks: 4 });
        let blocks = [(); 4].map(|()| Block::take(heap, largest));
        let addresses = [0, 1, 2, 3].map(|at| blocks[at].address());
        blocks.into_iter().for_each(|block| block.give_back(heap));
        for address in addresses.into_iter().rev() {
            assert_eq!(Block::take(heap, largest).address(), address);
        }
    }

    #[test]
    fn every_size_has_a_class() {
        for largest in [1, 8, 128, 1024, 32 << 10, 1 << 20] {
            let bounds = Bounds { largest: BlockSize::new(largest), live_blocks: 1 };
            let heap = BareStack::for_this_thread(bounds);
            for size in [1, largest / 2 + 1, largest] {
                Block::take(heap, BlockSize::new(size)).give_back(heap);
            }
        }
    }
}
