//! `mremap(2)`: growing a mapping and moving its pages without copying them.
//!
//! # Invariants
//! - Each source named here is mapped throughout, by one mapping (one protection, one policy):
//!   kernels before 6.17 refuse others with `EFAULT`; later ones move one mapping after the other, and
//!   where they fail in between some have been moved and some not. [`move_mappings`] finds out where one ends.
//! - Where pages move onto a range of the caller, a failure half-way may leave a hole in the address
//!   space. It is closed at once by a reservation that replaces nothing; if another thread's mapping
//!   was faster, or the kernel had failed before making the hole, the answer is `EEXIST`.

use super::mapping::mmap;
use crate::os::errno::{Errno, Result};
use crate::os::fault::{Call, gate};
use crate::units::PAGE_BYTES;
use core::ptr::{self, NonNull};
use libc::{MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE};

/// Changes the length of a mapping from `old_len` to `new_len`, moving it if it must; contents and
/// policy go with it, the new part is zero. The new address has page alignment only.
///
/// Errors: `ENOMEM` (memory, address space, number of mappings), `EFAULT` if the range is not one
/// mapping; nothing has changed then. mremap(2).
///
/// # Safety
/// The range is a mapping of the caller. Pointers into it are invalid if the address changes.
pub unsafe fn remap(addr: NonNull<u8>, old_len: usize, new_len: usize) -> Result<NonNull<u8>> {
    // SAFETY: passed on.
    unsafe { mremap(addr, old_len, new_len, MREMAP_MAYMOVE, ptr::null_mut()) }
}

/// Changes the length of a mapping without moving it.
///
/// Errors: `ENOMEM` also if the addresses behind it are taken; nothing has changed then. mremap(2).
///
/// # Safety
/// The range is a mapping of the caller; if it shrinks, nobody uses the part that goes.
pub unsafe fn remap_in_place(addr: NonNull<u8>, old_len: usize, new_len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe { mremap(addr, old_len, new_len, 0, ptr::null_mut()) }.map(drop)
}

/// Where a move ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The first so many bytes were moved.
    pub moved: usize,
    /// The next so many were to be moved then, and were not; nor was what follows. `from` is unchanged from
    /// here on, and `to` behind them.
    pub failed: usize,
    /// What their place at the target is now.
    pub target: Target,
}

/// What the target of a move is after it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// As it was before.
    Unchanged,
    /// Reserved (`PROT_NONE`), empty and without policy or advice.
    Reserved,
    /// Of unknown state: it must not be used again.
    Unknown,
}

/// Moves the pages of `from .. from + len` to `to`, and with them protection and policy, whatever mappings
/// they are of. `from` stays mapped, with its protection and policy, and reads as zero; the old mapping at
/// `to` is replaced. A mapping takes one call, and one more to see that it is one; several take some 20 each.
///
/// Stops where the kernel can't move a mapping: it has too many of them, or does not know how to.
///
/// # Safety
/// Both ranges belong to the caller, and are no hugetlb memory; all of `from` is mapped; nobody uses the
/// contents of `to`, and nobody uses `from` during the call.
pub unsafe fn move_mappings(
    from: NonNull<u8>,
    to: NonNull<u8>,
    len: usize,
) -> core::result::Result<(), Stopped> {
    let mut moved = 0;
    while moved < len {
        // SAFETY: parts of the caller's ranges; the first is one mapping.
        let (part, result) = unsafe {
            let (from, to) = (from.add(moved), to.add(moved));
            let part = first_mapping(from, len - moved);
            (part, move_pages(from, to, part))
        };
        let target = match result {
            Ok(()) => {
                moved += part;
                continue;
            }
            Err(Errno::EINVAL | Errno::EPERM | Errno::ENOSYS) => Target::Unchanged,
            Err(Errno::EEXIST) => Target::Unknown,
            Err(_) => Target::Reserved,
        };
        return Err(Stopped { moved, failed: part, target });
    }
    Ok(())
}

/// How many of `len` bytes at `addr`, which are mapped, lie in the mapping that is there: all of them, or
/// whole pages.
///
/// # Safety
/// The range belongs to the caller.
unsafe fn first_mapping(addr: NonNull<u8>, len: usize) -> usize {
    // SAFETY: here and below, parts of the caller's range.
    if unsafe { is_one_mapping(addr, len) } {
        return len;
    }
    let (mut fits, mut too_many) = (1, len.div_ceil(PAGE_BYTES));
    while too_many - fits > 1 {
        let middle = fits.midpoint(too_many);
        // SAFETY: as above.
        match unsafe { is_one_mapping(addr, middle * PAGE_BYTES) } {
            true => fits = middle,
            false => too_many = middle,
        }
    }
    fits * PAGE_BYTES
}

/// Whether a range that is mapped lies in one mapping. Where the kernel does not say, it may be.
///
/// It is asked to make the range longer by a page where it is. The first thing that it looks at is whether
/// the range reaches beyond its mapping (`EFAULT`); the next, whether there is room (`ENOMEM`).
///
/// # Safety
/// The range belongs to the caller.
unsafe fn is_one_mapping(addr: NonNull<u8>, len: usize) -> bool {
    // SAFETY: no contents change, and no address of what is mapped.
    match unsafe { remap_in_place(addr, len, len + PAGE_BYTES) } {
        Err(errno) => errno != Errno::EFAULT,
        Ok(()) => {
            // Nothing was behind it. SAFETY: the page is a moment old, and nobody's.
            let _ = unsafe { super::unmap(addr.add(len), PAGE_BYTES) };
            true
        }
    }
}

/// Moves the pages of `from .. from + len` to `to`, and with them protection and policy. `from`
/// stays mapped, with its protection and policy, and reads as zero; the old mapping at `to` is
/// replaced.
///
/// Errors: `EINVAL` before Linux 5.7, or if the ranges overlap, `EPERM` or `ENOSYS` if a filter forbids it:
/// nothing has changed, since the kernel looks at the arguments first. `ENOMEM`. `from` is unchanged then too, and `to` is reserved (`PROT_NONE`), empty and without policy or advice; or, after `EEXIST`,
/// of unknown state: it must not be used again. mremap(2).
///
/// # Safety
/// Both ranges belong to the caller, and are no hugetlb memory; `from` is one mapping; nobody uses the contents
/// of `to`, and nobody uses `from` during the call.
unsafe fn move_pages(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<()> {
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
    // SAFETY: passed on.
    match unsafe { mremap(from, len, len, flags, to.as_ptr()) } {
        Ok(_) => Ok(()),
        Err(errno @ (Errno::EINVAL | Errno::EPERM | Errno::ENOSYS)) => Err(errno),
        Err(errno) => Err(reserved(to, len, errno)),
    }
}

/// Moves the whole mapping `from .. from + len` to `to`, replacing what is mapped there; `from` is
/// unmapped. Pages, protection and policy go with it.
///
/// Errors: `EINVAL` if the ranges overlap, or for hugetlb memory before Linux 5.16: as after any other
/// error of `move_pages` but its `EINVAL`.
///
/// # Safety
/// Both ranges belong to the caller; nobody uses the contents of `to`, and nobody uses `from` afterwards.
pub unsafe fn replace(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    let moved = unsafe { mremap(from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to.as_ptr()) };
    moved.map(drop).map_err(|errno| reserved(to, len, errno))
}

/// Closes the hole that a failed move may have made at its target; the error to report: `errno`, or
/// `EEXIST` if there was no hole, or it could not be closed.
fn reserved(to: NonNull<u8>, len: usize, errno: Errno) -> Errno {
    close_hole(to, len).map_or(Errno::EEXIST, |()| errno)
}

/// Reserves `addr .. addr + len` if nothing is mapped there.
fn close_hole(addr: NonNull<u8>, len: usize) -> Result<()> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
    gate(Call::Mmap)?;
    // SAFETY: MAP_FIXED_NOREPLACE replaces nothing.
    unsafe { mmap(addr.as_ptr(), len, libc::PROT_NONE, flags) }.map(drop)
}

/// # Safety
/// As [`remap`]; with `MREMAP_FIXED`, `to .. to + new_len` belongs to the caller too.
unsafe fn mremap(
    from: NonNull<u8>,
    old_len: usize,
    new_len: usize,
    flags: i32,
    to: *mut u8,
) -> Result<NonNull<u8>> {
    gate(Call::Mremap)?;
    // SAFETY: the caller owns the mapping and, with MREMAP_FIXED, the target. Without that flag the
    // last argument is ignored.
    let base =
        unsafe { libc::mremap(from.as_ptr().cast(), old_len, new_len, flags, to.cast::<libc::c_void>()) };
    if base == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    NonNull::new(base.cast()).ok_or(Errno::ENOMEM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::fault;
    use crate::os::memory::{Advice, advise, map, reserve, resident, unmap};
    use crate::os::testing::{in_child, is_readable};
    use crate::sync::{AtomicUsize, Ordering};
    use std::slice;

    const MIB: usize = 1 << 20;

    /// A mapping whose bytes tell their page.
    fn patterned(len: usize) -> NonNull<u8> {
        let base = map(len).unwrap();
        for offset in (0..len).step_by(4096) {
            // SAFETY: inside the mapping.
            unsafe { base.add(offset).write((offset >> 12) as u8 | 1) };
        }
        base
    }

    fn has_pattern(base: NonNull<u8>, len: usize) -> bool {
        // SAFETY: the tests pass mapped memory of their own.
        let bytes = unsafe { slice::from_raw_parts(base.as_ptr(), len) };
        (0..len).step_by(4096).all(|offset| bytes[offset] == (offset >> 12) as u8 | 1)
    }

    #[test]
    fn a_mapping_grows_with_its_contents_and_zeroes() {
        let base = patterned(MIB);
        // SAFETY: the test's own mapping.
        unsafe {
            let grown = remap(base, MIB, 16 * MIB).unwrap();
            assert!(has_pattern(grown, MIB));
            assert_eq!(resident(grown, 16 * MIB), Ok(MIB / 4096));
            assert_eq!(grown.add(16 * MIB - 1).read(), 0);
            unmap(grown, 16 * MIB).unwrap();
        }
    }

    #[test]
    fn growing_in_place_fails_if_the_next_addresses_are_taken() {
        let base = patterned(4 * MIB);
        // SAFETY: the test's own mapping.
        unsafe {
            remap_in_place(base, 4 * MIB, 2 * MIB).unwrap();
            let taken = base.add(2 * MIB);
            // Another thread's mapping may be faster; either way the place is taken.
            let _ = close_hole(taken, MIB);
            assert_eq!(remap_in_place(base, 2 * MIB, 4 * MIB), Err(Errno::ENOMEM));
            assert!(has_pattern(base, 2 * MIB));
            unmap(base, 2 * MIB).unwrap();
        }
    }

    #[test]
    fn moved_pages_leave_zeroes_behind() {
        let from = patterned(2 * MIB);
        let to = reserve(4 * MIB, 2 * MIB).unwrap();
        // SAFETY: the test's own mappings.
        unsafe {
            move_pages(from, to, 2 * MIB).unwrap();
            assert!(has_pattern(to, 2 * MIB));
            assert!(!is_readable(to.add(2 * MIB).as_ptr()));
            assert_eq!(resident(from, 2 * MIB), Ok(0));
            assert_eq!(from.read(), 0);
            from.write(1);
            unmap(from, 2 * MIB).unwrap();
            unmap(to, 4 * MIB).unwrap();
        }
    }

    /// A range of 4 MiB and four mappings with the pattern, the last two alike but for an advice; and nothing
    /// behind it.
    fn patched() -> NonNull<u8> {
        let base = patterned(5 * MIB);
        // SAFETY: the test's own mapping; of what stays none changes contents.
        unsafe {
            unmap(base.add(4 * MIB), MIB).unwrap();
            advise(base.add(3 * MIB), MIB, Advice::DontDump).unwrap();
            assert_eq!(libc::mprotect(base.add(4096).as_ptr().cast(), MIB - 4096, libc::PROT_READ), 0);
        }
        base
    }

    #[test]
    fn a_mapping_ends_where_another_one_begins() {
        in_child(|| {
            let base = patched();
            // SAFETY: the test's own mappings.
            unsafe {
                for (at, len) in [(0, 4096), (4096, MIB - 4096), (MIB, 2 * MIB), (3 * MIB, MIB)] {
                    assert_eq!(first_mapping(base.add(at), 4 * MIB - at), len);
                    assert_eq!(first_mapping(base.add(at), len), len);
                    assert_eq!(first_mapping(base.add(at), len.min(8192)), len.min(8192));
                }
                // What is behind it is as it was.
                assert!(!is_readable(base.add(4 * MIB).as_ptr()) && has_pattern(base, 4 * MIB));
            }
        });
    }

    #[test]
    fn several_mappings_move_one_after_the_other() {
        in_child(|| {
            let (from, to) = (patched(), reserve(4 * MIB, 2 * MIB).unwrap());
            // SAFETY: the test's own mappings.
            unsafe { move_mappings(from, to, 4 * MIB).unwrap() };
            assert!(has_pattern(to, 4 * MIB));
            assert_eq!(resident(from, 4 * MIB), Ok(0));
        });
    }

    #[test]
    fn a_move_that_stops_says_where() {
        static CALLS: AtomicUsize = AtomicUsize::new(0);
        /// Counts the calls of a move.
        fn count(call: Call) {
            CALLS.fetch_add(usize::from(call == Call::Mremap), Ordering::Relaxed);
        }
        in_child(|| {
            fault::set_hook(count);
            let (from, to) = (patched(), reserve(4 * MIB, 2 * MIB).unwrap());
            // SAFETY: the test's own mappings.
            unsafe {
                first_mapping(from, 4 * MIB);
                let before_the_first = CALLS.load(Ordering::Relaxed) as u64;
                first_mapping(from.add(4096), 4 * MIB - 4096);
                let before_the_second = CALLS.load(Ordering::Relaxed) as u64 + 1;
                fault::set_hook(|_| {});
                fault::fail_nth(Call::Mremap, before_the_first + 1, Errno::EPERM);
                let stopped = Stopped { moved: 0, failed: 4096, target: Target::Unchanged };
                assert_eq!(move_mappings(from, to, 4 * MIB), Err(stopped));
                assert!(has_pattern(from, 4 * MIB));
                // The kernel left the target alone, which can't be known.
                fault::fail_nth(Call::Mremap, before_the_second + 1, Errno::ENOMEM);
                let stopped = Stopped { moved: 4096, failed: MIB - 4096, target: Target::Unknown };
                assert_eq!(move_mappings(from, to, 4 * MIB), Err(stopped));
                assert!(has_pattern(to, 4096));
                assert_eq!((from.read(), from.add(4096).read()), (0, 1));
            }
        });
    }

    #[test]
    fn a_kernel_that_does_not_know_the_move_changes_nothing() {
        in_child(|| {
            let (from, to) = (patterned(2 * MIB), patterned(2 * MIB));
            fault::fail_nth(Call::Mremap, 1, Errno::EINVAL);
            // SAFETY: the test's own mappings.
            assert_eq!(unsafe { move_pages(from, to, 2 * MIB) }, Err(Errno::EINVAL));
            // SAFETY: overlapping ranges of the test's own.
            assert_eq!(unsafe { move_pages(from, from.add(MIB), 2 * MIB) }, Err(Errno::EINVAL));
            assert!(has_pattern(from, 2 * MIB) && has_pattern(to, 2 * MIB));
        });
    }

    #[test]
    fn a_replaced_range_holds_what_was_moved_there() {
        in_child(|| {
            let from = patterned(2 * MIB);
            let to = reserve(4 * MIB, 2 * MIB).unwrap();
            // SAFETY: the test's own mappings.
            unsafe {
                replace(from, to, 2 * MIB).unwrap();
                assert!(has_pattern(to, 2 * MIB));
                assert!(!is_readable(from.as_ptr()));
            }
        });
    }

    /// Moves from unmapped memory, and checks that the target is unreadable and without a hole.
    fn failed_move(to: NonNull<u8>) -> Errno {
        let from = map(2 * MIB).unwrap();
        // SAFETY: the test's own mappings; nothing is there to be moved.
        let error = unsafe {
            unmap(from, 2 * MIB).unwrap();
            move_pages(from, to, 2 * MIB).unwrap_err()
        };
        // Were there a hole, the range could be reserved without replacing anything.
        assert_eq!(close_hole(to, 2 * MIB), Err(Errno::EEXIST));
        error
    }

    #[test]
    fn a_failed_move_leaves_no_hole_at_its_target() {
        in_child(|| {
            let to = reserve(4 * MIB, 2 * MIB).unwrap();
            // Kernels differ in whether they unmap the target before they look at the source.
            assert!(matches!(failed_move(to), Errno::EFAULT | Errno::EEXIST));
        });
    }

    #[test]
    fn a_hole_that_the_kernel_leaves_is_closed_and_the_reason_reported() {
        static TARGET: AtomicUsize = AtomicUsize::new(0);
        /// Does what a kernel does that fails half-way.
        fn unmap_target(call: Call) {
            let target = NonNull::new(ptr::with_exposed_provenance_mut(TARGET.load(Ordering::Relaxed)));
            if let (Call::Mremap, Some(target)) = (call, target) {
                // SAFETY: the target of the move is the test's own reservation.
                unsafe { unmap(target, 2 * MIB).unwrap() };
            }
        }
        in_child(|| {
            let to = reserve(4 * MIB, 2 * MIB).unwrap();
            TARGET.store(to.as_ptr().expose_provenance(), Ordering::Relaxed);
            fault::set_hook(unmap_target);
            assert_eq!(failed_move(to), Errno::EFAULT);
            // If the hole cannot be closed, the target is not the caller's any more.
            fault::fail_all(Call::Mmap, Errno::ENOMEM);
            let from = to.as_ptr().wrapping_add(2 * MIB);
            // SAFETY: the test's own reservation.
            let moved = unsafe { move_pages(NonNull::new(from).unwrap(), to, 2 * MIB) };
            assert_eq!(moved, Ok(()));
            fault::fail_nth(Call::Mremap, 1, Errno::ENOMEM);
            // SAFETY: the test's own reservation.
            let moved = unsafe { move_pages(NonNull::new(from).unwrap(), to, 2 * MIB) };
            assert_eq!(moved, Err(Errno::EEXIST));
        });
    }
}
