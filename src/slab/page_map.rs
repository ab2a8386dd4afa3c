//! The page map: for each piece of 64 KiB, which class of slab lies there and where the slab begins.
//!
//! Two bytes a piece, `{class + 1: 8, distance to the slab's first piece: 8}`; 0 says "no slab".
//! Written by the thread that carves or retires the slab; read by whoever gives a block back or asks
//! for its size. A reader that has a pointer into a live slab has it from somebody who saw the entry.

use super::shape::MAX_SLAB_PIECES;
use crate::size_class::{CLASSES, SizeClass};
use crate::sync::AtomicU16;
use core::ptr::NonNull;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry(pub(crate) u16);

const _: () = assert!(CLASSES < HUGE as usize && MAX_SLAB_PIECES <= 256);

/// The class byte of a piece in a Huge block.
const HUGE: u8 = 255;

/// The page map, and the addresses that it tells of.
pub(crate) struct View {
    /// Where they begin.
    pub(crate) base: usize,
    /// Their bytes.
    pub(crate) bytes: usize,
    /// An entry for each piece.
    pub(crate) entries: NonNull<AtomicU16>,
}

/// What a piece belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenant {
    /// Nothing, or memory that is not in use.
    None,
    /// A slab of this class, which begins `distance` pieces below.
    Slab {
        /// Its class.
        class: SizeClass,
        /// Pieces from its first piece to this one.
        distance: u8,
    },
    /// A Huge block.
    Huge,
}

impl Entry {
    /// No slab.
    pub(crate) const NONE: Self = Self(0);
    /// A piece of a Huge block.
    pub(crate) const HUGE: Self = Self((HUGE as u16) << 8);

    /// The piece `distance` pieces into a slab of `class`.
    pub(crate) const fn slab(class: SizeClass, distance: u8) -> Self {
        Self(((class.index() as u16 + 1) << 8) | distance as u16)
    }

    /// 0 if the piece belongs to a slab of `class`.
    #[inline]
    pub(crate) const fn differs(self, class: SizeClass) -> u16 {
        (self.0 ^ Self::slab(class, 0).0) >> 8
    }

    /// The class of the slab to which the piece belongs, if it is one of the first `classes`.
    #[inline(always)]
    pub(crate) const fn class_below(self, classes: usize) -> Option<SizeClass> {
        let index = ((self.0 >> 8) as usize).wrapping_sub(1);
        if index < classes { SizeClass::from_index(index) } else { None }
    }

    /// What the entry says.
    #[inline]
    pub(crate) fn tenant(self) -> Tenant {
        match (self.0 >> 8) as u8 {
            HUGE => Tenant::Huge,
            class => match SizeClass::from_index((class as usize).wrapping_sub(1)) {
                Some(class) => Tenant::Slab { class, distance: self.0 as u8 },
                None => Tenant::None,
            },
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn entries_say_what_was_put_in() {
        assert_eq!(Entry(0).tenant(), Tenant::None);
        assert_eq!(Entry::HUGE.tenant(), Tenant::Huge);
        assert!(
            SizeClass::all().all(|class| Entry(0).differs(class) != 0 && Entry::HUGE.differs(class) != 0)
        );
        assert!([Entry::NONE, Entry::HUGE].map(|entry| entry.class_below(CLASSES)) == [None, None]);
        for class in SizeClass::all() {
            for distance in [0, 1, 15] {
                let entry = Entry::slab(class, distance);
                assert_eq!(entry.class_below(class.index()), None);
                assert_eq!(entry.class_below(class.index() + 1), Some(class));
                assert_eq!(entry.tenant(), Tenant::Slab { class, distance });
                assert_eq!(entry.differs(class), 0);
                assert!(SizeClass::all().all(|other| other == class || entry.differs(other) != 0));
            }
        }
    }
}
