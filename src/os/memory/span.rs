//! Finding the place for a new mapping: aligned, and below a limit.

use super::mapping::{Access, mmap};
use super::unmap;
use crate::os::errno::{Errno, Result};
use crate::os::fault::{Call, gate};
use crate::units::PAGE_BYTES;
use core::ptr::{self, NonNull};

/// Maps `len` bytes at a multiple of `align`, ending at or below `limit`.
pub(super) fn map_below(len: usize, align: usize, access: Access, limit: usize) -> Result<NonNull<u8>> {
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
    unsafe { mmap(hint, span, access.protection(), access.flags()) }
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

    const MIB: usize = 1 << 20;

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
}
