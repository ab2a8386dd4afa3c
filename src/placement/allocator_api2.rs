//! The handles as allocators of the crate `allocator-api2`, for its collections and hashbrown's.

use super::{Interleaved, NodeAlloc};
use crate::heap::Heap;
use allocator_api2::alloc::{AllocError, Allocator};
use core::alloc::Layout;
use core::ptr::NonNull;

/// The block as a slice of what was asked for; none of it is needed for an empty one.
fn slice(
    layout: Layout,
    allocate: impl FnOnce() -> Option<NonNull<u8>>,
) -> Result<NonNull<[u8]>, AllocError> {
    let block = if layout.size() == 0 { dangling(layout) } else { allocate() };
    block.map(|block| NonNull::slice_from_raw_parts(block, layout.size())).ok_or(AllocError)
}

/// An aligned pointer to nothing.
fn dangling(layout: Layout) -> Option<NonNull<u8>> {
    NonNull::new(core::ptr::without_provenance_mut(layout.align()))
}

/// As [`slice`], and all of it zero.
fn zeroed(allocator: &impl Allocator, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
    let block = allocator.allocate(layout)?;
    if !Heap::is_huge(layout.size(), layout.align()) {
        // SAFETY: a fresh block of that many bytes. A Huge one reads as zero as it is.
        unsafe { block.cast::<u8>().write_bytes(0, layout.size()) };
    }
    Ok(block)
}

// SAFETY: blocks are valid until they are given back, whatever becomes of the handle, and all handles
// are doors to one heap. They are as long and as aligned as asked for.
unsafe impl Allocator for NodeAlloc {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(layout, || (*self).allocate(layout).ok())
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        zeroed(self, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller's promise.
            unsafe { (*self).deallocate(block, layout) };
        }
    }

    unsafe fn grow(&self, block: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the same contract.
        unsafe { self.resize(block, old, new) }
    }

    unsafe fn shrink(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: the same contract.
        unsafe { self.resize(block, old, new) }
    }
}

impl NodeAlloc {
    /// # Safety
    /// As for `grow` and `shrink`.
    unsafe fn resize(
        &self,
        block: NonNull<u8>,
        old: Layout,
        new: Layout,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.align() == new.align() && old.size() > 0 && new.size() > 0 {
            // SAFETY: the caller's promise; `new` is a layout, so its size does not overflow.
            return slice(new, || unsafe { self.reallocate(block, old, new.size()) }.ok());
        }
        let fresh = Allocator::allocate(self, new)?;
        let bytes = old.size().min(new.size());
        // SAFETY: different blocks of at least so many bytes; the old one is not used any more.
        unsafe {
            fresh.cast::<u8>().copy_from_nonoverlapping(block, bytes);
            Allocator::deallocate(self, block, old);
        }
        Ok(fresh)
    }
}

// SAFETY: as above.
unsafe impl Allocator for Interleaved {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        slice(layout, || self.allocate(layout).ok())
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        zeroed(self, layout)
    }

    unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        if layout.size() > 0 {
            // SAFETY: the caller's promise.
            unsafe { self.deallocate(block, layout) };
        }
    }
}
