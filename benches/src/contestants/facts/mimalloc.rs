//! mimalloc about itself.

use numaslab_bench::child::Facts;

pub(crate) const FACTS: Facts = Facts { version, mode: || None };

fn version() -> String {
    // SAFETY: it takes nothing and returns a constant.
    let packed = unsafe { libmimalloc_sys::mi_version() };
    // One digit of major version, two of minor, two of patch.
    format!("{}.{}.{}", packed / 10_000, packed / 100 % 100, packed % 100)
}
