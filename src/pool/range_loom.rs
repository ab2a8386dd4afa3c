//! Loom models of [`super`]: two words, of which the border between them is fought over.

use super::*;
use loom::cell::UnsafeCell;
use loom::{sync::Arc, thread};
use std::vec::Vec;

/// The SuperSlabs around the border that the models use.
const BORDER: core::ops::Range<usize> = 62..66;

struct World {
    used: [AtomicU64; 2],
    hint: AtomicU32,
    /// What the owner of a SuperSlab writes; loom reports two owners at once.
    superslabs: [UnsafeCell<u32>; BORDER.end - BORDER.start],
}

impl World {
    /// All SuperSlabs but those of the border are in use.
    fn new() -> Arc<Self> {
        let mask = |at: usize| BORDER.filter(|n| n / 64 == at).fold(u64::MAX, |m, n| m & !(1 << (n % 64)));
        Arc::new(Self {
            used: [AtomicU64::new(mask(0)), AtomicU64::new(mask(1))],
            hint: AtomicU32::new(0),
            superslabs: core::array::from_fn(|_| UnsafeCell::new(0)),
        })
    }

    fn range(&self) -> RangeMap<'_> {
        RangeMap::new(&self.used, &self.hint)
    }

    fn own(&self, run: Run) {
        for number in run.start..run.start + run.len {
            // SAFETY: the caller claimed the run; loom checks that nobody else did.
            self.superslabs[number - BORDER.start].with_mut(|p| unsafe { *p += 1 });
        }
    }

    /// Claims the run, uses it, and gives it back; whether it was to be had.
    fn claim_and_release(&self, run: Run) -> bool {
        let claimed = self.range().claim(run);
        if claimed {
            self.own(run);
            self.range().release(run);
        }
        claimed
    }

    /// At rest all of the border is free, and can be had as one run.
    fn finish(&self) {
        let all = Run { start: BORDER.start, len: BORDER.len() };
        assert_eq!(self.range().claim_run(all.len, 1, 0), Some(all), "a bit was left behind");
        self.own(all);
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn spawn<T: 'static>(w: &Arc<World>, work: impl FnOnce(&World) -> T + 'static) -> thread::JoinHandle<T> {
    let w = w.clone();
    thread::spawn(move || work(&w))
}

#[test]
fn overlapping_runs_are_never_both_claimed() {
    check(|| {
        let w = World::new();
        let claim = |run: Run| spawn(&w, move |w| (run, w.range().claim(run)));
        let (a, b) = (claim(Run { start: 62, len: 3 }), claim(Run { start: 64, len: 2 }));
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        assert!(!(a.1 && b.1));
        [a, b].into_iter().filter(|c| c.1).for_each(|c| w.range().release(c.0));
        w.finish();
    });
}

#[test]
fn a_run_given_back_is_handed_on_with_all_that_was_written() {
    check(|| {
        let w = World::new();
        let other = spawn(&w, |w| w.claim_and_release(Run { start: 63, len: 2 }));
        w.claim_and_release(Run { start: 62, len: 4 });
        other.join().unwrap();
        w.finish();
    });
}

#[test]
fn single_superslabs_and_runs_are_told_apart() {
    check(|| {
        let w = World::new();
        let single = spawn(&w, |w| {
            let start = w.range().claim_one();
            if let Some(start) = start {
                w.own(Run { start, len: 1 });
                w.range().release(Run { start, len: 1 });
            }
        });
        if let Some(run) = w.range().claim_run(2, 2, 0) {
            w.own(run);
            w.range().release(run);
        }
        single.join().unwrap();
        w.finish();
    });
}

#[test]
fn two_who_want_one_get_two_different_ones() {
    check(|| {
        let w = World::new();
        let claims: Vec<_> = (0..2).map(|_| spawn(&w, |w| w.range().claim_one())).collect();
        let got: Vec<_> = claims.into_iter().map(|claim| claim.join().unwrap()).collect();
        assert!(got[0] != got[1] && got.iter().all(|one| one.is_some()));
        got.into_iter().flatten().for_each(|start| w.range().release(Run { start, len: 1 }));
        w.finish();
    });
}
