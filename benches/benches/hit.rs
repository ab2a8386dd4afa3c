//! The hit path: allocate one block and free it, the size known at compile time or not.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime};
use field::{BYTES, Bench, heap, run};
use numaslab_bench::{
    block::{Block, Contestant, FixedBlock},
    sizes::BlockSize,
};

mod field;

/// The compiler knows the size.
struct Const;

impl Bench for Const {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        let heap = heap::<A>();
        group.bench_function(allocator, |bencher| {
            bencher.iter(|| FixedBlock::<A, BYTES>::take(heap).give_back(heap));
        });
    }
}

/// The size is hidden from the compiler each time.
struct Dynamic;

impl Bench for Dynamic {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        let heap = heap::<A>();
        group.bench_function(allocator, |bencher| {
            bencher.iter(|| Block::take(heap, black_box(BlockSize::new(BYTES))).give_back(heap));
        });
    }
}

fn hits(criterion: &mut Criterion) {
    run::<Const>(criterion, "hit/const");
    run::<Dynamic>(criterion, "hit/dynamic");
}

criterion_group!(group, hits);
criterion_main!(group);
