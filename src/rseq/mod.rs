//! Floor 1: restartable sequences, the only assembly of the crate.
//!
//! A region is the cache of one CPU: an array of headers `{len: u16, end: u16}`, then cells that hold
//! block pointers. `len` and `end` count cells of 8 bytes from the region's base: a list's content is
//! the cells below `len` down to the first null cell, and it may grow up to `end`. So a pop is "load
//! the cell below `len`, and if it is not null, store `len - 1`", and there is no other state. Two
//! cells below the base stands the CPU's node, one cell below it a null.
//!
//! The table of regions is indexed by the `cpu_id` that the kernel keeps in the thread's rseq area,
//! with two entries below 0 for its values -1 and -2 (not registered, registration failed). Pointing
//! an entry at [`empty_region`] makes every operation on that CPU miss, which is how a region is taken
//! away from its CPU: see `cache::revoke`.
//!
//! Neighbours: `cache` is the only caller. [`thread_block`] is this crate's thread-local storage.
//!
//! # Invariants
//! * Only a thread running on CPU c changes `len` and the cells of `regions[c]`, inside a critical
//!   section; or the one who has revoked the region.
//! * Each section commits by one store. The kernel restarts a section that was preempted, migrated or
//!   signalled before it (Documentation/userspace-api/rseq.rst), so its reads all belong to one CPU.

pub(crate) mod area;
pub(crate) mod self_test;
pub(crate) mod thread_block;

#[cfg(target_arch = "x86_64")]
#[path = "x86_64.rs"]
mod arch;

#[cfg(target_arch = "aarch64")]
#[path = "aarch64.rs"]
mod arch;

use crate::sync::AtomicU64;

/// The offset of a thread's rseq area from its thread pointer, in bytes; the same for all threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area(pub(crate) isize);

/// The table of regions: points at the entry for CPU 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Regions(pub(crate) *const *mut u8);

/// The number of headers that a region may have at most: 64 nodes x 128 classes.
pub(crate) const MAX_HEADERS: usize = 64 * 128;

/// The memory of a region without lists: a null cell, and headers `{0, 0}` above it.
type NoRegion = [AtomicU64; 2 + MAX_HEADERS / 2];

/// Regions on which every operation misses. Nobody writes them.
static EMPTY_REGION: NoRegion = [const { AtomicU64::new(0) }; 2 + MAX_HEADERS / 2];
static UNOPENED_REGION: NoRegion = [const { AtomicU64::new(0) }; 2 + MAX_HEADERS / 2];

/// The region on which every operation misses.
pub(crate) fn empty_region() -> *mut u8 {
    EMPTY_REGION[2].as_ptr().cast()
}

/// Another one, that stands for a region that nobody has used yet.
pub(crate) fn unopened_region() -> *mut u8 {
    UNOPENED_REGION[2].as_ptr().cast()
}

/// Takes the topmost block of list `index` of this CPU's region; null if there is none.
///
/// # Safety
/// `regions[c]` must be a region with a header at `index`, for every `c` that the kernel may store in
/// the thread's `area`, and for -1 and -2. `area` must be from [`area`].
#[inline(always)]
pub(crate) unsafe fn pop(regions: Regions, area: Area, index: usize) -> *mut u8 {
    // SAFETY: the same contract.
    unsafe { arch::pop(regions, area, index) }
}

/// Puts `block` on list `index` of this CPU's region; `false` if the list is full.
///
/// # Safety
/// As [`pop`], and the cells up to `end` of that header belong to it. `block` must not be null.
#[inline(always)]
pub(crate) unsafe fn push(regions: Regions, area: Area, index: usize, block: *mut u8) -> bool {
    // SAFETY: the same contract.
    unsafe { arch::push(regions, area, index, block) }
}

/// As [`pop`], for a block that may be the one that was freed last, by its address alone.
///
/// # Safety
/// As [`pop`].
#[inline(always)]
pub(crate) unsafe fn pop_direct(regions: Regions, area: Area, index: usize) -> *mut u8 {
    // SAFETY: the same contract.
    unsafe { arch::pop_direct(regions, area, index) }
}

/// As [`push`], for a block that is given back by its address alone.
///
/// # Safety
/// As [`push`].
#[inline(always)]
pub(crate) unsafe fn push_direct(regions: Regions, area: Area, index: usize, block: *mut u8) -> bool {
    // SAFETY: the same contract.
    unsafe { arch::push_direct(regions, area, index, block) }
}

/// Puts `block`, which lives on node `home`, on this CPU's list of `class` for that node: list 0 is for
/// the CPU's own node, the others (`own ^ home`) are its outboxes. `false` if the list is full.
///
/// # Safety
/// As [`push`], with a header for every `class + 128 * (n ^ home)` where n is the node of a region.
#[inline(always)]
pub(crate) unsafe fn push_homed(
    regions: Regions,
    area: Area,
    class: usize,
    home: usize,
    block: *mut u8,
) -> bool {
    // SAFETY: the same contract.
    unsafe { arch::push_homed(regions, area, class, home, block) }
}

/// Takes up to `want` blocks off list `index` to `out`, topmost first; returns how many.
///
/// # Safety
/// As [`pop`]; `out` has room for `want` pointers.
#[inline]
pub(crate) unsafe fn pop_batch(
    regions: Regions,
    area: Area,
    index: usize,
    out: *mut *mut u8,
    want: usize,
) -> usize {
    // SAFETY: the same contract.
    unsafe { arch::pop_batch(regions, area, index, out, want) }
}

/// Puts as many of `blocks` on list `index` as fit, the first lowest, if this CPU's region is still
/// `region`; returns how many.
///
/// # Safety
/// As [`push`], for each block.
#[inline]
pub(crate) unsafe fn push_batch(
    regions: Regions,
    area: Area,
    region: *mut u8,
    index: usize,
    blocks: &[*mut u8],
) -> usize {
    // SAFETY: the same contract.
    unsafe { arch::push_batch(regions, area, region, index, blocks.as_ptr(), blocks.len()) }
}

/// Sets the header of list `index` to `new` if this CPU's region is still `region` and the header is
/// still `old`; returns whether it did. A header is `len | end << 16`.
///
/// # Safety
/// As [`pop`], and the cells of the new header belong to that list, with a null cell below them.
pub(crate) unsafe fn exchange_header(
    regions: Regions,
    area: Area,
    region: *mut u8,
    index: usize,
    old: u32,
    new: u32,
) -> bool {
    // SAFETY: the same contract.
    unsafe { arch::exchange_header(regions, area, region, index, old, new) }
}

/// Adds `value` to a word that belongs to `region`, without a lock prefix, if this CPU's region is still
/// that one; returns whether it did.
///
/// # Safety
/// As [`pop`]; `word` is writable, and only critical sections of that region's CPU write it.
#[inline(always)]
pub(crate) unsafe fn add(regions: Regions, area: Area, region: *mut u8, word: *mut u64, value: u64) -> bool {
    // SAFETY: the same contract.
    unsafe { arch::add(regions, area, region, word, value) }
}

#[cfg(test)]
mod stress_tests;
