//! The two zones of a node's range: SuperSlabs for Tiny and Mid slabs, and SuperSlabs for Large ones.
//!
//! Apart, so that a long-lived Tiny slab does not break up a SuperSlab that runs of sixteen pieces need.
//! The first zone is the lower half of the range, the second the upper; Huge blocks take from below and
//! may reach into both. A slab that finds no room in its zone takes from the other.

use crate::size_class::{Group, SizeClass};
use crate::sync::AtomicU32;
use crate::sync::tagged_stack::TaggedStack;
use crate::units::PIECES;

/// A zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// Tiny and Mid slabs: the lower half of the range.
    Small = 0,
    /// Large slabs: the upper half.
    Large = 1,
}

impl Zone {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Small, Self::Large];

    /// The other one.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Small => Self::Large,
            Self::Large => Self::Small,
        }
    }

    /// The zone for slabs of `class`.
    pub(crate) const fn of(class: SizeClass) -> Self {
        match class.group() {
            Group::Tiny | Group::Mid => Self::Small,
            Group::Large => Self::Large,
        }
    }
}

/// What threads share of a zone. Zeroed memory is valid.
#[repr(C)]
pub(crate) struct ZoneLists {
    /// SuperSlabs with free pieces, by the length of their longest run when listed; `runs[0]` is empty.
    pub(super) runs: [TaggedStack; PIECES + 1],
    /// See [`super::range`].
    pub(super) hint: AtomicU32,
    /// Pieces that came back to listed SuperSlabs since the lists were last sorted. Givers add, the one
    /// who sorts resets.
    pub(super) returned: AtomicU32,
}
