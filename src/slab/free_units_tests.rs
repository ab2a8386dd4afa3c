//! Sequential tests and a stress test of [`super`].

use super::*;
use std::vec::Vec;

struct Slab {
    avail: AtomicU32,
    words: Vec<AtomicU64>,
}

impl Slab {
    fn open(capacity: u32) -> Self {
        let words = (0..capacity.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let slab = Self { avail: AtomicU32::new(0), words };
        slab.units().open(capacity);
        slab
    }

    fn units(&self) -> FreeUnits<'_> {
        FreeUnits::new(&self.avail, &self.words)
    }
}

#[test]
fn low_bits_are_as_many_as_asked_for() {
    assert_eq!((low_bits(0), low_bits(3), low_bits(64)), (0, 7, u64::MAX));
}

#[test]
fn opens_with_exactly_the_capacity() {
    for capacity in [1, 63, 64, 65, 100, 128] {
        let slab = Slab::open(capacity);
        slab.units().validate();
        assert!(slab.units().all_free(capacity));
        let (taken, _) = slab.units().take(0, u32::MAX, Spread::NONE, |_, _| ());
        assert_eq!(taken, capacity);
    }
}

#[test]
fn take_goes_round_from_where_it_starts() {
    let slab = Slab::open(192);
    let mut seen = Vec::new();
    let (taken, at) =
        slab.units().take(2, 70, Spread::NONE, |word, mask| seen.push((word, mask.count_ones())));
    assert_eq!((taken, at, seen), (70, 0, std::vec![(2, 64), (0, 6)]));
}

#[test]
fn the_first_unit_that_comes_back_lists_a_full_slab_once() {
    let slab = Slab::open(64);
    let units = slab.units();
    let (taken, _) = units.take(0, 64, Spread::NONE, |_, _| ());
    assert_eq!(units.settle(taken, Rest::Keep), State::Full);
    assert_eq!(units.add(2), Duty::List);
    assert_eq!(units.add(1), Duty::None);
    units.set(0, 0b111).unwrap();
    units.list();
    assert_eq!(units.avail(), Avail::new(3, State::Listed));
    units.validate();
}

#[test]
fn a_unit_given_back_twice_is_seen() {
    let slab = Slab::open(64);
    slab.units().take_mask(0, 0b110);
    let _ = slab.units().add(1);
    assert_eq!(slab.units().set(0, 0b010), Ok(()));
    assert_eq!(slab.units().set(0, 0b010), Err(AlreadyFree(0b010)));
    assert_eq!(slab.units().set(0, 0b101), Err(AlreadyFree(0b001)));
}

#[test]
fn retires_only_when_every_unit_is_free() {
    let slab = Slab::open(65);
    let units = slab.units();
    units.take_mask(1, 1);
    assert_eq!(units.settle(1, Rest::Keep), State::Held);
    assert!(!units.retire(65));
    assert_eq!(units.add(1), Duty::None);
    assert!(!units.retire(65), "the count runs ahead of the bits");
    units.set(1, 1).unwrap();
    assert!(units.retire(65));
    assert_eq!(units.avail(), Avail::new(0, State::None));
}

#[test]
fn threads_that_give_and_take_lose_and_double_nothing() {
    const UNITS: u32 = 256;
    let slab = Slab::open(UNITS);
    let owned: Vec<AtomicU32> = (0..UNITS).map(|_| AtomicU32::new(0)).collect();
    let shelf = AtomicU32::new(1); // 1: the slab lies on the shelf
    slab.units().settle(0, Rest::List);
    let give = |(word, mask): (usize, u64)| {
        (0..64).filter(|b| mask >> b & 1 == 1).for_each(|b| {
            owned[word * 64 + b].fetch_sub(1, Ordering::Relaxed);
        });
        let duty = slab.units().add(mask.count_ones());
        slab.units().set(word, mask).unwrap();
        if duty == Duty::List {
            slab.units().list();
            shelf.store(1, Ordering::Release);
        }
    };
    let take = |start: usize, want: u32, mine: &mut Vec<(usize, u64)>| {
        slab.units().hold();
        let (taken, _) = slab.units().take(start, want, Spread::NONE, |word, mask| {
            (0..64).filter(|b| mask >> b & 1 == 1).for_each(|b| {
                assert_eq!(owned[word * 64 + b].fetch_add(1, Ordering::Relaxed), 0);
            });
            mine.push((word, mask));
        });
        if slab.units().settle(taken, Rest::List) == State::Listed {
            shelf.store(1, Ordering::Release);
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..8u32 {
            let (shelf, give, take) = (&shelf, &give, &take);
            scope.spawn(move || {
                let mut mine = Vec::new();
                for round in 0..3_000u32 {
                    if shelf.swap(0, Ordering::AcqRel) == 1 {
                        take((round % 4) as usize, 1 + seed * 9, &mut mine);
                    }
                    if round % 3 == 0 || mine.len() > 8 {
                        mine.drain(..).for_each(give);
                    }
                }
                mine.drain(..).for_each(give);
            });
        }
    });
    slab.units().validate();
    assert_eq!(shelf.load(Ordering::Relaxed), 1);
    slab.units().hold();
    assert!(slab.units().retire(UNITS));
}
