//! The options that all experiments share.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::allocator::Allocator;

/// As the user gives them.
#[derive(Args, Clone, Debug)]
pub struct HarnessArgs {
    /// Allocators that take part, for example numaslab,mimalloc [default: all compiled in]
    #[arg(long, value_name = "NAME", value_delimiter = ',', global = true)]
    allocators: Vec<Allocator>,

    /// The allocator that the others are compared with [default: mimalloc if it takes part]
    #[arg(long, value_name = "NAME", global = true)]
    baseline: Option<Allocator>,

    /// How often everything is repeated; medians are reported [default: 5]
    #[arg(long, value_name = "N", global = true, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// Compare CPU time instead of wall-clock time where it is known: for a busy machine
    #[arg(long, global = true)]
    pub cpu_time: bool,

    /// Folder for the JSON file and the picture
    #[arg(long, value_name = "FOLDER", default_value = "bench-out", global = true)]
    pub output: PathBuf,

    /// Seconds after which a run is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 120, global = true,
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
}

/// Checked options.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who takes part, in the order of tables.
    pub allocators: Vec<Allocator>,
    /// One of them.
    pub baseline: Allocator,
    /// How many rounds.
    pub rounds: u32,
    /// Time limit of one run in seconds.
    pub timeout_s: u32,
}

impl HarnessArgs {
    /// Checks the options against the allocators that are `present`; `rounds` if none are given.
    pub fn check(&self, present: &[Allocator], rounds: u32) -> Result<Options> {
        let mut allocators = match self.allocators.is_empty() {
            true => present.to_vec(),
            false => self.allocators.clone(),
        };
        allocators.sort_unstable();
        allocators.dedup();
        for &allocator in &allocators {
            if allocator == Allocator::Ceiling {
                bail!("the ceiling takes part by itself where there is one; don't name it");
            }
            if !present.contains(&allocator.program()) {
                let names: Vec<_> = present.iter().map(|allocator| allocator.name()).collect();
                bail!(
                    "{allocator} is not compiled in (only {}); rebuild with --features {allocator} \
                     or --features all-peers",
                    names.join(", ")
                );
            }
        }
        let baseline = match self.baseline {
            Some(baseline) if allocators.contains(&baseline) => baseline,
            Some(baseline) => bail!(
                "the baseline {baseline} does not take part; add it to --allocators or choose \
                 another --baseline"
            ),
            None if allocators.contains(&Allocator::Mimalloc) => Allocator::Mimalloc,
            None => allocators[0],
        };
        Ok(Options { allocators, baseline, rounds: self.rounds.unwrap_or(rounds), timeout_s: self.timeout })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const TWO: &[Allocator] = &[Allocator::Glibc, Allocator::Mimalloc];

    fn args(allocators: &[Allocator], baseline: Option<Allocator>) -> HarnessArgs {
        HarnessArgs {
            allocators: allocators.to_vec(),
            baseline,
            rounds: None,
            cpu_time: false,
            output: PathBuf::new(),
            timeout: 1,
        }
    }

    #[test]
    fn by_default_all_take_part_and_mimalloc_is_the_baseline() {
        let options = args(&[], None).check(TWO, 3).expect("valid");
        assert_eq!(options.allocators, TWO);
        assert_eq!(options.baseline, Allocator::Mimalloc);
    }

    #[test]
    fn without_mimalloc_the_first_one_is_the_baseline() {
        let options = args(&[Allocator::Glibc, Allocator::Glibc], None).check(TWO, 3).expect("valid");
        assert_eq!(options.allocators, [Allocator::Glibc]);
        assert_eq!(options.baseline, Allocator::Glibc);
    }

    #[test]
    fn absent_allocators_and_baselines_are_refused_with_a_way_out() {
        for (args, advice) in [
            (args(&[Allocator::Jemalloc], None), "--features jemalloc"),
            (args(&[Allocator::Glibc], Some(Allocator::Mimalloc)), "--allocators"),
            (args(&[Allocator::Ceiling], None), "by itself"),
        ] {
            let error = args.check(TWO, 3).expect_err(advice).to_string();
            assert!(error.contains(advice), "{error}");
        }
    }
}
