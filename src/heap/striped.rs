//! Huge blocks that lie on all nodes in turn.
//!
//! Such a block can't lie in a node's range, so it gets a mapping of its own ([`super::mappings`]), whose
//! stripes are bound to one node each.

use super::huge::superslabs;
use super::{Heap, PlacementMode};
use crate::os::ErrnoGuard;
use crate::os::memory::{self, Advice};
use crate::os::policy::{self, Binding, NodeMask};
use crate::pool::backing::HugePages;
use crate::units::{NodeId, SUPERSLAB_BYTES};
use core::ptr::NonNull;

/// Stripes of a block, at most: each is a mapping for the kernel, of which a process may have 65,530
/// (proc(5), max_map_count).
const MOST_STRIPES: usize = 1024;

impl Heap {
    /// The nodes in turn, from that of `turn`, each once.
    pub(crate) fn nodes_from(&self, turn: usize) -> impl Iterator<Item = NodeId> + Clone + use<> {
        let nodes = self.nodes;
        (0..nodes).map(move |node| NodeId((turn.wrapping_add(node) % nodes) as u8))
    }

    /// A dense node of the machine as one of the heap, which may take all of them as one.
    pub(crate) fn folded(&self, node: NodeId) -> NodeId {
        if node.index() < self.nodes { node } else { NodeId::ZERO }
    }

    /// A Huge block of several SuperSlabs that lie on all nodes in turn, the first on that of `turn`; it
    /// reads as zero. `None` if there is no memory for it, or it is a request of another kind.
    pub(crate) fn allocate_striped(&self, turn: usize, size: usize, align: usize) -> Option<NonNull<u8>> {
        let len = superslabs(size)?;
        if self.nodes == 1 || len == 1 || !Self::is_huge(size, align) {
            return None;
        }
        let _errno = ErrnoGuard::new();
        let bytes = len * SUPERSLAB_BYTES;
        let block = NonNull::new(self.allocate_mapping(bytes, align))?;
        if matches!(self.pool(NodeId::ZERO).settings.huge, HugePages::Asked(_)) {
            // SAFETY: a fresh mapping; the advice changes no contents.
            let _ = unsafe { memory::advise(block, bytes, Advice::HugePage) };
        }
        if self.placement == PlacementMode::Bound {
            let stripe = len.div_ceil(MOST_STRIPES) * SUPERSLAB_BYTES;
            for (at, node) in (0..bytes).step_by(stripe).zip(self.nodes_from(turn).cycle()) {
                let only = NodeMask::only(self.topology.kernel_node(node));
                // SAFETY: inside the mapping.
                let start = unsafe { block.add(at) };
                let _ = policy::bind(start, stripe.min(bytes - at), Binding::Preferred, &only);
            }
        }
        Some(block)
    }
}
