//! How often a compare-exchange was lost to another thread and had to be tried again: what contention
//! costs. Only who loses counts, so nothing is added to an exchange that succeeds.

#[cfg(not(loom))]
mod counter {
    use crate::sync::{AtomicU64, Ordering};

    /// Written by those who lose, read by the statistics.
    static LOST: AtomicU64 = AtomicU64::new(0);

    /// Counts a lost exchange.
    #[cold]
    pub(crate) fn count() {
        // Relaxed: a statistic.
        LOST.fetch_add(1, Ordering::Relaxed);
    }

    /// How many were lost so far.
    pub(crate) fn so_far() -> u64 {
        LOST.load(Ordering::Relaxed)
    }
}

#[cfg(loom)]
mod counter {
    /// Models count nothing.
    pub(crate) fn count() {}
}

pub(crate) use counter::*;
