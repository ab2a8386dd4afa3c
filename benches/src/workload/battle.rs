//! `battle`: a million tiny blocks, and how much memory is left of them.
//!
//! Allocates `blocks` blocks of 16 bytes, frees 90 % of them in random order, rests, frees the
//! others. Memory is read when all are live, after the rest, and at the end.
//!
//! *Measured:* what the smallest blocks cost in memory, whether free memory goes back to the system
//! from a heap full of holes, and the time of it all without the rest (mostly page faults).
//! *Not measured:* any work after the rest; an allocator that returns memory only when called
//! again shows no return.
//!
//! *Honest because* the only other memory is the array of pointers (8 bytes per block, touched
//! before the clock starts), which is shuffled in place. Memory is of the whole process.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Bounds, Contestant, FixedBlock},
    outcome::{Figures, Metric, figures},
    race::process_cpu_time,
    resources::rss_kib,
    rng::Rng,
    sizes::BlockSize,
};

const TIME: Metric = Metric::lower("ns_per_block", "ns/block");
const FULL: Metric = Metric::lower("full_mib", "full MiB");
const THINNED: Metric = Metric::lower("thinned_mib", "10 % left MiB").unranked();
const EMPTY: Metric = Metric::lower("empty_mib", "empty MiB").unranked();

/// The size of the blocks in bytes.
const BYTES: u32 = 16;

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct BattleArgs {
    /// Blocks
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    blocks: u32,

    /// Seconds of rest
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = rest)]
    rest: f64,

    /// Seed of the random order
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

fn rest(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=60.0).contains(seconds));
    seconds.ok_or_else(|| "a rest is 0 to 60 seconds".into())
}

impl BattleArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let series = format!("{} x {BYTES} B", self.blocks);
        vec![Case::alone(series, Battle { blocks: self.blocks, rest_s: self.rest, seed: self.seed })]
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Battle {
    blocks: u32,
    rest_s: f64,
    seed: u64,
}

impl Workload for Battle {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[TIME, FULL, THINNED, EMPTY, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let largest = BlockSize::new(BYTES);
        let heap = A::for_this_thread(Bounds { largest, live_blocks: self.blocks });
        let mut field: Vec<Option<FixedBlock<A, BYTES>>> = Vec::new();
        field.resize_with(self.blocks as usize, || None);
        // A new array may be untouched pages of zeros; what is written here stays `None`.
        std::hint::black_box(&mut field).iter_mut().for_each(|place| *place = None);

        let taking = time(|| field.iter_mut().for_each(|place| *place = Some(FixedBlock::take(heap))));
        let full_kib = rss_kib();
        Rng::new(self.seed, 0).shuffle(&mut field);
        let (most, rest) = field.split_at_mut(self.blocks as usize / 10 * 9);
        let thinning = time(|| give_back_all(heap, most));
        thread::sleep(Duration::from_secs_f64(self.rest_s));
        let thinned_kib = rss_kib();
        let emptying = time(|| give_back_all(heap, rest));
        let empty_kib = rss_kib();

        let spans = [taking, thinning, emptying];
        let per_block = |span: fn(&Span) -> Duration| {
            spans.iter().map(span).sum::<Duration>().as_secs_f64() * 1e9 / f64::from(self.blocks)
        };
        let mib = |kib: u64| kib as f64 / 1024.0;
        figures([
            (TIME, per_block(|span| span.elapsed)),
            (FULL, mib(full_kib)),
            (THINNED, mib(thinned_kib)),
            (EMPTY, mib(empty_kib)),
            (Metric::CPU_TIME, per_block(|span| span.cpu)),
        ])
    }
}

fn give_back_all<A: Contestant>(heap: A, field: &mut [Option<FixedBlock<A, BYTES>>]) {
    field.iter_mut().filter_map(Option::take).for_each(|block| block.give_back(heap));
}

/// How long some work took.
struct Span {
    elapsed: Duration,
    cpu: Duration,
}

fn time(work: impl FnOnce()) -> Span {
    let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
    work();
    Span { elapsed: begun.elapsed(), cpu: process_cpu_time() - cpu_begun }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn every_block_is_given_back() {
        let counts = Counted::counts_of(|| {
            let figures = Battle { blocks: 1003, rest_s: 0.0, seed: 1 }.run::<Counted>();
            assert!(figures["full_mib"] > 0.0);
        });
        assert_eq!((counts.taken, counts.live), (1003, 0));
    }
}
