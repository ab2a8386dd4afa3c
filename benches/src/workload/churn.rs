//! `churn`: threads that live for a thousand operations.
//!
//! Each lane starts a thread, which does some random operations on a few slots and ends, waits for
//! its end, and starts the next.
//!
//! *Measured:* what an allocator does at a thread's first call and at its end: making, handing over
//! and dissolving caches. The start of a thread (some 10 to 20 microseconds, through glibc) is the
//! larger part of the time, for all the same: so differences are small, and noisy. *Not measured:*
//! frees by other threads (see `larson`).
//!
//! *Honest because* each thread gives back all it took, and the number of threads is fixed.

use std::thread;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::{process_cpu_time, race, share},
    rng::{Rng, scale},
    sizes::SizeRange,
};

/// Threads started and ended per second.
const THREADS: Metric = Metric::higher("threads_per_s", "threads/s");

/// CPU time per thread.
const CPU: Metric = Metric { title: "CPU ns/thread", ..Metric::CPU_TIME };

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct ChurnArgs {
    /// Threads alive at a time
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 4], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    lanes: Vec<u32>,

    /// Operations per thread
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    operations: u32,

    /// Slots per thread
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    slots: u32,

    /// Range of block sizes in bytes or KiB
    #[arg(long, value_name = "MIN-MAX", default_value = "16-1024")]
    sizes: SizeRange,

    /// Threads per run, over all lanes
    #[arg(long, value_name = "N", default_value_t = 6000, value_parser = clap::value_parser!(u64).range(1..))]
    threads: u64,

    /// Seed of the random sizes
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl ChurnArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&lanes: &u32| {
            let Self { operations, slots, sizes, threads, seed, .. } = *self;
            let plan = Churn { lanes, operations, slots, sizes, threads, seed };
            Case::over_threads(format!("{operations} operations each"), lanes, plan)
        };
        self.lanes.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Churn {
    lanes: u32,
    operations: u32,
    slots: u32,
    sizes: SizeRange,
    threads: u64,
    seed: u64,
}

impl Workload for Churn {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[THREADS, CPU];

    fn run<A: Contestant>(&self) -> Figures {
        let cpu_begun = process_cpu_time();
        let lap = race(
            self.lanes,
            |lane| (lane, share(self.threads, self.lanes, lane)),
            |&mut (lane, threads)| {
                for number in 0..threads {
                    let stream = lane ^ (number as u32).rotate_left(16);
                    thread::scope(|scope| scope.spawn(|| self.short_life::<A>(stream)).join())
                        .expect("a short-lived thread panicked");
                }
                threads
            },
            drop,
        );
        let cpu = process_cpu_time() - cpu_begun;
        let cpu_ns = cpu.as_secs_f64() * 1e9 / self.threads as f64;
        figures([(THREADS, lap.mops() * 1e6), (CPU, cpu_ns)])
    }
}

impl Churn {
    /// What one thread does.
    fn short_life<A: Contestant>(&self, stream: u32) {
        let heap = A::for_this_thread(Bounds { largest: self.sizes.max(), live_blocks: self.slots });
        let mut rng = Rng::new(self.seed, stream);
        let mut slots: Vec<Option<Block<A>>> = (0..self.slots).map(|_| None).collect();
        for _ in 0..self.operations {
            let bits = rng.draw();
            let slot = &mut slots[scale((bits >> 32) as u32, self.slots) as usize];
            match slot.take() {
                Some(block) => block.give_back(heap),
                None => *slot = Some(Block::take(heap, self.sizes.pick(bits as u32))),
            }
        }
        slots.into_iter().flatten().for_each(|block| block.give_back(heap));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn every_thread_gives_back_all_it_took() {
        let sizes = "16-64".parse().expect("valid");
        let plan = Churn { lanes: 3, operations: 50, slots: 10, sizes, threads: 10, seed: 1 };
        let counts = Counted::counts_of(|| {
            plan.run::<Counted>();
        });
        assert_eq!((counts.live, counts.foreign_frees), (0, 0));
        assert!(counts.taken >= 10 * 25, "{counts:?}");
    }
}
