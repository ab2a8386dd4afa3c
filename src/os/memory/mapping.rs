//! New mappings and reservations, and what they are backed by.
//!
//! Neighbours: `remap` and `huge` use [`mmap`] for their fixed mappings.

use crate::os::errno::{Errno, Result, check};
use crate::os::fault::{Call, gate};
use crate::units::PAGE_BYTES;
use core::ptr::{self, NonNull};
use libc::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE};

/// All addresses handed out here are below this: 2^47, the user half of a four-level page table, so
/// that an address fits in 47 bits of a packed word.
pub const ADDRESS_LIMIT: usize = 1 << 47;

/// What a mapping is made for.
#[derive(Clone, Copy)]
enum Access {
    /// Address space only; every touch is a fault.
    Reserved,
    /// Readable and writable memory, zeroed, backed at the first touch.
    Ready,
}

impl Access {
    const fn protection(self) -> i32 {
        match self {
            Self::Reserved => PROT_NONE,
            Self::Ready => PROT_READ | PROT_WRITE,
        }
    }
}

const LAZY: i32 = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

/// Reserves `len` bytes of address space at a multiple of `align`. Nothing in it may be touched
/// before [`commit`]. It costs no memory and does not count as committed.
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

/// As [`map`], at a multiple of `align`.
pub fn map_aligned(len: usize, align: usize) -> Result<NonNull<u8>> {
    map_below(len, align, Access::Ready, ADDRESS_LIMIT)
}

/// Makes `len` reserved bytes at `addr` readable and writable. What was never touched, or was
/// decommitted, reads as zero. The memory policy of the range stays.
///
/// Errors: `ENOMEM` (commit limit under `vm.overcommit_memory=2`, or number of mappings). The range
/// is then as it was. mprotect(2).
///
/// # Safety
/// The range belongs to the caller and is mapped.
pub unsafe fn commit(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe { protect(addr, len, Access::Ready) }
}

/// Gives the pages of the range back to the kernel and makes it reserved again. The memory policy
/// stays.
///
/// Errors: `EINVAL` if pages are locked (mlock(2), mlockall(2)): nothing has changed, contents
/// included. `ENOMEM` (number of mappings): the pages are gone, but the range is still readable and
/// writable, and zero. madvise(2), mprotect(2).
///
/// # Safety
/// The range belongs to the caller, is mapped, and nobody uses its contents any more.
pub unsafe fn decommit(addr: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe {
        super::advise(addr, len, super::Advice::DontNeed)?;
        protect(addr, len, Access::Reserved)
    }
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

/// # Safety
/// The range belongs to the caller; if it becomes `Reserved`, nobody touches it any more.
unsafe fn protect(addr: NonNull<u8>, len: usize, access: Access) -> Result<()> {
    gate(Call::Mprotect)?;
    // SAFETY: changes the protection of the caller's own memory only.
    check(unsafe { libc::mprotect(addr.as_ptr().cast(), len, access.protection()) }.into()).map(drop)
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

/// Maps `len` bytes at a multiple of `align`, ending at or below `limit`.
fn map_below(len: usize, align: usize, access: Access, limit: usize) -> Result<NonNull<u8>> {
    if len == 0 || !len.is_multiple_of(PAGE_BYTES) || !align.is_power_of_two() {
        return Err(Errno::EINVAL);
    }
    // A mapping is page-aligned by itself; beyond that, one that is longer by the alignment
    // contains an aligned one.
    let slack = if align <= PAGE_BYTES { 0 } else { align };
    let span = len.checked_add(slack).filter(|span| *span <= limit).ok_or(Errno::ENOMEM)?;
    let base = map_span_below(span, access, limit)?;
    trim(base, span, len, align)
}

/// Maps `span` bytes, ending at or below `limit`.
///
/// Left alone, x86-64 stays below 2^47, but aarch64 starts at the top of 48 bits. There the kernel
/// follows a hint that names a free range, so a few hints are tried from the top of the limit down.
fn map_span_below(span: usize, access: Access, limit: usize) -> Result<NonNull<u8>> {
    /// Distance from one hint to the next: the larger of this and the span.
    const HINT_STEP_BYTES: usize = 1 << 40;
    let fits = |base: NonNull<u8>| base.addr().get() <= limit - span;
    let base = map_span(ptr::null_mut(), span, access)?;
    if fits(base) {
        return Ok(base);
    }
    discard(base, span);
    let step = span.next_power_of_two().max(HINT_STEP_BYTES);
    let mut hint = limit.saturating_sub(step);
    while hint != 0 {
        let base = map_span(ptr::without_provenance_mut(hint), span, access)?;
        if fits(base) {
            return Ok(base);
        }
        discard(base, span);
        hint = hint.saturating_sub(step);
    }
    Err(Errno::ENOMEM)
}

fn map_span(hint: *mut u8, span: usize, access: Access) -> Result<NonNull<u8>> {
    gate(Call::Mmap)?;
    // SAFETY: no MAP_FIXED: `hint` is only a wish.
    unsafe { mmap(hint, span, access.protection(), LAZY) }
}

/// Cuts a fresh mapping of `span` bytes down to `len` bytes at a multiple of `align`.
fn trim(base: NonNull<u8>, span: usize, len: usize, align: usize) -> Result<NonNull<u8>> {
    let head = base.as_ptr().align_offset(align);
    if head > span - len {
        // Only if `align` is below the page and the kernel's answer is no page: it never is.
        discard(base, span);
        return Err(Errno::EINVAL);
    }
    // SAFETY: `head <= span - len`, so both pointers are inside or one past the mapping.
    let (start, end) = unsafe { (base.add(head), base.add(head + len)) };
    if head != 0 {
        discard(base, head);
    }
    if span - head - len != 0 {
        discard(end, span - head - len);
    }
    Ok(start)
}

/// Unmaps a part of a fresh mapping that nobody has seen. A refusal (the number of mappings is used
/// up) leaves untouched address space behind, which costs nothing but the space.
fn discard(base: NonNull<u8>, len: usize) {
    // SAFETY: the callers pass ranges of mappings they have just made and show to nobody.
    let _ = unsafe { unmap(base, len) };
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let base = map_aligned(4 * MIB, 2 * MIB).unwrap();
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
    fn a_range_below_a_limit_is_found_by_hints() {
        // On x86-64 the kernel starts just below 2^47, so these limits need hints.
        for limit in [1 << 46, 1 << 44, 1 << 42] {
            let base = map_below(64 * MIB, 2 * MIB, Access::Reserved, limit).unwrap();
            assert!(base.addr().get() + 64 * MIB <= limit);
            assert_eq!(base.addr().get() % (2 * MIB), 0);
        }
        assert_eq!(map_below(64 * MIB, 4096, Access::Reserved, 65 * MIB), Err(Errno::ENOMEM));
    }

    #[test]
    fn decommitted_memory_is_unreachable_and_comes_back_as_zero() {
        let base = reserve(4 * MIB, 2 * MIB).unwrap();
        // SAFETY: the test's own reservation.
        unsafe {
            let middle = base.add(MIB);
            commit(middle, MIB).unwrap();
            assert!(!is_readable(base.as_ptr()));
            assert!(!is_readable(middle.add(MIB).as_ptr()));
            fill(middle, MIB, 0xa5);
            decommit(middle, MIB / 2).unwrap();
            assert!(!is_readable(middle.as_ptr()));
            assert!(bytes(middle.add(MIB / 2), MIB / 2).iter().all(|byte| *byte == 0xa5));
            commit(middle, MIB / 2).unwrap();
            assert!(bytes(middle, MIB / 2).iter().all(|byte| *byte == 0));
            unmap(base, 4 * MIB).unwrap();
        }
    }

    #[test]
    fn locked_memory_is_not_decommitted_and_keeps_its_contents() {
        let base = map(4096).unwrap();
        fill(base, 4096, 9);
        // SAFETY: the test's own mapping.
        unsafe {
            assert_eq!(libc::mlock(base.as_ptr().cast(), 4096), 0);
            assert_eq!(decommit(base, 4096), Err(Errno::EINVAL));
            assert_eq!(bytes(base, 4096)[4095], 9);
            unmap(base, 4096).unwrap();
        }
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
            assert_eq!(map_aligned(MIB, 1 << 30), Err(Errno::ENOMEM));
            assert!(map_aligned(MIB, 2 * MIB).is_ok());
        });
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
