//! Address space and pages: reserve, commit, populate, release, move, huge pages.
//!
//! | file | concern |
//! | --- | --- |
//! | `mapping` | new mappings, reservations, unmap |
//! | `span` | where a new mapping goes: alignment, address limit |
//! | `commit` | backing a reservation with memory, and taking it back |
//! | `advice` | `madvise`, populate, residency |
//! | `remap` | `mremap`: growing and moving pages without copying |
//! | `huge` | 2 MiB pages from the reserved pool |
//! | `transparent` | how the kernel is set up for transparent huge pages |
//!
//! Lengths are bytes and multiples of the base page; addresses are page-aligned; both are checked
//! only by the kernel (`EINVAL`) unless a function says otherwise.
//!
//! # Invariants
//! - Every mapping made here is private and anonymous, and lies below [`ADDRESS_LIMIT`].
//! - A reserved range belongs to its owner until [`unmap`]: commit, decommit and the functions that
//!   replace pages in it never leave a hole in it, except where the error says so.
//! - [`commit()`] and [`decommit`] keep the memory policy of a range; mapping over it loses it.

mod advice;
mod commit;
mod huge;
mod mapping;
mod remap;
mod span;
mod transparent;

pub use advice::{Advice, advise, populate, populate_safely, resident};
pub use commit::{commit, decommit};
pub use huge::{HUGE_2M_BYTES, map_huge_2m};
pub use mapping::{ADDRESS_LIMIT, map, map_promised, page_bytes, reserve, reserve_at, unmap};
pub use remap::{Stopped, Target, move_mappings, remap, remap_in_place, replace};
pub use transparent::huge_pages_come_unasked;
