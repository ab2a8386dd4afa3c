//! Huge blocks that were freed a short while ago, kept with their pages for the next request of their size.
//!
//! A handful of runs a node, each in a word: who exchanges the word for 0 owns the run. Such a run stays
//! claimed in the range and counted against the limit.

use super::range::Run;
use crate::sync::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

/// How many runs a node keeps at most.
const SLOTS: usize = 8;
/// A run is reused for a request that needs all of it but this part at most.
const MOST_WASTE: usize = 4;

/// The runs. Zeroed memory is a valid, empty cache.
#[repr(C)]
pub(crate) struct HugeCache {
    /// Each a [`Kept`], or 0. From 0 by who keeps a run, to 0 by who takes it.
    slots: [AtomicU64; SLOTS],
    /// When each was kept, in milliseconds of the clock, cut off. Written by who is about to keep one there; a
    /// hint.
    since_ms: [AtomicU32; SLOTS],
    /// SuperSlabs in all of them. Added to before one is kept, subtracted after it was taken.
    superslabs: AtomicUsize,
}

/// A run in a word: `{start + 1: 32, len: 32}`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Kept(u64);

impl Kept {
    const fn new(run: Run) -> Self {
        Self((run.start as u64 + 1) << 32 | run.len as u64)
    }

    const fn run(self) -> Option<Run> {
        match (self.0 >> 32) as usize {
            0 => None,
            next => Some(Run { start: next - 1, len: self.0 as u32 as usize }),
        }
    }
}

impl HugeCache {
    /// Keeps a run that the caller owns, if that makes no more than `most` SuperSlabs; `false` if not: then it
    /// stays the caller's.
    pub(crate) fn keep(&self, run: Run, most: usize, now_ms: u64) -> bool {
        // Relaxed: a bound that guards no memory.
        let within = |kept: usize| Some(kept + run.len).filter(|sum| *sum <= most);
        if self.superslabs.fetch_update(Ordering::Relaxed, Ordering::Relaxed, within).is_err() {
            return false;
        }
        let kept = self.slots.iter().zip(&self.since_ms).any(|(slot, since)| {
            // Relaxed: seeds the exchange.
            if slot.load(Ordering::Relaxed) != 0 {
                return false;
            }
            since.store(now_ms as u32, Ordering::Relaxed);
            // Release: pairs with the Acquire in `take`; the block's last user is done before the next begins.
            slot.compare_exchange(0, Kept::new(run).0, Ordering::Release, Ordering::Relaxed).is_ok()
        });
        if !kept {
            self.superslabs.fetch_sub(run.len, Ordering::Relaxed);
        }
        kept
    }

    /// Takes the shortest run of at least `len` SuperSlabs that begins where `fits` says, and is not much
    /// longer. The caller owns all of it.
    pub(crate) fn take(&self, len: usize, fits: impl Fn(usize) -> bool) -> Option<Run> {
        let good = |run: &Run| run.len >= len && run.len - len <= len / MOST_WASTE && fits(run.start);
        self.take_one(|run, _| if good(run) { Some(run.len) } else { None })
    }

    /// Takes the run that has been here for the longest, and for `age_ms` at least.
    pub(crate) fn take_older(&self, age_ms: u32, now_ms: u64) -> Option<Run> {
        self.take_one(|_, since_ms| {
            let age = (now_ms as u32).wrapping_sub(since_ms) as i32;
            // What was kept since the caller looked at the clock is younger than nothing.
            let age = age.max(0).unsigned_abs();
            (age >= age_ms).then_some(u32::MAX - age)
        })
    }

    /// Takes the run of the least rank; those without one stay. Looks again if another thread was faster, and
    /// no more often than there are slots.
    fn take_one<R: Ord>(&self, rank: impl Fn(&Run, u32) -> Option<R>) -> Option<Run> {
        for _ in 0..SLOTS {
            let ranked = self.slots.iter().zip(&self.since_ms).filter_map(|(slot, since)| {
                // Relaxed: seeds the exchange.
                let kept = Kept(slot.load(Ordering::Relaxed));
                let run = kept.run()?;
                Some((rank(&run, since.load(Ordering::Relaxed))?, slot, kept, run))
            });
            let (_, slot, kept, run) = ranked.min_by(|(a, ..), (b, ..)| a.cmp(b))?;
            // Acquire: pairs with the Release in `keep`. The same word may mean that the same run was taken and
            // kept again meanwhile: then it is as good.
            if slot.compare_exchange(kept.0, 0, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                self.superslabs.fetch_sub(run.len, Ordering::Relaxed);
                return Some(run);
            }
        }
        None
    }

    /// SuperSlabs in all runs, at about this moment.
    pub(crate) fn superslabs(&self) -> usize {
        // Relaxed: a statistic.
        self.superslabs.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn cache() -> HugeCache {
        // SAFETY: zeroed memory is valid.
        unsafe { core::mem::zeroed() }
    }

    const fn run(start: usize, len: usize) -> Run {
        Run { start, len }
    }

    #[test]
    fn gives_the_shortest_run_that_fits_and_is_not_much_longer() {
        let cache = cache();
        for kept in [run(0, 10), run(20, 5), run(30, 4), run(40, 1)] {
            assert!(cache.keep(kept, 100, 0));
        }
        assert_eq!(cache.superslabs(), 20);
        assert_eq!(cache.take(4, |_| true), Some(run(30, 4)));
        assert_eq!(cache.take(4, |_| true), Some(run(20, 5)), "a quarter longer");
        assert_eq!(cache.take(4, |_| true), None, "ten are too many");
        assert_eq!(cache.take(10, |start| start == 1), None, "not there");
        assert_eq!(cache.take(10, |start| start == 0), Some(run(0, 10)));
        assert_eq!(cache.superslabs(), 1);
    }

    #[test]
    fn keeps_no_more_superslabs_than_it_may_and_no_more_runs_than_slots() {
        let cache = cache();
        assert!(!cache.keep(run(0, 9), 8, 0) && cache.keep(run(0, 8), 8, 0) && !cache.keep(run(8, 1), 8, 0));
        assert_eq!(cache.take_older(0, 0), Some(run(0, 8)));
        for start in 0..SLOTS {
            assert!(cache.keep(run(start, 1), 1000, 0));
        }
        assert!(!cache.keep(run(SLOTS, 1), 1000, 0), "every slot is taken");
        assert_eq!(cache.superslabs(), SLOTS);
    }

    #[test]
    fn gives_the_oldest_first_and_no_younger_than_asked_for() {
        let cache = cache();
        for (start, now_ms) in [(0, 200), (1, 100), (2, 300)] {
            assert!(cache.keep(run(start, 1), 10, now_ms));
        }
        assert_eq!(cache.take_older(150, 320), Some(run(1, 1)));
        assert_eq!(cache.take_older(150, 320), None);
        assert_eq!(cache.take_older(0, 320), Some(run(0, 1)));
        // Kept after the caller looked at the clock.
        assert_eq!(cache.take_older(1, 250), None);
        assert_eq!(cache.take_older(0, 250), Some(run(2, 1)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::sync::Arc;
    use std::vec::Vec;

    #[test]
    fn a_run_has_one_owner() {
        loom::model(|| {
            let cache = Arc::new(HugeCache {
                slots: core::array::from_fn(|_| AtomicU64::new(0)),
                since_ms: core::array::from_fn(|_| AtomicU32::new(0)),
                superslabs: AtomicUsize::new(0),
            });
            assert!(cache.keep(Run { start: 0, len: 2 }, 4, 0));
            let takers: Vec<_> = (0..2)
                .map(|_| {
                    let cache = Arc::clone(&cache);
                    thread::spawn(move || {
                        let run = cache.take(2, |_| true)?;
                        // It may go round while the other one looks.
                        (!cache.keep(run, 4, 0)).then_some(run)
                    })
                })
                .collect();
            let lost: Vec<_> = takers.into_iter().filter_map(|taker| taker.join().unwrap()).collect();
            assert!(lost.is_empty(), "there was room");
            assert_eq!(cache.superslabs(), 2);
            assert_eq!(cache.take(2, |_| true), Some(Run { start: 0, len: 2 }));
            assert_eq!(cache.take(1, |_| true), None);
        });
    }
}
