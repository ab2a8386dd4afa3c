//! Loom models of [`super`], with two and three units and the shelf reduced to one flag.

use super::*;
use loom::{cell::UnsafeCell, sync::Arc, thread};

/// A slab of three units in one word, and a shelf that holds it or not.
struct World {
    avail: AtomicU32,
    words: [AtomicU64; 1],
    /// 1: the slab lies on the shelf.
    shelf: AtomicU32,
    /// What the owners of the units write; loom reports two owners at once.
    blocks: [UnsafeCell<u32>; 3],
    /// What the holder alone writes (as the cursor of a descriptor).
    holder: UnsafeCell<u32>,
}

impl World {
    fn new() -> Arc<Self> {
        let world = Arc::new(Self {
            avail: AtomicU32::new(0),
            words: [AtomicU64::new(0)],
            shelf: AtomicU32::new(0),
            blocks: core::array::from_fn(|_| UnsafeCell::new(0)),
            holder: UnsafeCell::new(0),
        });
        world.units().open(3);
        world
    }

    fn units(&self) -> FreeUnits<'_> {
        FreeUnits::new(&self.avail, &self.words)
    }

    fn use_units(&self, mask: u64) {
        for i in (0..3).filter(|i| mask >> i & 1 == 1) {
            // SAFETY: the caller took unit `i`; loom checks that nobody else has it.
            self.blocks[i].with_mut(|p| unsafe { *p += 1 });
        }
    }

    /// Pops the slab from the shelf.
    fn pop(&self) -> bool {
        self.shelf.compare_exchange(1, 0, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// Takes up to `want` units if the slab lies on the shelf.
    fn take(&self, want: u32) -> u64 {
        if !self.pop() {
            return 0;
        }
        self.units().hold();
        self.take_held(want, Rest::List)
    }

    fn take_held(&self, want: u32, rest: Rest) -> u64 {
        // SAFETY: the caller holds the slab; loom checks it.
        self.holder.with_mut(|p| unsafe { *p += 1 });
        let mut got = 0;
        let (taken, _) = self.units().take(0, want, Spread::NONE, |_, mask| got |= mask);
        self.use_units(got);
        if self.units().settle(taken, rest) == State::Listed {
            self.shelf.store(1, Ordering::Release);
        }
        got
    }

    fn give(&self, mask: u64) {
        if mask == 0 {
            return;
        }
        self.use_units(mask);
        let duty = self.units().add(mask.count_ones());
        self.units().set(0, mask).unwrap();
        if duty == Duty::List {
            // SAFETY: the duty makes this thread the owner; loom checks it.
            self.holder.with_mut(|p| unsafe { *p += 1 });
            self.units().list();
            self.shelf.store(1, Ordering::Release);
        }
    }

    /// At rest every unit must be free, findable and retirable.
    fn finish(&self) {
        assert_eq!(self.shelf.load(Ordering::Relaxed), 1, "lost: {:?}", self.units().avail());
        self.units().hold();
        self.units().validate();
        assert!(self.units().retire(3));
    }
}

#[test]
fn two_givers_of_a_full_slab_list_it_exactly_once() {
    loom::model(|| {
        let w = World::new();
        let all = w.take_held(3, Rest::List);
        assert_eq!(all, 0b111);
        let other = {
            let w = w.clone();
            thread::spawn(move || w.give(0b001))
        };
        w.give(0b110);
        other.join().unwrap();
        w.finish();
    });
}

#[test]
fn a_taker_and_a_giver_lose_no_wake_up() {
    loom::model(|| {
        let w = World::new();
        let mine = w.take_held(2, Rest::List);
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                let got = w.take(2);
                w.give(got);
            })
        };
        w.give(mine);
        other.join().unwrap();
        w.finish();
    });
}

#[test]
fn two_takers_and_a_giver_never_share_a_unit() {
    loom::model(|| {
        let w = World::new();
        let mine = w.take_held(1, Rest::List);
        let threads: std::vec::Vec<_> = (0..2)
            .map(|_| {
                let w = w.clone();
                thread::spawn(move || {
                    let got = w.take(1);
                    w.give(got);
                })
            })
            .collect();
        w.give(mine);
        threads.into_iter().for_each(|t| t.join().unwrap());
        w.finish();
    });
}

#[test]
fn a_slab_retires_only_after_its_last_giver() {
    loom::model(|| {
        let w = World::new();
        let mine = w.take_held(3, Rest::Keep);
        let other = {
            let w = w.clone();
            thread::spawn(move || {
                // A maintenance pass: holds the slab if it is listed, retires it if it may.
                if !w.pop() {
                    return false;
                }
                w.units().hold();
                if w.units().retire(3) {
                    // SAFETY: retired, so nobody else touches any unit; loom checks it.
                    w.blocks.iter().for_each(|b| b.with_mut(|p| unsafe { *p += 1 }));
                    return true;
                }
                if w.units().settle(0, Rest::List) == State::Listed {
                    w.shelf.store(1, Ordering::Release);
                }
                false
            })
        };
        w.give(mine & 0b011);
        w.give(mine & 0b100);
        if !other.join().unwrap() {
            w.finish();
        }
    });
}
