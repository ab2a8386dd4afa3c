//! `pair`: allocate one block and free it at once, over and over.
//!
//! *Measured:* the shortest path there is, with the size known at compile time (`const`) and not
//! known (`dynamic`, hidden from the optimiser in every iteration). *Not measured:* anything else:
//! one block circulates, every branch is predicted, every line is in the first cache.
//!
//! *Honest because* the block's first and last bytes are written with volatile stores, so the pair
//! can't be optimised away, and the two cases differ in nothing but the size's visibility.

use std::hint::black_box;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{Case, Workload};
use crate::{
    block::{Block, Bounds, Contestant, FixedBlock},
    outcome::{Figures, Metric, figures},
    race::race,
    sizes::BlockSize,
};

/// Nanoseconds for an allocation and its free.
const TIME: Metric = Metric::lower("ns_per_pair", "ns/pair");

/// The size of the block in bytes.
const BYTES: u32 = 64;

/// Whether the compiler knows the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Known {
    /// At compile time
    Const,
    /// At run time only
    Dynamic,
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct PairArgs {
    /// Whether the compiler knows the size
    #[arg(long, value_enum, value_name = "WHEN", value_delimiter = ',', default_values_t = [Known::Const, Known::Dynamic])]
    known: Vec<Known>,

    /// Pairs per run
    #[arg(long, value_name = "N", default_value_t = 30_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pairs: u64,
}

impl PairArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let case = |&known: &Known| {
            let name = match known {
                Known::Const => "const",
                Known::Dynamic => "dynamic",
            };
            Case::alone(format!("{BYTES} B {name}"), Pair { known, pairs: self.pairs }).with_ceiling()
        };
        self.known.iter().map(case).collect()
    }
}

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pair {
    known: Known,
    pairs: u64,
}

impl Workload for Pair {
    type Yield = Figures;

    const METRICS: &'static [Metric] = &[TIME, Metric::CPU_TIME];

    fn run<A: Contestant>(&self) -> Figures {
        let bounds = Bounds { largest: BlockSize::new(BYTES), live_blocks: 1 };
        let pairs = match self.known {
            Known::Const => const_pairs,
            Known::Dynamic => dynamic_pairs,
        };
        let lap = race(
            1,
            |_| {
                let heap = A::for_this_thread(bounds);
                pairs(heap, self.pairs / 10 + 1);
                heap
            },
            |heap| {
                pairs(*heap, self.pairs);
                self.pairs
            },
            drop,
        );
        figures([(TIME, lap.nanoseconds()), (Metric::CPU_TIME, lap.cpu_nanoseconds())])
    }
}

#[inline(never)]
fn const_pairs<A: Contestant>(heap: A, pairs: u64) {
    for _ in 0..pairs {
        FixedBlock::<A, BYTES>::take(heap).give_back(heap);
    }
}

#[inline(never)]
fn dynamic_pairs<A: Contestant>(heap: A, pairs: u64) {
    for _ in 0..pairs {
        Block::take(heap, black_box(BlockSize::new(BYTES))).give_back(heap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::testing::Counted;

    #[test]
    fn no_pair_is_optimised_away() {
        for known in [Known::Const, Known::Dynamic] {
            let counts = Counted::counts_of(|| {
                Pair { known, pairs: 100 }.run::<Counted>();
            });
            assert_eq!((counts.taken, counts.live), (111, 0));
        }
    }
}
