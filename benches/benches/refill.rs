//! Refill: allocations only, so that caches run dry and blocks come from the layers below.
//!
//! The heap is warm after the first iteration: the blocks of one are those that the iteration
//! before gave back, outside of the timed span.

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use field::{BYTES, Bench, MANY, heap, run};
use numaslab_bench::block::{Contestant, FixedBlock};

mod field;

/// Blocks that are given back when dropped.
struct Held<A: Contestant> {
    heap: A,
    blocks: Vec<FixedBlock<A, BYTES>>,
}

impl<A: Contestant> Drop for Held<A> {
    fn drop(&mut self) {
        self.blocks.drain(..).for_each(|block| block.give_back(self.heap));
    }
}

struct Refill;

impl Bench for Refill {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        group.throughput(Throughput::Elements(MANY as u64));
        let heap = heap::<A>();
        group.bench_function(allocator, |bencher| {
            bencher.iter_batched(
                || Held { heap, blocks: Vec::with_capacity(MANY) },
                |mut held| {
                    for _ in 0..MANY {
                        held.blocks.push(FixedBlock::take(heap));
                    }
                    held
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn refill(criterion: &mut Criterion) {
    run::<Refill>(criterion, "refill");
}

criterion_group!(group, refill);
criterion_main!(group);
