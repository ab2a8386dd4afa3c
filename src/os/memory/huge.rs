//! 2 MiB pages from the reserved pool (hugetlbfs without files).
//!
//! The pool is counted for the whole machine, not per node: a mapping that succeeds can still find
//! its node empty, and then a touch kills with SIGBUS. So the order is: [`map_huge_2m`], bind, then
//! [`populate_safely`](super::populate_safely), which reports `EFAULT` instead; only then use it, or
//! [`replace`](super::replace) a part of a reservation by it (Linux 5.16).
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::errno::Errno;
    use crate::os::memory::{populate_safely, replace, reserve, reserve_at};
    use crate::os::testing::{in_child, is_readable, reserved_pool};
    use crate::os::{policy, topology};
    use std::eprintln;

    /// Huge pages that the machine has free now.
    fn free_pages() -> u64 {
        let nodes = policy::allowed_nodes().unwrap_or(policy::NodeMask::EMPTY);
        nodes.iter().filter_map(|node| topology::node_free_huge_2m(node).ok()).sum()
    }

    #[test]
    fn more_than_the_pool_has_is_an_error() {
        assert!(matches!(map_huge_2m(1 << 40), Err(Errno::ENOMEM | Errno::EINVAL)));
    }

    #[test]
    fn huge_pages_replace_a_part_of_a_reservation_and_go_back_to_the_pool() {
        in_child(|| {
            let _alone = reserved_pool();
            let before = free_pages();
            if before < 2 {
                eprintln!("skipped: fewer than 2 huge pages");
                return;
            }
            let base = reserve(3 * HUGE_2M_BYTES, HUGE_2M_BYTES).unwrap();
            // SAFETY: the test's own mappings.
            unsafe {
                let (page, middle) = (map_huge_2m(HUGE_2M_BYTES).unwrap(), base.add(HUGE_2M_BYTES));
                populate_safely(page, HUGE_2M_BYTES).unwrap();
                match replace(page, middle, HUGE_2M_BYTES) {
                    // Before Linux 5.16: refused.
                    Err(Errno::EINVAL) => return,
                    result => result.unwrap(),
                }
                assert_eq!(free_pages(), before - 1);
                middle.write(1);
                middle.add(HUGE_2M_BYTES - 1).write(2);
                assert!(!is_readable(base.as_ptr()));
                assert!(!is_readable(base.add(2 * HUGE_2M_BYTES).as_ptr()));
                reserve_at(middle, HUGE_2M_BYTES).unwrap();
                assert!(!is_readable(middle.as_ptr()));
                assert_eq!(free_pages(), before);
            }
        });
    }
}
