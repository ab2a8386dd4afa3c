//! One region and its control, as memory.
//!
//! ```text
//!  Control | node | null | headers | null, list | null, list | ...
//!          ^             ^ base (what the table of regions points at)
//!          two cells below the base
//! ```

use super::control::Control;
use super::layout::{Header, Layout, ListIndex};
use crate::sync::{AtomicU16, AtomicU64, Ordering};
use crate::units::{NodeId, PAGE_BYTES};
use core::ptr::NonNull;

/// Bytes from the beginning of a region's memory to its base.
pub(crate) const CONTROL_BYTES: usize = (size_of::<Control>() + 16).next_multiple_of(64);

/// A region, by its base. Its memory is zeroed when new, and never unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region(NonNull<u8>);

impl Region {
    /// Bytes of memory for one region and its control.
    pub(crate) const fn stride(layout: &Layout) -> usize {
        (CONTROL_BYTES + layout.bytes()).next_multiple_of(PAGE_BYTES)
    }

    /// The region in the zeroed memory at `start`.
    ///
    /// # Safety
    /// [`stride`](Self::stride) bytes at `start`, aligned to a page, belong to the region for ever.
    pub(crate) unsafe fn new(start: NonNull<u8>, node: NodeId) -> Self {
        // SAFETY: inside the memory that the caller gives.
        let region = Self(unsafe { start.add(CONTROL_BYTES) });
        // The memory says node 0 already; it is left untouched for a CPU that may never be used.
        if node != NodeId::ZERO {
            region.set_node(node);
        }
        region
    }

    /// The region with this base.
    ///
    /// # Safety
    /// `base` must be the base of a region made by [`new`](Self::new), and not the empty region.
    pub(crate) unsafe fn from_base(base: *mut u8) -> Option<Self> {
        NonNull::new(base).map(Self)
    }

    /// The base, as the table of regions holds it.
    pub(crate) fn base(self) -> *mut u8 {
        self.0.as_ptr()
    }

    /// The slow-path state.
    pub(crate) fn control(self) -> &'static Control {
        // SAFETY: `new` was promised memory for the control below the base, zeroed and for ever.
        unsafe { self.0.sub(CONTROL_BYTES).cast::<Control>().as_ref() }
    }

    /// The node that slot 0 is for.
    pub(crate) fn node(self) -> NodeId {
        // Relaxed: for a CPU's region it never changes; a thread's is its own.
        NodeId(self.node_cell().load(Ordering::Relaxed) as u8)
    }

    /// Sets the node that slot 0 is for; all lists must be empty.
    pub(crate) fn set_node(self, node: NodeId) {
        // Relaxed: as in `node`; a new region is published by the store into the table.
        self.node_cell().store(u64::from(node.0), Ordering::Relaxed);
    }

    fn node_cell(self) -> &'static AtomicU64 {
        // SAFETY: two cells below the base, see the picture.
        unsafe { self.0.cast::<AtomicU64>().sub(2).as_ref() }
    }

    /// The two halves of a list's header: `len` and `end`.
    #[inline]
    pub(crate) fn halves(self, list: ListIndex) -> &'static [AtomicU16; 2] {
        // SAFETY: the headers begin at the base, and list indices come from the layout.
        unsafe { self.0.cast::<[AtomicU16; 2]>().add(list.index()).as_ref() }
    }

    /// The header of a list at this moment. Another CPU's may be changing, between the two halves too.
    pub(crate) fn header(self, list: ListIndex) -> Header {
        let [len, end] = self.halves(list);
        // Relaxed: a hint, or the caller owns the region.
        Header::new(len.load(Ordering::Relaxed) as usize, end.load(Ordering::Relaxed) as usize)
    }

    /// Sets the header of a list. For the owner of the region.
    pub(crate) fn set_header(self, list: ListIndex, header: Header) {
        let [len, end] = self.halves(list);
        // Relaxed: the region is the caller's.
        len.store(header.len() as u16, Ordering::Relaxed);
        end.store(header.end() as u16, Ordering::Relaxed);
    }

    /// A cell. For the owner of the region.
    #[inline]
    pub(crate) fn cell(self, number: usize) -> &'static AtomicU64 {
        // SAFETY: cell numbers come from the layout, or from headers, which do.
        unsafe { self.0.cast::<AtomicU64>().add(number).as_ref() }
    }

    /// The cell below a length: the topmost block of a list of that length, or the null below it.
    #[inline]
    pub(crate) fn below(self, len: u16) -> &'static AtomicU64 {
        // SAFETY: as in `cell`; below the base too, there is a null.
        unsafe { self.0.cast::<AtomicU64>().add(len as usize).sub(1).as_ref() }
    }

    /// How many blocks lie on a list at this moment.
    pub(crate) fn count(self, layout: &Layout, list: ListIndex) -> usize {
        self.header(list).len().saturating_sub(layout.first(list))
    }
}
