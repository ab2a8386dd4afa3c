//! Making mappings and reservations, and giving them back.
//!
//! Neighbours: `span` finds the place for a new mapping; `remap` and `huge` use [`mmap`] for mappings
//! of their own kind.

use super::span::map_below;
use crate::os::errno::{Errno, Result, check};
use crate::os::fault::{Call, gate};
use crate::units::PAGE_BYTES;
use core::ptr::NonNull;
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE};

/// All addresses handed out here are below this: 2^47, the user half of a four-level page table, so
/// that an address fits in 47 bits of a packed word.
pub const ADDRESS_LIMIT: usize = 1 << 47;

/// What a mapping is made for.
#[derive(Clone, Copy)]
pub(super) enum Access {
    /// Address space only; every touch is a fault.
    Reserved,
    /// Readable and writable memory, zeroed, backed at the first touch.
    Ready,
    /// As `Ready`, and counted against what the kernel is willing to promise.
    Promised,
}

impl Access {
    pub(super) const fn protection(self) -> i32 {
        match self {
            Self::Reserved => PROT_NONE,
            Self::Ready | Self::Promised => PROT_READ | PROT_WRITE,
        }
    }

    pub(super) const fn flags(self) -> i32 {
        match self {
            Self::Reserved | Self::Ready => LAZY,
            Self::Promised => LAZY & !MAP_NORESERVE,
        }
    }
}

/// Flags of a mapping: private, backed by nothing, not counted before it is touched.
pub(super) const LAZY: i32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/// Bytes of the kernel's pages, 4096 on x86-64; on aarch64 also 16 or 64 KiB: then [`PAGE_BYTES`] is less than
/// what the kernel takes and gives. getauxval(3).
pub fn page_bytes() -> usize {
    // SAFETY: reads a constant of the process.
    let bytes = unsafe { libc::getauxval(libc::AT_PAGESZ) } as usize;
    bytes.max(PAGE_BYTES)
}

/// Reserves `len` bytes of address space at a multiple of `align`. Nothing in it may be touched
/// before [`commit`](super::commit()). It costs no memory and does not count as committed.
///
/// Errors: `EINVAL` if `len` is 0, `len` is no multiple of the page or `align` no power of two;
/// `ENOMEM` if address space, `RLIMIT_AS` or the number of mappings is used up. mmap(2).
pub fn reserve(len: usize, align: usize) -> Result<NonNull<u8>> {
    map_below(len, align, Access::Reserved, ADDRESS_LIMIT)
}

/// Reserves exactly the range `addr .. addr + len`, replacing what is mapped there: contents, huge
/// pages and memory policy are gone.
///
/// Errors: `ENOMEM` (number of mappings); the range is then as it was. mmap(2) with `MAP_FIXED`.
///
/// # Safety
/// The range belongs to the caller, and nobody uses its contents any more.
pub unsafe fn reserve_at(addr: NonNull<u8>, len: usize) -> Result<()> {
    gate(Call::Mmap)?;
    // SAFETY: the caller owns the range, so replacing its mapping affects nobody else.
    unsafe { mmap(addr.as_ptr(), len, PROT_NONE, LAZY | MAP_FIXED) }.map(drop)
}

/// Maps `len` bytes of zeroed memory, readable and writable, backed at the first touch.
///
/// Errors: as [`reserve`]. mmap(2).
pub fn map(len: usize) -> Result<NonNull<u8>> {
    map_below(len, PAGE_BYTES, Access::Ready, ADDRESS_LIMIT)
}

/// As [`map`], at a multiple of `align`, and only if the kernel is willing to promise that much at once:
/// with `vm.overcommit_memory` at 0 it refuses what is more than all memory and swap of the machine.
pub fn map_promised(len: usize, align: usize) -> Result<NonNull<u8>> {
    map_below(len, align, Access::Promised, ADDRESS_LIMIT)
}

/// Gives the range back altogether; another mapping may appear there at any moment.
///
/// Errors: `EINVAL` for a bad range; `ENOMEM` if a mapping would be cut in two and the number of
/// mappings is used up: nothing has changed. munmap(2).
///
/// # Safety
/// The range belongs to the caller, and nobody uses it any more.
pub unsafe fn unmap(addr: NonNull<u8>, len: usize) -> Result<()> {
    gate(Call::Munmap)?;
    // SAFETY: the caller gives the range up.
    check(unsafe { libc::munmap(addr.as_ptr().cast(), len) }.into()).map(drop)
}

/// `mmap(2)` of anonymous memory, with the result as a pointer. Passes no gate: callers name the
/// kind of their call.
///
/// # Safety
/// With `MAP_FIXED` in `flags`, the range `addr .. addr + len` belongs to the caller.
pub(super) unsafe fn mmap(addr: *mut u8, len: usize, prot: i32, flags: i32) -> Result<NonNull<u8>> {
    // SAFETY: without MAP_FIXED the kernel chooses free address space; with it the caller owns the
    // range. No file is involved (-1, 0).
    let base = unsafe { libc::mmap(addr.cast(), len, prot, flags, -1, 0) };
    if base == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    // The kernel never maps page 0 unasked (vm.mmap_min_addr), so null cannot come.
    NonNull::new(base.cast()).ok_or(Errno::ENOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::memory::commit;
    use crate::os::testing::{in_child, is_readable};
    use std::fs;

    const MIB: usize = 1 << 20;

    /// Address space of the process in bytes.
    fn address_space() -> usize {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').next().unwrap().parse::<usize>().unwrap() * 4096
    }

    fn fill(base: NonNull<u8>, len: usize, value: u8) {
        // SAFETY: the tests pass committed memory of their own.
        unsafe { base.write_bytes(value, len) }
    }

    fn bytes(base: NonNull<u8>, len: usize) -> &'static [u8] {
        // SAFETY: the tests pass committed memory of their own that nobody writes meanwhile.
        unsafe { core::slice::from_raw_parts(base.as_ptr(), len) }
    }

    #[test]
    fn reservations_are_aligned_and_take_exactly_their_length() {
        in_child(|| {
            address_space();
            for align in [1, 4096, 64 << 10, 2 * MIB, 1 << 30, 64 << 30] {
                for len in [4096, 3 * MIB + 4096, 1 << 30] {
                    let before = address_space();
                    let base = reserve(len, align).unwrap();
                    assert_eq!(base.addr().get() % align, 0, "align {align}");
                    assert!(base.addr().get() + len <= ADDRESS_LIMIT);
                    assert_eq!(address_space(), before + len, "align {align}, len {len}");
                    assert!(!is_readable(base.as_ptr()));
                }
            }
        });
    }

    #[test]
    fn mapped_memory_is_aligned_zero_and_writable() {
        let base = map_promised(4 * MIB, 2 * MIB).unwrap();
        assert_eq!(base.addr().get() % (2 * MIB), 0);
        assert!(bytes(base, 4 * MIB).iter().all(|byte| *byte == 0));
        fill(base, 4 * MIB, 7);
        let small = map(4096).unwrap();
        fill(small, 4096, 8);
        assert_eq!(bytes(base, 4 * MIB).last(), Some(&7));
        // SAFETY: the test's own mappings, not used afterwards.
        unsafe {
            unmap(base, 4 * MIB).unwrap();
            unmap(small, 4096).unwrap();
        }
    }

    #[test]
    fn bad_lengths_and_alignments_are_refused() {
        for (len, align) in [(0, 4096), (100, 4096), (4096, 0), (4096, 3 * 4096)] {
            assert_eq!(reserve(len, align), Err(Errno::EINVAL), "{len} {align}");
        }
        assert_eq!(reserve(usize::MAX & !4095, 1 << 30), Err(Errno::ENOMEM));
        assert_eq!(reserve(ADDRESS_LIMIT, 1 << 30), Err(Errno::ENOMEM));
        assert_eq!(map((1 << 46) + (1 << 46)), Err(Errno::ENOMEM));
    }

    #[test]
    fn reserving_again_drops_the_contents() {
        let base = map(2 * MIB).unwrap();
        fill(base, 2 * MIB, 1);
        // SAFETY: the test's own mapping.
        unsafe {
            reserve_at(base, MIB).unwrap();
            assert!(!is_readable(base.as_ptr()));
            assert_eq!(bytes(base.add(MIB), MIB)[0], 1);
            commit(base, MIB).unwrap();
            assert!(bytes(base, MIB).iter().all(|byte| *byte == 0));
            unmap(base, 2 * MIB).unwrap();
        }
    }

    #[test]
    fn a_limit_on_address_space_is_an_error_and_smaller_requests_go_on() {
        in_child(|| {
            let most = (address_space() + 64 * MIB) as libc::rlim_t;
            let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
            // SAFETY: passes a valid struct.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
            assert_eq!(reserve(1 << 30, 4096), Err(Errno::ENOMEM));
            assert_eq!(map_promised(MIB, 1 << 30), Err(Errno::ENOMEM));
            assert!(map_promised(MIB, 2 * MIB).is_ok());
        });
    }

    #[test]
    fn the_kernel_promises_no_more_than_a_machine_can_have() {
        // With 1 it promises anything; with 2, less than with 0.
        let mode = fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap();
        if mode.trim() != "1" {
            assert_eq!(map_promised(1 << 46, 2 * MIB), Err(Errno::ENOMEM));
        }
    }

    #[test]
    fn unmapped_memory_is_gone() {
        in_child(|| {
            let base = map(2 * MIB).unwrap();
            assert!(is_readable(base.as_ptr()));
            // SAFETY: the test's own mapping.
            unsafe {
                unmap(base.add(MIB), MIB).unwrap();
                assert!(is_readable(base.as_ptr()) && !is_readable(base.add(MIB).as_ptr()));
                assert_eq!(unmap(base.add(1), 4096), Err(Errno::EINVAL));
            }
        });
    }
}
