//! Which SuperSlabs of a node's range are in use: one bit each, claimed singly or in runs.
//!
//! Lock-free: a run that spans words is claimed word by word in rising order, and given back if a
//! later word turns out to be taken; whoever loses such a race looks for another run. Nobody waits,
//! but a run may be missed that another thread holds for a moment: the caller then sees "none".
//!
//! # Invariants
//! * A set bit belongs to the thread that set it, until that thread (or its heir) clears it.

use crate::sync::{AtomicU32, AtomicU64, Ordering, lost};

/// A view on the bitmap of one node's range.
pub(crate) struct RangeMap<'a> {
    /// Bit set = SuperSlab in use. Claimers set, releasers clear.
    used: &'a [AtomicU64],
    /// A word below which there was no free bit a moment ago. Only a hint.
    hint: &'a AtomicU32,
}

/// A run of SuperSlabs, counted from the beginning of the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl<'a> RangeMap<'a> {
    pub(crate) const fn new(used: &'a [AtomicU64], hint: &'a AtomicU32) -> Self {
        Self { used, hint }
    }

    /// Claims the lowest free SuperSlab.
    pub(crate) fn claim_one(&self) -> Option<usize> {
        // Relaxed: a hint. If it is too high the search goes round.
        let hint = self.hint.load(Ordering::Relaxed) as usize;
        let from = hint.min(self.used.len());
        for at in (from..self.used.len()).chain(0..from) {
            // Relaxed: seeds the exchange.
            let mut word = self.used[at].load(Ordering::Relaxed);
            while word != u64::MAX {
                let bit = word.trailing_ones();
                // Acquire: pairs with the Release in `release`; the memory's last owner is done.
                match self.used[at].compare_exchange_weak(
                    word,
                    word | 1 << bit,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        self.hint.store(at as u32, Ordering::Relaxed);
                        return Some(at * 64 + bit as usize);
                    }
                    Err(seen) => {
                        lost::count();
                        word = seen;
                    }
                }
            }
        }
        None
    }

    /// Claims the lowest run of `len` free SuperSlabs that begins at a multiple of `align` above
    /// `offset` (`(start + offset) % align == 0`).
    pub(crate) fn claim_run(&self, len: usize, align: usize, offset: usize) -> Option<Run> {
        let end = self.used.len() * 64;
        let mut start = (offset.next_multiple_of(align)) - offset;
        while len <= end && start <= end - len {
            match self.last_used(Run { start, len }) {
                Some(taken) => {
                    let past = taken + 1;
                    start = (past + offset).next_multiple_of(align) - offset;
                }
                None if self.claim(Run { start, len }) => return Some(Run { start, len }),
                None => start += align,
            }
        }
        None
    }

    /// Claims exactly this run; all or nothing.
    pub(crate) fn claim(&self, run: Run) -> bool {
        let mut done = 0;
        for (at, mask) in words(run) {
            let Some(word) = self.used.get(at) else { break };
            // Acquire: as in `claim_one`. Failing sets no bit that was clear: see below.
            let seen = word.fetch_or(mask, Ordering::Acquire);
            if seen & mask != 0 {
                // Take back the bits that this thread set, here and below.
                word.fetch_and(!(mask & !seen), Ordering::Release);
                break;
            }
            done += mask.count_ones() as usize;
        }
        if done == run.len {
            return true;
        }
        self.release(Run { start: run.start, len: done });
        false
    }

    /// Gives back a run that the caller owns.
    pub(crate) fn release(&self, run: Run) {
        for (at, mask) in words(run) {
            if let Some(word) = self.used.get(at) {
                // Release: pairs with the Acquire of the next claimer.
                word.fetch_and(!mask, Ordering::Release);
            }
        }
        // Relaxed: a hint.
        self.hint.fetch_min((run.start / 64) as u32, Ordering::Relaxed);
    }

    /// The last SuperSlab in use within the run, at this moment.
    fn last_used(&self, run: Run) -> Option<usize> {
        words(run)
            .filter_map(|(at, mask)| {
                // Relaxed: a hint; `claim` decides.
                let used = self.used.get(at)?.load(Ordering::Relaxed) & mask;
                (used != 0).then(|| at * 64 + 63 - used.leading_zeros() as usize)
            })
            .last()
    }

    /// The first SuperSlab in use from number `from` on, at about this moment.
    pub(crate) fn next_used(&self, from: usize) -> Option<usize> {
        let (first, below) = (from / 64, from % 64);
        self.used.iter().enumerate().skip(first).find_map(|(at, word)| {
            // Relaxed: for statistics and rules of thumb.
            let word = word.load(Ordering::Relaxed) & (u64::MAX << if at == first { below } else { 0 });
            (word != 0).then(|| at * 64 + word.trailing_zeros() as usize)
        })
    }

    /// Calls `visit` with each SuperSlab in use, at about this moment.
    pub(crate) fn for_each_used(&self, mut visit: impl FnMut(usize)) {
        for (at, word) in self.used.iter().enumerate() {
            // Relaxed: for statistics.
            let mut left = word.load(Ordering::Relaxed);
            while left != 0 {
                visit(at * 64 + left.trailing_zeros() as usize);
                left &= left - 1;
            }
        }
    }
}

/// The words that a run touches, each with the mask of its bits, in rising order.
fn words(run: Run) -> impl Iterator<Item = (usize, u64)> {
    let end = run.start + run.len;
    let mut at = run.start;
    core::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let (word, from) = (at / 64, at % 64);
        let bits = (end - at).min(64 - from);
        at += bits;
        Some((word, (u64::MAX >> (64 - bits)) << from))
    })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn map(words: usize) -> (Vec<AtomicU64>, AtomicU32) {
        ((0..words).map(|_| AtomicU64::new(0)).collect(), AtomicU32::new(0))
    }

    #[test]
    fn claims_singly_from_below_and_reuses() {
        let (used, hint) = map(2);
        let range = RangeMap::new(&used, &hint);
        assert_eq!(
            (0..128).map(|_| range.claim_one().unwrap()).collect::<Vec<_>>(),
            (0..128).collect::<Vec<_>>()
        );
        assert_eq!(range.claim_one(), None);
        range.release(Run { start: 70, len: 1 });
        range.release(Run { start: 3, len: 1 });
        assert_eq!((range.claim_one(), range.claim_one(), range.claim_one()), (Some(3), Some(70), None));
    }

    #[test]
    fn runs_span_words_and_respect_alignment() {
        let (used, hint) = map(4);
        let range = RangeMap::new(&used, &hint);
        assert!(range.claim(Run { start: 10, len: 1 }));
        assert_eq!(range.claim_run(100, 1, 0), Some(Run { start: 11, len: 100 }));
        assert_eq!(range.claim_run(8, 1, 0), Some(Run { start: 0, len: 8 }));
        assert_eq!(range.claim_run(16, 16, 0), Some(Run { start: 112, len: 16 }));
        assert_eq!(range.claim_run(16, 16, 3), Some(Run { start: 141, len: 16 }));
        assert_eq!(range.claim_run(200, 1, 0), None);
        let mut count = 0;
        range.for_each_used(|_| count += 1);
        assert_eq!(count, 1 + 100 + 8 + 16 + 16);
        assert_eq!(
            [0, 8, 9, 63, 64, 111].map(|from| range.next_used(from)),
            [0, 10, 10, 63, 64, 112].map(Some)
        );
        assert_eq!(
            [128, 141, 157, 256, 1000].map(|from| range.next_used(from)),
            [Some(141), Some(141), None, None, None]
        );
    }

    #[test]
    fn a_run_that_is_partly_taken_leaves_nothing_behind() {
        let (used, hint) = map(3);
        let range = RangeMap::new(&used, &hint);
        assert!(range.claim(Run { start: 130, len: 2 }));
        assert!(!range.claim(Run { start: 60, len: 100 }));
        assert!(range.claim(Run { start: 0, len: 130 }));
        assert!(!range.claim(Run { start: 0, len: 1 }));
    }

    #[test]
    fn threads_never_own_the_same_superslab() {
        let (used, hint) = map(2);
        let range = RangeMap::new(&used, &hint);
        let owners: Vec<AtomicU32> = (0..128).map(|_| AtomicU32::new(0)).collect();
        std::thread::scope(|scope| {
            for seed in 1..9usize {
                let (range, owners) = (&range, &owners);
                scope.spawn(move || {
                    for round in 0..5_000 {
                        let len = 1 + (seed * 7 + round) % 40;
                        let run = if len == 1 {
                            range.claim_one().map(|start| Run { start, len })
                        } else {
                            range.claim_run(len, 1 << (round % 3), 0)
                        };
                        let Some(run) = run else { continue };
                        for owner in &owners[run.start..run.start + run.len] {
                            assert_eq!(owner.fetch_add(1, Ordering::Relaxed), 0);
                        }
                        for owner in &owners[run.start..run.start + run.len] {
                            owner.fetch_sub(1, Ordering::Relaxed);
                        }
                        range.release(run);
                    }
                });
            }
        });
        assert_eq!(range.claim_run(128, 1, 0), Some(Run { start: 0, len: 128 }));
    }
}

#[cfg(all(test, loom))]
#[path = "range_loom.rs"]
mod loom_tests;
