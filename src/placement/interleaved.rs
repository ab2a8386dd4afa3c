//! An allocator that spreads memory evenly over all nodes.

use super::{NodeAlloc, PlacementError};
use crate::global::{NumaSlab, padded};
use crate::heap::Heap;
use crate::sync::{AtomicUsize, Ordering};
use core::alloc::Layout;
use core::ptr::NonNull;

/// An allocator that spreads memory evenly over all nodes, for what all of them use alike: each block comes
/// from the next node, and a block of several SuperSlabs (2 MiB) lies on all of them in turn, SuperSlab
/// by SuperSlab. Where the kernel does not let memory be bound, such a block lies where it is touched
/// first.
///
/// The turn is the value's own. Threads that share one share a cache line, so let each have a clone.
///
/// ```
/// use numaslab::{NumaSlab, placement::node_of};
/// use std::alloc::Layout;
///
/// static HEAP: NumaSlab = NumaSlab::new();
///
/// let (spread, layout) = (HEAP.interleaved()?, Layout::new::<u64>());
/// let blocks: Vec<_> =
///     (0..HEAP.nodes()?).map(|_| spread.allocate(layout)).collect::<Result<_, _>>()?;
/// let mut nodes: Vec<_> = blocks.iter().filter_map(|block| node_of(block.as_ptr())).collect();
/// nodes.sort();
/// nodes.dedup();
/// assert_eq!(nodes.len(), HEAP.nodes()?);
/// for block in blocks {
///     // SAFETY: allocated above with the same layout.
///     unsafe { spread.deallocate(block, layout) };
/// }
/// # Ok::<(), numaslab::placement::PlacementError>(())
/// ```
#[derive(Debug)]
pub struct Interleaved {
    /// Whose turn it is, modulo the number of nodes. Counted up by whoever allocates.
    turn: AtomicUsize,
}

impl NumaSlab {
    /// An allocator for memory spread over all nodes; its first block is of the node for which the thread
    /// works.
    ///
    /// # Errors
    /// [`PlacementError::NoMemory`] if the heap can't be started.
    pub fn interleaved(&self) -> Result<Interleaved, PlacementError> {
        let first = self.current_node()?.index();
        Ok(Interleaved { turn: AtomicUsize::new(first) })
    }
}

impl Interleaved {
    /// A block, not initialised.
    ///
    /// # Errors
    /// [`PlacementError::NoMemory`] if no node has any.
    pub fn allocate(&self, layout: Layout) -> Result<NonNull<u8>, PlacementError> {
        let heap = Heap::get().ok_or(PlacementError::NoMemory)?;
        let size = padded(layout.size(), layout.align());
        // Relaxed: any number will do.
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let striped = heap.allocate_striped(turn, size, layout.align());
        let mut next = heap.nodes_from(turn);
        striped
            .or_else(|| next.find_map(|node| NonNull::new(heap.allocate_on(node, size, layout.align()))))
            .ok_or(PlacementError::NoMemory)
    }

    /// Gives a block back.
    ///
    /// # Safety
    /// As [`NodeAlloc::deallocate`].
    pub unsafe fn deallocate(&self, block: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise. All nodes free alike.
        unsafe { NodeAlloc::free(block, layout) };
    }
}

impl Clone for Interleaved {
    /// One that begins where this one is, and goes its own way.
    fn clone(&self) -> Self {
        // Relaxed: as in `allocate`.
        Self { turn: AtomicUsize::new(self.turn.load(Ordering::Relaxed)) }
    }
}
