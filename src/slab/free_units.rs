//! Free units behind a bitmap and one `avail` word: blocks in a slab, pieces in a SuperSlab.
//!
//! The protocol, written once for both. Giving back is open to every thread at any time; taking is
//! for the one holder. Nobody ever waits: a thread that finds a slab held goes to another slab.
//!
//! # Giving back `n` units
//! 1. [`add`](FreeUnits::add): `count += n`. If the count was 0 and the state `Full`, this giver, and
//!    no other, is now the owner who must list the slab ([`Duty::List`]).
//! 2. [`set`](FreeUnits::set): the bits, one atomic operation a word. A bit that was set is a double
//!    free.
//! 3. The owner of the duty: [`list`](FreeUnits::list), then push on the shelf.
//!
//! # Taking
//! 1. Pop from a shelf and [`hold`](FreeUnits::hold), or take over a held slab.
//! 2. [`take`](FreeUnits::take): clear bits, one atomic operation a word.
//! 3. [`settle`](FreeUnits::settle): subtract what was taken and keep, list, or mark full in one
//!    exchange that includes the count, so that no giver's wake-up is lost.
//!
//! # Invariants
//! * The count may run ahead of the bits (between a giver's steps 1 and 2), never behind. So a holder
//!   may find count and no bits; it lists the slab again and goes on elsewhere.
//! * Every bit set means that every giver is past step 2, and none has a duty: the last thing a giver
//!   without duty does to the slab is step 2. So a holder may retire the slab then, and only then.

use super::avail::{Avail, Rest, State};
use super::spread::Spread;
use crate::sync::{AtomicU32, AtomicU64, Ordering, lost};

/// The free units of one slab or SuperSlab: a view on its descriptor.
#[derive(Clone, Copy)]
pub(crate) struct FreeUnits<'a> {
    /// Givers add; the owner of the moment (holder, lister) changes the state. See [`Avail`].
    avail: &'a AtomicU32,
    /// Bit set = unit free. Givers set, the holder clears.
    words: &'a [AtomicU64],
}

/// What a giver has to do after setting its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Duty {
    /// Nothing; the giver may not touch the slab again.
    None,
    /// List the slab: this giver owns it until then.
    List,
}

/// Units were given back that were free already: these bits of the word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlreadyFree(pub(crate) u64);

impl<'a> FreeUnits<'a> {
    pub(crate) const fn new(avail: &'a AtomicU32, words: &'a [AtomicU64]) -> Self {
        Self { avail, words }
    }

    /// A snapshot of the `avail` word.
    pub(crate) fn avail(&self) -> Avail {
        // Relaxed: for statistics and hints; the protocol itself uses exchanges.
        Avail(self.avail.load(Ordering::Relaxed))
    }

    /// Opens unused units: `capacity` bits set, held by the caller, who must own the descriptor.
    pub(crate) fn open(&self, capacity: u32) {
        debug_assert_eq!(self.avail().state(), State::None);
        let mut left = capacity;
        for word in self.words {
            let here = left.min(64);
            // Relaxed: the caller owns the descriptor; handing it on (push on a shelf, the page map
            // entry) publishes these stores.
            word.store(low_bits(here), Ordering::Relaxed);
            left -= here;
        }
        debug_assert_eq!(left, 0);
        self.avail.store(Avail::new(capacity, State::Held).0, Ordering::Relaxed);
    }

    /// Opens unused units of which the caller, who must own the descriptor, takes the first `take` at
    /// once, in the order of `spread` within a word: calls `sink(word, mask)` for them. The rest is held by the caller; with no rest, nobody
    /// looks after the units. Returns the state.
    pub(crate) fn open_taking(
        &self,
        capacity: u32,
        take: u32,
        spread: Spread,
        mut sink: impl FnMut(usize, u64),
    ) -> State {
        debug_assert_eq!(self.avail().state(), State::None);
        let (mut left, mut takes) = (capacity, take.min(capacity));
        for (at, word) in self.words.iter().enumerate() {
            let here = left.min(64);
            let taken = spread.first_ones(low_bits(here), takes);
            if taken != 0 {
                sink(at, taken);
            }
            // Relaxed: as in `open`.
            word.store(low_bits(here) & !taken, Ordering::Relaxed);
            left -= here;
            takes -= taken.count_ones();
        }
        let rest = capacity - take.min(capacity);
        let avail = Avail::new(rest, if rest == 0 { State::Full } else { State::Held });
        self.avail.store(avail.0, Ordering::Relaxed);
        avail.state()
    }

    /// Step 1 of giving back `n` units.
    #[inline]
    pub(crate) fn add(&self, n: u32) -> Duty {
        // Acquire: pairs with the Release exchange in `settle` that marked the slab full; the duty to
        // list makes this thread the owner of what the last holder wrote. Not Release: the bits
        // publish the freed blocks.
        let old = Avail(self.avail.fetch_add(n * Avail::ONE, Ordering::Acquire));
        if old.first_to_come_back() { Duty::List } else { Duty::None }
    }

    /// Step 2 of giving back: sets the bits `mask` of word `word`.
    #[inline]
    pub(crate) fn set(&self, word: usize, mask: u64) -> Result<(), AlreadyFree> {
        // Release: pairs with the Acquire in `take` and `all_free`; the block's last user is done
        // before its next user begins.
        let old = self.words[word].fetch_or(mask, Ordering::Release);
        if old & mask == 0 { Ok(()) } else { Err(AlreadyFree(old & mask)) }
    }

    /// Step 3 of giving back, for the one with [`Duty::List`], who pushes the slab next.
    pub(crate) fn list(&self) {
        // Relaxed: the push on the shelf publishes; other givers only add to the count.
        let old = self.avail.fetch_xor(Avail::FULL_TO_LISTED, Ordering::Relaxed);
        debug_assert_eq!(Avail(old).state(), State::Full);
    }

    /// Marks a slab just popped from its shelf as held.
    pub(crate) fn hold(&self) {
        // Relaxed: the pop acquired the ownership.
        let old = self.avail.fetch_xor(Avail::LISTED_TO_HELD, Ordering::Relaxed);
        debug_assert_eq!(Avail(old).state(), State::Listed);
    }

    /// The holder takes up to `want` units, in the order of `spread` within a word, beginning with word
    /// `start` and going round once. Calls `sink(word, mask)` for each word. Returns how many were
    /// taken, and the word in which it stopped.
    pub(crate) fn take(
        &self,
        start: usize,
        want: u32,
        spread: Spread,
        mut sink: impl FnMut(usize, u64),
    ) -> (u32, usize) {
        let (mut taken, mut at) = (0, start);
        for _ in 0..self.words.len() {
            if at >= self.words.len() {
                at = 0;
            }
            // Relaxed: a hint which bits to ask for; the exchange below acquires them.
            let free = self.words[at].load(Ordering::Relaxed);
            if free != 0 {
                let mask = spread.first_ones(free, want - taken);
                // Acquire: pairs with the Release in `set`. Only the holder clears bits, so all of
                // `mask` was still set.
                let old = self.words[at].fetch_and(!mask, Ordering::Acquire);
                debug_assert_eq!(old & mask, mask);
                sink(at, mask);
                taken += mask.count_ones();
                if taken == want {
                    break;
                }
            }
            at += 1;
        }
        (taken, at)
    }

    /// The holder takes exactly the units `mask` of word `word`, which it has seen free.
    pub(crate) fn take_mask(&self, word: usize, mask: u64) {
        // Acquire: pairs with the Release in `set`; only the holder clears bits.
        let old = self.words[word].fetch_and(!mask, Ordering::Acquire);
        debug_assert_eq!(old & mask, mask);
    }

    /// The free bits of word `word` at this moment.
    pub(crate) fn word(&self, word: usize) -> u64 {
        // Relaxed: a hint; `take_mask` acquires.
        self.words[word].load(Ordering::Relaxed)
    }

    /// The free bits of word `word` that the holder may use as it likes, as long as it holds.
    pub(crate) fn free_now(&self, word: usize) -> u64 {
        // Acquire: pairs with the Release in `set`; only the holder clears bits.
        self.words[word].load(Ordering::Acquire)
    }

    /// The holder is done, having taken `taken` units. Returns the state it left: `Full` (nobody's
    /// now: hands off), `Held` (still the caller's), or `Listed` (the caller must push it).
    pub(crate) fn settle(&self, taken: u32, rest: Rest) -> State {
        // Relaxed: seeds the exchange, which checks it.
        let mut old = Avail(self.avail.load(Ordering::Relaxed));
        loop {
            let Some(new) = old.settled(taken, rest) else {
                debug_assert!(false, "settle of {old:?} with {taken} taken");
                return State::Full;
            };
            // Release: pairs with the Acquire in `add`, for the next owner by duty.
            match self.avail.compare_exchange_weak(old.0, new.0, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return new.state(),
                Err(seen) => {
                    lost::count();
                    old = Avail(seen);
                }
            }
        }
    }

    /// Whether every unit is free, as the owner of the moment sees it.
    pub(crate) fn all_free(&self, capacity: u32) -> bool {
        self.avail().count() == capacity
            && self.words.iter().enumerate().all(|(i, word)| {
                let here = capacity.saturating_sub(64 * i as u32).min(64);
                // Acquire: pairs with the Release in `set`, since the memory is about to be reused
                // in another shape.
                word.load(Ordering::Acquire) == low_bits(here)
            })
    }

    /// The holder ends the slab. `false` (and nothing changed) unless every unit is free.
    pub(crate) fn retire(&self, capacity: u32) -> bool {
        self.retire_from(State::Held, capacity)
    }

    /// The one with [`Duty::List`] ends the slab instead of listing it. Likewise.
    pub(crate) fn retire_full(&self, capacity: u32) -> bool {
        self.retire_from(State::Full, capacity)
    }

    fn retire_from(&self, state: State, capacity: u32) -> bool {
        if !self.all_free(capacity) {
            return false;
        }
        // Relaxed on both sides: with every bit set no giver is left (see the invariants); an exchange
        // rather than a store only so that a stray double free is not covered up.
        self.avail
            .compare_exchange(
                Avail::new(capacity, state).0,
                Avail::new(0, State::None).0,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Checks what must hold while no other thread touches the slab.
    #[cfg(test)]
    pub(crate) fn validate(&self) {
        let bits: u32 = self.words.iter().map(|w| w.load(Ordering::Relaxed).count_ones()).sum();
        let avail = self.avail();
        assert_eq!(avail.count(), bits, "{avail:?}");
        assert!(avail.count() == 0 || avail.state() != State::Full, "{avail:?}");
    }
}

/// A word whose lowest `n` bits are set, `n <= 64`.
const fn low_bits(n: u32) -> u64 {
    if n == 0 { 0 } else { u64::MAX >> (64 - n) }
}

#[cfg(all(test, not(loom)))]
#[path = "free_units_tests.rs"]
mod tests;

#[cfg(all(test, loom))]
#[path = "free_units_loom.rs"]
mod loom_tests;
