//! The address space: one range a node, and the flat tables that are indexed by address.
//!
//! All nodes' ranges have the same power-of-two size and lie one after the other, so that
//! `(address - base) >> node_shift` is the home node of a block. The tables (page map, slab
//! descriptors, bitmaps, SuperSlab descriptors) cover all of it, are touched lazily, and are never
//! unmapped; each node's share of them is bound to that node by `heap::start`.
//!
//! Neighbours: `pool` hands out the SuperSlabs of a range; `heap` owns the one [`Space`].

use super::descriptor::{Bitmap, Slab, SuperSlab};
use super::free_units::FreeUnits;
use super::page_map::{Entry, Tenant, View};
use super::shape::Shape;
use crate::os::{self, Result, memory};
use crate::size_class::SizeClass;
use crate::sync::tagged_stack::Links;
use crate::sync::{AtomicU16, AtomicU32, Ordering};
use crate::units::{NodeId, PIECE_BYTES, PIECE_SHIFT, PIECES, SUPERSLAB_BYTES, SUPERSLAB_SHIFT};
use core::ptr::NonNull;

/// The smallest range of a node, in bytes.
pub(crate) const MIN_NODE_BYTES: usize = 1 << 30;
/// The largest size of all ranges together, in bytes: a slab index then fits in 31 bits.
pub(crate) const MAX_SPACE_BYTES: usize = 1 << 46;

/// How many tables there are.
pub(crate) const TABLES: usize = 4;

/// A piece of 64 KiB, counted from the base of the space; also the slab that begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SlabIndex(pub(crate) u32);

/// A SuperSlab, counted from the base of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SuperIndex(pub(crate) u32);

impl SlabIndex {
    /// The SuperSlab in which the piece lies.
    pub(crate) const fn superslab(self) -> SuperIndex {
        SuperIndex(self.0 / PIECES as u32)
    }

    /// The piece's place in its SuperSlab.
    pub(crate) const fn piece(self) -> u32 {
        self.0 % PIECES as u32
    }
}

impl SuperIndex {
    /// The SuperSlab's piece number `piece`.
    pub(crate) const fn piece(self, piece: u32) -> SlabIndex {
        SlabIndex(self.0 * PIECES as u32 + piece)
    }
}

/// A block, found from its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its slab.
    pub(crate) slab: SlabIndex,
    /// Its class.
    pub(crate) class: SizeClass,
    /// Bytes from the slab's base to the address.
    pub(crate) offset: usize,
}

/// The ranges of all nodes and their tables.
pub(crate) struct Space {
    base: usize,
    node_shift: u32,
    nodes: usize,
    page_map: NonNull<AtomicU16>,
    slabs: NonNull<Slab>,
    bitmaps: NonNull<Bitmap>,
    supers: NonNull<SuperSlab>,
}

// SAFETY: the tables hold atomics only, and are never unmapped while the space is shared.
unsafe impl Send for Space {}
// SAFETY: as above.
unsafe impl Sync for Space {}

impl Space {
    /// Reserves `node_bytes` (a power of two, a multiple of 1 GiB) for each of `nodes` nodes, and maps
    /// the tables. If the kernel refuses, halves the ranges and tries again, down to
    /// [`MIN_NODE_BYTES`]; then its error is returned and nothing stays mapped.
    pub(crate) fn reserve(nodes: usize, node_bytes: usize) -> Result<Self> {
        let most = MAX_SPACE_BYTES / nodes.next_power_of_two();
        let mut bytes = node_bytes.min(most).next_power_of_two().max(MIN_NODE_BYTES);
        loop {
            match Self::reserve_exactly(nodes, bytes) {
                Ok(space) => return Ok(space),
                Err(error) if bytes <= MIN_NODE_BYTES => return Err(error),
                Err(_) => bytes /= 2,
            }
        }
    }

    fn reserve_exactly(nodes: usize, node_bytes: usize) -> Result<Self> {
        let bytes = nodes * node_bytes;
        let mut undo = Undo { mapped: [(0, 0); 5], count: 0 };
        let base = undo.note(memory::reserve(bytes, SUPERSLAB_BYTES)?, bytes);
        let pieces = bytes / PIECE_BYTES;
        let mut table = |len: usize| -> Result<NonNull<u8>> {
            let at = memory::map(len)?;
            undo.note(at, len);
            // A table touched here and there must not be backed by huge pages.
            // SAFETY: a fresh mapping; the advice changes no contents.
            let _ = unsafe { memory::advise(at, len, memory::Advice::NoHugePage) };
            Ok(at)
        };
        let page_map = table(pieces * size_of::<AtomicU16>())?.cast();
        let slabs = table(pieces * size_of::<Slab>())?.cast();
        let bitmaps = table(pieces * size_of::<Bitmap>())?.cast();
        let supers = table(pieces / PIECES * size_of::<SuperSlab>())?.cast();
        undo.keep();
        Ok(Self { base, node_shift: node_bytes.ilog2(), nodes, page_map, slabs, bitmaps, supers })
    }

    /// Unmaps everything.
    ///
    /// # Safety
    /// Nobody else has seen the space, and no memory of it is in use.
    pub(crate) unsafe fn unmap(&self) {
        let bytes = self.bytes();
        let pieces = bytes / PIECE_BYTES;
        let all = [
            (self.base, bytes),
            (self.page_map.as_ptr() as usize, pieces * size_of::<AtomicU16>()),
            (self.slabs.as_ptr() as usize, pieces * size_of::<Slab>()),
            (self.bitmaps.as_ptr() as usize, pieces * size_of::<Bitmap>()),
            (self.supers.as_ptr() as usize, pieces / PIECES * size_of::<SuperSlab>()),
        ];
        Undo { mapped: all, count: all.len() }.undo();
    }

    /// Bytes of all ranges.
    pub(crate) const fn bytes(&self) -> usize {
        self.nodes << self.node_shift
    }

    /// Bytes of one node's range.
    pub(crate) const fn node_bytes(&self) -> usize {
        1 << self.node_shift
    }

    /// The first SuperSlab of a node's range.
    pub(crate) const fn first_superslab(&self, node: NodeId) -> SuperIndex {
        SuperIndex((node.index() << (self.node_shift - SUPERSLAB_SHIFT)) as u32)
    }

    /// The number of SuperSlabs in a node's range.
    pub(crate) const fn node_superslabs(&self) -> usize {
        self.node_bytes() / SUPERSLAB_BYTES
    }

    /// The home node of an address; `None` if it is in no range.
    #[inline]
    pub(crate) const fn node_of(&self, address: usize) -> Option<NodeId> {
        let node = address.wrapping_sub(self.base) >> self.node_shift;
        if node < self.nodes { Some(NodeId(node as u8)) } else { None }
    }

    /// The home node of a piece.
    pub(crate) const fn node_of_slab(&self, slab: SlabIndex) -> NodeId {
        NodeId((slab.0 >> (self.node_shift - PIECE_SHIFT)) as u8)
    }

    /// The address at which a piece begins.
    #[inline]
    pub(crate) const fn slab_address(&self, slab: SlabIndex) -> usize {
        self.base + ((slab.0 as usize) << PIECE_SHIFT)
    }

    /// The address at which a SuperSlab begins.
    pub(crate) const fn superslab_address(&self, superslab: SuperIndex) -> usize {
        self.base + ((superslab.0 as usize) << SUPERSLAB_SHIFT)
    }

    /// The pointer to the byte at `address`, which must lie in the space.
    pub(crate) fn pointer(&self, address: usize) -> NonNull<u8> {
        debug_assert!(self.node_of(address).is_some());
        // SAFETY: an address of the space is not 0.
        unsafe { NonNull::new_unchecked(core::ptr::with_exposed_provenance_mut(address)) }
    }

    /// The piece in which an address lies; `None` if it is in no range.
    #[inline]
    pub(crate) const fn slab_at(&self, address: usize) -> Option<SlabIndex> {
        let offset = address.wrapping_sub(self.base);
        if offset < self.bytes() { Some(SlabIndex((offset >> PIECE_SHIFT) as u32)) } else { None }
    }

    /// The page map, as the hit path sees it.
    pub(crate) const fn view(&self) -> View {
        View { base: self.base, bytes: self.bytes(), entries: self.page_map }
    }

    fn entry(&self, slab: SlabIndex) -> &AtomicU16 {
        debug_assert!(self.slab_address(slab) - self.base < self.bytes());
        // SAFETY: the table has an entry for every piece of the space, and indices come from
        // addresses in it.
        unsafe { self.page_map.add(slab.0 as usize).as_ref() }
    }

    /// What lies in a piece.
    #[inline]
    pub(crate) fn tenant(&self, slab: SlabIndex) -> Tenant {
        // Relaxed: whoever has a pointer into the slab has it, through some synchronisation of the
        // program's own, from a thread that saw the entry written.
        Entry(self.entry(slab).load(Ordering::Relaxed)).tenant()
    }

    /// Writes the page map entries of a run of pieces that the caller owns.
    pub(crate) fn set_tenant(&self, first: SlabIndex, pieces: u8, entry: impl Fn(u8) -> Entry) {
        for distance in 0..pieces {
            let at = SlabIndex(first.0 + distance as u32);
            // Relaxed: as in `tenant`.
            self.entry(at).store(entry(distance).0, Ordering::Relaxed);
        }
    }

    /// The slab and the offset of an address; `None` if it lies in no slab.
    #[inline]
    pub(crate) fn place(&self, address: usize) -> Option<Place> {
        let piece = self.slab_at(address)?;
        match self.tenant(piece) {
            Tenant::Slab { class, distance } => {
                let slab = SlabIndex(piece.0 - distance as u32);
                Some(Place { slab, class, offset: address - self.slab_address(slab) })
            }
            Tenant::None | Tenant::Huge => None,
        }
    }

    /// Whether every block lies in a slab of `class` on `home`. Decides nothing block by block: blocks come
    /// in any order, and a processor can't guess from which slab the next one is.
    pub(crate) fn all_of(&self, class: SizeClass, home: NodeId, blocks: &[*mut u8]) -> bool {
        let mut odd = 0;
        for block in blocks {
            let offset = block.addr().wrapping_sub(self.base);
            let outside = offset >= self.bytes();
            let piece = if outside { 0 } else { offset >> PIECE_SHIFT };
            // Relaxed: as in `tenant`.
            let entry = Entry(self.entry(SlabIndex(piece as u32)).load(Ordering::Relaxed));
            odd |= usize::from(outside)
                | usize::from(entry.differs(class))
                | ((offset >> self.node_shift) ^ home.index());
        }
        odd == 0
    }

    /// The descriptor of a slab.
    #[inline]
    pub(crate) fn slab(&self, slab: SlabIndex) -> &Slab {
        debug_assert!(self.slab_address(slab) - self.base < self.bytes());
        // SAFETY: as in `entry`; a zeroed descriptor is valid.
        unsafe { self.slabs.add(slab.0 as usize).as_ref() }
    }

    /// The free blocks of a slab of the given shape.
    #[inline]
    pub(crate) fn blocks(&self, slab: SlabIndex, shape: &Shape) -> FreeUnits<'_> {
        // SAFETY: as in `slab`.
        let bitmap = unsafe { self.bitmaps.add(slab.0 as usize).as_ref() };
        self.slab(slab).units(shape, bitmap)
    }

    /// The descriptor of a SuperSlab.
    #[inline]
    pub(crate) fn superslab(&self, superslab: SuperIndex) -> &SuperSlab {
        debug_assert!(self.superslab_address(superslab) - self.base < self.bytes());
        // SAFETY: the table has an entry for every SuperSlab of the space; zeroed is valid.
        unsafe { self.supers.add(superslab.0 as usize).as_ref() }
    }

    /// The tables, each as its address and the bytes that it has for one SuperSlab.
    fn tables(&self) -> [(NonNull<u8>, usize); TABLES] {
        [
            (self.page_map.cast(), PIECES * size_of::<AtomicU16>()),
            (self.slabs.cast(), PIECES * size_of::<Slab>()),
            (self.bitmaps.cast(), PIECES * size_of::<Bitmap>()),
            (self.supers.cast(), size_of::<SuperSlab>()),
        ]
    }

    /// Calls `bind(address, bytes)` for the node's range and for its share of each table.
    pub(crate) fn for_each_share(&self, node: NodeId, mut bind: impl FnMut(NonNull<u8>, usize)) {
        let first = self.first_superslab(node);
        bind(self.pointer(self.superslab_address(first)), self.node_bytes());
        for (table, entry_bytes) in self.tables() {
            // SAFETY: each table covers all SuperSlabs of all nodes.
            let at = unsafe { table.add(first.0 as usize * entry_bytes) };
            bind(at, self.node_superslabs() * entry_bytes);
        }
    }

    /// The part of each table that tells of one SuperSlab: its address and its bytes.
    pub(crate) fn entries_of(&self, superslab: SuperIndex) -> [(usize, usize); TABLES] {
        self.tables().map(|(table, bytes)| (table.addr().get() + superslab.0 as usize * bytes, bytes))
    }
}

/// The links of slabs on shelves.
pub(crate) struct SlabLinks<'a>(pub(crate) &'a Space);

impl Links for SlabLinks<'_> {
    fn link(&self, index: u32) -> &AtomicU32 {
        &self.0.slab(SlabIndex(index)).link
    }
}

/// The links of SuperSlabs on lists.
pub(crate) struct SuperLinks<'a>(pub(crate) &'a Space);

impl Links for SuperLinks<'_> {
    fn link(&self, index: u32) -> &AtomicU32 {
        &self.0.superslab(SuperIndex(index)).link
    }
}

/// Unmaps what was mapped so far, unless all of it is kept.
struct Undo {
    mapped: [(usize, usize); 5],
    count: usize,
}

impl Undo {
    fn note(&mut self, at: NonNull<u8>, len: usize) -> usize {
        let address = at.as_ptr().expose_provenance();
        if let Some(slot) = self.mapped.get_mut(self.count) {
            *slot = (address, len);
            self.count += 1;
        }
        address
    }

    fn keep(&mut self) {
        self.count = 0;
    }

    fn undo(&mut self) {
        let _errno = os::ErrnoGuard::new();
        for (address, len) in self.mapped.iter().take(self.count) {
            if let Some(at) = NonNull::new(core::ptr::with_exposed_provenance_mut(*address)) {
                // SAFETY: mapped here, and seen by nobody else.
                let _ = unsafe { memory::unmap(at, *len) };
            }
        }
        self.count = 0;
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        self.undo();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(nodes: usize) -> Space {
        Space::reserve(nodes, MIN_NODE_BYTES).unwrap()
    }

    #[test]
    fn an_absurd_wish_is_cut_down_to_what_there_is() {
        let s = Space::reserve(1, usize::MAX).unwrap();
        assert!(s.node_bytes() >= MIN_NODE_BYTES && s.node_bytes() <= MAX_SPACE_BYTES);
        // SAFETY: the test's own space.
        unsafe { s.unmap() };
    }

    #[test]
    fn addresses_know_their_node_and_piece() {
        let s = space(3);
        let base = s.base;
        assert_eq!(base % SUPERSLAB_BYTES, 0);
        assert_eq!(s.node_of(base), Some(NodeId(0)));
        assert_eq!(s.node_of(base + s.node_bytes()), Some(NodeId(1)));
        assert_eq!(s.node_of(base + 3 * s.node_bytes() - 1), Some(NodeId(2)));
        assert_eq!(s.node_of(base + 3 * s.node_bytes()), None);
        assert_eq!(s.node_of(base - 1), None);
        let slab = s.slab_at(base + s.node_bytes() + PIECE_BYTES + 5).unwrap();
        assert_eq!(slab.superslab(), s.first_superslab(NodeId(1)));
        assert_eq!((slab.piece(), s.node_of_slab(slab)), (1, NodeId(1)));
        assert_eq!(slab.superslab().piece(1), slab);
        // SAFETY: the test's own.
        unsafe { s.unmap() };
    }

    #[test]
    fn a_block_is_found_from_any_piece_of_its_slab() {
        let s = space(1);
        let class = SizeClass::of(20 << 10);
        let first = SlabIndex(3);
        s.set_tenant(first, Shape::of(class).pieces, |d| Entry::slab(class, d));
        let address = s.slab_address(first) + 5 * PIECE_BYTES / 2;
        assert_eq!(s.place(address), Some(Place { slab: first, class, offset: 5 * PIECE_BYTES / 2 }));
        assert_eq!(s.place(s.slab_address(SlabIndex(2))), None);
        assert_eq!(s.place(s.base - 1), None);
        // SAFETY: the test's own.
        unsafe { s.unmap() };
    }

    #[test]
    fn an_impossible_reservation_is_halved_until_it_fits() {
        let s = Space::reserve(1, 1 << 60).unwrap();
        assert!(s.bytes() <= MAX_SPACE_BYTES && s.bytes() >= MIN_NODE_BYTES);
        // SAFETY: the test's own.
        unsafe { s.unmap() };
    }
}
