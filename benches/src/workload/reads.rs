//! `reads`: random reads over a large heap, on pages of three kinds.
//!
//! A heap of 2 GiB of small blocks is filled, each block gets a pointer to another one, so that all of them
//! are a ring in random order, and one thread follows the pointers. Nearly each step misses the processor's
//! caches, and on small pages its address translation too. Each row asks for pages of one kind: 2 MiB pages of
//! the kernel's reserved pool (hugetlb), transparent huge pages, or pages of 4 KiB. The columns `reserved MiB`
//! and `THP MiB` tell what the kernel gave.
//!
//! *Measured:* nanoseconds of a step; the time to fill the heap, page faults included. *Not measured:* reads
//! that don't depend on each other, writes, several threads.
//!
//! *Honest because* the walk touches nothing but the heap, and the same ring is walked for all. Allocators
//! that can't be told which pages to use (`pages.rs`) run as they are in every row; the columns show it. The
//! reserved row is left out, and that is said, where the pool has too few free pages.

use std::{sync::OnceLock, time::Instant};

use anyhow::{Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Job, Task, Workload};
use crate::{
    block::{Block, Bounds, Contestant},
    outcome::{Figures, Metric, figures},
    pages::{self, HUGE, Pages},
    race::race,
    ring::Ring,
    rng::Rng,
    sizes::{BlockSize, SizeRange, parse_bytes},
};

const READ: Metric = Metric::lower("ns_per_read", "ns/read");
const FILL: Metric = Metric::lower("fill_s", "fill s").unranked();
const RESERVED: Metric = Metric::higher("reserved_mib", "reserved MiB").unranked();
const TRANSPARENT: Metric = Metric::higher("transparent_mib", "THP MiB").unranked();

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct ReadsArgs {
    /// Bytes in blocks, 1 MiB to 3 GiB
    #[arg(long, value_name = "BYTES", default_value = "2GiB", value_parser = heap_bytes)]
    bytes: u32,

    /// Bytes of each block, 8 to 64 KiB
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = block_bytes)]
    size: u32,

    /// Kinds of pages
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',', default_values_t = [Pages::Reserved, Pages::Transparent, Pages::Ordinary])]
    pages: Vec<Pages>,

    /// Reads per run
    #[arg(long, value_name = "N", default_value_t = 20_000_000, value_parser = clap::value_parser!(u32).range(1..))]
    reads: u32,

    /// Seed of the random order
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

fn heap_bytes(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    (1 << 20..=3 << 30).contains(&bytes).then_some(bytes).ok_or_else(|| "a heap has 1 MiB to 3 GiB".into())
}

fn block_bytes(text: &str) -> Result<u32, String> {
    let bytes = parse_bytes(text)?;
    (8..=64 << 10).contains(&bytes).then_some(bytes).ok_or_else(|| "a block has 8 bytes to 64 KiB".into())
}

impl ReadsArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Result<Vec<Case>> {
        let free = pages::free_reserved_bytes();
        let is_there = |pages: &Pages| *pages != Pages::Reserved || free > u64::from(self.bytes);
        let (there, missing): (Vec<Pages>, Vec<Pages>) = self.pages.iter().copied().partition(is_there);
        if !missing.is_empty() {
            let wanted = (u64::from(self.bytes) + u64::from(self.bytes) / 8).div_ceil(HUGE);
            eprintln!(
                "SKIPPED: reserved pages: {} are free, some {wanted} are needed (echo {wanted} > \
                 /proc/sys/vm/nr_hugepages, and 0 afterwards)",
                free / HUGE
            );
        }
        if there.is_empty() {
            bail!("no kind of page is to be had");
        }
        let case = |pages: Pages| {
            let size = SizeRange::new(self.size, self.size).expect("checked when parsed");
            let series = format!("{} MiB of {size}, {}", self.bytes >> 20, pages.name());
            let blocks = (self.bytes / self.size).max(1);
            let task = Reads { size, blocks, reads: self.reads, seed: self.seed };
            Case::alone(series, Job::Paged(pages, Task::Reads(task)))
        };
        Ok(there.into_iter().map(case).collect())
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reads {
    size: SizeRange,
    blocks: u32,
    reads: u32,
    seed: u64,
}

impl Workload for Reads {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[READ, FILL, RESERVED, TRANSPARENT, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let filled = OnceLock::new();
        let lap = race(
            1,
            |_| {
                let size = self.size.max();
                let heap = A::for_this_thread(Bounds { largest: size, live_blocks: self.blocks });
                let begun = Instant::now();
                let blocks = self.fill(heap, size);
                filled.get_or_init(|| (begun.elapsed().as_secs_f64(), pages::of_this_process()));
                (heap, Ring::link(blocks, &mut Rng::new(self.seed, 0)))
            },
            |(_, ring)| {
                ring.walk(self.reads.into());
                self.reads.into()
            },
            |(heap, ring)| ring.give_back(heap),
        );
        let (fill_s, pages) = filled.into_inner().expect("the thread has filled the heap");
        let mut figures =
            figures([(READ, lap.nanoseconds()), (FILL, fill_s), (Metric::CPU_TIME, lap.cpu_nanoseconds())]);
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        if let Some((reserved, transparent)) = pages {
            figures.insert(RESERVED.name.to_owned(), mib(reserved));
            figures.insert(TRANSPARENT.name.to_owned(), mib(transparent));
        }
        figures
    }
}

impl Reads {
    fn fill<A: Contestant>(&self, heap: A, size: BlockSize) -> Vec<Block<A>> {
        let mut blocks = Vec::with_capacity(self.blocks as usize);
        blocks.extend((0..self.blocks).map(|_| {
            let mut block = Block::take(heap, size);
            block.use_all();
            block
        }));
        blocks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn every_block_is_in_the_ring_and_given_back() {
        let plan = Reads { size: "64".parse().expect("valid"), blocks: 500, reads: 2000, seed: 1 };
        let counts = Counted::counts_of(|| {
            assert!(plan.run::<Counted>()["ns_per_read"] > 0.0);
        });
        assert_eq!((counts.taken, counts.live), (500, 0));
    }
}
