//! The child that runs workloads on mimalloc 3, without its secure mode.

use std::process::ExitCode;

use mimalloc::MiMalloc;

numaslab_bench::contestant!(Mimalloc, MiMalloc = MiMalloc);

fn main() -> ExitCode {
    numaslab_bench::child::main::<Mimalloc>(version, || None)
}

fn version() -> String {
    // SAFETY: it takes nothing and returns a constant.
    let packed = unsafe { libmimalloc_sys::mi_version() };
    // One digit of major version, two of minor, two of patch.
    format!("{}.{}.{}", packed / 10_000, packed / 100 % 100, packed % 100)
}
