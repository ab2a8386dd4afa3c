//! The command line: which experiment, with which options.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    allocator::Allocator,
    harness::{build, launch::Launcher, options::HarnessArgs, rounds::run_all},
    report::Report,
    workload::{Case, LarsonArgs, MixedArgs},
};

/// Compares numaslab with other allocators: every allocator runs the same loops, in processes of
/// its own, in interleaved rounds.
#[derive(Debug, Parser)]
#[command(name = "numaslab-bench", version, subcommand_required = true, arg_required_else_help = true)]
struct Line {
    #[command(flatten)]
    harness: HarnessArgs,

    #[command(subcommand)]
    experiment: Experiment,
}

/// The experiments.
#[derive(Debug, Subcommand)]
enum Experiment {
    /// A server whose blocks are freed by other threads than allocated them
    Larson(LarsonArgs),
    /// Random allocations and frees of random sizes on an array of slots
    Mixed(MixedArgs),
}

impl Experiment {
    /// The experiment's name and rows.
    fn cases(&self) -> (&'static str, Vec<Case>) {
        match self {
            Self::Larson(args) => ("larson", args.cases()),
            Self::Mixed(args) => ("mixed", args.cases()),
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    match run(&Line::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("numaslab-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(line: &Line) -> Result<()> {
    let options = line.harness.check(&Allocator::present())?;
    let (name, cases) = line.experiment.cases();
    let launcher = Launcher::new(options.timeout_s)?;
    build::children(&launcher.folder)?;
    let versions = launcher.versions(&options.allocators)?;
    let rows = run_all(&cases, &options, |allocator, case| launcher.run(allocator, &case.task))?;
    let report = Report::new(name, &options, versions, rows);
    report.print();
    report.save(&line.harness.output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Line::command().debug_assert();
    }

    #[test]
    fn wrong_arguments_say_what_is_wrong() {
        for (arguments, complaint) in [
            (&["larson", "--threads", "0"][..], "0 is not in 1..=10000"),
            (&["larson", "--sizes", "9-8"], "above the largest"),
            (&["larson", "--seconds", "0"], "between 0.001 and 3600"),
            (&["larson", "--seconds", "1", "--generations", "2"], "cannot be used with"),
            (&["mixed", "--slots", "many"], "invalid digit"),
            (&["mixed", "--allocators", "malloc"], "no allocator is called 'malloc'"),
            (&["nothing"], "unrecognized subcommand"),
        ] {
            let line = ["numaslab-bench"].iter().chain(arguments);
            let error = Line::try_parse_from(line).expect_err(complaint).to_string();
            assert!(error.contains(complaint), "{arguments:?}: {error}");
        }
    }
}
