//! Nothing is lost: what is in use after some work is what was in use before.

use numaslab::telemetry::CacheMode;
use numaslab::{stats, trim};

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
    // After a trim at rest, no cache holds anything, unless regions can't be taken from their CPUs.
    if !matches!(after.cache_mode, Some(CacheMode::PerCpu { revocable: false, .. })) {
        let cached = after.sum(|node| node.region_bytes + node.transfer_bytes);
        assert_eq!(cached, 0, "{after}");
        let free = after.sum(|node| node.slab_free_bytes);
        let used = after.sum(|node| node.slab_bytes) + after.sum(|node| node.huge_bytes) - free;
        assert_eq!(used + after.mapping_bytes, after.in_use_bytes(), "{after}");
    }
}
