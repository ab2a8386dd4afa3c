//! Floor 7: memory of a node that the program names.
//!
//! Ordinary requests get memory of the node of the CPU they run on. This is for programs that know better:
//! a shard that another node's workers will serve, a table that all nodes read.
//!
//! | what | for |
//! | --- | --- |
//! | [`NumaSlab::alloc_on`] | one block of a node |
//! | [`NodeAlloc`] | collections whose memory is a node's |
//! | [`Interleaved`] | memory spread evenly over all nodes |
//! | [`Preference`] | everything that a piece of code allocates |
//! | [`node_of`] | where a block is at home |
//!
//! Each block lies in its node's address range and is freed like any other, by whoever has it: it goes
//! home. The kernel puts the range's pages on the node as far as [`PlacementMode`] says: always if it is
//! [`Bound`](PlacementMode::Bound) and the node has free memory.
//!
//! [`NodeId`]s are dense, from 0 to the number of nodes with memory that the process may use, as in
//! [`Stats::node`](crate::Stats::node); [`NumaSlab::node_numbered`] and [`NumaSlab::kernel_node`] translate
//! the kernel's numbers, which may have holes. A machine with one node, or one that the configuration
//! takes as one, has node 0, and everything here works on it.

#[cfg(feature = "allocator-api2")]
mod allocator_api2;
mod interleaved;
mod node_alloc;
mod preference;

pub use crate::heap::PlacementMode;
pub use crate::units::{KernelNode, NodeId};
pub use interleaved::Interleaved;
pub use node_alloc::NodeAlloc;
pub use preference::Preference;

use crate::global::{NumaSlab, padded};
use crate::heap::Heap;
use core::alloc::Layout;
use core::fmt;
use core::ptr::NonNull;

/// Why a request for memory of a named node failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlacementError {
    /// There is no such node, or it has no memory that this process may use.
    NoSuchNode(NodeId),
    /// Likewise, by the kernel's number.
    NoSuchKernelNode(KernelNode),
    /// The node has no memory left, a limit is reached, or the heap can't be started.
    NoMemory,
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchNode(node) => write!(f, "there is no node {}", node.0),
            Self::NoSuchKernelNode(node) => {
                write!(f, "kernel node {} has no memory that this process may use", node.0)
            }
            Self::NoMemory => f.write_str("no memory"),
        }
    }
}

impl core::error::Error for PlacementError {}

/// The home node of a block, exactly and without a system call: the node in whose address range the
/// pointer lies. `None` for what is not numaslab's, and for Huge blocks in a mapping of their own, which
/// have no one home (those of [`Interleaved`], and those that fit in no node's range). Any pointer will do.
pub fn node_of(pointer: *const u8) -> Option<NodeId> {
    Heap::get()?.space.node_of(pointer.addr())
}

impl NumaSlab {
    /// The heap, started if need be.
    fn heap(&self) -> Result<&'static Heap, PlacementError> {
        Heap::started(self.config()).ok_or(PlacementError::NoMemory)
    }

    /// The heap, if it has the node.
    fn heap_with(&self, node: NodeId) -> Result<&'static Heap, PlacementError> {
        let heap = self.heap()?;
        if node.index() < heap.nodes { Ok(heap) } else { Err(PlacementError::NoSuchNode(node)) }
    }

    /// How many nodes there are, at least 1: their numbers are those below.
    ///
    /// # Errors
    /// [`PlacementError::NoMemory`] if the heap can't be started, here and below.
    pub fn nodes(&self) -> Result<usize, PlacementError> {
        self.heap().map(|heap| heap.nodes)
    }

    /// The node that the kernel numbers `kernel` (`/sys/devices/system/node/nodeN`).
    ///
    /// # Errors
    /// [`PlacementError::NoSuchKernelNode`] if it does not exist, or has no memory that this process may use:
    /// then see [`nearest_node`](Self::nearest_node).
    pub fn node_numbered(&self, kernel: KernelNode) -> Result<NodeId, PlacementError> {
        let heap = self.heap()?;
        let mut all = heap.topology.nodes();
        let found = all.find(|node| heap.topology.kernel_node(*node) == kernel);
        found.map(|node| heap.folded(node)).ok_or(PlacementError::NoSuchKernelNode(kernel))
    }

    /// The node that the kernel numbers so, or if it has no memory, the nearest that has. Of a number that
    /// does not exist: node 0.
    ///
    /// # Errors
    /// As [`nodes`](Self::nodes).
    pub fn nearest_node(&self, kernel: KernelNode) -> Result<NodeId, PlacementError> {
        self.heap().map(|heap| heap.folded(heap.topology.nearest_dense(kernel)))
    }

    /// The kernel's number of a node.
    ///
    /// # Errors
    /// [`PlacementError::NoSuchNode`].
    pub fn kernel_node(&self, node: NodeId) -> Result<KernelNode, PlacementError> {
        self.heap_with(node).map(|heap| heap.topology.kernel_node(node))
    }

    /// The node from which the calling thread gets memory at this moment: the one that it prefers, else
    /// that of its CPU, or the nearest with memory.
    ///
    /// # Errors
    /// As [`nodes`](Self::nodes).
    pub fn current_node(&self) -> Result<NodeId, PlacementError> {
        self.heap().map(Heap::current_node)
    }

    /// A block of `node`, not initialised, to be given back by [`dealloc`](core::alloc::GlobalAlloc::dealloc)
    /// with the same layout. A Huge one reads as zero. `layout` may have size 0.
    ///
    /// # Errors
    /// [`PlacementError::NoSuchNode`]; [`PlacementError::NoMemory`] if that node has none, even if others
    /// do.
    pub fn alloc_on(&self, node: NodeId, layout: Layout) -> Result<NonNull<u8>, PlacementError> {
        let heap = self.heap_with(node)?;
        let size = padded(layout.size(), layout.align());
        NonNull::new(heap.allocate_on(node, size, layout.align())).ok_or(PlacementError::NoMemory)
    }
}
