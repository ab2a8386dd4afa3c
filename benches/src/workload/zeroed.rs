//! `zeroed`: blocks that must read as zero, from 1 KiB to 64 MiB.
//!
//! Each size runs in two ways. *fresh*: blocks are taken until 256 MiB are live (four at least), so most memory
//! comes from the system, where it is zero already. *recycled*: eight blocks are live, each replaced in turn,
//! so that the allocator hands out memory that the program has written to. After a block is taken, one byte
//! in each 4 KiB of it is touched: written by default, or read (`--touch read`), or not touched at all.
//!
//! *Measured:* microseconds for each block: `alloc_zeroed`, the page faults of touching, and for recycled
//! blocks the free too. *Not measured:* giving fresh blocks back; several threads.
//!
//! *Honest because* reading checks that it is zero; writing makes every page dirty, so that recycled memory
//! really has to be cleared by somebody: by a memset, or by the kernel behind a page fault. One that leaves
//! clearing to the page fault pays for it in the same figure.

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    race::race,
    sizes::{SizeRange, parse_bytes},
};

const TIME: Metric = Metric::lower("us_per_block", "µs/block");
const CPU: Metric = Metric { title: "CPU µs", ..Metric::CPU_TIME };

/// Live bytes of fresh blocks, and bytes in all recycled ones.
const FRESH_BYTES: u32 = 256 << 20;
const RECYCLED_BYTES: u32 = 512 << 20;

/// Blocks at least, and at most.
const FEWEST: u32 = 4;
const MOST_RECYCLED: u32 = 200_000;

/// Recycled blocks that are live at once.
const SLOTS: u32 = 8;

/// Where blocks come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Way {
    /// From the system
    Fresh,
    /// From the program
    Recycled,
}

/// What is done to one byte in each page of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Touch {
    /// It is written
    Write,
    /// It is read, and must be zero
    Read,
    /// Nothing
    None,
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct ZeroedArgs {
    /// Block sizes in bytes, KiB or MiB, up to 1 GiB
    #[arg(long = "sizes", value_name = "BYTES", value_delimiter = ',', value_parser = size,
          default_values = ["1KiB", "4KiB", "16KiB", "64KiB", "256KiB", "1MiB", "4MiB", "16MiB", "64MiB"])]
    sizes: Vec<u32>,

    /// Where blocks come from
    #[arg(long = "ways", value_enum, value_name = "WAY", value_delimiter = ',', default_values_t = [Way::Fresh, Way::Recycled])]
    ways: Vec<Way>,

    /// What is done to one byte in each page
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Touch::Write)]
    touch: Touch,

    /// Blocks per run [default: 256 MiB of fresh ones, 512 MiB of recycled ones]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    blocks: Option<u32>,
}

fn size(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    SizeRange::new(bytes, bytes).map(|_| bytes)
}

impl ZeroedArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |way, bytes| {
            let name = match way {
                Way::Fresh => "fresh",
                Way::Recycled => "recycled",
            };
            let touched = match self.touch {
                Touch::Write => "",
                Touch::Read => ", read",
                Touch::None => ", not touched",
            };
            let size = SizeRange::new(bytes, bytes).expect("checked when parsed");
            let blocks = self.blocks.unwrap_or_else(|| usual_blocks(way, bytes));
            Case::alone(format!("{name} {size}{touched}"), Zeroed { way, size, blocks, touch: self.touch })
        };
        let pairs = self.ways.iter().flat_map(|way| self.sizes.iter().map(move |bytes| (*way, *bytes)));
        pairs.map(|(way, bytes)| case(way, bytes)).collect()
    }
}

fn usual_blocks(way: Way, bytes: u32) -> u32 {
    match way {
        Way::Fresh => (FRESH_BYTES / bytes).max(FEWEST),
        Way::Recycled => (RECYCLED_BYTES / bytes).clamp(4 * SLOTS, MOST_RECYCLED),
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Zeroed {
    way: Way,
    size: SizeRange,
    blocks: u32,
    touch: Touch,
}

impl Workload for Zeroed {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[TIME, CPU, Metric::RSS_PEAK];

    fn run<A: Contestant>(&self) -> Figures {
        let slots = match self.way {
            Way::Fresh => self.blocks,
            Way::Recycled => SLOTS,
        };
        let lap = race(
            1,
            |_| {
                let heap = A::for_this_thread(Bounds { largest: self.size.max(), live_blocks: slots });
                let mut field: Box<[Option<Block<A>>]> = (0..slots).map(|_| None).collect();
                // A new array may be untouched pages of zeros; what is written here stays `None`.
                std::hint::black_box(&mut field).iter_mut().for_each(|place| *place = None);
                if self.way == Way::Recycled {
                    // Each slot twice: none of what is timed is fresh.
                    self.replace(heap, &mut field, 2 * SLOTS);
                }
                (heap, field)
            },
            |(heap, field)| {
                self.replace(*heap, field, self.blocks);
                u64::from(self.blocks)
            },
            |(heap, field)| field.into_iter().flatten().for_each(|block| block.give_back(heap)),
        );
        figures([(TIME, lap.nanoseconds() / 1e3), (CPU, lap.cpu_nanoseconds() / 1e3)])
    }
}

impl Zeroed {
    /// Takes `blocks` blocks, each into the next slot, and gives back what was there.
    #[inline(never)]
    fn replace<A: Contestant>(&self, heap: A, field: &mut [Option<Block<A>>], blocks: u32) {
        let mut at = 0;
        for _ in 0..blocks {
            if let Some(block) = field[at].take() {
                block.give_back(heap);
            }
            let mut block = Block::take_zeroed(heap, self.size.max());
            match self.touch {
                Touch::Write => block.use_all(),
                Touch::Read => block.check_zero(),
                Touch::None => {}
            }
            field[at] = Some(block);
            at = if at + 1 == field.len() { 0 } else { at + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    fn plan(way: Way, touch: Touch) -> Zeroed {
        Zeroed { way, size: "10000".parse().expect("valid"), blocks: 40, touch }
    }

    #[test]
    fn every_block_is_given_back() {
        for touch in [Touch::Write, Touch::Read, Touch::None] {
            for (way, taken) in [(Way::Fresh, 40), (Way::Recycled, 56)] {
                let counts = Counted::counts_of(|| {
                    assert!(plan(way, touch).run::<Counted>()["us_per_block"] > 0.0);
                });
                assert_eq!((counts.taken, counts.live), (taken, 0));
            }
        }
    }
}
