//! TCMalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode };

unsafe extern "C" {
    /// What stands behind `MallocExtension::PerCpuCachesActive`.
    safe fn MallocExtension_Internal_GetPerCpuCachesActive() -> bool;
}

/// From the lock file: of the crate that contains Google's sources, which have no versions.
fn version() -> String {
    format!("of libtcmalloc-sys {}", numaslab_bench::child::locked::LIBTCMALLOC_SYS)
}

fn mode() -> Option<String> {
    let mode = match MallocExtension_Internal_GetPerCpuCachesActive() {
        true => "per-CPU caches",
        false => "per-thread caches",
    };
    Some(mode.to_owned())
}
