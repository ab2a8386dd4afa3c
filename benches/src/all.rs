//! `all`: every experiment but `push`, `reads`, `zeroed`, `soak` and `syscalls`, at the settings that README's table shows.
//!
//! Each line below is a command line of this program, so that any row can be had alone, with the
//! same options. The rounds go over all lines together.

use clap::Args;

use crate::{cli, outcome::Metric, workload::Case};

/// The experiments of a full run.
const FULL: &[&str] = &[
    "mixed --sizes 16-1024,8-128,129-1024 --threads 1,2,8",
    "mixed --sizes 1KiB-32KiB --threads 1,8",
    "mixed --sizes 64KiB-1MiB --threads 1,8",
    "mixed --sizes 16-1024 --threads 1 --slots 50000",
    "larson --sizes 8-1024 --threads 1,2,8,64 --seconds 0.6",
    "larson --sizes 4KiB-32KiB --threads 1,4,16 --seconds 0.6",
    "handoff --teams 1+1,4+4",
    "threads --threads 1000,4000 --turns 5",
    "battle",
    "batch",
    "pair",
    "churn",
    "false-sharing --threads 2,8",
    "std --vecs 3",
    "startup",
    "latency",
    "phases --bytes 128MiB --idle 1 --sizes 16-1024",
];

/// The same rows with less work each.
const QUICK: &[&str] = &[
    "mixed --sizes 16-1024,8-128,129-1024 --threads 1,2,8 --iterations 5000000",
    "mixed --sizes 1KiB-32KiB --threads 1,8 --iterations 1000000",
    "mixed --sizes 64KiB-1MiB --threads 1,8 --iterations 100000",
    "mixed --sizes 16-1024 --threads 1 --slots 50000 --iterations 5000000",
    "larson --sizes 8-1024 --threads 1,2,8,64 --seconds 0.2",
    "larson --sizes 4KiB-32KiB --threads 1,4,16 --seconds 0.2",
    "handoff --teams 1+1,4+4 --blocks 2000000",
    "threads --threads 1000,4000 --turns 2",
    "battle --rest 0.3",
    "batch --batches 100",
    "pair --pairs 5000000",
    "churn --threads 1500",
    "false-sharing --threads 2,8 --blocks 10000",
    "std --vecs 1 --map-operations 300000 --strings 150000",
    "startup --executions 20",
    "latency --iterations 2000000",
    "phases --bytes 128MiB --idle 1 --sizes 16-1024",
];

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct AllArgs {
    /// Less work per run and, unless --rounds is given, one round: a first impression
    #[arg(long)]
    quick: bool,
}

impl AllArgs {
    /// How many rounds there are if the user does not say.
    pub fn rounds(&self) -> u32 {
        if self.quick { 1 } else { 5 }
    }

    /// The rows of all experiments, each named with its experiment.
    pub fn cases(&self) -> Vec<Case> {
        let lines = if self.quick { QUICK } else { FULL };
        lines.iter().flat_map(|line| cases_of_line(line)).collect()
    }
}

fn cases_of_line(line: &str) -> Vec<Case> {
    let (name, mut cases) = cli::cases_of(line.split(' ')).expect("the lines above are tested");
    for case in &mut cases {
        // One row tells what a small program's heap costs in memory.
        if name == "mixed" && case.label() == "16-1024 B, 1 thread" {
            case.metrics.push(Metric::RSS_PEAK);
        }
        case.series = format!("{name} {}", case.series);
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quick_has_the_same_rows() {
        let labels = |quick| -> Vec<String> { AllArgs { quick }.cases().iter().map(Case::label).collect() };
        assert_eq!(labels(true), labels(false));
        assert!(labels(false).len() > 40);
    }

    #[test]
    fn one_row_of_mixed_is_about_memory() {
        let cases = AllArgs { quick: false }.cases();
        let with_memory = cases
            .iter()
            .filter(|case| case.label().starts_with("mixed") && case.metrics.contains(&Metric::RSS_PEAK));
        assert_eq!(with_memory.count(), 1);
    }
}
