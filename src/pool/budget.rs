//! The limit on what is taken from the kernel.

use crate::sync::{AtomicUsize, Ordering};

/// Bytes taken from the kernel by all nodes together, and how many may be.
pub(crate) struct Budget {
    /// Bytes in SuperSlabs and Huge blocks. Added to before mapping, subtracted after releasing or if
    /// mapping fails.
    taken: AtomicUsize,
    /// The hard limit in bytes; `usize::MAX` for none. Written once at start.
    limit: AtomicUsize,
    /// The soft limit, likewise.
    soft_limit: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(limit: Option<usize>, soft_limit: Option<usize>) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(limit.unwrap_or(usize::MAX)),
            soft_limit: AtomicUsize::new(soft_limit.unwrap_or(usize::MAX)),
        }
    }

    /// Whether `bytes` would fit if nothing were taken.
    pub(crate) fn is_within_reach(&self, bytes: usize) -> bool {
        // Relaxed: a bound that guards no memory.
        bytes <= self.limit.load(Ordering::Relaxed)
    }

    /// Whether taking `bytes` would pass the soft limit.
    pub(crate) fn is_tight(&self, bytes: usize) -> bool {
        // Relaxed: a bound that guards no memory.
        self.taken.load(Ordering::Relaxed).saturating_add(bytes) > self.soft_limit.load(Ordering::Relaxed)
    }

    /// Takes `bytes` if the limit allows it.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        // Relaxed, throughout: a sum that guards no memory.
        let limit = self.limit.load(Ordering::Relaxed);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                taken.checked_add(bytes).filter(|sum| *sum <= limit)
            })
            .is_ok()
    }

    /// Gives back `bytes` taken before.
    pub(crate) fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes taken at this moment.
    #[cfg(test)]
    fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_would_pass_the_limit_and_nothing_else() {
        let budget = Budget::new(Some(100), Some(50));
        assert!(budget.is_within_reach(100) && !budget.is_within_reach(101));
        assert!(budget.take(60) && !budget.take(41) && budget.take(40));
        budget.give(1);
        assert!(!budget.take(2) && budget.take(1));
        assert_eq!(budget.taken(), 100);
        assert!(budget.is_tight(0));
        budget.give(60);
        assert!(!budget.is_tight(10) && budget.is_tight(11));
        assert!(Budget::new(None, None).take(usize::MAX));
    }
}
