//! Nothing is lost: what is in use after some work is what was in use before.

use numaslab::{Stats, stats, trim};

/// Runs `work`, all of whose threads it must have joined, and demands that it has given back all that it
/// took, exactly.
pub(crate) fn balance(work: impl FnOnce()) {
    trim();
    let before = stats();
    work();
    trim();
    let after = stats();
    assert_eq!(after.in_use_bytes(), before.in_use_bytes(), "lost or given back twice\n{after}");
    assert_eq!(after.sum(|node| node.huge_blocks), before.sum(|node| node.huge_blocks));
    nothing_cached(&after);
    if after.in_use_bytes() == 0 {
        assert_eq!(after.sum(|node| node.slab_bytes), after.sum(|node| node.slab_free_bytes), "{after}");
    }
}

/// After a trim at rest, no cache holds anything, unless regions can't be taken from their CPUs.
fn nothing_cached(stats: &Stats) {
    use numaslab::telemetry::CacheMode;
    if let Some(CacheMode::PerCpu { revocable: false, .. }) = stats.cache_mode {
        return;
    }
    assert_eq!(stats.sum(|node| node.region_bytes), 0, "{stats}");
    assert_eq!(stats.sum(|node| node.transfer_bytes), 0, "{stats}");
}
