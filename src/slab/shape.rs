//! How a slab of each size class looks: its pieces, its blocks, and where a block begins.
//!
//! Floor 2, pure tables computed at compile time. Block `i` begins at `i * bytes` from the slab's
//! base; nothing else is in a slab.

use super::spread::Spread;
use crate::size_class::{CLASSES, MID_MAX, SizeClass, TINY_MAX};
use crate::units::PIECE_BYTES;

/// The largest number of blocks in a slab (8 B blocks in one piece).
pub(crate) const MAX_BLOCKS: usize = PIECE_BYTES / 8;
/// The largest number of pieces in a slab.
pub(crate) const MAX_SLAB_PIECES: usize = 16;

/// The shape of a slab of one class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Bytes in a block.
    pub(crate) block_bytes: u32,
    /// Blocks in a slab.
    pub(crate) blocks: u16,
    /// Pieces of 64 KiB in a slab.
    pub(crate) pieces: u8,
    /// In which order blocks are handed out.
    pub(super) spread: Spread,
    /// `2^RECIPROCAL_SHIFT / block_bytes`, rounded up: turns the division into a multiplication.
    reciprocal: u64,
}

/// Offsets are below 2^20 and blocks at most 2^20 bytes: with 42 bits the rounded-up reciprocal is
/// exact for every offset in a slab (the error is below `2^20 * 2^20 / 2^42 < 1 / 2^20`).
const RECIPROCAL_SHIFT: u32 = 42;

/// The shapes of all classes.
static SHAPES: [Shape; CLASSES] = {
    let mut shapes = [Shape::of_bytes(8); CLASSES];
    let mut i = 0;
    while i < CLASSES {
        if let Some(class) = SizeClass::from_index(i) {
            shapes[i] = Shape::of_bytes(class.bytes());
        }
        i += 1;
    }
    shapes
};

impl Shape {
    /// The shape of a slab of `class`.
    #[inline]
    pub(crate) fn of(class: SizeClass) -> &'static Self {
        &SHAPES[class.index()]
    }

    /// Tiny: one piece. Else the smallest run of pieces that loses at most a sixteenth of itself at
    /// the end and, for Mid, holds at least eight blocks; if there is none, the one that loses least.
    const fn of_bytes(bytes: usize) -> Self {
        let mut best = (1, usize::MAX);
        let mut pieces = 1;
        let most = if bytes <= TINY_MAX {
            1
        } else if bytes <= MID_MAX {
            8
        } else {
            MAX_SLAB_PIECES
        };
        while pieces <= most {
            let (run, blocks) = (pieces * PIECE_BYTES, pieces * PIECE_BYTES / bytes);
            // Loss in 1/1024 of the run, so that runs of different lengths compare.
            let loss = if blocks == 0 { usize::MAX } else { (run - blocks * bytes) * 1024 / run };
            let enough = bytes <= TINY_MAX || bytes > MID_MAX || blocks >= 8 || pieces == most;
            if enough && loss < best.1 {
                best = (pieces, loss);
            }
            if enough && best.1 <= 64 {
                break;
            }
            pieces += 1;
        }
        Self {
            block_bytes: bytes as u32,
            blocks: (best.0 * PIECE_BYTES / bytes) as u16,
            pieces: best.0 as u8,
            spread: Spread::of_bytes(bytes),
            reciprocal: (1u64 << RECIPROCAL_SHIFT).div_ceil(bytes as u64),
        }
    }

    /// The block in which the byte at `offset` from the slab's base lies.
    #[inline]
    pub(crate) const fn block_at(&self, offset: usize) -> usize {
        ((offset as u64 * self.reciprocal) >> RECIPROCAL_SHIFT) as usize
    }

    /// The block that begins at `offset` from the slab's base; `None` if none does.
    #[inline]
    pub(crate) const fn block_from(&self, offset: usize) -> Option<usize> {
        let block = self.block_at(offset);
        if block < self.blocks as usize && block * self.block_bytes as usize == offset {
            Some(block)
        } else {
            None
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn slabs_lose_little_at_their_end() {
        for class in SizeClass::all() {
            let shape = Shape::of(class);
            let run = shape.pieces as usize * PIECE_BYTES;
            let used = shape.blocks as usize * class.bytes();
            assert!(used <= run && shape.blocks >= 1);
            assert!((run - used) * 8 <= run, "{shape:?}");
            assert!(shape.blocks as usize <= MAX_BLOCKS && shape.pieces as usize <= MAX_SLAB_PIECES);
        }
    }

    #[test]
    fn mid_slabs_hold_several_blocks() {
        for class in SizeClass::all().filter(|c| c.bytes() <= MID_MAX) {
            assert!(Shape::of(class).blocks >= 8, "{:?}", Shape::of(class));
        }
    }

    #[test]
    fn every_byte_is_found_in_its_block() {
        for class in SizeClass::all() {
            let shape = Shape::of(class);
            let bytes = class.bytes();
            for block in 0..shape.blocks as usize {
                for at in [0, 1, bytes / 2, bytes - 1] {
                    assert_eq!(shape.block_at(block * bytes + at), block, "{shape:?}");
                }
                assert_eq!(shape.block_from(block * bytes), Some(block));
                assert_eq!(shape.block_from(block * bytes + 1), None);
            }
            assert_eq!(shape.block_from(shape.blocks as usize * bytes), None);
        }
    }
}
