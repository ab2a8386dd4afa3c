//! The allocators of the criterion benches, as contestants, and what the benches share.

use criterion::{BenchmarkGroup, Criterion, measurement::WallTime};
use numaslab_bench::{
    block::{Bounds, Contestant},
    sizes::BlockSize,
};

numaslab_bench::contestant!(Numaslab, numaslab::NumaSlab = numaslab::NumaSlab::new());
numaslab_bench::contestant!(Glibc, std::alloc::System = std::alloc::System);
numaslab_bench::contestant!(Mimalloc, mimalloc::MiMalloc = mimalloc::MiMalloc);

/// The size of the benches' blocks in bytes.
pub(crate) const BYTES: u32 = 64;

/// How many blocks are taken or given back in one iteration: more than any cache holds.
pub(crate) const MANY: usize = 50_000;

/// The value of an allocator for the calling thread.
pub(crate) fn heap<A: Contestant>() -> A {
    A::for_this_thread(Bounds { largest: BlockSize::new(BYTES), live_blocks: MANY as u32 })
}

/// A bench over one allocator, generic so that each allocator gets code of its own.
pub(crate) trait Bench {
    /// Measures one allocator under its name.
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str);
}

/// Runs a bench for every allocator.
pub(crate) fn run<B: Bench>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(name);
    B::measure::<Numaslab>(&mut group, "numaslab");
    B::measure::<Glibc>(&mut group, "glibc");
    B::measure::<Mimalloc>(&mut group, "mimalloc");
    group.finish();
}
