//! Transfer: this thread allocates a batch, another one frees it; an iteration is one batch.
//!
//! A few batches are under way, so that neither thread waits for the other all the time. The
//! channels' cost is in the figure, once per batch.

use std::thread;

use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use crossbeam_channel::bounded;
use field::{BYTES, Bench, heap, run};
use numaslab_bench::block::{Contestant, FixedBlock};

mod field;

/// Blocks per batch.
const BATCH: usize = 64;
/// Batches under way.
const TRAYS: usize = 16;

struct Transfer;

impl Bench for Transfer {
    fn measure<A: Contestant>(group: &mut BenchmarkGroup<'_, WallTime>, allocator: &str) {
        group.throughput(Throughput::Elements(BATCH as u64));
        let (full, to_free) = bounded::<Vec<FixedBlock<A, BYTES>>>(TRAYS);
        let (freed, empty) = bounded(TRAYS);
        for _ in 0..TRAYS {
            freed.send(Vec::with_capacity(BATCH)).expect("there is room");
        }
        let consumer = thread::spawn(move || {
            let there = heap::<A>();
            for mut tray in to_free {
                tray.drain(..).for_each(|block| block.give_back(there));
                freed.send(tray).expect("the producer holds the other end");
            }
        });
        let here = heap::<A>();
        group.bench_function(allocator, |bencher| {
            bencher.iter(|| {
                let mut tray = empty.recv().expect("the consumer lives");
                tray.extend((0..BATCH).map(|_| FixedBlock::take(here)));
                full.send(tray).expect("the consumer lives");
            });
        });
        drop(full);
        consumer.join().expect("the consumer ends well");
    }
}

fn transfer(criterion: &mut Criterion) {
    run::<Transfer>(criterion, "transfer");
}

criterion_group!(group, transfer);
criterion_main!(group);
