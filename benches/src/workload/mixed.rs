//! `mixed`: random allocations and frees on an array of slots, as HAKMEM's random-mixed bench.
//!
//! Each thread owns `slots` slots. An operation picks a slot at random: a full one is emptied, an
//! empty one gets a block of random size. So half the slots are full in the steady state, blocks
//! live for about `slots` operations, and every block is freed by the thread that allocated it.
//!
//! *Measured:* the hit path and its mix of sizes, with the mispredicted branches that such a mix
//! costs in any program. *Not measured:* frees by other threads (see `larson`, `handoff`), growing
//! heaps, cold starts (the loop warms up before it is timed).
//!
//! *Honest because* one draw of random bits gives both slot and size, the slots lie in one array
//! allocated before, and the same seed makes the same sequence for every allocator. The ceiling
//! runs this very loop on bare pointer stacks.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Figures, Metric, figures},
    race::{race, share},
    rng::{Rng, scale},
    sizes::SizeRange,
};

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct MixedArgs {
    /// Ranges of block sizes in bytes, KiB or MiB
    #[arg(
        long = "sizes",
        value_name = "MIN-MAX",
        value_delimiter = ',',
        default_values = ["16-1024", "8-128", "129-1024", "1KiB-32KiB", "64KiB-1MiB"]
    )]
    ranges: Vec<SizeRange>,

    /// Threads
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = machine::scaling(),
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

    /// Slots per thread
    #[arg(long, value_name = "N", default_value_t = 400,
          value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    slots: u32,

    /// Operations per run, shared by its threads [default: as many as take some 0.2 s]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    iterations: Option<u64>,

    /// Seed of the random sizes and slots
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl MixedArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let each = |&sizes: &SizeRange, &threads: &u32| Mixed {
            sizes,
            slots: self.slots,
            iterations: self.iterations.unwrap_or_else(|| usual_iterations(sizes)),
            seed: self.seed,
            threads,
        };
        let pairs = self.ranges.iter().flat_map(|range| self.threads.iter().map(move |n| (range, n)));
        pairs.map(|(range, threads)| each(range, threads).case()).collect()
    }
}

/// Enough operations for a fifth of a second, by the largest block.
fn usual_iterations(sizes: SizeRange) -> u64 {
    match sizes.max().bytes() {
        0..=4096 => 20_000_000,
        4097..=65_536 => 4_000_000,
        _ => 400_000,
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mixed {
    sizes: SizeRange,
    slots: u32,
    iterations: u64,
    seed: u64,
    threads: u32,
}

impl Mixed {
    /// The row of this run.
    fn case(self) -> Case {
        let slots = match self.slots {
            400 => String::new(),
            slots => format!(", {slots} slots"),
        };
        let series = format!("{}{slots}", self.sizes);
        Case::over_threads(series, self.threads, self).with_ceiling()
    }
}

impl Workload for Mixed {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[Metric::THROUGHPUT, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.slots };
        let lap = race(
            self.threads,
            |index| {
                let mut thread = Thread {
                    heap: A::for_this_thread(bounds),
                    slots: (0..self.slots).map(|_| None).collect(),
                    rng: Rng::new(self.seed, index),
                    operations: share(self.iterations, self.threads, index),
                };
                let warm_up = thread.operations / 10 + 8 * u64::from(self.slots);
                churn(thread.heap, &mut thread.slots, &mut thread.rng, self.sizes, warm_up);
                thread
            },
            |Thread { heap, slots, rng, operations }| {
                churn(*heap, slots, rng, self.sizes, *operations);
                *operations
            },
            |thread| {
                let heap = thread.heap;
                thread.slots.into_iter().flatten().for_each(|block| block.give_back(heap));
            },
        );
        figures([(Metric::THROUGHPUT, lap.mops()), (Metric::CPU_TIME, lap.cpu_nanoseconds())])
    }
}

/// What one thread works with.
struct Thread<A> {
    heap: A,
    slots: Box<[Option<Block<A>>]>,
    rng: Rng,
    operations: u64,
}

/// The loop: one operation each time round.
#[inline(never)]
pub(super) fn churn<A: Contestant>(
    heap: A,
    slots: &mut [Option<Block<A>>],
    rng: &mut Rng,
    sizes: SizeRange,
    operations: u64,
) {
    let count = slots.len() as u32;
    for _ in 0..operations {
        let bits = rng.draw();
        let slot = &mut slots[scale((bits >> 32) as u32, count) as usize];
        match slot.take() {
            Some(block) => block.give_back(heap),
            None => *slot = Some(Block::take(heap, sizes.pick(bits as u32))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ceiling::BareStack, workload::testing::Counted};

    fn small(threads: u32) -> Mixed {
        Mixed { sizes: "16-1024".parse().expect("valid"), slots: 50, iterations: 10_000, seed: 1, threads }
    }

    #[test]
    fn every_block_is_given_back() {
        let counts = Counted::counts_of(|| {
            small(3).run::<Counted>();
        });
        assert_eq!(counts.live, 0);
        assert!(counts.taken > 3_000, "{counts:?}");
    }

    #[test]
    fn ceiling_runs_the_same_loop() {
        assert!(small(2).run::<BareStack>()["mops"] > 0.0);
    }
}
