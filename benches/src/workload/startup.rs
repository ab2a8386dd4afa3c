//! `startup`: the whole life of a program that does nothing.
//!
//! The program allocates one box and returns from `main`; its global allocator is on trial.
//!
//! *Measured:* the time from starting the process to its end, its peak memory, and its system calls
//! (counted by tracing one more execution; the figure is left out where tracing is forbidden).
//! *Not measured:* work. Most of it all is the kernel, the dynamic linker and libc, the same for
//! everybody, so look at the differences.
//!
//! *Honest because* each program links one allocator only, and its memory is read by itself: what
//! `wait` reports includes the memory of the parent before the exec.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Case, Job};
use crate::{
    harness::trace::trace,
    outcome::{Metric, Outcome},
    resources::Resources,
    stats::median,
};

const TIME: Metric = Metric::lower("life_us", "µs");
const CALLS: Metric = Metric::lower("system_calls", "system calls").unranked();

/// The command-line options.
#[derive(Args, Clone, Debug)]
pub struct StartupArgs {
    /// Executions per run
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    executions: u32,
}

impl StartupArgs {
    /// The rows of the experiment.
    pub fn cases(&self) -> Vec<Case> {
        vec![Case::alone("do-nothing program", Startup { executions: self.executions })]
    }
}

/// One run: some executions, of which the median counts.
#[derive(Clone, Debug)]
pub struct Startup {
    executions: u32,
}

impl From<Startup> for Job {
    fn from(startup: Startup) -> Self {
        Self::Startup(startup)
    }
}

impl Startup {
    /// The figures that a run yields.
    pub const METRICS: &'static [Metric] = &[TIME, Metric::RSS_PEAK, CALLS];

    /// Does a run with a program that does nothing without arguments, and prints its peak memory
    /// in KiB when given the argument `memory`.
    pub fn run(&self, program: impl Fn() -> Command) -> Result<Outcome> {
        let mut lives_us = Vec::new();
        for _ in 0..self.executions {
            let mut command = program();
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let begun = Instant::now();
            let status = command.status().context("can't start the do-nothing program")?;
            lives_us.push(begun.elapsed().as_secs_f64() * 1e6);
            ensure!(status.success(), "the do-nothing program failed: {status}");
        }
        let mut figures = crate::outcome::Figures::new();
        figures.extend(median(lives_us).map(|life| (TIME.name.to_owned(), life)));
        let traced = trace(program()).ok();
        figures.extend(traced.map(|traced| (CALLS.name.to_owned(), traced.calls as f64)));
        let resources = Resources { rss_peak_kib: peak_kib(program())?, ..Resources::default() };
        Ok(Outcome { figures, resources, course: None, mode: None })
    }
}

/// What the program says of its memory.
fn peak_kib(mut program: Command) -> Result<u64> {
    let output = program.arg("memory").stdin(Stdio::null()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().with_context(|| format!("not a number of KiB: '{text}'"))
}
