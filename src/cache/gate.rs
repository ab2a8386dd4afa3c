//! The few words that the hit path reads: one cache line, written once at start.
//!
//! Which way a call goes is decided by one comparison that the hit path needs anyway: its size
//! against a limit. Before start, in fallback mode, and for frees on machines with several nodes, the
//! limit is -1 and every size is beyond it.

use crate::rseq::{self, Area, Regions};
use crate::size_class::{SizeClass, TINY_MAX};
use crate::sync::{AtomicIsize, AtomicPtr, Ordering};

/// See the module.
#[repr(C, align(64))]
struct Gate {
    /// The largest size that `alloc` tries on this CPU's region directly. Written last, with Release.
    alloc_limit: AtomicIsize,
    /// The largest size that `dealloc` tries directly. Likewise.
    free_limit: AtomicIsize,
    /// An [`Area`]. Written before the limits.
    area: AtomicIsize,
    /// A [`Regions`]. Written before the limits.
    regions: AtomicPtr<*mut u8>,
}

static GATE: Gate = Gate {
    alloc_limit: AtomicIsize::new(-1),
    free_limit: AtomicIsize::new(-1),
    area: AtomicIsize::new(0),
    regions: AtomicPtr::new(core::ptr::null_mut()),
};

/// Opens the hit path: from now on sizes up to the limits (at most [`TINY_MAX`]) go to this CPU's
/// region.
///
/// # Safety
/// `regions` and `area` must satisfy [`rseq::pop`] for ever, with lists for all classes.
pub(crate) unsafe fn open(regions: Regions, area: Area, alloc_limit: isize, free_limit: isize) {
    // Relaxed: published by the Release stores below.
    GATE.regions.store(regions.0.cast_mut(), Ordering::Relaxed);
    GATE.area.store(area.0, Ordering::Relaxed);
    // Release: pairs with the Acquire loads in `admits_alloc` and `admits_free`.
    GATE.alloc_limit.store(alloc_limit, Ordering::Release);
    GATE.free_limit.store(free_limit, Ordering::Release);
}

/// Whether an allocation of `size` bytes may call [`pop`]; if so it is Tiny.
#[inline(always)]
pub(crate) fn admits_alloc(size: usize) -> bool {
    admits(&GATE.alloc_limit, size)
}

/// Whether a free of a block of `size` bytes may call [`push`]; if so it is Tiny.
#[inline(always)]
pub(crate) fn admits_free(size: usize) -> bool {
    admits(&GATE.free_limit, size)
}

#[inline(always)]
fn admits(limit: &AtomicIsize, size: usize) -> bool {
    // Acquire: pairs with the Release in `open`.
    size as isize <= limit.load(Ordering::Acquire)
}

/// The class of a size that was admitted.
///
/// # Safety
/// [`admits_alloc`] or [`admits_free`] said yes to `size`.
#[inline(always)]
pub(crate) unsafe fn admitted_class(size: usize) -> SizeClass {
    // SAFETY: limits are -1 or at most TINY_MAX (see `open`), and sizes are at most `isize::MAX`. Saying
    // so spares the look-up its bounds check.
    unsafe { core::hint::assert_unchecked(size <= TINY_MAX) };
    SizeClass::of_tiny(size)
}

#[inline(always)]
fn regions() -> Regions {
    // Relaxed: acquired with the limit.
    Regions(GATE.regions.load(Ordering::Relaxed))
}

#[inline(always)]
fn area() -> Area {
    // Relaxed: acquired with the limit.
    Area(GATE.area.load(Ordering::Relaxed))
}

/// Whether the gate has been opened: caches are per CPU.
#[inline(always)]
pub(crate) fn is_open() -> bool {
    // Acquire: pairs with the Release in `open`. The limit for allocations is -1 until then, and not
    // after.
    GATE.alloc_limit.load(Ordering::Acquire) >= 0
}

/// A block of `class` from this CPU's region; null if it has none.
///
/// # Safety
/// The gate must be open ([`admits_alloc`] or [`admits_free`] said so, or `open` was called).
#[inline(always)]
pub(crate) unsafe fn pop(class: SizeClass) -> *mut u8 {
    // SAFETY: `open` was promised what `pop` needs.
    unsafe { rseq::pop(regions(), area(), class.index()) }
}

/// Puts a block of `class`, which lives on this CPU's node, into this CPU's region; `false` if full.
///
/// # Safety
/// As [`pop`]; the block is not in use, and all nodes are one.
#[inline(always)]
pub(crate) unsafe fn push(class: SizeClass, block: *mut u8) -> bool {
    // SAFETY: as in `pop`.
    unsafe { rseq::push(regions(), area(), class.index(), block) }
}

/// Puts a block of `class` that lives on node `home` into this CPU's region; `false` if full.
///
/// # Safety
/// As [`pop`]; the block is not in use.
#[inline(always)]
pub(crate) unsafe fn push_homed(class: SizeClass, home: usize, block: *mut u8) -> bool {
    // SAFETY: as in `pop`; homes are below the number of slots.
    unsafe { rseq::push_homed(regions(), area(), class.index(), home, block) }
}
