//! The command line: which experiment, with which options.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    all::AllArgs,
    allocator::Allocator,
    harness::{build, launch::Launcher, options::HarnessArgs, rounds::run_all},
    machine::Machine,
    report::Report,
    workload::{
        BatchArgs, BattleArgs, Case, ChurnArgs, FalseSharingArgs, HandoffArgs, LarsonArgs, LatencyArgs,
        MixedArgs, PairArgs, PhasesArgs, PushArgs, ReadsArgs, SoakArgs, StartupArgs, StdArgs, SyscallsArgs,
        ThreadsArgs, ZeroedArgs,
    },
};

/// Compares numaslab with other allocators: every allocator runs the same loops, in processes of
/// its own, in interleaved rounds.
#[derive(Debug, Parser)]
#[command(name = "numaslab-bench", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Line {
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
    /// Producers allocate, consumers free
    Handoff(HandoffArgs),
    /// A thousand mostly idle threads that wake in turns: speed, and memory held while idle
    Threads(ThreadsArgs),
    /// A million tiny blocks: time, and memory after most of them are freed
    Battle(BattleArgs),
    /// Allocate thousands, free them in LIFO, FIFO and random order
    Batch(BatchArgs),
    /// Allocate one block, free it, over and over
    Pair(PairArgs),
    /// Short-lived threads
    Churn(ChurnArgs),
    /// Whether threads get blocks in one another's cache lines
    FalseSharing(FalseSharingArgs),
    /// Collections of the standard library, with the allocator as global allocator
    Std(StdArgs),
    /// The whole life of a program that does nothing
    Startup(StartupArgs),
    /// Percentiles of single operations
    Latency(LatencyArgs),
    /// A heap that grows, falls to a tenth, idles and grows again: memory over time
    Phases(PhasesArgs),
    /// A vector grown by push to 1 GiB: time, and bytes copied
    Push(PushArgs),
    /// Random reads over a 2 GiB heap on reserved, transparent and ordinary pages
    Reads(ReadsArgs),
    /// Blocks that must read as zero, 1 KiB to 64 MiB, fresh and recycled
    Zeroed(ZeroedArgs),
    /// The same load for minutes: whether speed and memory stay as they are (one round by default)
    Soak(SoakArgs),
    /// System calls by kind per 100 million operations, counted by tracing
    Syscalls(SyscallsArgs),
    /// Everything, in one table (20 minutes; with --quick 3)
    All(AllArgs),
}

impl Experiment {
    fn name(&self) -> &'static str {
        match self {
            Self::Larson(_) => "larson",
            Self::Mixed(_) => "mixed",
            Self::Handoff(_) => "handoff",
            Self::Threads(_) => "threads",
            Self::Battle(_) => "battle",
            Self::Batch(_) => "batch",
            Self::Pair(_) => "pair",
            Self::Churn(_) => "churn",
            Self::FalseSharing(_) => "false-sharing",
            Self::Std(_) => "std",
            Self::Startup(_) => "startup",
            Self::Latency(_) => "latency",
            Self::Phases(_) => "phases",
            Self::Push(_) => "push",
            Self::Reads(_) => "reads",
            Self::Zeroed(_) => "zeroed",
            Self::Soak(_) => "soak",
            Self::Syscalls(_) => "syscalls",
            Self::All(_) => "all",
        }
    }

    fn cases(&self) -> Result<Vec<Case>> {
        Ok(match self {
            Self::Larson(args) => args.cases()?,
            Self::Mixed(args) => args.cases(),
            Self::Handoff(args) => args.cases(),
            Self::Threads(args) => args.cases(),
            Self::Battle(args) => args.cases(),
            Self::Batch(args) => args.cases(),
            Self::Pair(args) => args.cases(),
            Self::Churn(args) => args.cases(),
            Self::FalseSharing(args) => args.cases(),
            Self::Std(args) => args.cases(),
            Self::Startup(args) => args.cases(),
            Self::Latency(args) => args.cases(),
            Self::Phases(args) => args.cases(),
            Self::Push(args) => args.cases(),
            Self::Reads(args) => args.cases()?,
            Self::Zeroed(args) => args.cases(),
            Self::Soak(args) => args.cases(),
            Self::Syscalls(args) => args.cases(),
            Self::All(args) => args.cases(),
        })
    }
}

/// The name and the rows of the experiment that a command line asks for.
pub fn cases_of<'word>(words: impl IntoIterator<Item = &'word str>) -> Result<(&'static str, Vec<Case>)> {
    let line = Line::try_parse_from(["numaslab-bench"].into_iter().chain(words))?;
    Ok((line.experiment.name(), line.experiment.cases()?))
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
    let usual_rounds = match &line.experiment {
        Experiment::All(args) => args.rounds(),
        Experiment::Soak(_) => 1,
        _ => 5,
    };
    let options = line.harness.check(&Allocator::present(), usual_rounds)?;
    let mut cases = line.experiment.cases()?;
    if line.harness.cpu_time {
        cases = cases.into_iter().map(Case::by_cpu_time).collect();
    }
    let launcher = Launcher::new(options.timeout_s)?;
    build::children(&launcher.folder)?;
    let versions = launcher.versions(&options.allocators)?;
    let machine = Machine::here();
    if machine.is_busy() {
        eprintln!("note: the load is {} already; figures will be noisy (--cpu-time helps)", machine.load);
    }
    let rows = run_all(&cases, &options, |allocator, case| launcher.run(allocator, &case.job))?;
    let report = Report::new(line.experiment.name(), &options, machine, versions, rows);
    match line.experiment {
        Experiment::All(_) => report.publish_comparison(&line.harness.output),
        _ => report.publish(&line.harness.output),
    }
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
    fn every_experiment_has_rows_by_default() {
        for subcommand in Line::command().get_subcommands().filter(|command| command.get_name() != "help") {
            let (name, cases) = cases_of([subcommand.get_name()]).expect("defaults are valid");
            assert_eq!(name, subcommand.get_name());
            assert!(!cases.is_empty(), "{name}");
        }
    }

    #[test]
    fn cpu_time_takes_the_place_of_the_wall_clock() {
        let (_, cases) = cases_of(["all"]).expect("valid");
        for case in cases.into_iter().map(Case::by_cpu_time) {
            let ranked = |name| case.metrics.iter().any(|metric| metric.ranked && metric.name == name);
            let has_cpu = case.metrics.iter().any(|metric| metric.name == "cpu");
            assert_eq!(ranked("cpu"), has_cpu, "{}", case.label());
            assert!(!has_cpu || !case.metrics[0].ranked, "{}", case.label());
        }
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
            (&["handoff", "--teams", "4"], "producers+consumers"),
            (&["battle", "--rest", "61"], "0 to 60 seconds"),
            (&["phases", "--bytes", "4K"], "1 MiB to 3 GiB"),
            (&["phases", "--idle", "601"], "0 to 600 seconds"),
            (&["reads", "--bytes", "8"], "1 MiB to 3 GiB"),
            (&["reads", "--size", "1MiB"], "8 bytes to 64 KiB"),
            (&["soak", "--minutes", "0"], "0.001 to 1440 minutes"),
            (&["nothing"], "unrecognized subcommand"),
        ] {
            let line = ["numaslab-bench"].iter().chain(arguments);
            let error = Line::try_parse_from(line).expect_err(complaint).to_string();
            assert!(error.contains(complaint), "{arguments:?}: {error}");
        }
    }
}
