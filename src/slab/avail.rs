//! The packed `avail` word of a slab or SuperSlab: how many units are free, and who looks after it.
//!
//! Pure transitions on a snapshot; the atomic operations are in [`super::free_units`].
//!
//! # State
//!
//! | state | meaning | who may change it |
//! | --- | --- | --- |
//! | `None` | no slab is here: the descriptor is unused | who carves a slab into it |
//! | `Held` | one thread, or one CPU's current slot, takes units from it | the holder |
//! | `Listed` | on a shelf | who pops it from the shelf |
//! | `Full` | every unit is handed out; nobody looks after it | the one giver who finds count 0 |
//!
//! | from | to | verb | when |
//! | --- | --- | --- | --- |
//! | `None` | `Held`, `Full` | open | carved from the pool, count = capacity less what the carver takes |
//! | `Held` | `Held`, `Listed` or `Full` | settle | the holder is done: keeps it, lists it, or count is 0 |
//! | `Listed` | `Held` | hold | popped from its shelf |
//! | `Full` | `Listed` | list | its first unit came back |
//! | `Held`, `Full` | `None` | retire | every bit set, count = capacity |

/// Who looks after the units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum State {
    /// The descriptor is unused.
    None = 0,
    /// One owner takes units from it.
    Held = 1,
    /// On a shelf.
    Listed = 2,
    /// All units are handed out.
    Full = 3,
}

/// A snapshot of an `avail` word: `{count: 30, state: 2}`. Zero is `{0, None}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avail(pub(crate) u32);

impl Avail {
    /// One free unit more, as an addend to the word.
    pub(crate) const ONE: u32 = 4;
    /// Turns `Full` into `Listed` and back, by exclusive or.
    pub(crate) const FULL_TO_LISTED: u32 = State::Full as u32 ^ State::Listed as u32;
    /// Turns `Listed` into `Held` and back, by exclusive or.
    pub(crate) const LISTED_TO_HELD: u32 = State::Listed as u32 ^ State::Held as u32;

    pub(crate) const fn new(count: u32, state: State) -> Self {
        Self(count << 2 | state as u32)
    }

    pub(crate) const fn count(self) -> u32 {
        self.0 >> 2
    }

    pub(crate) const fn state(self) -> State {
        match self.0 & 3 {
            0 => State::None,
            1 => State::Held,
            2 => State::Listed,
            _ => State::Full,
        }
    }

    /// Whether a giver who found this snapshot is the one who must list the slab.
    pub(crate) const fn first_to_come_back(self) -> bool {
        self.0 == State::Full as u32
    }

    /// The holder took `taken` units and is done. `None` if the slab is not held or the count is
    /// too small, which would be a broken invariant.
    pub(crate) const fn settled(self, taken: u32, rest: Rest) -> Option<Self> {
        if !matches!(self.state(), State::Held) || self.count() < taken {
            return None;
        }
        let count = self.count() - taken;
        Some(match (count, rest) {
            (0, _) => Self::new(0, State::Full),
            (_, Rest::Keep) => Self::new(count, State::Held),
            (_, Rest::List) => Self::new(count, State::Listed),
        })
    }
}

/// What the holder does with a slab that still has free units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Goes on holding it.
    Keep,
    /// Puts it on its shelf.
    List,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn packs_count_and_state() {
        for state in [State::None, State::Held, State::Listed, State::Full] {
            let a = Avail::new(8192, state);
            assert_eq!((a.count(), a.state()), (8192, state));
        }
        assert_eq!(Avail(0), Avail::new(0, State::None));
    }

    #[test]
    fn settles_to_full_only_when_nothing_is_left() {
        let held = Avail::new(5, State::Held);
        assert_eq!(held.settled(5, Rest::Keep), Some(Avail::new(0, State::Full)));
        assert_eq!(held.settled(4, Rest::Keep), Some(Avail::new(1, State::Held)));
        assert_eq!(held.settled(4, Rest::List), Some(Avail::new(1, State::Listed)));
        assert_eq!(held.settled(6, Rest::Keep), None);
        assert_eq!(Avail::new(5, State::Listed).settled(1, Rest::Keep), None);
    }

    #[test]
    fn only_an_exhausted_slab_asks_to_be_listed() {
        assert!(Avail::new(0, State::Full).first_to_come_back());
        assert!(!Avail::new(1, State::Full).first_to_come_back());
        assert!(!Avail::new(0, State::Held).first_to_come_back());
    }

    #[test]
    fn exclusive_or_switches_states() {
        assert_eq!(Avail(Avail::new(7, State::Full).0 ^ Avail::FULL_TO_LISTED), Avail::new(7, State::Listed));
        assert_eq!(Avail(Avail::new(7, State::Listed).0 ^ Avail::LISTED_TO_HELD), Avail::new(7, State::Held));
    }
}
