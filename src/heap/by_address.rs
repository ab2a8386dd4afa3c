//! Blocks that are found by their address alone: their callers (C) name no size.
//!
//! The page map tells the class of a slab's blocks, a SuperSlab's descriptor the length of a Huge block, the
//! list of mappings the rest. What begins nowhere is no block, and giving it back ends the process.

use super::resize::{Resize, resize};
use super::{Heap, corruption, release};
use crate::config::Config;
use crate::slab::page_map::Tenant;
use crate::slab::shape::Shape;
use crate::units::SUPERSLAB_BYTES;

impl Heap {
    /// Bytes that the caller of `block` may use; `None` if no block begins there. Any pointer will do.
    pub(crate) fn block_bytes(&self, block: *mut u8) -> Option<usize> {
        let Some(piece) = self.space.slab_at(block.addr()) else { return self.mapping_bytes(block) };
        match self.space.tenant(piece) {
            Tenant::Slab { .. } => {
                let place = self.space.place(block.addr())?;
                Shape::of(place.class).block_from(place.offset)?;
                Some(place.class.bytes())
            }
            Tenant::Huge if self.space.slab_address(piece) == block.addr() => {
                // 0 if another thread is giving it back at this moment.
                Some(self.space.superslab(piece.superslab()).huge())
                    .filter(|superslabs| *superslabs > 0)
                    .map(|superslabs| superslabs * SUPERSLAB_BYTES)
            }
            Tenant::Huge | Tenant::None => None,
        }
    }

    /// As [`block_bytes`](Self::block_bytes); aborts the process if no block begins there.
    fn bytes_or_die(&self, block: *mut u8) -> usize {
        match self.block_bytes(block) {
            Some(bytes) => bytes,
            None if self.space.node_of(block.addr()).is_some() => corruption::no_block(block),
            None => corruption::foreign(block),
        }
    }
}

/// Bytes that the caller of `block` may use. Aborts the process if it is no block.
pub(crate) fn usable_bytes(block: *mut u8) -> usize {
    match Heap::get() {
        Some(heap) => heap.bytes_or_die(block),
        None => corruption::foreign(block),
    }
}

/// Takes back a block that the hit path does not. Aborts the process if it is none.
///
/// # Safety
/// The block is not in use any more, nor given back already.
#[inline(never)]
pub(crate) unsafe fn release_found(block: *mut u8) {
    let bytes = usable_bytes(block);
    // SAFETY: it is a block of that many bytes, a class's or whole SuperSlabs; any alignment will do for those.
    unsafe { release(block, bytes, 1) }
}

/// Resizes a block to at least `new` bytes, a multiple of the alignment that it is to have; null if there is
/// no memory, and the block is then as it was. Aborts the process if it is none.
///
/// A block that shrinks to no less than half of itself stays: who makes it smaller by little would only wait
/// for the copy. So does a Huge block that needs as many SuperSlabs as before: how many of its bytes have been
/// asked for is not known, so each of its many small steps would ask the kernel to take pages that most often
/// are not there.
///
/// # Safety
/// As for [`release_found`], unless null is returned.
#[inline(never)]
pub(crate) unsafe fn resize_found(config: &Config, block: *mut u8, new: usize) -> *mut u8 {
    let old = usable_bytes(block);
    let stays = match (Heap::is_huge(old, 1), Heap::is_huge(new, 1)) {
        (false, _) => new <= old && new >= old / 2,
        (true, true) => new.div_ceil(SUPERSLAB_BYTES) == old / SUPERSLAB_BYTES,
        (true, false) => false,
    };
    if stays {
        return block;
    }
    // SAFETY: it is a block of `old` bytes, and the caller's.
    unsafe { resize(config, block, Resize { old, new, align: 1 }) }
}
