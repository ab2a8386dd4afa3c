//! `latency`: how long single operations take, up to the slowest one in ten thousand.
//!
//! The loop of `mixed`, with the clock read before and after each operation.
//!
//! *Measured:* percentiles of single calls, allocations and frees together. *Not measured:*
//! throughput: reading the clock twice takes longer than a call that hits a cache, so the lower
//! percentiles are mostly the clock, and only the upper ones tell allocators apart. With more
//! threads than CPUs the topmost ones are preemption, which no allocator can help, but which one
//! that makes threads wait for each other makes longer.
//!
//! *Honest because* recording happens outside of the timed span, in memory allocated before.

use std::{sync::Mutex, time::Instant};

use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::{race, share},
    rng::{Rng, scale},
    sizes::SizeRange,
};

const P50: Metric = Metric::lower("p50_ns", "p50 ns").unranked();
const P90: Metric = Metric::lower("p90_ns", "p90 ns").unranked();
const P99: Metric = Metric::lower("p99_ns", "p99 ns").unranked();
const P99_9: Metric = Metric::lower("p99_9_ns", "p99.9 ns");
const P99_99: Metric = Metric::lower("p99_99_ns", "p99.99 ns");
const MAX: Metric = Metric::lower("max_ns", "max ns").unranked();

/// The longest latency that is told apart from longer ones: ten seconds.
const LONGEST_NS: u64 = 10_000_000_000;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct LatencyArgs {
    /// Range of block sizes in bytes, KiB or MiB
    #[arg(long, value_name = "MIN-MAX", default_value = "16-1024")]
    sizes: SizeRange,

    /// Threads
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 8], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

    /// Slots per thread
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    slots: u32,

    /// Operations per run, shared by its threads
    #[arg(long, value_name = "N", default_value_t = 8_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    iterations: u64,

    /// Seed of the random sizes and slots
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl LatencyArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&threads: &u32| {
            let Self { sizes, slots, iterations, seed, .. } = *self;
            Case::over_threads(
                sizes.to_string(),
                threads,
                Latency { sizes, slots, iterations, seed, threads },
            )
        };
        self.threads.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    sizes: SizeRange,
    slots: u32,
    iterations: u64,
    seed: u64,
    threads: u32,
}

impl Workload for Latency {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[P50, P90, P99, P99_9, P99_99, MAX];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.slots };
        let all = Mutex::new(histogram());
        race(
            self.threads,
            |index| {
                let heap = A::for_this_thread(bounds);
                let slots = (0..self.slots).map(|_| None).collect();
                let rng = Rng::new(self.seed, index);
                let mut watch = Watch { heap, slots, rng, sizes: self.sizes, latencies: histogram() };
                watch.run(8 * u64::from(self.slots));
                watch.latencies.reset();
                (watch, share(self.iterations, self.threads, index))
            },
            |(watch, operations)| {
                watch.run(*operations);
                *operations
            },
            |(watch, _)| {
                let heap = watch.heap;
                watch.slots.into_iter().flatten().for_each(|block| block.give_back(heap));
                let mut all = all.lock().expect("nobody panics with it");
                all.add(watch.latencies).expect("equal bounds");
            },
        );
        let all = all.into_inner().expect("nobody panicked with it");
        let at = |quantile| all.value_at_quantile(quantile) as f64;
        figures([
            (P50, at(0.5)),
            (P90, at(0.9)),
            (P99, at(0.99)),
            (P99_9, at(0.999)),
            (P99_99, at(0.9999)),
            (MAX, all.max() as f64),
        ])
    }
}

/// Latencies from 1 ns on, with three significant digits.
fn histogram() -> Histogram<u32> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("valid bounds")
}

/// A thread's slots and the latencies that it saw.
struct Watch<A> {
    heap: A,
    slots: Box<[Option<Block<A>>]>,
    rng: Rng,
    sizes: SizeRange,
    latencies: Histogram<u32>,
}

impl<A: Contestant> Watch<A> {
    #[inline(never)]
    fn run(&mut self, operations: u64) {
        let count = self.slots.len() as u32;
        for _ in 0..operations {
            let bits = self.rng.draw();
            let slot = &mut self.slots[scale((bits >> 32) as u32, count) as usize];
            let size = self.sizes.pick(bits as u32);
            let begun = Instant::now();
            match slot.take() {
                Some(block) => block.give_back(self.heap),
                None => *slot = Some(Block::take(self.heap, size)),
            }
            let latency = begun.elapsed();
            self.latencies.saturating_record(latency.as_nanos() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn percentiles_rise_and_every_block_is_given_back() {
        let sizes = "16-64".parse().expect("valid");
        let plan = Latency { sizes, slots: 20, iterations: 2000, seed: 1, threads: 2 };
        let counts = Counted::counts_of(|| {
            let figures = plan.run::<Counted>();
            let rising = Latency::METRICS.iter().map(|metric| figures[metric.name]);
            assert!(rising.is_sorted(), "{figures:?}");
            assert!(figures["p50_ns"] > 0.0);
        });
        assert_eq!(counts.live, 0);
    }
}
