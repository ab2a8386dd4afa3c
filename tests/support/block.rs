//! Blocks that know their owner's stamp.
//!
//! A block's whole length is filled with words that come from its stamp and their place, and checked
//! before the block is resized or freed: a block that two owners have, or that the allocator wrote into,
//! does not survive that. Blocks beyond 64 KiB carry one stamped line in each page.

use numaslab::NumaSlab;
use numaslab::placement::NodeId;
use std::alloc::{GlobalAlloc, Layout};

/// Blocks longer than this are stamped a line a page.
const WHOLE: usize = 64 << 10;
const PAGE: usize = 4096;
const LINE: usize = 64;

/// A live block.
#[derive(Debug)]
#[must_use]
pub(crate) struct Block {
    at: *mut u8,
    layout: Layout,
    stamp: u64,
}

// SAFETY: a block has one owner, who alone reads and writes it.
unsafe impl Send for Block {}

/// A block's content was not what its owner wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spoilt {
    pub(crate) block: usize,
    pub(crate) offset: usize,
    pub(crate) found: u64,
    pub(crate) expected: u64,
}

impl Block {
    /// A new block; `None` if there is no memory.
    pub(crate) fn new(heap: &NumaSlab, layout: Layout, stamp: u64) -> Option<Self> {
        // SAFETY: the allocator takes any size, also 0.
        let at = unsafe { heap.alloc(layout) };
        Self::take(at, layout, stamp)
    }

    /// A new block of a node; panics if it has no memory.
    pub(crate) fn on(heap: &NumaSlab, node: NodeId, layout: Layout, stamp: u64) -> Self {
        let at = heap.alloc_on(node, layout).expect("memory of the node");
        Self::take(at.as_ptr(), layout, stamp).expect("a block")
    }

    /// A new block of zeroes; panics if one of its bytes is not.
    pub(crate) fn zeroed(heap: &NumaSlab, layout: Layout, stamp: u64) -> Option<Self> {
        // SAFETY: as above.
        let at = unsafe { heap.alloc_zeroed(layout) };
        if !at.is_null() {
            // SAFETY: a fresh block of that size, all of it initialised.
            let bytes = unsafe { std::slice::from_raw_parts(at, layout.size()) };
            let dirty = first_dirty(bytes);
            assert_eq!(dirty, None, "dirty at that offset: {layout:?} at {at:p}");
        }
        Self::take(at, layout, stamp)
    }

    fn take(at: *mut u8, layout: Layout, stamp: u64) -> Option<Self> {
        if at.is_null() {
            return None;
        }
        assert!(at.addr().is_multiple_of(layout.align()), "{at:p} for {layout:?}");
        let block = Self { at, layout, stamp };
        block.fill();
        Some(block)
    }

    pub(crate) fn address(&self) -> usize {
        self.at.addr()
    }

    pub(crate) fn pointer(&self) -> *mut u8 {
        self.at
    }

    pub(crate) fn size(&self) -> usize {
        self.layout.size()
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// Changes the size to `size`, and checks that the contents were kept; `false` if there is no memory:
    /// then the block is as it was.
    pub(crate) fn resize(&mut self, heap: &NumaSlab, size: usize) -> bool {
        self.verify().unwrap();
        // SAFETY: the block was allocated with this layout; the caller's sizes fit in an `isize`.
        let at = unsafe { heap.realloc(self.at, self.layout, size) };
        if at.is_null() {
            self.verify().unwrap();
            return false;
        }
        let layout = Layout::from_size_align(size, self.layout.align()).expect("a layout");
        assert!(at.addr().is_multiple_of(layout.align()), "{at:p} for {layout:?}");
        let kept = Self { at, layout: shorter(self.layout, layout), stamp: self.stamp };
        kept.verify_as(self.size()).unwrap();
        (self.at, self.layout) = (at, layout);
        self.fill();
        true
    }

    /// Whether the content is what the owner wrote.
    pub(crate) fn verify(&self) -> Result<(), Spoilt> {
        self.verify_as(self.size())
    }

    /// As [`verify`](Self::verify), for what was filled as part of a block of `filled` bytes.
    fn verify_as(&self, filled: usize) -> Result<(), Spoilt> {
        let mut result = Ok(());
        for_each_word(self.size(), filled, |offset, len| {
            let (mut found, mut expected) = ([0; 8], word(self.stamp, offset));
            expected[len..].fill(0);
            // SAFETY: `offset + len` is inside the block, which its owner may read.
            unsafe { std::ptr::copy_nonoverlapping(self.at.add(offset), found.as_mut_ptr(), len) };
            if found != expected && result.is_ok() {
                let (found, expected) = (u64::from_ne_bytes(found), u64::from_ne_bytes(expected));
                result = Err(Spoilt { block: self.address(), offset, found, expected });
            }
        });
        result
    }

    fn fill(&self) {
        for_each_word(self.size(), self.size(), |offset, len| {
            let word = word(self.stamp, offset);
            // SAFETY: `offset + len` is inside the block, which its owner may write.
            unsafe { std::ptr::copy_nonoverlapping(word.as_ptr(), self.at.add(offset), len) };
        });
    }

    /// Checks the content and gives the block back.
    pub(crate) fn free(self, heap: &NumaSlab) {
        self.verify().unwrap();
        self.give_back(heap);
    }

    /// Gives the block back as it is.
    pub(crate) fn give_back(self, heap: &NumaSlab) {
        // SAFETY: allocated with this layout, and given up here.
        unsafe { heap.dealloc(self.at, self.layout) };
    }
}

fn shorter(a: Layout, b: Layout) -> Layout {
    if a.size() < b.size() { a } else { b }
}

fn word(stamp: u64, offset: usize) -> [u8; 8] {
    (stamp ^ (offset as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_ne_bytes()
}

/// Calls `visit` with the offset and length of each word below `size` that is stamped in a block of
/// `filled` bytes.
#[inline]
fn for_each_word(size: usize, filled: usize, mut visit: impl FnMut(usize, usize)) {
    if filled <= WHOLE {
        let mut offset = 0;
        while offset + 8 <= size {
            visit(offset, 8);
            offset += 8;
        }
        if offset < size {
            visit(offset, size - offset);
        }
        return;
    }
    for page in (0..size).step_by(PAGE) {
        for offset in (page..page + LINE).step_by(8).take_while(|offset| *offset < size) {
            visit(offset, 8.min(size - offset));
        }
    }
}

fn first_dirty(bytes: &[u8]) -> Option<usize> {
    // SAFETY: any bits are a valid u64.
    let (head, words, tail) = unsafe { bytes.align_to::<u64>() };
    if head.iter().chain(tail).all(|byte| *byte == 0) && words.iter().all(|word| *word == 0) {
        return None;
    }
    bytes.iter().position(|byte| *byte != 0)
}
