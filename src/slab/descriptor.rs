//! What is known of a slab and of a SuperSlab, beside their memory.
//!
//! Descriptors lie in flat tables (see [`super::space`]) that are never unmapped, so that anyone may
//! read one at any time. Zeroed memory is a valid, unused descriptor.

use super::free_units::FreeUnits;
use super::shape::{MAX_BLOCKS, Shape};
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};
use crate::units::PIECES;

/// Bitmap words inside the descriptor: enough for every class from 256 B up.
const INLINE_WORDS: usize = 4;
/// Bitmap words of the smallest class.
pub(crate) const BITMAP_WORDS: usize = MAX_BLOCKS / 64;

/// The bitmap of a slab with more blocks than fit in its descriptor.
pub(crate) type Bitmap = [AtomicU64; BITMAP_WORDS];

/// The descriptor of a slab: of the piece in which it begins.
#[repr(C, align(64))]
pub(crate) struct Slab {
    /// Count and state of the free blocks, an [`Avail`](super::avail::Avail).
    avail: AtomicU32,
    /// The link of the shelf that the slab lies on. Written by its owner before it pushes it.
    pub(crate) link: AtomicU32,
    /// The bitmap word where the holder goes on looking for free blocks. Written by the holder only.
    cursor: AtomicU16,
    reserved: [AtomicU16; 3],
    /// Bit set = the pages of this free block went back to the kernel, and nobody has taken it since. Only of
    /// slabs whose bitmap is one word. Written by the holder.
    purged: AtomicU64,
    spare: AtomicU64,
    /// The bitmap, if it fits.
    words: [AtomicU64; INLINE_WORDS],
}

const _: () = assert!(size_of::<Slab>() == 64);

impl Slab {
    /// The free blocks. `bitmap` is the slab's entry in the table of bitmaps, used if the blocks are
    /// too many for the descriptor.
    #[inline]
    pub(crate) fn units<'a>(&'a self, shape: &Shape, bitmap: &'a Bitmap) -> FreeUnits<'a> {
        let words = (shape.blocks as usize).div_ceil(64);
        let all: &[AtomicU64] = if words <= INLINE_WORDS { &self.words } else { bitmap };
        FreeUnits::new(&self.avail, all.get(..words).unwrap_or(all))
    }

    /// Where the holder goes on.
    pub(crate) fn cursor(&self) -> usize {
        // Relaxed: only the holder reads and writes it.
        self.cursor.load(Ordering::Relaxed) as usize
    }

    /// Notes where the holder goes on.
    pub(crate) fn set_cursor(&self, word: usize) {
        // Relaxed: as in `cursor`; handing the slab on publishes it.
        self.cursor.store(word as u16, Ordering::Relaxed);
    }

    /// The free blocks whose pages went back to the kernel, for the holder.
    pub(crate) fn purged(&self) -> u64 {
        // Relaxed, here and below: as in `cursor`.
        self.purged.load(Ordering::Relaxed)
    }

    /// Notes for which free blocks the kernel has the pages.
    pub(crate) fn set_purged(&self, blocks: u64) {
        self.purged.store(blocks, Ordering::Relaxed);
    }
}

/// What is known of pieces that go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// They read as zero: nobody has written to them since the kernel gave them.
    pub(crate) reads_zero: bool,
    /// So many of them had gone back to the kernel.
    pub(crate) again: u32,
}

/// The descriptor of a SuperSlab.
#[repr(C, align(64))]
pub(crate) struct SuperSlab {
    /// Count and state of the free pieces, an [`Avail`](super::avail::Avail).
    avail: AtomicU32,
    /// The link of the list that the SuperSlab is on. Written by its owner before it pushes it.
    pub(crate) link: AtomicU32,
    /// Bit set = piece free.
    free: [AtomicU64; 1],
    /// SuperSlabs in the Huge block that begins here; 0 if none does. Written by the owner of the block,
    /// who places, resizes and ends it.
    huge: AtomicU32,
    /// When the last piece came back, in milliseconds of the clock, cut off. Written by the owner before it
    /// lists a SuperSlab of which every piece is free.
    freed_ms: AtomicU32,
    /// Bit set = the kernel may have backed the piece. Written by the holder.
    backed: AtomicU32,
    /// Bit set = somebody may have written to the piece since the kernel gave it. Written by the holder.
    written: AtomicU32,
    /// Bit set = the piece went back to the kernel, and nobody has taken it since. Written by the holder.
    purged: AtomicU32,
    /// Bytes that could go back to the kernel, when this was last looked at. A hint, written by who looks.
    dirt: AtomicU32,
    /// 1 = a page of the reserved pool lies here, 0 = ordinary memory. Written by the owner of a SuperSlab of
    /// which every piece is free.
    on_reserved: AtomicU32,
    /// 1 = a part went back to the kernel, so no huge page lies here any more. A hint, written by who gives a
    /// part back, and by the holder when all goes.
    split: AtomicU32,
    /// 1 = pages were moved here, which are a mapping of their own for the kernel, 0 = this is a part of the
    /// range's own mapping. Written by the owner of the Huge block, or of its run.
    moved: AtomicU32,
    reserved: [AtomicU32; 3],
}

const _: () = assert!(size_of::<SuperSlab>() == 64 && PIECES <= 64);

impl SuperSlab {
    /// The free pieces.
    #[inline]
    pub(crate) fn units(&self) -> FreeUnits<'_> {
        FreeUnits::new(&self.avail, &self.free)
    }

    /// The pieces that the kernel may have backed, for the holder. A hint for others.
    pub(crate) fn backed(&self) -> u32 {
        // Relaxed, here and below: the holder's; handing the SuperSlab on publishes.
        self.backed.load(Ordering::Relaxed)
    }

    /// Notes that `pieces` go out, and that the kernel may back `touched` from now on, for the holder.
    pub(crate) fn note_taken(&self, pieces: u32, touched: u32) -> Taken {
        let [backed, written, purged] =
            [&self.backed, &self.written, &self.purged].map(|mask| mask.load(Ordering::Relaxed));
        let taken = Taken { reads_zero: written & pieces == 0, again: (purged & pieces).count_ones() };
        if backed & touched != touched || written & pieces != pieces || taken.again > 0 {
            self.backed.store(backed | touched, Ordering::Relaxed);
            self.written.store(written | pieces, Ordering::Relaxed);
            self.purged.store(purged & !pieces, Ordering::Relaxed);
        }
        taken
    }

    /// Notes that free `pieces` went back to the kernel, for the holder.
    pub(crate) fn note_purged(&self, pieces: u32) {
        for mask in [&self.backed, &self.written] {
            mask.store(mask.load(Ordering::Relaxed) & !pieces, Ordering::Relaxed);
        }
        self.purged.store(self.purged.load(Ordering::Relaxed) | pieces, Ordering::Relaxed);
    }

    /// Notes that the whole SuperSlab went back to the kernel, for the holder.
    pub(crate) fn note_released(&self) {
        for mask in [&self.backed, &self.written, &self.purged, &self.split] {
            mask.store(0, Ordering::Relaxed);
        }
    }

    /// Whether a part went back to the kernel.
    pub(crate) fn is_split(&self) -> bool {
        self.split.load(Ordering::Relaxed) != 0
    }

    /// Notes that a part went back to the kernel.
    pub(crate) fn note_split(&self) {
        self.split.store(1, Ordering::Relaxed);
    }

    /// Bytes that could go back to the kernel, when this was last looked at.
    pub(crate) fn dirt(&self) -> usize {
        self.dirt.load(Ordering::Relaxed) as usize
    }

    /// Notes how many bytes could go back to the kernel.
    pub(crate) fn set_dirt(&self, bytes: usize) {
        self.dirt.store(bytes as u32, Ordering::Relaxed);
    }

    /// Whether a page of the kernel's reserved pool (hugetlb) lies here. A part of it can't be given back.
    pub(crate) fn is_on_reserved(&self) -> bool {
        // Relaxed: as in `backed`; else a statistic.
        self.on_reserved.load(Ordering::Relaxed) != 0
    }

    /// Notes that a page of the reserved pool lies here, populated.
    pub(crate) fn note_reserved(&self) {
        self.backed.store(u32::MAX, Ordering::Relaxed);
        self.on_reserved.store(1, Ordering::Relaxed);
    }

    /// Notes that ordinary memory lies here.
    pub(crate) fn note_ordinary(&self) {
        self.on_reserved.store(0, Ordering::Relaxed);
    }

    /// Whether pages were moved here, for the owner of the run.
    pub(crate) fn is_moved(&self) -> bool {
        // Relaxed, here and below: the owner's; giving the run back publishes.
        self.moved.load(Ordering::Relaxed) != 0
    }

    /// Notes that pages were moved here.
    pub(crate) fn note_moved(&self) {
        self.moved.store(1, Ordering::Relaxed);
    }

    /// Notes that a part of the range's own mapping lies here again.
    pub(crate) fn note_unmoved(&self) {
        self.moved.store(0, Ordering::Relaxed);
    }

    /// When the last piece came back, for the owner of a SuperSlab of which every piece is free.
    pub(crate) fn freed_ms(&self) -> u32 {
        // Relaxed: taking it off its list acquired what the last owner wrote.
        self.freed_ms.load(Ordering::Relaxed)
    }

    /// Notes when the last piece came back.
    pub(crate) fn set_freed_ms(&self, now_ms: u32) {
        // Relaxed: as in `freed_ms`.
        self.freed_ms.store(now_ms, Ordering::Relaxed);
    }

    /// SuperSlabs in the Huge block that begins here; 0 if none does.
    pub(crate) fn huge(&self) -> usize {
        // Relaxed: whoever has the block has it from a thread that saw the number written.
        self.huge.load(Ordering::Relaxed) as usize
    }

    /// Notes that a Huge block of `superslabs` SuperSlabs begins here.
    pub(crate) fn set_huge(&self, superslabs: usize) {
        // Relaxed: as in `huge`.
        self.huge.store(superslabs as u32, Ordering::Relaxed);
    }

    /// Ends the Huge block of `superslabs` SuperSlabs that begins here; `false` if there is none, or if
    /// another thread was faster.
    pub(crate) fn end_huge(&self, superslabs: usize) -> bool {
        // Relaxed: who gives the run back publishes.
        self.huge
            .compare_exchange(superslabs as u32, 0, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok_and(|found| found != 0)
    }
}
