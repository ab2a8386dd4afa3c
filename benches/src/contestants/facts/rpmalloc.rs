//! rpmalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

/// From the lock file, where the package's version is followed by rpmalloc's commit.
fn version() -> String {
    let locked = numaslab_bench::child::locked::RPMALLOC_SYS;
    let (package, upstream) = locked.split_once('+').unwrap_or((locked, "unknown"));
    format!("commit {upstream} (rpmalloc-sys {package})")
}
