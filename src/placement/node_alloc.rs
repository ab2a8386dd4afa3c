//! An allocator whose memory is all one node's.

use super::PlacementError;
use crate::global::{NumaSlab, padded};
use crate::heap::{self, Heap, resize::Resize};
use crate::units::NodeId;
use core::alloc::Layout;
use core::ptr::NonNull;

/// An allocator whose memory is all one node's: for collections. One byte, so collections may have one
/// each; all of a node are the same.
///
/// With the cargo feature `allocator-api2` it implements that crate's `Allocator`, which its own `Vec` and
/// `Box` take, and the tables of hashbrown.
///
/// ```
/// use numaslab::{NumaSlab, placement::{NodeId, node_of}};
/// use std::alloc::Layout;
///
/// static HEAP: NumaSlab = NumaSlab::new();
///
/// let node = HEAP.on(NodeId(0))?;
/// let layout = Layout::new::<[u64; 100]>();
/// let block = node.allocate(layout)?;
/// assert_eq!(node_of(block.as_ptr()), Some(node.node()));
/// // SAFETY: allocated above with the same layout.
/// unsafe { node.deallocate(block, layout) };
/// # Ok::<(), numaslab::placement::PlacementError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAlloc {
    /// A node of the heap, which has been started.
    node: NodeId,
}

impl NumaSlab {
    /// An allocator for memory of `node`.
    ///
    /// # Errors
    /// [`PlacementError::NoSuchNode`]; [`PlacementError::NoMemory`] if the heap can't be started.
    pub fn on(&self, node: NodeId) -> Result<NodeAlloc, PlacementError> {
        self.heap_with(node).map(|_| NodeAlloc { node })
    }
}

impl NodeAlloc {
    /// The node.
    pub const fn node(self) -> NodeId {
        self.node
    }

    /// A block of the node, not initialised. Any way of giving it back will do: this type's, another
    /// node's, or [`NumaSlab`]'s.
    ///
    /// # Errors
    /// [`PlacementError::NoMemory`] if the node has none, even if others do.
    pub fn allocate(self, layout: Layout) -> Result<NonNull<u8>, PlacementError> {
        let heap = Heap::get().ok_or(PlacementError::NoMemory)?;
        let size = padded(layout.size(), layout.align());
        NonNull::new(heap.allocate_on(self.node, size, layout.align())).ok_or(PlacementError::NoMemory)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// The block was allocated by numaslab with this layout, and is not in use any more.
    pub unsafe fn deallocate(self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { Self::free(block, layout) };
    }

    /// Gives a block of any node back.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate).
    pub(super) unsafe fn free(block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { heap::release(block.as_ptr(), padded(layout.size(), layout.align()), layout.align()) };
    }

    /// Changes the size of a block, which may move, and keeps its contents up to the smaller size. A block of
    /// another node comes to this one only if it has to be copied.
    ///
    /// # Errors
    /// [`PlacementError::NoMemory`]; then the block is as it was.
    ///
    /// # Safety
    /// As [`deallocate`](Self::deallocate), unless an error is returned; `new_size` rounded up to the alignment
    /// is at most `isize::MAX`.
    pub unsafe fn reallocate(
        self,
        block: NonNull<u8>,
        layout: Layout,
        new_size: usize,
    ) -> Result<NonNull<u8>, PlacementError> {
        let heap = Heap::get().ok_or(PlacementError::NoMemory)?;
        let align = layout.align();
        let size = Resize { old: padded(layout.size(), align), new: padded(new_size, align), align };
        let fresh = |size, align| heap.allocate_on(self.node, size, align);
        // SAFETY: the caller's promise.
        let block = unsafe { heap::resize::resize_with(fresh, block.as_ptr(), size) };
        NonNull::new(block).ok_or(PlacementError::NoMemory)
    }
}
