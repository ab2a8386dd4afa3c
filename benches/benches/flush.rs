//! Flush: frees only, so that caches overflow and blocks go to the layers below.

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use field::{BYTES, Bench, MANY, heap, run};
use numaslab_bench::block::{Contestant, FixedBlock};

mod field;

struct Flush;

impl Bench for Flush {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        group.throughput(Throughput::Elements(MANY as u64));
        let heap = heap::<A>();
        group.bench_function(allocator, |bencher| {
            bencher.iter_batched(
                || (0..MANY).map(|_| FixedBlock::<A, BYTES>::take(heap)).collect::<Vec<_>>(),
                |mut blocks| {
                    blocks.drain(..).for_each(|block| block.give_back(heap));
                    // Its own memory is freed outside of the timed span.
                    blocks
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn flush(criterion: &mut Criterion) {
    run::<Flush>(criterion, "flush");
}

criterion_group!(group, flush);
criterion_main!(group);
