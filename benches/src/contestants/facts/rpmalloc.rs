//! rpmalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

/// From the lock file: the wrapper's version, with rpmalloc's commit behind the plus.
fn version() -> String {
    numaslab_bench::child::locked::RPMALLOC_SYS.to_owned()
}
