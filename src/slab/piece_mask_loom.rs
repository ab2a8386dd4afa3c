//! Loom models of a SuperSlab of four pieces whose runs are taken by their holder, as `pool::runs` does it,
//! and given back by anybody. The lists of SuperSlabs are one word: the length it is listed under, or 0.

use super::*;
use crate::slab::avail::{Rest, State};
use crate::slab::free_units::{Duty, FreeUnits};
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use loom::{cell::UnsafeCell, sync::Arc, thread};

const PIECES: u32 = 4;

struct World {
    avail: AtomicU32,
    words: [AtomicU64; 1],
    listed: AtomicU32,
    /// What the owner of a piece writes; loom reports two owners at once.
    pieces: [UnsafeCell<u32>; PIECES as usize],
}

/// A run: where it begins and how long it is.
#[derive(Clone, Copy)]
struct Run(u32, u32);

impl World {
    fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            avail: AtomicU32::new(0),
            words: [AtomicU64::new(0)],
            listed: AtomicU32::new(0),
            pieces: core::array::from_fn(|_| UnsafeCell::new(0)),
        });
        world.units().open(PIECES);
        world
    }

    fn units(&self) -> FreeUnits<'_> {
        FreeUnits::new(&self.avail, &self.words)
    }

    fn use_run(&self, Run(start, len): Run) {
        for piece in start..start + len {
            // SAFETY: the caller took the run; loom checks that nobody else has a piece of it.
            self.pieces[piece as usize].with_mut(|p| unsafe { *p += 1 });
        }
    }

    /// Puts the SuperSlab, which the caller owns, on the list for its longest run.
    fn list(&self) {
        let longest = longest_run(self.units().word(0) as u32).max(1);
        let old = self.listed.swap(longest, Ordering::Release);
        assert_eq!(old, 0, "listed twice");
    }

    /// Pops the SuperSlab from the lists for `pieces` and more.
    fn pop(&self, pieces: u32) -> bool {
        let listed = self.listed.load(Ordering::Relaxed);
        let popped = listed >= pieces
            && self.listed.compare_exchange(listed, 0, Ordering::Acquire, Ordering::Relaxed).is_ok();
        if popped {
            self.units().hold();
        }
        popped
    }

    /// Takes a run from the held SuperSlab and lists what is left.
    fn take_held(&self, pieces: u32) -> Option<Run> {
        let found = shortest_run(self.units().word(0) as u32, pieces);
        if let Some(start) = found {
            self.units().take_mask(0, run_mask(start, pieces));
        }
        if self.units().settle(found.map_or(0, |_| pieces), Rest::List) == State::Listed {
            self.list();
        }
        let run = Run(found?, pieces);
        self.use_run(run);
        Some(run)
    }

    fn take(&self, pieces: u32) -> Option<Run> {
        if self.pop(pieces) { self.take_held(pieces) } else { None }
    }

    fn give(&self, run: Run) {
        self.use_run(run);
        let Run(start, len) = run;
        let duty = self.units().add(len);
        self.units().set(0, run_mask(start, len)).unwrap();
        if duty == Duty::List {
            self.units().list();
            self.list();
        }
    }

    /// At rest every piece is free, on some list, and the SuperSlab can be given back.
    fn finish(&self) {
        assert!(self.pop(1), "lost: {:?}", self.units().avail());
        self.units().validate();
        assert!(self.units().retire(PIECES));
    }
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn runs_taken_and_given_back_by_two_threads_never_overlap() {
    check(|| {
        let w = World::new();
        let first = w.take_held(1).unwrap();
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                if let Some(run) = w.take(2) {
                    w.give(run);
                }
            })
        };
        if let Some(run) = w.take(1) {
            w.give(run);
        }
        w.give(first);
        other.join().unwrap();
        w.finish();
    });
}

#[test]
fn a_superslab_taken_whole_is_listed_by_the_first_run_that_returns() {
    check(|| {
        let w = World::new();
        let (a, b) = (w.take_held(2).unwrap(), w.take(2).unwrap());
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                w.give(b);
                w.take(4).map(|run| w.give(run)).is_some()
            })
        };
        w.give(a);
        other.join().unwrap();
        w.finish();
    });
}

#[test]
fn a_superslab_is_given_back_only_when_its_last_run_is_there() {
    check(|| {
        let w = World::new();
        let (a, b) = (w.take_held(1).unwrap(), w.take(1).unwrap());
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                // What trim does with SuperSlabs that look free.
                if !w.pop(1) {
                    return false;
                }
                if w.units().retire(PIECES) {
                    w.use_run(Run(0, PIECES));
                    return true;
                }
                if w.units().settle(0, Rest::List) == State::Listed {
                    w.list();
                }
                false
            })
        };
        w.give(a);
        w.give(b);
        if !other.join().unwrap() {
            w.finish();
        }
    });
}
