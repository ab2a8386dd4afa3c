//! 2 MiB pages from the reserved pool (hugetlbfs without files).
//!
//! The pool is counted for the whole machine, not per node: a mapping that succeeds can still find
//! its node empty, and then a touch kills with SIGBUS. So the order is: [`map_huge_2m`], bind, then
//! [`populate_safely`](super::populate_safely), which reports `EFAULT` instead; only then use it, or
//! [`replace`](super::replace) a part of a reservation by it.
//!
//! # Invariants
//! - Never `MAP_NORESERVE`: with it `mmap` always succeeds, and the touch kills.

use super::mapping::mmap;
use crate::os::errno::Result;
use crate::os::fault::{Call, gate};
use core::ptr::{self, NonNull};
use libc::{MAP_ANONYMOUS, MAP_HUGE_2MB, MAP_HUGETLB, MAP_PRIVATE, PROT_READ, PROT_WRITE};

/// Bytes of one huge page of this kind; lengths and addresses are multiples of it.
pub const HUGE_2M_BYTES: usize = 2 << 20;

/// Maps `len` bytes of reserved 2 MiB pages, readable and writable, zeroed at the touch, at an
/// address of the kernel's choice (a multiple of 2 MiB).
///
/// Errors: `ENOMEM` if the machine's pool has too few pages, `EINVAL` if `len` is no multiple of
/// 2 MiB or there is no such page size, `EPERM` under some cgroup settings. mmap(2).
pub fn map_huge_2m(len: usize) -> Result<NonNull<u8>> {
    gate(Call::MmapHuge)?;
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB;
    // SAFETY: no MAP_FIXED: the kernel chooses free address space.
    unsafe { mmap(ptr::null_mut(), len, PROT_READ | PROT_WRITE, flags) }
}

/// As [`map_huge_2m`], at `addr`, replacing what is mapped there. The mapping is made elsewhere and
/// moved, so that an empty pool leaves the range as it was.
///
/// Errors: as [`map_huge_2m`], the range is then as it was; or as [`replace`](super::replace), with
/// its consequences. `EINVAL` before Linux 5.16.
///
/// # Safety
/// The range belongs to the caller, and nobody uses its contents any more. It is populated with
/// [`populate_safely`](super::populate_safely) before it is touched.
pub unsafe fn map_huge_2m_at(addr: NonNull<u8>, len: usize) -> Result<()> {
    let from = map_huge_2m(len)?;
    // SAFETY: `from` is ours and unused; the caller owns `addr`.
    unsafe { super::replace(from, addr, len) }.inspect_err(|_| {
        // SAFETY: after an error `from` is unchanged and still ours alone. If the kernel refuses to
        // unmap it, the pages stay taken; there is nothing better to do.
        let _ = unsafe { super::unmap(from, len) };
    })
}
