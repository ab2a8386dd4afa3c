//! numaslab about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode };

/// All packages of the workspace have the same version.
fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

fn mode() -> Option<String> {
    let stats = numaslab::stats();
    stats.cache_mode.map(|cache_mode| format!("{cache_mode}, {}", stats.placement))
}
