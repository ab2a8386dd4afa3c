//! The workloads, one per file, and what they have in common.
//!
//! A workload has options for the user (`…Args`), from which it makes the rows of its table
//! ([`Case`]), and a plan of one run (a variant of [`Task`]) that travels to the child as JSON and
//! is [run](Workload::run) there, compiled once per allocator.

use serde::{Deserialize, Serialize};

use crate::{
    block::Contestant,
    outcome::{Figures, Metric, Outcome},
    resources::Resources,
};

mod larson;
mod mixed;
#[cfg(test)]
mod testing;

pub use larson::{Larson, LarsonArgs};
pub use mixed::{Mixed, MixedArgs};

/// A run that a child can do for any allocator.
pub trait Workload {
    /// The figures it yields; the first one is compared.
    const METRICS: &'static [Metric];

    /// Does the run and measures it. Gives back every block before it returns.
    fn run<A: Contestant>(&self) -> Figures;
}

macro_rules! tasks {
    ($($name:ident)*) => {
        /// The plan of one run.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[allow(missing_docs, reason = "each variant is documented as the type it holds")]
        pub enum Task {
            $($name($name),)*
        }

        $(impl From<$name> for Task {
            fn from(task: $name) -> Self {
                Self::$name(task)
            }
        })*

        impl Task {
            /// The figures that the run yields; the first one is compared.
            pub fn metrics(&self) -> &'static [Metric] {
                match self {
                    $(Self::$name(_) => <$name as Workload>::METRICS,)*
                }
            }

            /// Does the run in this process.
            pub fn run<A: Contestant>(&self) -> Outcome {
                let (figures, resources) = Resources::during(|| match self {
                    $(Self::$name(task) => task.run::<A>(),)*
                });
                Outcome { figures, resources, mode: None }
            }
        }
    };
}

tasks!(Larson Mixed);

/// A row of a table: one task, run for every allocator.
#[derive(Clone, Debug)]
pub struct Case {
    /// The rows that belong to one line of a picture share it.
    pub series: String,
    /// Where the row is on the picture's x axis, if it has one.
    pub threads: Option<u32>,
    /// What a child does.
    pub task: Task,
    /// Whether the ceiling takes part.
    pub ceiling: bool,
}

impl Case {
    /// A row of a line over numbers of threads.
    pub fn over_threads(series: String, threads: u32, task: Task) -> Self {
        Self { series, threads: Some(threads), task, ceiling: false }
    }

    /// A row that stands alone.
    pub fn alone(series: String, task: Task) -> Self {
        Self { series, threads: None, task, ceiling: false }
    }

    /// Lets the ceiling take part.
    pub fn with_ceiling(mut self) -> Self {
        self.ceiling = true;
        self
    }

    /// The name of the row.
    pub fn label(&self) -> String {
        match self.threads {
            Some(1) => format!("{}, 1 thread", self.series),
            Some(threads) => format!("{}, {threads} threads", self.series),
            None => self.series.clone(),
        }
    }
}
