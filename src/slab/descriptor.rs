//! What is known of a slab and of a SuperSlab, beside their memory.
//!
//! Descriptors lie in flat tables (see [`super::space`]) that are never unmapped, so that anyone may
//! read one at any time. Zeroed memory is a valid, unused descriptor.

use super::free_units::FreeUnits;
use super::shape::{MAX_BLOCKS, Shape};
use crate::sync::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};
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
    reserved: [AtomicU8; 22],
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
    /// Bit set = the piece was free when the last walk came by. Written by the holder.
    rested: AtomicU32,
    reserved: [AtomicU32; 8],
}

const _: () = assert!(size_of::<SuperSlab>() == 64 && PIECES <= 64);

impl SuperSlab {
    /// The free pieces.
    #[inline]
    pub(crate) fn units(&self) -> FreeUnits<'_> {
        FreeUnits::new(&self.avail, &self.free)
    }

    /// The pieces that the kernel may have backed, for the holder.
    pub(crate) fn backed(&self) -> u32 {
        // Relaxed, here and below: the holder's; handing the SuperSlab on publishes.
        self.backed.load(Ordering::Relaxed)
    }

    /// Notes which pieces the kernel may have backed.
    pub(crate) fn set_backed(&self, pieces: u32) {
        self.backed.store(pieces, Ordering::Relaxed);
    }

    /// Notes which pieces are free; returns those that were when this was last called.
    pub(crate) fn exchange_rested(&self, free: u32) -> u32 {
        let rested = self.rested.load(Ordering::Relaxed);
        self.rested.store(free, Ordering::Relaxed);
        rested
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
