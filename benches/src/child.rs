//! A child: one process per run, so that no run inherits another one's heap.
//!
//! Each allocator has a program of its own (`contestants/`), because linking is not neutral: a
//! constructor of TCMalloc touches 10 MiB in every process that contains it. A child's global
//! allocator is `System`; only what a workload asks for goes to the allocator on trial.
//!
//! The protocol: `<child> about` prints an [`About`], `<child> <order>` does the [`Order`] and
//! prints an [`Outcome`](crate::outcome::Outcome), each as one line of JSON.

use std::{env, process::ExitCode};

use anyhow::{Context, Result};
use nix::unistd::alarm;
use serde::{Deserialize, Serialize};

use crate::{block::Contestant, workload::Task};

/// A hash of the sources from which this library, and so the program that contains it, was built.
pub const BUILD: &str = env!("SOURCES");

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
pub struct Order {
    /// Seconds after which the kernel ends the child. So the parent can wait without polling, and
    /// takes no CPU time from the run.
    pub timeout_s: u32,
    /// The run.
    pub task: Task,
}

/// The whole program of a child.
pub fn main<A: Contestant>(version: fn() -> String, mode: fn() -> Option<String>) -> ExitCode {
    match answer::<A>(version, mode) {
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

fn answer<A: Contestant>(version: fn() -> String, mode: fn() -> Option<String>) -> Result<String> {
    let request = env::args().nth(1).context("started by numaslab-bench, not by hand")?;
    if request == "about" {
        let about = About { build: BUILD.to_owned(), version: version() };
        return Ok(serde_json::to_string(&about)?);
    }
    let order: Order = serde_json::from_str(&request).context("the order is not readable")?;
    alarm::set(order.timeout_s);
    let mut outcome = order.task.run::<A>();
    outcome.mode = mode();
    Ok(serde_json::to_string(&outcome)?)
}
