//! Where the lists of a region lie.
//!
//! From the base, in cells of 8 bytes: the headers (128 for each slot, two to a cell), then for each
//! class its own-node list, then the outbox lists of the other slots. Each list has a null cell below
//! its first one. Slot `s` of a region on node `n` is for blocks of node `n ^ s`; so slot 0 is the own
//! node's, and there are as many slots as nodes, rounded up to a power of two.
//!
//! `len` and `end` are 16-bit cell numbers, so a region has at most 65,535 cells (512 KiB); pages of
//! lists that are never used are never touched.

use crate::rseq::MAX_HEADERS;
use crate::size_class::{CLASSES, SizeClass};

/// Headers of one slot.
pub(crate) const SLOT_HEADERS: usize = 128;
/// Cells that a region can have.
const MAX_CELLS: usize = u16::MAX as usize;
/// Bytes of blocks that one own-node list may hold, at most.
const LIST_BYTES: usize = 512 << 10;
/// Cells of an outbox list, at most.
const OUTBOX_CELLS: usize = 32;

const _: () = assert!(CLASSES <= SLOT_HEADERS);

/// A list of a region: `slot * 128 + class`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListIndex(pub(crate) u16);

impl ListIndex {
    /// The list of `class` in `slot`.
    #[inline]
    pub(crate) const fn new(slot: usize, class: SizeClass) -> Self {
        Self((slot * SLOT_HEADERS + class.index()) as u16)
    }

    /// The list of `class` for the CPU's own node.
    #[inline]
    pub(crate) const fn own(class: SizeClass) -> Self {
        Self(class.index() as u16)
    }

    /// The list as an index of headers.
    #[inline]
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether the list is an outbox.
    pub(crate) const fn is_outbox(self) -> bool {
        self.0 as usize >= SLOT_HEADERS
    }
}

/// A header: `len | end << 16`, both as cells from the base. 0 says "not opened".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) u32);

impl Header {
    /// A list with content up to `len` and room up to `end`.
    pub(crate) const fn new(len: usize, end: usize) -> Self {
        Self(len as u32 | (end as u32) << 16)
    }

    /// The cell above the topmost block.
    pub(crate) const fn len(self) -> usize {
        self.0 as usize & 0xffff
    }

    /// The cell above the room.
    pub(crate) const fn end(self) -> usize {
        (self.0 >> 16) as usize
    }
}

/// The layout of all regions of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    slots: usize,
    /// Most blocks in an own-node list.
    own_most: usize,
    /// Most blocks in an outbox list.
    outbox_cells: usize,
    /// First cell of each class's own-node list.
    own_first: [u16; CLASSES],
    /// First cell of the first outbox list.
    outbox_first: usize,
    cells: usize,
}

impl Layout {
    /// The layout for this many nodes.
    pub(crate) fn new(nodes: usize) -> Self {
        let slots = nodes.next_power_of_two();
        debug_assert!(slots * SLOT_HEADERS <= MAX_HEADERS);
        let own_most = if slots <= 8 { 1024 } else { 256 };
        let mut cell = slots * SLOT_HEADERS / 2 + 1;
        let mut own_first = [0; CLASSES];
        for class in SizeClass::all() {
            own_first[class.index()] = cell as u16;
            cell += own_capacity(class, own_most) + 1;
        }
        let outboxes = (slots - 1) * CLASSES;
        let outbox_cells =
            (MAX_CELLS - cell).checked_div(outboxes).map_or(0, |cells| (cells - 1).min(OUTBOX_CELLS));
        let cells = cell + outboxes * (outbox_cells + 1);
        debug_assert!(cells <= MAX_CELLS && (outboxes == 0 || outbox_cells >= 2));
        Self { slots, own_most, outbox_cells, own_first, outbox_first: cell, cells }
    }

    /// Bytes from a region's base to its end.
    pub(crate) const fn bytes(&self) -> usize {
        self.cells * 8
    }

    /// The first cell of a list.
    pub(crate) fn first(&self, list: ListIndex) -> usize {
        let (slot, class) = (list.index() / SLOT_HEADERS, list.index() % SLOT_HEADERS);
        if slot == 0 {
            return self.own_first.get(class).map_or(0, |first| *first as usize);
        }
        self.outbox_first + ((slot - 1) * CLASSES + class) * (self.outbox_cells + 1)
    }

    /// The slot of a list.
    pub(crate) const fn slot(&self, list: ListIndex) -> usize {
        list.index() / SLOT_HEADERS
    }

    /// The most blocks that a list may hold.
    pub(crate) fn most(&self, list: ListIndex) -> usize {
        if list.is_outbox() {
            return self.outbox_cells;
        }
        SizeClass::from_index(list.index()).map_or(0, |class| own_capacity(class, self.own_most))
    }

    /// All lists.
    pub(crate) fn lists(&self) -> impl Iterator<Item = (ListIndex, SizeClass)> {
        (0..self.slots)
            .flat_map(|slot| SizeClass::all().map(move |class| (ListIndex::new(slot, class), class)))
    }
}

/// The most blocks of an own-node list.
fn own_capacity(class: SizeClass, most: usize) -> usize {
    (LIST_BYTES / class.bytes()).clamp(2, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_never_overlap_and_have_a_cell_between() {
        for nodes in [1, 2, 3, 4, 8, 9, 16, 33, 64] {
            let layout = Layout::new(nodes);
            assert!(layout.slots >= nodes && layout.bytes() <= 512 << 10);
            let mut next = layout.slots * SLOT_HEADERS / 2;
            for (list, _) in layout.lists() {
                assert!(layout.most(list) >= 2, "{nodes} nodes: {list:?}");
                assert!(layout.first(list) > next, "{nodes} nodes: {list:?}");
                next = layout.first(list) + layout.most(list);
            }
            assert!(next * 8 <= layout.bytes());
        }
    }

    #[test]
    fn headers_pack_len_and_end() {
        let header = Header::new(40_000, 65_535);
        assert_eq!((header.len(), header.end()), (40_000, 65_535));
    }
}
