//! snmalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

/// From the lock file: the wrapper has the version of snmalloc.
fn version() -> String {
    numaslab_bench::child::locked::SNMALLOC_SYS.to_owned()
}
