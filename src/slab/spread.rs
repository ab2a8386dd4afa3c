//! The order in which the blocks of a bitmap word are handed out: neighbours of a cache line far apart.
//!
//! Two threads that begin on one CPU take their first blocks from one slab, one after the other. Were
//! those neighbours in a cache line, each thread's writes would take the line away from the other one for
//! as long as the blocks are used, wherever the threads go (false sharing). So the first block of each line
//! goes out first, then the second of each, and so on. All lines of a word are in use soon all the
//! same: what is packed densely stays so.

use super::shape::Shape;
use crate::units::CACHE_LINE_BYTES;

/// How many phases there are: a power of two, 1 for blocks that have their lines to themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread(u8);

impl Spread {
    /// Blocks in order of their addresses.
    pub(crate) const NONE: Self = Self(1);

    /// The spread for blocks of `bytes` bytes: the least that leaves no line to two blocks of a phase. None
    /// from two lines on, where sharing the ends matters less than order.
    pub(super) const fn of_bytes(bytes: usize) -> Self {
        if bytes >= 2 * CACHE_LINE_BYTES {
            return Self::NONE;
        }
        // Blocks begin and end at multiples of this.
        let grain = 1 << bytes.trailing_zeros();
        let mut phases = 1;
        while (phases as usize - 1) * bytes + grain < CACHE_LINE_BYTES {
            phases *= 2;
        }
        Self(phases)
    }

    /// The spread for slabs of this shape.
    #[inline]
    pub(crate) fn of(shape: &Shape) -> Self {
        shape.spread
    }

    /// The bits of `word` that go out in each phase.
    #[inline]
    pub(crate) fn phases(self, word: u64) -> impl Iterator<Item = u64> {
        let every = u64::MAX / ((1 << self.0) - 1);
        (0..self.0).map(move |phase| word & (every << phase))
    }

    /// The first `n` set bits of `word` to go out, or all of them if there are fewer.
    pub(super) fn first_ones(self, word: u64, n: u32) -> u64 {
        if word.count_ones() <= n {
            return word;
        }
        let (mut first, mut left) = (0, n);
        for bits in self.phases(word) {
            let ones = bits.count_ones();
            if ones >= left {
                return first | lowest_ones(bits, left);
            }
            first |= bits;
            left -= ones;
        }
        first
    }
}

/// The lowest `n` set bits of `word`, which has at least as many.
fn lowest_ones(word: u64, n: u32) -> u64 {
    let mut rest = word;
    for _ in 0..n {
        rest &= rest.wrapping_sub(1);
    }
    word & !rest
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::size_class::SizeClass;
    use std::vec::Vec;

    #[test]
    fn neighbours_of_a_line_are_in_different_phases() {
        for class in SizeClass::all() {
            let (bytes, spread) = (class.bytes(), Shape::of(class).spread);
            let phases: Vec<u64> = spread.phases(u64::MAX).collect();
            assert_eq!(phases.iter().fold(0, |all, bits| all ^ bits), u64::MAX, "each bit once");
            if bytes >= 2 * CACHE_LINE_BYTES {
                continue;
            }
            for bits in phases {
                let ones: Vec<usize> = (0..64).filter(|bit| bits >> bit & 1 == 1).collect();
                for pair in ones.windows(2) {
                    let (last, next) = ((pair[0] + 1) * bytes - 1, pair[1] * bytes);
                    assert!(last / CACHE_LINE_BYTES < next / CACHE_LINE_BYTES, "{bytes} B: {pair:?}");
                }
            }
        }
    }

    #[test]
    fn the_first_ones_are_as_many_as_asked_for() {
        let spread = Spread::of_bytes(16);
        assert_eq!(spread.first_ones(u64::MAX, 3), 1 << 0 | 1 << 4 | 1 << 8);
        assert_eq!(spread.first_ones(u64::MAX, 17), 0x1111_1111_1111_1111 | 1 << 1);
        assert_eq!(spread.first_ones(0b1010, 5), 0b1010);
        assert_eq!(spread.first_ones(u64::MAX, 64), u64::MAX);
        assert_eq!(Spread::NONE.first_ones(0b1110, 2), 0b0110);
        assert_eq!(spread.first_ones(u64::MAX, 0), 0);
        for n in 0..=64 {
            assert_eq!(spread.first_ones(0x0123_4567_89ab_cdef, n).count_ones(), n.min(32));
        }
    }
}
