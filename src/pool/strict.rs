//! Memory that must lie on its node and nowhere else.
//!
//! The kernel's own way to demand that, `MPOL_BIND`, kills a process when the node is full, although others
//! have memory. So the policy stays `MPOL_PREFERRED`, which never kills, and who takes memory from the
//! kernel has it backed at once and asks where it lies: if a page is elsewhere, all of it goes back and the
//! node counts as full. What is backed stays where it is.

use super::Pool;
use crate::os::memory::{self, Advice};
use crate::os::policy::pages_nodes;
use crate::os::topology::node_free_bytes;
use crate::units::{KernelNode, PAGE_BYTES};
use core::ptr::{self, NonNull};

/// How many pages the kernel is asked about at once.
const AT_ONCE: usize = 64;
/// How many times as much must be free on a node as is wanted for another try with small pages.
const AMPLE: u64 = 8;

impl Pool<'_> {
    /// Whether memory that has just been taken from the kernel, and that the caller owns, may be used: always,
    /// unless it must lie on this node and does not. Then its pages are gone again.
    pub(crate) fn is_acceptable(&self, at: NonNull<u8>, bytes: usize) -> bool {
        let Some(node) = self.strict else { return true };
        // A glance at what the node has free spares backing memory in vain.
        let free = node_free_bytes(node).unwrap_or(u64::MAX);
        if free < bytes as u64 {
            return false;
        }
        if back(at, bytes, node) {
            return true;
        }
        // The kernel takes a huge page of another node before small ones of this node.
        let ample = free / AMPLE >= bytes as u64;
        // SAFETY: the caller's memory; the advice changes no contents.
        ample && unsafe { memory::advise(at, bytes, Advice::NoHugePage) }.is_ok() && back(at, bytes, node)
    }
}

/// Backs memory of the caller's with pages; if one of them is not on `node`, all are dropped again.
fn back(at: NonNull<u8>, bytes: usize, node: KernelNode) -> bool {
    // SAFETY: the caller owns the memory, which is ordinary and writable.
    let backed = unsafe { memory::populate(at, bytes) }.is_ok() && all_on(at.addr().get(), bytes, node);
    if !backed {
        // SAFETY: the caller owns the memory, and nothing is in it yet.
        let _ = unsafe { memory::advise(at, bytes, Advice::DontNeed) };
    }
    backed
}

/// Whether no page lies on another node. Where the kernel does not say, it is believed.
fn all_on(address: usize, bytes: usize, node: KernelNode) -> bool {
    (address..address + bytes).step_by(AT_ONCE * PAGE_BYTES).all(|from| {
        let count = ((address + bytes - from) / PAGE_BYTES).min(AT_ONCE);
        let pages: [*const u8; AT_ONCE] =
            core::array::from_fn(|page| ptr::without_provenance(from + page * PAGE_BYTES));
        let mut status = [-1; AT_ONCE];
        pages_nodes(&pages[..count], &mut status[..count]).is_err()
            || status[..count]
                .iter()
                .all(|on| u16::try_from(*on).is_ok_and(|on| KernelNode(on) == node) || *on < 0)
    })
}
