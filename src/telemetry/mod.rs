//! Side room: numbers to look at.
//!
//! Everything is read from what the floors keep anyway (descriptors, headers, counters of the slow
//! path), by whoever asks; the hit path counts nothing. A snapshot is no cut through time: while other
//! threads work, sums may be off by what they do meanwhile. When none does, they are exact.
//!
//! Key types: [`Stats`], [`NodeStats`]; [`stats`] takes a snapshot. [`Residence`]; [`residence`] asks the kernel
//! where the pages lie, [`huge_pages`] how large they are, [`resident`] how many bytes they have.

mod display;
mod huge_pages;
mod machine;
mod residence;
mod resident;
mod sequences;
mod snapshot;
mod strays;

pub use crate::cache::control::Event;
pub use crate::heap::{CacheMode, Distrust, PlacementMode, WhyPerThread};
pub use crate::os::fault::{Call, Calls};
pub use huge_pages::{HugePages, huge_pages};
pub use machine::{Machine, machine};
pub use residence::{Pages, Purpose, Residence, residence};
pub use resident::{Resident, resident};
pub use sequences::{Sequences, sequences};
pub use snapshot::{NodeStats, Stats, stats};
pub use strays::{Strays, strays};

/// Which cache lines travel between CPUs, counted. Not for production.
#[cfg(feature = "line-counts")]
pub mod line_counts {
    pub use crate::sync::lines::{Lines, MOST_CPUS, lines, set_counting, set_nodes};
}

use crate::config::StatsAtExit;
use crate::heap::Heap;
use crate::os::fatal::Line;

/// Arranges that the statistics go to stderr when the process exits, if the configuration says so.
pub(crate) fn at_exit(heap: &'static Heap) {
    if heap.config.stats_at_exit() == StatsAtExit::On {
        // SAFETY: `print` may be called at any time. Failing means that nothing is printed.
        unsafe { libc::atexit(print) };
    }
}

extern "C" fn print() {
    let stats = stats();
    stats.for_each_line(|name, value| {
        crate::os::fatal::warn(Line::new().push_str(name).push_str(" ").push_dec(value));
    });
}
