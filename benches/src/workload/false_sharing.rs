//! `false-sharing`: do threads get blocks in one another's cache lines?
//!
//! Each thread takes a tiny block, writes it many times, and gives it back, over and over, as in
//! the two benches that Hoard made known (cache-thrash and cache-scratch). *Active:* threads start
//! with nothing; an allocator that serves them from one line makes them fight for it. *Passive:*
//! the main thread takes one block per thread, neighbours most likely, and each thread's first act
//! is to free the one it is given; an allocator that then reuses it for the same thread keeps the
//! threads in one line.
//!
//! *Measured:* writes per second; allocator calls are few. *Not measured:* the calls' speed. Nothing
//! shows where the CPUs share a first-level cache (two hardware threads of one core), nor on a
//! machine so busy that the threads seldom run at the same time.
//!
//! *Honest because* a write is a volatile load and store of the block's first byte, so none is
//! merged with another, and each thread does the same number, so perfect scaling is the CPUs' number.

use std::sync::Mutex;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    machine,
    outcome::{Figures, Metric, figures},
    race::race,
    sizes::{BlockSize, SizeRange},
};

/// Millions of writes per second.
const WRITES: Metric = Metric::higher("mwrites", "M writes/s");

/// CPU time per write.
const CPU: Metric = Metric { title: "CPU ns/write", ..Metric::CPU_TIME };

/// The size of the block that wakes an allocator up: of no class that the race uses.
const WARM_SIZE: BlockSize = BlockSize::new(4096);

/// Where the first blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Each thread allocates its own
    Active,
    /// The main thread allocated them side by side
    Passive,
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct FalseSharingArgs {
    /// Where the first blocks come from
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',', default_values_t = [Kind::Active, Kind::Passive])]
    kinds: Vec<Kind>,

    /// Threads
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = machine::scaling(),
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Vec<u32>,

    /// Size of the blocks in bytes
    #[arg(long, value_name = "BYTES", default_value = "8")]
    size: SizeRange,

    /// Writes to a block before it is given back
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    writes: u32,

    /// Blocks per thread and run
    #[arg(long, value_name = "N", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1..))]
    blocks: u32,
}

impl FalseSharingArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let pairs = self.kinds.iter().flat_map(|kind| self.threads.iter().map(move |n| (*kind, *n)));
        let case = |(kind, threads)| {
            let series = match kind {
                Kind::Active => "active",
                Kind::Passive => "passive",
            };
            let Self { size, writes, blocks, .. } = *self;
            Case::over_threads(series, threads, FalseSharing { kind, threads, size, writes, blocks })
        };
        pairs.map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FalseSharing {
    kind: Kind,
    threads: u32,
    size: SizeRange,
    writes: u32,
    blocks: u32,
}

impl Workload for FalseSharing {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[WRITES, CPU];

    fn run<A: Contestant>(&self) -> Figures {
        let size = self.size.max();
        let bounds = Bounds { largest: size, live_blocks: self.threads.max(2) };
        let given = match self.kind {
            Kind::Active => 0,
            Kind::Passive => self.threads,
        };
        let heap = A::for_this_thread(bounds);
        // The allocator's own start is no part of the race: it may take longer than that.
        Block::take(heap, WARM_SIZE).give_back(heap);
        let gifts = Mutex::new((0..given).map(|_| Block::take(heap, size)).collect::<Vec<_>>());
        let lap = race(
            self.threads,
            |_| (A::for_this_thread(bounds), gifts.lock().expect("nobody panics with it").pop()),
            |(heap, gift)| {
                if let Some(gift) = gift.take() {
                    gift.give_back(*heap);
                }
                self.scribble(*heap, size)
            },
            drop,
        );
        figures([(WRITES, lap.mops()), (CPU, lap.cpu_nanoseconds())])
    }
}

impl FalseSharing {
    /// One thread's work; returns its writes.
    #[inline(never)]
    fn scribble<A: Contestant>(&self, heap: A, size: BlockSize) -> u64 {
        for _ in 0..self.blocks {
            let mut block = Block::take(heap, size);
            block.scribble(self.writes);
            block.give_back(heap);
        }
        u64::from(self.blocks) * u64::from(self.writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn passive_gifts_are_freed_by_their_receivers() {
        for (kind, gifts) in [(Kind::Active, 0), (Kind::Passive, 3)] {
            let size = "8".parse().expect("valid");
            let plan = FalseSharing { kind, threads: 3, size, writes: 2, blocks: 10 };
            let counts = Counted::counts_of(|| {
                plan.run::<Counted>();
            });
            assert_eq!((counts.taken, counts.live, counts.foreign_frees), (31 + gifts, 0, gifts));
        }
    }
}
