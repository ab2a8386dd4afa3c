//! The few words that the hit path reads: one cache line, written once at start.
//!
//! Which way a call goes is decided by one comparison that the hit path needs anyway: its size
//! against a limit. Before start, in fallback mode, and for frees on machines with several nodes, the
//! limit is -1 and every size is beyond it. So it is for allocations while any thread prefers a node: the
//! hit path need not know of preferences, and pays for them only while there is one. A free that names no size
//! is decided by its address in the same way: where it may not go the direct way, no address is in sight.
//!
//! # State
//! `alloc_limit` is one word, so that threads that begin and end to prefer need no order:
//!
//! | value | meaning | goes to |
//! | --- | --- | --- |
//! | -1 | closed | 0 or more, by [`open`] |
//! | 0 and more | open: sizes up to it are tried directly | -2, by [`divert`] |
//! | -1 - n | open, but n threads prefer a node | one less by [`divert`], one more or the limit by [`undivert`] |

use crate::rseq::{self, Area, Regions};
use crate::size_class::{MID_MAX, SizeClass, TINY_MAX};
use crate::slab::page_map::{Entry, View};
use crate::sync::{AtomicIsize, AtomicPtr, AtomicU16, AtomicUsize, Ordering};
use crate::units::PIECE_SHIFT;

/// See the module.
#[repr(C, align(64))]
struct Gate {
    /// The largest size that `alloc` tries on this CPU's region directly, or what else the table above
    /// says. Written last, with Release.
    alloc_limit: AtomicIsize,
    /// The largest size that `dealloc` tries directly. Likewise.
    free_limit: AtomicIsize,
    /// An [`Area`]. Written before the limits.
    area: AtomicIsize,
    /// A [`Regions`]. Written before the limits.
    regions: AtomicPtr<*mut u8>,
    /// Bytes of address space in which `free` looks a block up directly; 0 if it does not. Written last, with
    /// Release.
    view_bytes: AtomicUsize,
    /// Where that begins. Written before its size.
    view_base: AtomicUsize,
    /// Its page map. Written before its size.
    view_entries: AtomicPtr<AtomicU16>,
}

const _: () = assert!(size_of::<Gate>() == 64);

/// Classes of Tiny and Mid blocks.
const MID_CLASSES: usize = SizeClass::of(MID_MAX).index() + 1;

/// The limit of a closed gate.
const CLOSED: isize = -1;

static GATE: Gate = Gate {
    alloc_limit: AtomicIsize::new(CLOSED),
    free_limit: AtomicIsize::new(CLOSED),
    area: AtomicIsize::new(0),
    regions: AtomicPtr::new(core::ptr::null_mut()),
    view_bytes: AtomicUsize::new(0),
    view_base: AtomicUsize::new(0),
    view_entries: AtomicPtr::new(core::ptr::null_mut()),
};

/// Opens the hit path: from now on sizes up to the limits (at most [`TINY_MAX`]) go to this CPU's
/// region. Does nothing if it is open.
///
/// # Safety
/// `regions` and `area` must satisfy [`rseq::pop`] for ever, with lists for all classes.
pub(crate) unsafe fn open(regions: Regions, area: Area, alloc_limit: isize, free_limit: isize) {
    // Relaxed: published by the Release stores below.
    GATE.regions.store(regions.0.cast_mut(), Ordering::Relaxed);
    GATE.area.store(area.0, Ordering::Relaxed);
    // Release: pairs with the Acquire loads in `admits_alloc` and `admits_free`. Relaxed on failure: it
    // is open, and by the same values.
    let _ = GATE.alloc_limit.compare_exchange(CLOSED, alloc_limit, Ordering::Release, Ordering::Relaxed);
    GATE.free_limit.store(free_limit, Ordering::Release);
}

/// Sends all allocations past the direct way, once more than they are sent there already: a thread
/// begins to prefer a node. The gate must be open.
pub(crate) fn divert() {
    change_limit(|limit| if limit >= 0 { CLOSED - 1 } else { limit - 1 });
}

/// Undoes one [`divert`]; `alloc_limit` is what [`open`] was given.
pub(crate) fn undivert(alloc_limit: isize) {
    change_limit(|limit| if limit == CLOSED - 1 { alloc_limit } else { limit + 1 });
}

fn change_limit(change: impl Fn(isize) -> isize) {
    // Release: whoever reads the new limit reads what `open` wrote. Relaxed on failure: tried again.
    let _ = GATE.alloc_limit.fetch_update(Ordering::Release, Ordering::Relaxed, |limit| Some(change(limit)));
}

/// Lets frees that name no size look blocks up in `view` and call [`push`]: all nodes are one.
///
/// # Safety
/// The gate is open; the view's page map is valid for ever.
pub(crate) unsafe fn open_view(view: &View) {
    // Relaxed: published by the Release store below.
    GATE.view_base.store(view.base, Ordering::Relaxed);
    GATE.view_entries.store(view.entries.as_ptr(), Ordering::Relaxed);
    // Release: pairs with the Acquire load in `class_in_view`.
    GATE.view_bytes.store(view.bytes, Ordering::Release);
}

/// The class of the slab in which a block lies, if it is Tiny or Mid and the block may be given to [`push`].
/// Any pointer will do.
#[inline(always)]
pub(crate) fn class_in_view(block: *mut u8) -> Option<SizeClass> {
    // Acquire: pairs with the Release in `open_view`.
    let bytes = GATE.view_bytes.load(Ordering::Acquire);
    // Relaxed, here and below: acquired with the size.
    let offset = block.addr().wrapping_sub(GATE.view_base.load(Ordering::Relaxed));
    if offset >= bytes {
        return None;
    }
    let entries = GATE.view_entries.load(Ordering::Relaxed);
    // SAFETY: the page map has an entry for each piece of the view, for ever. Relaxed: see `Space::tenant`.
    let entry = unsafe { &*entries.add(offset >> PIECE_SHIFT) }.load(Ordering::Relaxed);
    Entry(entry).class_below(MID_CLASSES)
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
    // Acquire: pairs with the Release in `open`.
    GATE.alloc_limit.load(Ordering::Acquire) != CLOSED
}

/// Whether the gate is open, and no thread prefers a node.
#[inline(always)]
pub(crate) fn is_direct() -> bool {
    // Acquire: as in `is_open`.
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

/// As [`pop`], for callers that give blocks back by their address alone.
///
/// # Safety
/// As [`pop`].
#[inline(always)]
pub(crate) unsafe fn pop_direct(class: SizeClass) -> *mut u8 {
    // SAFETY: as in `pop`.
    unsafe { rseq::pop_direct(regions(), area(), class.index()) }
}

/// As [`push`], for blocks that are given back by their address alone.
///
/// # Safety
/// As [`push`].
#[inline(always)]
pub(crate) unsafe fn push_direct(class: SizeClass, block: *mut u8) -> bool {
    // SAFETY: as in `pop`.
    unsafe { rseq::push_direct(regions(), area(), class.index(), block) }
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
