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

/// Which part of a node's range may lie on transparent huge pages, and what the kernel is told about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HugePages {
    /// None; they are declined.
    Declined,
    /// From this SuperSlab of the range on; they are asked for.
    Asked(usize),
    /// The kernel gives them unasked; this is where they would be asked for.
    ///
    /// Who asks is given a huge page of another node where his own has none free in one piece (`alloc_pages_mpol`
    /// in the kernel's mm/mempolicy.c: with `MADV_HUGEPAGE` the second try goes to all nodes), who does not gets
    /// small pages of his own. So with several nodes this comes first.
    Unasked(usize),
}

impl HugePages {
    /// The first SuperSlab of a range that may lie on one; `usize::MAX` if none may.
    pub(crate) const fn from(self) -> usize {
        match self {
            Self::Declined => usize::MAX,
            Self::Asked(from) | Self::Unasked(from) => from,
        }
    }
}

/// Tells the kernel what holds of huge pages in a part of a node's range.
///
/// Errors: `EINVAL` if the kernel has none.
pub(crate) fn advise_huge(
    space: &Space,
    node: NodeId,
    pages: HugePages,
    at: NonNull<u8>,
    bytes: usize,
) -> Result<()> {
    let (skip, advice) = match pages {
        HugePages::Declined => (0, Advice::NoHugePage),
        HugePages::Asked(from) => (from * SUPERSLAB_BYTES, Advice::HugePage),
        HugePages::Unasked(_) => return Ok(()),
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
        let _ = advise_huge(self.space, self.id, self.settings.huge, at, bytes);
        // SAFETY: the caller's part of the range, which is reserved.
        unsafe { memory::commit(at, bytes) }.is_ok()
    }

    /// Whether transparent huge pages were asked for, and granted, in SuperSlab number `number` of the range.
    pub(crate) fn is_transparent(&self, number: usize) -> bool {
        number >= self.settings.huge.from() && !self.space.superslab(self.superslab(number)).is_on_reserved()
    }
}
