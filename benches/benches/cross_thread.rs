//! Cross-thread: this thread frees blocks that another thread, meanwhile dead, allocated.

use std::thread;

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use field::{BYTES, Bench, MANY, heap, run};
use numaslab_bench::block::{Contestant, FixedBlock};

mod field;

struct CrossThread;

impl Bench for CrossThread {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        group.throughput(Throughput::Elements(MANY as u64));
        let here = heap::<A>();
        let take_elsewhere = || {
            let there = heap::<A>;
            let taken = thread::spawn(move || {
                let there = there();
                (0..MANY).map(|_| FixedBlock::<A, BYTES>::take(there)).collect::<Vec<_>>()
            });
            taken.join().expect("the other thread ends well")
        };
        group.bench_function(allocator, |bencher| {
            bencher.iter_batched(
                take_elsewhere,
                |mut blocks| {
                    blocks.drain(..).for_each(|block| block.give_back(here));
                    blocks
                },
                BatchSize::PerIteration,
            );
        });
    }
}

fn cross_thread(criterion: &mut Criterion) {
    run::<CrossThread>(criterion, "cross-thread");
}

criterion_group!(group, cross_thread);
criterion_main!(group);
