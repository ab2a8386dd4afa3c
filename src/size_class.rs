//! Size classes: which block size serves a request.
//!
//! Eight classes in each doubling, from 8 B to 1 MiB: below 128 B every multiple of 8, above it a
//! waste of at most 12.5 % of the block. The class number is the request size in a tiny floating
//! point format (three bits of mantissa), so it needs no table except for speed on the hit path.
//!
//! Every multiple of a power of two up to eight times that power is a class of its own, and all
//! greater classes are multiples of it too: so rounding a request up to its alignment is enough to
//! get a block size that is a multiple of the alignment.
//!
//! Floor 0: pure functions. Neighbours: `slab::shape` says how a slab of a class looks.

/// The largest request that is served from a Tiny slab.
pub const TINY_MAX: usize = 1 << 10;
/// The largest request that is served from a Mid slab.
pub const MID_MAX: usize = 32 << 10;
/// The largest request that is served from a size class; beyond it is Huge.
pub const LARGE_MAX: usize = 1 << 20;
/// How many size classes there are.
pub const CLASSES: usize = 120;

/// A size class: an index in `0..CLASSES`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SizeClass(u8);

impl SizeClass {
    /// The class of a request of `size` bytes, by arithmetic. `size` may be 0 and must be at most
    /// [`LARGE_MAX`].
    #[inline]
    pub const fn of(size: usize) -> Self {
        debug_assert!(size <= LARGE_MAX);
        let last = size.saturating_sub(1);
        // The exponent, counted from the linear range: 0 for sizes up to 128.
        let exponent = (last | 64).ilog2() - 6;
        Self(((last >> (exponent + 3)) + exponent as usize * 8) as u8)
    }

    /// The class of a request of at most [`TINY_MAX`] bytes, by one table look-up.
    #[inline(always)]
    pub const fn of_tiny(size: usize) -> Self {
        Self(TINY_CLASSES[(size + 7) >> 3])
    }

    /// The class of a request of at most [`TINY_MAX`] bytes for a block aligned to 16, by one table look-up: a
    /// multiple of 16 bytes, 16 at least.
    #[inline(always)]
    pub const fn of_tiny_by_16(size: usize) -> Self {
        Self(TINY_CLASSES_BY_16[(size + 15) >> 4])
    }

    /// The class with this index, if there is one.
    #[inline]
    pub const fn from_index(index: usize) -> Option<Self> {
        if index < CLASSES { Some(Self(index as u8)) } else { None }
    }

    /// All classes, smallest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }

    /// The class as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Bytes in a block of this class.
    #[inline]
    pub const fn bytes(self) -> usize {
        let index = self.0 as usize;
        if index < 16 {
            return (index + 1) * 8;
        }
        let exponent = index / 8 - 1;
        (index % 8 + 9) << (exponent + 3)
    }

    /// The group that the class belongs to.
    pub const fn group(self) -> Group {
        let bytes = self.bytes();
        if bytes <= TINY_MAX {
            Group::Tiny
        } else if bytes <= MID_MAX {
            Group::Mid
        } else {
            Group::Large
        }
    }
}

/// The three groups of size classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Up to 1 KiB: slabs of one piece.
    Tiny,
    /// Up to 32 KiB: slabs of one to eight pieces.
    Mid,
    /// Up to 1 MiB: slabs of few blocks.
    Large,
}

/// `TINY_CLASSES[(size + 7) / 8]` is the class of `size <= TINY_MAX`. A constant, not a static: each crate
/// that the hit path is inlined into has its own copy, found without a look into the GOT, and a size
/// known at compile time costs nothing.
const TINY_CLASSES: [u8; TINY_MAX / 8 + 1] = {
    let mut table = [0; TINY_MAX / 8 + 1];
    let mut i = 0;
    while i < table.len() {
        table[i] = SizeClass::of(i * 8).0;
        i += 1;
    }
    table
};

/// `TINY_CLASSES_BY_16[(size + 15) / 16]` is the class of `size <= TINY_MAX` where blocks are aligned to 16.
const TINY_CLASSES_BY_16: [u8; TINY_MAX / 16 + 1] = {
    let mut table = [SizeClass::of(16).0; TINY_MAX / 16 + 1];
    let mut i = 1;
    while i < table.len() {
        table[i] = SizeClass::of(i * 16).0;
        i += 1;
    }
    table
};

const _: () = assert!(SizeClass::of(LARGE_MAX).index() == CLASSES - 1);

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_request_gets_the_smallest_class_that_fits() {
        for size in 0..=LARGE_MAX {
            let class = SizeClass::of(size);
            assert!(class.bytes() >= size);
            if class.index() > 0 {
                assert!(SizeClass(class.0 - 1).bytes() < size, "{size}");
            }
            if size <= TINY_MAX {
                assert_eq!(SizeClass::of_tiny(size), class);
            }
        }
    }

    #[test]
    fn blocks_aligned_to_16_are_the_smallest_multiples_of_16_that_fit() {
        for size in 0..=TINY_MAX {
            let class = SizeClass::of_tiny_by_16(size);
            assert!(class.bytes() >= size.max(1) && class.bytes().is_multiple_of(16));
            let smaller = SizeClass::all().take(class.index()).filter(|c| c.bytes().is_multiple_of(16));
            assert!(smaller.map(SizeClass::bytes).all(|bytes| bytes < size), "{size}");
        }
    }

    #[test]
    fn wastes_at_most_an_eighth_above_128_bytes() {
        for size in 129..=LARGE_MAX {
            let block = SizeClass::of(size).bytes();
            assert!((block - size) * 8 <= block, "{size} in {block}");
        }
    }

    #[test]
    fn a_size_rounded_to_its_alignment_gets_an_aligned_block_size() {
        for align in (0..=16).map(|shift| 1usize << shift) {
            let mut size = align;
            while size <= LARGE_MAX {
                assert_eq!(SizeClass::of(size).bytes() % align, 0, "size {size}, align {align}");
                size += align;
            }
        }
    }

    #[test]
    fn groups_end_where_they_say() {
        assert_eq!(SizeClass::of(TINY_MAX).group(), Group::Tiny);
        assert_eq!(SizeClass::of(TINY_MAX + 1).group(), Group::Mid);
        assert_eq!(SizeClass::of(MID_MAX).group(), Group::Mid);
        assert_eq!(SizeClass::of(MID_MAX + 1).group(), Group::Large);
        assert_eq!(SizeClass::all().count(), CLASSES);
    }
}
