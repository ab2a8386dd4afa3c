//! `syscalls`: how often an allocator calls the kernel, by kind, once a program runs steadily.
//!
//! Two loads: `mixed`'s loop, and one like `larson`'s: each thread replaces random blocks of an array, and
//! every so often swaps its array for one that another thread left, so that most blocks are freed by another
//! thread than allocated them. Unlike in `larson` no threads are started, whose own calls would drown all
//! others. The parent traces the child and counts what each thread calls between its [marks](mark): after a
//! warm-up and up to its last operation.
//!
//! *Measured:* system calls per 100 million operations (calls of `alloc` and `dealloc`) of the threads that
//! work. *Not measured:* speed, which tracing changes for whoever calls often; calls while threads start and
//! end; calls of threads that an allocator starts by itself.
//!
//! *Honest because* the loops make no calls of their own: arrays are swapped by `try_lock`, which never
//! waits. There is no ceiling: the blocks of its stacks come from glibc, whose calls it would show.

use std::sync::Mutex;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Case, Job, Task, Workload, larson::replace, mixed::churn};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::{race, share},
    rng::Rng,
    sizes::SizeRange,
    tally::{self, Mark, OPERATIONS, mark},
};

/// Replacements between two swaps of a thread's array.
const STRIDE: u32 = 4096;

/// What the threads do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// Random allocations and frees, each thread with blocks of its own
    Mixed,
    /// Replacements of blocks that other threads allocated
    Larson,
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct SyscallsArgs {
    /// What the threads do
    #[arg(long, value_enum, value_name = "LOAD", value_delimiter = ',', default_values_t = [Load::Mixed, Load::Larson])]
    loads: Vec<Load>,

    /// Ranges of block sizes in bytes, KiB or MiB
    #[arg(long = "sizes", value_name = "MIN-MAX", value_delimiter = ',', default_values = ["16-1024", "1KiB-32KiB", "64KiB-1MiB"])]
    ranges: Vec<SizeRange>,

    /// Threads
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [4], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

    /// Slots or blocks per thread
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    slots: u32,

    /// Operations per run, shared by its threads [default: 100 million up to 4 KiB, fewer beyond]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,

    /// Seed of the random sizes and slots
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl SyscallsArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |load, sizes, threads| {
            let iterations = self.iterations.unwrap_or_else(|| usual_iterations(sizes));
            let Self { slots, seed, .. } = *self;
            let name = match load {
                Load::Mixed => "mixed",
                Load::Larson => "larson-like",
            };
            let task = Syscalls { load, sizes, slots, iterations, seed, threads };
            Case::over_threads(format!("{name}, {sizes}"), threads, Job::Traced(Task::Syscalls(task)))
        };
        let mut cases = Vec::new();
        for &load in &self.loads {
            for &sizes in &self.ranges {
                cases.extend(self.threads.iter().map(|&threads| case(load, sizes, threads)));
            }
        }
        cases
    }
}

/// Enough operations for seconds even where one in two is a system call.
fn usual_iterations(sizes: SizeRange) -> u64 {
    match sizes.max().bytes() {
        0..=4096 => 100_000_000,
        4097..=65_536 => 10_000_000,
        _ => 400_000,
    }
}

/// One run, of use only under a tracer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Syscalls {
    /// What the threads do.
    pub load: Load,
    /// The sizes of the blocks.
    pub sizes: SizeRange,
    /// Slots or blocks per thread.
    pub slots: u32,
    /// Operations of all threads.
    pub iterations: u64,
    /// Of the random sizes and slots.
    pub seed: u64,
    /// How many.
    pub threads: u32,
}

impl Workload for Syscalls {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &tally::METRICS;

    fn run<A: Contestant>(&self) -> Figures {
        let operations = match self.load {
            Load::Mixed => self.mixed::<A>(),
            Load::Larson => self.larson::<A>(),
        };
        figures([(OPERATIONS, operations as f64 / 1e6)])
    }
}

impl Syscalls {
    fn bounds(&self) -> Bounds {
        Bounds { largest: self.sizes.max(), live_blocks: self.slots }
    }

    /// Operations before the marked ones of a thread that does so many.
    fn warm_up(&self, operations: u64) -> u64 {
        operations / 10 + 8 * u64::from(self.slots)
    }

    fn mixed<A: Contestant>(&self) -> u64 {
        let lap = race(
            self.threads,
            |index| {
                let heap = A::for_this_thread(self.bounds());
                let mut slots: Box<[Option<Block<A>>]> = (0..self.slots).map(|_| None).collect();
                let mut rng = Rng::new(self.seed, index);
                let operations = share(self.iterations, self.threads, index);
                churn(heap, &mut slots, &mut rng, self.sizes, self.warm_up(operations));
                (heap, slots, rng, operations)
            },
            |(heap, slots, rng, operations)| {
                mark(Mark::Begin);
                churn(*heap, slots, rng, self.sizes, *operations);
                mark(Mark::End);
                *operations
            },
            |(heap, slots, ..)| slots.into_iter().flatten().for_each(|block| block.give_back(heap)),
        );
        lap.operations
    }

    fn larson<A: Contestant>(&self) -> u64 {
        // An array too many for the threads, so that there is always one to swap with.
        let spare = Mutex::new(self.filled::<A>(self.threads));
        let lap = race(
            self.threads,
            |index| {
                let heap = A::for_this_thread(self.bounds());
                let mut lane = self.filled::<A>(index);
                let mut rng = Rng::new(self.seed, index);
                let replacements = share(self.iterations, self.threads, index).div_ceil(2);
                self.replace_all(heap, &mut lane, &spare, &mut rng, self.warm_up(replacements));
                (heap, lane, rng, replacements)
            },
            |(heap, lane, rng, replacements)| {
                mark(Mark::Begin);
                self.replace_all(*heap, lane, &spare, rng, *replacements);
                mark(Mark::End);
                2 * *replacements
            },
            |(heap, lane, ..)| lane.into_iter().for_each(|block| block.give_back(heap)),
        );
        let heap = A::for_this_thread(self.bounds());
        let spare = spare.into_inner().expect("nobody panicked with it");
        spare.into_iter().for_each(|block| block.give_back(heap));
        lap.operations
    }

    /// An array whose blocks the calling thread allocates.
    fn filled<A: Contestant>(&self, index: u32) -> Box<[Block<A>]> {
        let heap = A::for_this_thread(self.bounds());
        let mut rng = Rng::new(!self.seed, index);
        (0..self.slots).map(|_| Block::take(heap, self.sizes.pick(rng.draw() as u32))).collect()
    }

    fn replace_all<A: Contestant>(
        &self,
        heap: A,
        lane: &mut Box<[Block<A>]>,
        spare: &Mutex<Box<[Block<A>]>>,
        rng: &mut Rng,
        replacements: u64,
    ) {
        let mut left = replacements;
        while left > 0 {
            let now = left.min(u64::from(STRIDE)) as u32;
            replace(heap, lane, rng, self.sizes, now);
            left -= u64::from(now);
            if let Ok(mut spare) = spare.try_lock() {
                std::mem::swap(lane, &mut spare);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    fn plan(load: Load, threads: u32) -> Syscalls {
        let sizes = "16-64".parse().expect("valid");
        Syscalls { load, sizes, slots: 20, iterations: 50_000, seed: 1, threads }
    }

    #[test]
    fn every_block_is_given_back_and_operations_are_counted() {
        for load in [Load::Mixed, Load::Larson] {
            let counts = Counted::counts_of(|| {
                assert_eq!(plan(load, 2).run::<Counted>()["operations_m"], 0.05);
            });
            assert_eq!(counts.live, 0, "{load:?}");
            assert_eq!(counts.foreign_frees > 0, load == Load::Larson, "{counts:?}");
        }
    }
}
