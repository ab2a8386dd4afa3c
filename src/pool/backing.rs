//! What the kernel is told about the memory of a node's range: on which nodes it shall lie, and where it may
//! use transparent huge pages.
//!
//! Told once for the whole range at start (`heap::start`), and again where a mapping was replaced, which
//! loses both.

use super::Pool;
use crate::os::Result;
use crate::os::memory::{self, Advice};
use crate::os::policy::{self, Binding, NodeMask};
use crate::os::topology::Topology;
use crate::slab::space::Space;
use crate::units::{NodeId, SUPERSLAB_BYTES};
use core::ptr::NonNull;

/// Ties memory of a node's range to that node; with [`Binding::Interleave`], to all of them in turn.
///
/// Errors: as [`policy::bind`].
pub(crate) fn bind(
    binding: Binding,
    topology: &Topology,
    node: NodeId,
    at: NonNull<u8>,
    bytes: usize,
) -> Result<()> {
    let mut nodes = NodeMask::only(topology.kernel_node(node));
    if binding == Binding::Interleave {
        topology.nodes().for_each(|node| nodes.insert(topology.kernel_node(node)));
    }
    policy::bind(at, bytes, binding, &nodes)
}

/// Asks for transparent huge pages in a part of a node's range, from SuperSlab number `huge_from` of the
/// range on; declines them in all of it if that is `usize::MAX`.
///
/// Errors: `EINVAL` if the kernel has none.
pub(crate) fn advise_huge(
    space: &Space,
    node: NodeId,
    huge_from: usize,
    at: NonNull<u8>,
    bytes: usize,
) -> Result<()> {
    let (skip, advice) = match huge_from.checked_mul(SUPERSLAB_BYTES) {
        None => (0, Advice::NoHugePage),
        Some(skip) => (skip, Advice::HugePage),
    };
    let base = space.superslab_address(space.first_superslab(node));
    let (from, end) = (at.addr().get().max(base + skip), at.addr().get() + bytes);
    if from >= end {
        return Ok(());
    }
    // SAFETY: memory of the range; the advice changes no contents.
    unsafe { memory::advise(space.pointer(from), end - from, advice) }
}

impl Pool<'_> {
    /// Makes a part of the range that has become bare address space what it was: readable and writable, tied
    /// to its node, huge pages as configured. `false` if the kernel has no memory.
    pub(crate) fn renew(&self, at: NonNull<u8>, bytes: usize) -> bool {
        if let Some(binding) = self.settings.binding {
            let _ = bind(binding, self.topology, self.id, at, bytes);
        }
        let _ = advise_huge(self.space, self.id, self.settings.huge_from, at, bytes);
        // SAFETY: the caller's part of the range, which is reserved.
        unsafe { memory::commit(at, bytes) }.is_ok()
    }

    /// Whether transparent huge pages were asked for, and granted, in SuperSlab number `number` of the range.
    pub(crate) fn is_transparent(&self, number: usize) -> bool {
        number >= self.settings.huge_from && !self.space.superslab(self.superslab(number)).is_on_reserved()
    }
}
