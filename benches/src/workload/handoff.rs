//! `handoff`: producers allocate, consumers free, with a bounded channel between.
//!
//! A producer fills a tray with `batch` blocks and sends it; a consumer gives back the blocks and
//! returns the empty tray. All trays exist before the clock starts, so nothing but the blocks is
//! allocated while it runs, and their number bounds how far producers get ahead.
//!
//! *Measured:* memory that flows one way from thread to thread, which per-thread and per-CPU caches
//! handle worst: producers find theirs empty, consumers theirs full. The channel's own cost is
//! in it, once per batch, the same for all. *Not measured:* reuse by the allocating thread.
//!
//! *Honest because* the number of blocks is fixed, and the clock stops when the last one is freed.

use std::sync::atomic::{AtomicU32, Ordering};

use clap::Args;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::{race, share},
    rng::Rng,
    sizes::SizeRange,
};

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct HandoffArgs {
    /// Producers and consumers
    #[arg(long, value_name = "P+C", value_delimiter = ',', default_values = ["1+1", "2+2", "4+4"], value_parser = teams)]
    teams: Vec<(u32, u32)>,

    /// Range of block sizes in bytes or KiB
    #[arg(long, value_name = "MIN-MAX", default_value = "16-1024")]
    sizes: SizeRange,

    /// Blocks that are sent together
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch: u32,

    /// Batches under way at most
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    depth: u32,

    /// Blocks per run
    #[arg(long, value_name = "N", default_value_t = 6_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    blocks: u64,

    /// Seed of the random sizes
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

/// Reads `4+2`: four producers, two consumers.
fn teams(text: &str) -> Result<(u32, u32), String> {
    let count = |part: &str| part.parse().ok().filter(|count| (1..=1000).contains(count));
    let parts = text.split_once('+').and_then(|(left, right)| Some((count(left)?, count(right)?)));
    parts.ok_or_else(|| "write producers+consumers, for example 4+4, each 1 to 1000".into())
}

impl HandoffArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&(producers, consumers): &(u32, u32)| {
            let series = format!("{producers}+{consumers}, {}, by {}", self.sizes, self.batch);
            let handoff = Handoff {
                producers,
                consumers,
                sizes: self.sizes,
                batch: self.batch,
                depth: self.depth,
                batches: self.blocks.div_ceil(u64::from(self.batch)),
                seed: self.seed,
            };
            Case::alone(series, handoff)
        };
        self.teams.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Handoff {
    producers: u32,
    consumers: u32,
    sizes: SizeRange,
    batch: u32,
    depth: u32,
    batches: u64,
    seed: u64,
}

impl Workload for Handoff {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[Metric::THROUGHPUT, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let belt = Belt::<A>::new(self);
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.batch };
        let lap = race(
            self.producers + self.consumers,
            |index| (index, A::for_this_thread(bounds), Rng::new(self.seed, index)),
            |(index, heap, rng)| match *index < self.producers {
                true => belt.produce(self, *heap, rng, share(self.batches, self.producers, *index)),
                false => belt.consume(*heap),
            },
            drop,
        );
        figures([(Metric::THROUGHPUT, lap.mops()), (Metric::CPU_TIME, lap.cpu_nanoseconds())])
    }
}

/// Room for a batch of blocks.
type Tray<A> = Vec<Block<A>>;

/// Both ends of a channel.
type Channel<T> = (Sender<T>, Receiver<T>);

/// What producers and consumers share.
struct Belt<A> {
    /// Full trays; `None` tells one consumer that no more will come.
    full: Channel<Option<Tray<A>>>,
    empty: Channel<Tray<A>>,
    /// Producers still at work. The last one to subtract itself tells the consumers; the channel
    /// orders that message, so Relaxed is enough.
    producing: AtomicU32,
    consumers: u32,
}

impl<A: Contestant> Belt<A> {
    fn new(plan: &Handoff) -> Self {
        let trays = plan.depth as usize;
        let belt = Self {
            full: bounded(trays + plan.consumers as usize),
            empty: bounded(trays),
            producing: AtomicU32::new(plan.producers),
            consumers: plan.consumers,
        };
        for _ in 0..trays {
            belt.empty.0.send(Vec::with_capacity(plan.batch as usize)).expect("there is room");
        }
        belt
    }

    /// A producer's work: fills and sends so many trays.
    fn produce(&self, plan: &Handoff, heap: A, rng: &mut Rng, batches: u64) -> u64 {
        for _ in 0..batches {
            let mut tray = self.empty.1.recv().expect("the belt holds both ends");
            for _ in 0..plan.batch {
                tray.push(Block::take(heap, plan.sizes.pick(rng.draw() as u32)));
            }
            self.full.0.send(Some(tray)).expect("the belt holds both ends");
        }
        if self.producing.fetch_sub(1, Ordering::Relaxed) == 1 {
            for _ in 0..self.consumers {
                self.full.0.send(None).expect("the belt holds both ends");
            }
        }
        batches * u64::from(plan.batch)
    }

    /// A consumer's work: empties trays until there are no more.
    fn consume(&self, heap: A) -> u64 {
        let mut freed = 0;
        while let Some(mut tray) = self.full.1.recv().expect("the belt holds both ends") {
            freed += tray.len() as u64;
            tray.drain(..).for_each(|block| block.give_back(heap));
            self.empty.0.send(tray).expect("the belt holds both ends");
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn consumers_free_every_block() {
        let sizes = "16-64".parse().expect("valid");
        let plan = Handoff { producers: 3, consumers: 2, sizes, batch: 10, depth: 4, batches: 50, seed: 1 };
        let counts = Counted::counts_of(|| {
            plan.run::<Counted>();
        });
        assert_eq!((counts.taken, counts.live, counts.foreign_frees), (500, 0, 500));
    }

    #[test]
    fn teams_are_read() {
        assert_eq!(teams("4+2"), Ok((4, 2)));
        for wrong in ["4", "0+1", "x+1", "1+"] {
            assert!(teams(wrong).is_err(), "{wrong}");
        }
    }
}
