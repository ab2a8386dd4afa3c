//! Memory policy: on which nodes pages shall lie, and on which they do.
//!
//! Key types: [`Binding`], and [`NodeMask`] for the nodes. Neighbours: `topology` translates between
//! kernel numbers and the dense [`NodeId`](crate::units::NodeId)s of the rest.
//!
//! Containers without `CAP_SYS_NICE` often forbid all of these calls, and some `move_pages` in any case
//! (`EPERM` by seccomp); placement is then left to the first touch.

use super::errno::{Errno, Result, check};
use super::fault::{Call, gate};
pub use super::node_mask::NodeMask;
use crate::units::KernelNode;
use core::ptr::{self, NonNull};

/// How a range is tied to nodes; each as in mbind(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// On the first node of the mask; if it is full, on the nearest other one.
    Preferred,
    /// On the nodes of the mask only. If they are full the kernel kills the process, although other
    /// nodes may have memory.
    Bind,
    /// Page by page in turn over the nodes of the mask.
    Interleave,
}

impl Binding {
    const fn mode(self) -> i32 {
        match self {
            Self::Preferred => libc::MPOL_PREFERRED,
            Self::Bind => libc::MPOL_BIND,
            Self::Interleave => libc::MPOL_INTERLEAVE,
        }
    }
}

/// Ties the pages of `addr .. addr + len` that are not there yet to `nodes`. Pages that are there
/// stay where they are. The policy survives `MADV_DONTNEED`, `mprotect` and `mremap`, not a new
/// mapping over the range.
///
/// Errors: `EINVAL` if `addr` is not page-aligned, or no node of the mask is online, allowed and has
/// memory; `EFAULT` if part of the range is not mapped; `EPERM` by seccomp; `ENOSYS` without NUMA
/// support; `ENOMEM`. mbind(2).
pub fn bind(addr: NonNull<u8>, len: usize, binding: Binding, nodes: &NodeMask) -> Result<()> {
    gate(Call::Mbind)?;
    // SAFETY: the kernel reads BITS bits of the mask, which has as many; the policy of a range
    // decides where its future pages lie, not what is in them.
    check(unsafe {
        libc::syscall(
            libc::SYS_mbind,
            addr.as_ptr(),
            len,
            binding.mode(),
            nodes.as_ptr(),
            NodeMask::KERNEL_BITS,
            0,
        )
    })
    .map(drop)
}

/// The nodes that this process may have memory on: the cpuset's, within those that have memory.
///
/// Errors: `EPERM` by seccomp; `ENOSYS` without NUMA support. get_mempolicy(2) with
/// `MPOL_F_MEMS_ALLOWED`.
pub fn allowed_nodes() -> Result<NodeMask> {
    const MPOL_F_MEMS_ALLOWED: usize = 1 << 2;
    let mut mask = NodeMask::EMPTY;
    gate(Call::GetMempolicy)?;
    // SAFETY: the kernel writes at most BITS bits into the mask, which has as many.
    check(unsafe {
        libc::syscall(
            libc::SYS_get_mempolicy,
            ptr::null_mut::<i32>(),
            mask.as_mut_ptr(),
            NodeMask::KERNEL_BITS,
            ptr::null::<u8>(),
            MPOL_F_MEMS_ALLOWED,
        )
    })?;
    Ok(mask)
}

/// Asks on which node each page lies, without faulting any in: `status[i]` becomes the kernel node of
/// the page at `pages[i]`, or a negated error number (`-ENOENT`: not there, on Linux 6.1 `-EFAULT`;
/// `-EFAULT`: the shared zero page, or not mapped).
///
/// Errors: `EINVAL` if the slices differ in length; `EPERM`, `ENOSYS` as for [`bind`].
/// move_pages(2) with no target nodes.
pub fn pages_nodes(pages: &[*const u8], status: &mut [i32]) -> Result<()> {
    if pages.len() != status.len() {
        return Err(Errno::EINVAL);
    }
    gate(Call::MovePages)?;
    // SAFETY: the kernel reads `len` pointers, which it only looks up in the page table, and writes
    // `len` numbers; both slices have that length. No target nodes: nothing moves.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_pages,
            0,
            pages.len(),
            pages.as_ptr(),
            ptr::null::<i32>(),
            status.as_mut_ptr(),
            0,
        )
    })
    .map(drop)
}

/// The kernel node on which the page at `page` lies, without faulting it in.
///
/// Errors: `ENOENT` or `EFAULT` if the page is not there; else as [`pages_nodes`].
pub fn node_of_page(page: *const u8) -> Result<KernelNode> {
    let mut status = [Errno::ENOENT.0];
    pages_nodes(&[page], &mut status)?;
    u16::try_from(status[0]).map(KernelNode).map_err(|_| Errno(status[0].saturating_neg()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::{Advice, advise, commit, decommit, map, populate, reserve, unmap};
    use crate::os::testing::{forbid, in_child};

    const LEN: usize = 1 << 20;

    /// The policy of the mapping at `addr`: its mode and its nodes.
    fn policy_at(addr: NonNull<u8>) -> (i32, NodeMask) {
        const MPOL_F_ADDR: usize = 1 << 1;
        let (mut mode, mut mask) = (-1, NodeMask::EMPTY);
        // SAFETY: the kernel writes one number and BITS bits.
        let ret = unsafe {
            libc::syscall(
                libc::SYS_get_mempolicy,
                &raw mut mode,
                mask.as_mut_ptr(),
                NodeMask::KERNEL_BITS,
                addr.as_ptr(),
                MPOL_F_ADDR,
            )
        };
        assert_eq!(check(ret), Ok(0));
        (mode, mask)
    }

    /// Whether this kernel has NUMA support; without it there is nothing to test.
    fn allowed() -> Option<NodeMask> {
        match allowed_nodes() {
            Err(Errno::ENOSYS | Errno::EPERM) => None,
            nodes => Some(nodes.unwrap()),
        }
    }

    #[test]
    fn pages_lie_on_the_node_they_were_bound_to() {
        let Some(allowed) = allowed() else { return };
        assert!(!allowed.is_empty());
        for node in allowed.iter() {
            for binding in [Binding::Preferred, Binding::Bind, Binding::Interleave] {
                let base = map(LEN).unwrap();
                bind(base, LEN, binding, &NodeMask::only(node)).unwrap();
                assert_eq!(policy_at(base), (binding.mode(), NodeMask::only(node)));
                // SAFETY: the test's own mapping.
                unsafe {
                    populate(base, LEN).unwrap();
                    assert_eq!(node_of_page(base.as_ptr()), Ok(node), "{binding:?}");
                    let pages = [base.as_ptr().cast_const(), base.add(LEN - 1).as_ptr()];
                    let mut status = [-1; 2];
                    pages_nodes(&pages, &mut status).unwrap();
                    assert_eq!(status, [i32::from(node.0); 2]);
                    unmap(base, LEN).unwrap();
                }
            }
        }
    }

    #[test]
    fn the_policy_survives_decommit_and_commit() {
        let Some(node) = allowed().and_then(|nodes| nodes.iter().next()) else { return };
        let base = reserve(LEN, LEN).unwrap();
        bind(base, LEN, Binding::Preferred, &NodeMask::only(node)).unwrap();
        // SAFETY: the test's own reservation.
        unsafe {
            commit(base, LEN).unwrap();
            populate(base, LEN).unwrap();
            advise(base, LEN, Advice::DontNeed).unwrap();
            decommit(base, LEN).unwrap();
            commit(base, LEN).unwrap();
            assert_eq!(policy_at(base), (libc::MPOL_PREFERRED, NodeMask::only(node)));
            unmap(base, LEN).unwrap();
        }
    }

    #[test]
    fn a_node_that_does_not_exist_is_refused() {
        if allowed().is_none() {
            return;
        }
        let base = map(LEN).unwrap();
        for binding in [Binding::Preferred, Binding::Bind, Binding::Interleave] {
            let nodes = NodeMask::only(KernelNode(NodeMask::BITS as u16 - 1));
            assert_eq!(bind(base, LEN, binding, &nodes), Err(Errno::EINVAL), "{binding:?}");
        }
        // SAFETY: the test's own mapping; one byte further is not page-aligned.
        unsafe {
            let nodes = allowed_nodes().unwrap();
            assert_eq!(bind(base.add(1), LEN, Binding::Bind, &nodes), Err(Errno::EINVAL));
            unmap(base, LEN).unwrap();
        }
    }

    #[test]
    fn asking_for_the_node_of_a_page_does_not_bring_it_in() {
        if allowed().is_none() {
            return;
        }
        let base = map(LEN).unwrap();
        assert!(matches!(node_of_page(base.as_ptr()), Err(Errno::ENOENT | Errno::EFAULT)));
        assert_eq!(crate::os::memory::resident(base, LEN), Ok(0));
        assert_eq!(pages_nodes(&[base.as_ptr()], &mut []), Err(Errno::EINVAL));
        // SAFETY: the test's own mapping.
        unsafe { unmap(base, LEN).unwrap() };
    }

    #[test]
    fn what_a_container_forbids_is_reported_as_such() {
        in_child(|| {
            let Some(nodes) = allowed() else { return };
            let base = map(LEN).unwrap();
            forbid(libc::SYS_mbind);
            assert_eq!(bind(base, LEN, Binding::Preferred, &nodes), Err(Errno::EPERM));
            forbid(libc::SYS_get_mempolicy);
            assert_eq!(allowed_nodes(), Err(Errno::EPERM));
        });
    }
}
