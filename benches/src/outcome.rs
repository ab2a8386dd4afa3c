//! What a child reports to its parent: the figures of one run, as one line of JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::resources::Resources;

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Throughput.
    Higher,
    /// Time and memory.
    Lower,
}

/// A figure that a workload yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name and unit in tables.
    pub title: &'static str,
    /// Which way it gets better.
    pub better: Better,
    /// Whether it decides who wins. The others are shown for information.
    pub ranked: bool,
}

impl Metric {
    /// Operations per microsecond, an operation being one call of `alloc` or `dealloc`.
    pub const THROUGHPUT: Self = Self::higher("mops", "Mops/s");

    /// CPU time per operation: for comparisons on a busy machine.
    pub const CPU_TIME: Self = Self::lower("cpu", "CPU ns/op").unranked();

    /// The most resident memory of the process at any time.
    pub const RSS_PEAK: Self = Self::lower("rss_peak_mib", "peak MiB");

    /// Blocks whose pages lie on the node of the thread that has them, by the kernel's word.
    pub const LOCAL_PAGES: Self = Self::higher("local_pages", "local pages %").unranked();

    /// Blocks whose home is the node of the thread that has them, by the allocator's own word.
    pub const LOCAL_HOMES: Self = Self::higher("local_homes", "local homes %").unranked();

    /// The throughput of the threads on one node; the node by the kernel's number.
    pub fn throughput_on(node: u32) -> Self {
        // A few of them in the life of a program.
        let name = Box::leak(format!("mops_node{node}").into_boxed_str());
        let title = Box::leak(format!("node {node} Mops/s").into_boxed_str());
        Self::higher(name, title).unranked()
    }

    /// A figure that should be high.
    pub const fn higher(name: &'static str, title: &'static str) -> Self {
        Self { name, title, better: Better::Higher, ranked: true }
    }

    /// A figure that should be low.
    pub const fn lower(name: &'static str, title: &'static str) -> Self {
        Self { name, title, better: Better::Lower, ranked: true }
    }

    /// The same figure, for information only.
    pub const fn unranked(self) -> Self {
        Self { ranked: false, ..self }
    }

    /// How many times better `value` is than `other`: above 1 is better, whichever way it goes.
    pub fn ratio(&self, value: f64, other: f64) -> f64 {
        match self.better {
            Better::Higher => value / other,
            Better::Lower => other / value,
        }
    }
}

/// The figures of a run, by [`Metric::name`].
pub type Figures = BTreeMap<String, f64>;

/// Builds [`Figures`].
pub fn figures<const N: usize>(pairs: [(Metric, f64); N]) -> Figures {
    pairs.into_iter().map(|(metric, value)| (metric.name.to_owned(), value)).collect()
}

/// What changed in the course of a run: a table of numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Course {
    /// The name and unit of each column. The first one is seconds since the run began.
    pub columns: Vec<String>,
    /// A number for each column, in the order of time.
    pub rows: Vec<Vec<f64>>,
}

impl Course {
    /// An empty table with such columns after the seconds.
    pub fn of<const N: usize>(columns: [&str; N]) -> Self {
        let columns = ["seconds"].into_iter().chain(columns).map(str::to_owned).collect();
        Self { columns, rows: Vec::new() }
    }

    /// Column number `column` over time.
    pub fn points(&self, column: usize) -> Vec<(f64, f64)> {
        self.rows.iter().filter_map(|row| Some((*row.first()?, *row.get(column)?))).collect()
    }
}

/// What a workload yields.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Its figures.
    pub figures: Figures,
    /// What changed meanwhile, if it looked.
    pub course: Option<Course>,
}

impl From<Figures> for Findings {
    fn from(figures: Figures) -> Self {
        Self { figures, course: None }
    }
}

/// The whole report of one child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// What the workload measured.
    pub figures: Figures,
    /// What the process used.
    pub resources: Resources,
    /// What changed meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub course: Option<Course>,
    /// What the allocator says of itself, for example in which mode it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

impl Outcome {
    /// A figure of the workload or, by [`Metric::RSS_PEAK`], of the process.
    pub fn figure(&self, metric: &Metric) -> Option<f64> {
        if metric.name == Metric::RSS_PEAK.name {
            return Some(self.resources.rss_peak_kib as f64 / 1024.0);
        }
        self.figures.get(metric.name).copied()
    }
}
