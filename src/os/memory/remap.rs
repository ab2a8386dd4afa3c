//! `mremap(2)`: growing a mapping and moving its pages without copying them.
//!
//! # Invariants
//! - Each range named here lies in one mapping (one protection, one policy): kernels before 6.17
//!   refuse others with `EFAULT`.
//! - Where pages move onto a range of the caller, a failure half-way may leave a hole in the address
//!   space. It is closed at once by a reservation that replaces nothing; if another thread's mapping
//!   was faster, or the kernel had failed before making the hole, the answer is `EEXIST`.

use super::mapping::mmap;
use crate::os::errno::{Errno, Result};
use crate::os::fault::{Call, gate};
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

/// Moves the pages of `from .. from + len` to `to`, and with them protection and policy. `from`
/// stays mapped, with its protection and policy, and reads as zero; the old mapping at `to` is
/// replaced.
///
/// Errors: `EINVAL` before Linux 5.7, or if the ranges overlap; `EFAULT` if `from` is not one
/// mapping; `ENOMEM`. `from` is unchanged after an error. `to` is then reserved (`PROT_NONE`) and
/// empty, or, after `EEXIST`, of unknown state: it must not be used again. mremap(2).
///
/// # Safety
/// Both ranges belong to the caller; nobody uses the contents of `to`, and nobody uses `from` during
/// the call.
pub unsafe fn move_pages(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe { remap_onto(from, to, len, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP) }
}

/// Moves the whole mapping `from .. from + len` to `to`, replacing what is mapped there; `from` is
/// unmapped. Pages, protection and policy go with it.
///
/// Errors: `EINVAL` if the ranges overlap, or for hugetlb memory before Linux 5.16; else as
/// [`move_pages`].
///
/// # Safety
/// As [`move_pages`]; and nobody uses `from` afterwards.
pub unsafe fn replace(from: NonNull<u8>, to: NonNull<u8>, len: usize) -> Result<()> {
    // SAFETY: passed on.
    unsafe { remap_onto(from, to, len, MREMAP_MAYMOVE | MREMAP_FIXED) }
}

/// # Safety
/// As [`move_pages`].
unsafe fn remap_onto(from: NonNull<u8>, to: NonNull<u8>, len: usize, flags: i32) -> Result<()> {
    // SAFETY: passed on.
    match unsafe { mremap(from, len, len, flags, to.as_ptr()) } {
        Ok(_) => Ok(()),
        Err(errno) => close_hole(to, len).and(Err(errno)),
    }
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
