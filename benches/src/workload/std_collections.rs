//! `std`: the standard library's collections in a process whose global allocator is on trial.
//!
//! - *Vec growth:* a `Vec<u64>` grows by `push` to 64 MiB: `realloc` of ever larger blocks.
//! - *HashMap churn:* a `HashMap<String, String>` has random keys put in and taken out.
//! - *Vec of strings:* a `Vec<String>` is built, cloned, and both are dropped.
//!
//! *Measured:* what a program feels, the collections' own work included; so differences are smaller
//! than in the other workloads. *Not measured:* several threads.
//!
//! *Honest because* the child's `#[global_allocator]` is the allocator's own type, as in a user's
//! program (a common binary would need a dispatcher between), and the hasher has no random state.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, DefaultHasher},
    hint::black_box,
    time::{Duration, Instant},
};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Case, GlobalWorkload};
use crate::{
    outcome::{Figures, Metric, figures},
    race::process_cpu_time,
    rng::Rng,
};

/// CPU time of the whole run.
const CPU: Metric = Metric { title: "CPU ms", ..Metric::CPU_TIME };

/// The CPU time in milliseconds since a reading of the clock.
fn cpu_ms_since(begun: Duration) -> f64 {
    (process_cpu_time() - begun).as_secs_f64() * 1e3
}

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct StdArgs {
    /// Size of the grown vector in MiB
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=4096))]
    vec_mib: u32,

    /// Vectors grown per run
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..))]
    vecs: u32,

    /// Insertions and removals in the map per run
    #[arg(long, value_name = "N", default_value_t = 1_500_000, value_parser = clap::value_parser!(u32).range(1..))]
    map_operations: u32,

    /// Different keys of the map; half of them are in it
    #[arg(long, value_name = "N", default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,

    /// Strings in the vector of strings
    #[arg(long, value_name = "N", default_value_t = 400_000, value_parser = clap::value_parser!(u32).range(1..))]
    strings: u32,

    /// Seed of the random keys and lengths
    #[arg(long, value_name = "N", default_value_t = 4242)]
    seed: u64,
}

impl StdArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        let Self { vec_mib, vecs, map_operations, keys, strings, seed } = *self;
        vec![
            Case::alone(format!("Vec growth to {vec_mib} MiB"), VecGrowth { mib: vec_mib, vecs }),
            Case::alone("HashMap churn", StringMap { operations: map_operations, keys, seed }),
            Case::alone("Vec<String>", StringVec { strings, seed }),
        ]
    }
}

/// Growing a vector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct VecGrowth {
    mib: u32,
    vecs: u32,
}

impl GlobalWorkload for VecGrowth {
    const METRICS: &'static [Metric] = &[Metric::lower("ms_per_vec", "ms/vec"), CPU];

    fn run(&self) -> Figures {
        let numbers = u64::from(self.mib) << 17;
        let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
        for _ in 0..self.vecs {
            let mut vec: Vec<u64> = Vec::new();
            for number in 0..numbers {
                vec.push(number);
            }
            black_box(&vec);
        }
        let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
        figures([(Self::METRICS[0], milliseconds / f64::from(self.vecs)), (CPU, cpu_ms_since(cpu_begun))])
    }
}

/// Putting strings in a map and taking them out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StringMap {
    operations: u32,
    keys: u32,
    seed: u64,
}

impl GlobalWorkload for StringMap {
    const METRICS: &'static [Metric] = &[Metric::higher("map_mops", "M map ops/s"), CPU];

    fn run(&self) -> Figures {
        let mut map: HashMap<String, String, BuildHasherDefault<DefaultHasher>> = HashMap::default();
        let mut rng = Rng::new(self.seed, 0);
        let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
        for _ in 0..self.operations {
            let key = format!("key number {}", rng.below(self.keys));
            if map.remove(&key).is_none() {
                map.insert(key, text(&mut rng, 200));
            }
        }
        drop(black_box(map));
        let seconds = begun.elapsed().as_secs_f64();
        figures([
            (Self::METRICS[0], f64::from(self.operations) / seconds / 1e6),
            (CPU, cpu_ms_since(cpu_begun)),
        ])
    }
}

/// Building, cloning and dropping a vector of strings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StringVec {
    strings: u32,
    seed: u64,
}

impl GlobalWorkload for StringVec {
    const METRICS: &'static [Metric] = &[Metric::higher("mstrings", "M strings/s"), CPU];

    fn run(&self) -> Figures {
        /// How often the vector is built and cloned.
        const TIMES: u32 = 3;
        let mut rng = Rng::new(self.seed, 0);
        let (begun, cpu_begun) = (Instant::now(), process_cpu_time());
        for _ in 0..TIMES {
            let mut strings = Vec::new();
            for _ in 0..self.strings {
                strings.push(text(&mut rng, 100));
            }
            let copy = black_box(&strings).clone();
            drop(strings);
            drop(black_box(copy));
        }
        let seconds = begun.elapsed().as_secs_f64();
        figures([
            (Self::METRICS[0], f64::from(2 * TIMES * self.strings) / seconds / 1e6),
            (CPU, cpu_ms_since(cpu_begun)),
        ])
    }
}

/// A string of 1 to `longest` letters, at most 200.
fn text(rng: &mut Rng, longest: u32) -> String {
    const LETTERS: [u8; 200] = [b'n'; 200];
    let length = 1 + rng.below(longest) as usize;
    String::from_utf8_lossy(&LETTERS[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_yields_its_figure() {
        let growth = VecGrowth { mib: 1, vecs: 2 };
        let map = StringMap { operations: 100, keys: 10, seed: 1 };
        let strings = StringVec { strings: 100, seed: 1 };
        assert!(growth.run()["ms_per_vec"] > 0.0);
        assert!(map.run()["map_mops"] > 0.0);
        assert!(strings.run()["mstrings"] > 0.0);
    }
}
