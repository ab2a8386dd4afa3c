//! Floor 2: slabs and SuperSlabs, their bitmaps, and the state machine of their free units.
pub(crate) mod avail;
pub(crate) mod free_units;
pub(crate) mod shape;
