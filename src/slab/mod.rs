//! Floor 2: slabs and SuperSlabs, the tables that describe them, and the state machine of their free
//! units.
//!
//! | file | concept |
//! | --- | --- |
//! | [`avail`], [`free_units`] | count and state in one word, bits in a bitmap: the protocol of giving and taking, written once for blocks and for pieces |
//! | [`shape`] | pieces and blocks of a slab of each class |
//! | [`spread`] | the order in which blocks of a bitmap word go out |
//! | [`page_map`] | from a piece to its slab |
//! | [`descriptor`], [`space`] | the flat tables, and the address ranges of the nodes |
//!
//! Nothing here decides anything: which slab to take from, and when to give one up, is `pool`'s.

pub(crate) mod avail;
#[cfg(not(loom))]
pub(crate) mod descriptor;
pub(crate) mod free_units;
pub(crate) mod held;
#[cfg(not(loom))]
pub(crate) mod page_map;
pub(crate) mod piece_mask;
pub(crate) mod shape;
#[cfg(not(loom))]
pub(crate) mod space;
pub(crate) mod spread;
