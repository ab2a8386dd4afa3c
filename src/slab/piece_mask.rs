//! Runs of set bits in a mask of free pieces or blocks: pure functions.

/// The mask of `pieces` units from `start` on.
pub(crate) fn run_mask(start: u32, pieces: u32) -> u64 {
    (u64::MAX >> (64 - pieces)) << start
}

/// The length of the longest run of set bits.
pub(crate) fn longest_run(free: u32) -> u32 {
    runs(free.into()).map(|(_, len)| len).max().unwrap_or(0)
}

/// The beginning of the shortest run of at least `pieces` set bits, the lowest of equals.
pub(crate) fn shortest_run(free: u32, pieces: u32) -> Option<u32> {
    runs(free.into()).filter(|(_, len)| *len >= pieces).min_by_key(|(_, len)| *len).map(|(start, _)| start)
}

/// The runs of set bits, as (start, length), from below.
pub(crate) fn runs(free: u64) -> impl Iterator<Item = (u32, u32)> {
    let (mut left, mut at) = (free, 0);
    core::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let gap = left.trailing_zeros();
        let len = (left >> gap).trailing_ones();
        let start = at + gap;
        at = start + len;
        // In two steps, since a shift by 64 is none.
        left = (left >> gap >> (len - 1)) >> 1;
        Some((start, len))
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn finds_runs_of_set_bits() {
        assert_eq!(runs(0).count(), 0);
        assert!(runs(0b0111_0110_0000).eq([(5, 2), (8, 3)]));
        assert!(runs(u32::MAX.into()).eq([(0, 32)]));
        assert!(runs(u64::MAX).eq([(0, 64)]));
        assert_eq!(longest_run(0b0111_0110_0001), 3);
    }

    #[test]
    fn prefers_the_shortest_run_that_fits() {
        assert_eq!(shortest_run(0b1111_0110_0001, 1), Some(0));
        assert_eq!(shortest_run(0b1111_0110_0001, 2), Some(5));
        assert_eq!(shortest_run(0b1111_0110_0001, 3), Some(8));
        assert_eq!(shortest_run(0b1111_0110_0001, 5), None);
        assert_eq!(shortest_run(u32::MAX, 32), Some(0));
    }
}

#[cfg(all(test, loom))]
#[path = "piece_mask_loom.rs"]
mod loom_tests;
