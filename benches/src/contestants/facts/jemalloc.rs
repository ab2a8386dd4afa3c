//! jemalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

/// From the lock file: the wrapper's version, with jemalloc's own and its commit behind the plus.
fn version() -> String {
    numaslab_bench::child::locked::TIKV_JEMALLOC_SYS.to_owned()
}
