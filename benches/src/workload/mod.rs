//! The workloads, one per file, and what they have in common.
//!
//! A workload has options for the user (`…Args`), from which it makes the rows of its table
//! ([`Case`]), and a plan of one run that travels to the child as JSON: a variant of [`Task`], which
//! is [run](Workload::run) on any [`Contestant`], or of [`GlobalTask`], which uses the standard
//! library's collections in a process whose global allocator is on trial.

use serde::{Deserialize, Serialize};

use crate::{
    block::Contestant,
    outcome::{Figures, Findings, Metric, Outcome},
    resources::Resources,
};

mod batch;
mod battle;
mod case;
mod churn;
mod false_sharing;
mod handoff;
mod lanes;
mod larson;
mod latency;
mod mixed;
mod pair;
mod phases;
mod push;
mod reads;
mod soak;
mod startup;
mod std_collections;
mod syscalls;
#[cfg(test)]
mod testing;
mod threads;
mod zeroed;

pub use batch::{Batch, BatchArgs};
pub use battle::{Battle, BattleArgs};
pub use case::{Case, Job};
pub use churn::{Churn, ChurnArgs};
pub use false_sharing::{FalseSharing, FalseSharingArgs};
pub use handoff::{Handoff, HandoffArgs};
pub use larson::{Larson, LarsonArgs};
pub use latency::{Latency, LatencyArgs};
pub use mixed::{Mixed, MixedArgs};
pub use pair::{Pair, PairArgs};
pub use phases::{Phases, PhasesArgs};
pub use push::{Push, PushArgs};
pub use reads::{Reads, ReadsArgs};
pub use soak::{Soak, SoakArgs, TRACED_CALLS};
pub use startup::{Startup, StartupArgs};
pub use std_collections::{StdArgs, StringMap, StringVec, VecGrowth};
pub use syscalls::{Load, Syscalls, SyscallsArgs};
pub use threads::{Threads, ThreadsArgs};
pub use zeroed::{Zeroed, ZeroedArgs};

/// A run that a child can do for any allocator.
pub trait Workload {
    /// Figures alone, or what changed in the course of the run too.
    type Yield: Into<Findings>;

    /// The figures it yields.
    const METRICS: &'static [Metric];

    /// Does the run and measures it. Gives back every block before it returns.
    fn run<A: Contestant>(&self) -> Self::Yield;
}

/// A run that uses the process's global allocator.
pub trait GlobalWorkload {
    /// The figures it yields.
    const METRICS: &'static [Metric];

    /// Does the run and measures it.
    fn run(&self) -> Figures;
}

/// Defines an enum of plans, with one function over all of them, `run`, whose generics and call differ.
macro_rules! tasks {
    ($(#[$doc:meta])* $tasks:ident: $trait:ident, run[$($generics:tt)*] with $call:ident: $($name:ident)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs, reason = "each variant is documented as the type it holds")]
        pub enum $tasks {
            $($name($name),)*
        }

        $(impl From<$name> for Job {
            fn from(task: $name) -> Self {
                Self::$tasks($tasks::$name(task))
            }
        })*

        impl $tasks {
            /// The figures that the run yields.
            pub fn metrics(&self) -> &'static [Metric] {
                match self {
                    $(Self::$name(_) => <$name as $trait>::METRICS,)*
                }
            }

            /// Does the run in this process.
            pub fn run$($generics)*(&self) -> Outcome {
                let (findings, resources) = Resources::during(|| -> Findings {
                    match self {
                        $(Self::$name(task) => $call!(task).into(),)*
                    }
                });
                let Findings { figures, course } = findings;
                Outcome { figures, resources, course, mode: None }
            }
        }
    };
}

macro_rules! run_on_value {
    ($task:ident) => {
        $task.run::<A>()
    };
}

macro_rules! run_on_global {
    ($task:ident) => {
        $task.run()
    };
}

tasks! {
    /// The plan of one run on an allocator as a value.
    Task: Workload, run[<A: Contestant>] with run_on_value:
    Batch Battle Churn FalseSharing Handoff Larson Latency Mixed Pair Phases Reads Soak Syscalls Threads Zeroed
}

tasks! {
    /// The plan of one run on the global allocator.
    GlobalTask: GlobalWorkload, run[] with run_on_global:
    Push StringMap StringVec VecGrowth
}
