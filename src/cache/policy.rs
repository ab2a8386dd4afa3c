//! How many blocks travel at once, and which lists get room: pure functions on one byte a class.
//!
//! Batches begin with one block and double with each miss, up to a bound for the class: a program that
//! needs ten blocks of a size does not get sixty-four. A list gets more room when it runs full after
//! having run empty: then its content swings by more than it holds. A CPU that only frees gains
//! nothing by more room, and gets none beyond what its batches need.

use crate::pool::batch::MAX_BATCH;
use crate::size_class::SizeClass;

/// Bytes in a batch, at most (but two blocks at least, and one of Large).
const BATCH_BYTES: usize = 64 << 10;

/// How one class has been asked for on one CPU: `{touched: 1, last miss was a pop: 1, log2 batch: 6}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand(pub(crate) u8);

const TOUCHED: u8 = 0x80;
const POPPED: u8 = 0x40;
const BATCH: u8 = 0x3f;

impl Demand {
    /// The batch size that has been reached.
    pub(crate) const fn batch(self) -> usize {
        1 << (self.0 & BATCH)
    }

    /// After an allocation found the list empty.
    pub(crate) fn after_pop_miss(self, class: SizeClass) -> Self {
        Self(self.doubled(class) | POPPED | TOUCHED)
    }

    /// After a free found the list full.
    pub(crate) fn after_push_miss(self, class: SizeClass) -> Self {
        Self(self.doubled(class) | TOUCHED)
    }

    /// Whether the list ran empty since it last ran full.
    pub(crate) const fn swings(self) -> bool {
        self.0 & POPPED != 0
    }

    /// Whether it was missed since the hand passed, and the demand with that forgotten.
    pub(crate) const fn pass(self) -> (bool, Self) {
        (self.0 & TOUCHED != 0, Self(self.0 & !TOUCHED))
    }

    fn doubled(self, class: SizeClass) -> u8 {
        let batch = self.0 & BATCH;
        if 2 << batch <= max_batch(class) { batch + 1 } else { batch }
    }
}

/// The most blocks of `class` that travel at once; a power of two.
pub(crate) fn max_batch(class: SizeClass) -> usize {
    let fit = (BATCH_BYTES / class.bytes()).clamp(1, MAX_BATCH);
    1 << fit.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_double_up_to_the_bound_of_their_class() {
        let class = SizeClass::of(4096);
        let mut demand = Demand(0);
        assert_eq!(demand.batch(), 1);
        let sizes = core::array::from_fn(|_| {
            demand = demand.after_pop_miss(class);
            demand.batch()
        });
        assert_eq!(sizes, [2, 4, 8, 16, 16]);
        for class in SizeClass::all() {
            let bytes = max_batch(class) * class.bytes();
            assert!(max_batch(class) <= MAX_BATCH && (bytes <= BATCH_BYTES || max_batch(class) == 1));
        }
    }

    #[test]
    fn a_list_swings_when_it_ran_empty_before_it_ran_full() {
        let class = SizeClass::of(64);
        assert!(!Demand(0).after_push_miss(class).swings());
        let popped = Demand(0).after_pop_miss(class);
        assert!(popped.swings());
        assert!(!popped.after_push_miss(class).swings());
    }

    #[test]
    fn a_touch_lasts_until_the_hand_passes() {
        let demand = Demand(0).after_push_miss(SizeClass::of(64));
        let (touched, passed) = demand.pass();
        assert!(touched && !passed.pass().0 && passed.batch() == demand.batch());
    }
}
