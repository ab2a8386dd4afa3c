//! `batch`: allocate thousands of blocks, then free all of them, in three orders.
//!
//! *Measured:* batches larger than the caches, so that blocks travel between the caches and the
//! layers below; freed last-in-first-out, first-in-first-out, or in random order, which is what
//! tells free lists in the blocks from bitmaps beside them. *Not measured:* other threads.
//!
//! *Honest because* the order is an array of indices in every case, made before the clock starts,
//! so the three orders do the same work around the allocator. The heap is warm: one batch runs
//! before.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::race,
    rng::Rng,
    sizes::SizeRange,
};

/// Nanoseconds for one block's allocation and free.
const TIME: Metric = Metric::lower("ns_per_block", "ns/block");

/// In which order blocks are freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    /// The last one allocated first
    Lifo,
    /// The first one allocated first
    Fifo,
    /// Any
    Random,
}

impl Order {
    fn name(self) -> &'static str {
        match self {
            Self::Lifo => "LIFO",
            Self::Fifo => "FIFO",
            Self::Random => "random order",
        }
    }
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct BatchArgs {
    /// Orders of the frees
    #[arg(long, value_enum, value_name = "ORDER", value_delimiter = ',', default_values_t = [Order::Lifo, Order::Fifo, Order::Random])]
    orders: Vec<Order>,

    /// Blocks per batch
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    batch: u32,

    /// Range of block sizes in bytes or KiB
    #[arg(long, value_name = "MIN-MAX", default_value = "64")]
    sizes: SizeRange,

    /// Batches per run
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    batches: u32,

    /// Seed of the random order and sizes
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl BatchArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&order: &Order| {
            let Self { batch, sizes, batches, seed, .. } = *self;
            let series = format!("{batch} x {sizes}, {}", order.name());
            Case::alone(series, Batch { order, batch, sizes, batches, seed }).with_ceiling()
        };
        self.orders.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    order: Order,
    batch: u32,
    sizes: SizeRange,
    batches: u32,
    seed: u64,
}

impl Workload for Batch {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[TIME, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: self.sizes.max(), live_blocks: self.batch };
        let lap = race(
            1,
            |_| {
                let mut rng = Rng::new(self.seed, 0);
                let order = self.indices(&mut rng);
                let blocks: Vec<Option<Block<A>>> = (0..self.batch).map(|_| None).collect();
                let mut table = Table { heap: A::for_this_thread(bounds), blocks, order, rng };
                table.batch(self.sizes);
                table
            },
            |table| {
                (0..self.batches).for_each(|_| table.batch(self.sizes));
                u64::from(self.batch) * u64::from(self.batches)
            },
            drop,
        );
        figures([(TIME, lap.nanoseconds()), (Metric::CPU_TIME, lap.cpu_nanoseconds())])
    }
}

impl Batch {
    /// The order of the frees, as indices into the order of the allocations.
    fn indices(&self, rng: &mut Rng) -> Vec<u32> {
        let mut indices: Vec<u32> = (0..self.batch).collect();
        match self.order {
            Order::Lifo => indices.reverse(),
            Order::Fifo => {}
            Order::Random => rng.shuffle(&mut indices),
        }
        indices
    }
}

/// The blocks of a batch, the order in which they go, and whence they come.
struct Table<A> {
    heap: A,
    blocks: Vec<Option<Block<A>>>,
    order: Vec<u32>,
    rng: Rng,
}

impl<A: Contestant> Table<A> {
    #[inline(never)]
    fn batch(&mut self, sizes: SizeRange) {
        for block in &mut self.blocks {
            *block = Some(Block::take(self.heap, sizes.pick(self.rng.draw() as u32)));
        }
        for &index in &self.order {
            if let Some(block) = self.blocks[index as usize].take() {
                block.give_back(self.heap);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn every_order_frees_every_block() {
        for order in [Order::Lifo, Order::Fifo, Order::Random] {
            let sizes = "8-64".parse().expect("valid");
            let plan = Batch { order, batch: 100, sizes, batches: 3, seed: 1 };
            let counts = Counted::counts_of(|| {
                plan.run::<Counted>();
            });
            assert_eq!((counts.taken, counts.live), (400, 0));
        }
    }
}
