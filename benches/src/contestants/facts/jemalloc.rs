//! jemalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

/// From the lock file, where the package's version is followed by jemalloc's version, distance from its tag and commit.
fn version() -> String {
    let locked = numaslab_bench::child::locked::TIKV_JEMALLOC_SYS;
    let (package, upstream) = locked.split_once('+').unwrap_or((locked, "unknown"));
    format!("{upstream:.17} (tikv-jemalloc-sys {package})")
}
