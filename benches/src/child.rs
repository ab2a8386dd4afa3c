//! A child: one process per run, so that no run inherits another one's heap.
//!
//! Each allocator has programs of its own (`contestants/`), because linking is not neutral: a
//! constructor of TCMalloc touches 10 MiB in every process that contains it. There are two for each:
//!
//! - `numaslab-bench-<allocator>` has `System` as global allocator, so that only what a workload
//!   asks for goes to the allocator on trial, which it uses as a value ([`main`]).
//! - `numaslab-bench-global-<allocator>` has it as global allocator ([`global_main`]).
//!
//! The protocol: `<child> about` prints an [`About`], `<child> <order>` does the [`Order`] and
//! prints an [`Outcome`], each as one line of JSON. `<global child>` does nothing at all, and
//! `<global child> memory` prints its peak memory in KiB.

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use nix::unistd::alarm;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    block::Contestant,
    outcome::Outcome,
    resources::peak_rss_kib,
    workload::{GlobalTask, Task},
};

/// A hash of the sources from which this library, and so the program that contains it, was built.
pub const BUILD: &str = env!("SOURCES");

/// Versions of the peers that can't tell theirs at run time, as `Cargo.lock` pins them.
pub mod locked {
    /// The package with the sources of jemalloc.
    pub const TIKV_JEMALLOC_SYS: &str = env!("LOCKED_TIKV_JEMALLOC_SYS");
    /// The package with the sources of snmalloc.
    pub const SNMALLOC_SYS: &str = env!("LOCKED_SNMALLOC_SYS");
    /// The package with the sources of rpmalloc.
    pub const RPMALLOC_SYS: &str = env!("LOCKED_RPMALLOC_SYS");
    /// The package with the sources of TCMalloc.
    pub const LIBTCMALLOC_SYS: &str = env!("LOCKED_LIBTCMALLOC_SYS");
}

/// What a child says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its [`BUILD`]; a parent works with children of its own build only.
    pub build: String,
    /// The version of its allocator.
    pub version: String,
}

/// What a child is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order<Plan> {
    /// Seconds after which the kernel ends the child. So the parent can wait without polling, and
    /// takes no CPU time from the run.
    pub timeout_s: u32,
    /// The run.
    pub task: Plan,
}

/// How a child's program tells about its allocator.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Its version.
    pub version: fn() -> String,
    /// In which mode it runs, asked after the run; `None` if it has but one.
    pub mode: fn() -> Option<String>,
}

/// The whole program of a child that uses its allocator as a value.
pub fn main<A: Contestant>(facts: Facts) -> ExitCode {
    finish(answer(env::args().nth(1), facts, |task: Task| task.run::<A>()))
}

/// The whole program of a child that has the allocator on trial as global allocator.
pub fn global_main(facts: Facts) -> ExitCode {
    let request = env::args().nth(1);
    match request.as_deref() {
        // The argument's vector was an allocation: the allocator has been at work.
        None => ExitCode::SUCCESS,
        Some("memory") => finish(Ok(peak_rss_kib().to_string())),
        Some(_) => finish(answer(request, facts, |task: GlobalTask| task.run())),
    }
}

fn answer<Plan: DeserializeOwned>(
    request: Option<String>,
    facts: Facts,
    run: impl FnOnce(Plan) -> Outcome,
) -> Result<String> {
    let request = request.context("started by numaslab-bench, not by hand")?;
    if request == "about" {
        let about = About { build: BUILD.to_owned(), version: (facts.version)() };
        return Ok(serde_json::to_string(&about)?);
    }
    let order: Order<Plan> = serde_json::from_str(&request).context("the order is not readable")?;
    alarm::set(order.timeout_s);
    let mut outcome = run(order.task);
    outcome.mode = (facts.mode)();
    Ok(serde_json::to_string(&outcome)?)
}

fn finish(answer: Result<String>) -> ExitCode {
    match answer {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Defines `main` of both programs of an allocator: of the first, or with `global` of the second.
#[macro_export]
macro_rules! child {
    ($allocator:ty = $value:expr, $facts:expr) => {
        $crate::child!($allocator = $value, $facts, |_| None, || None);
    };
    ($allocator:ty = $value:expr, $facts:expr, $home:expr, $system_calls:expr) => {
        $crate::contestant!(Trial, $allocator = $value, $home, $system_calls);

        fn main() -> std::process::ExitCode {
            $crate::child::main::<Trial>($facts)
        }
    };
    (global $allocator:ty = $value:expr, $facts:expr) => {
        #[global_allocator]
        static GLOBAL: $allocator = $value;

        fn main() -> std::process::ExitCode {
            $crate::child::global_main($facts)
        }
    };
}
