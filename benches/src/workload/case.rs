//! A row of a table: what is run, and how the row is named and drawn.

use super::{GlobalTask, Soak, Startup, Task, Workload};
use crate::{outcome::Metric, pages::Pages};

/// Who does a run.
#[derive(Clone, Debug)]
pub enum Job {
    /// A child that uses the allocator as a value.
    Task(Task),
    /// The same child, its system calls counted meanwhile.
    Traced(Task),
    /// The same child, told on which pages to lay its heap.
    Paged(Pages, Task),
    /// The same child for minutes, and then its system calls in a shorter run.
    Soak(Soak),
    /// A child whose global allocator it is.
    GlobalTask(GlobalTask),
    /// The parent, which starts do-nothing programs.
    Startup(Startup),
}

impl Job {
    /// The figures that it yields.
    fn metrics(&self) -> &'static [Metric] {
        match self {
            Self::Task(task) | Self::Traced(task) | Self::Paged(_, task) => task.metrics(),
            Self::Soak(_) => <Soak as Workload>::METRICS,
            Self::GlobalTask(task) => task.metrics(),
            Self::Startup(_) => Startup::METRICS,
        }
    }
}

/// A row: one job, done for every allocator.
#[derive(Clone, Debug)]
pub struct Case {
    /// The rows that belong to one line of a picture share it.
    pub series: String,
    /// Where the row is on the picture's x axis, if it has one.
    pub threads: Option<u32>,
    /// What is done.
    pub job: Job,
    /// The figures.
    pub metrics: Vec<Metric>,
    /// Whether the ceiling takes part.
    pub ceiling: bool,
}

impl Case {
    /// A row that stands alone.
    pub fn alone(series: impl Into<String>, job: impl Into<Job>) -> Self {
        let job = job.into();
        let metrics = job.metrics().to_vec();
        Self { series: series.into(), threads: None, job, metrics, ceiling: false }
    }

    /// A row of a line over numbers of threads.
    pub fn over_threads(series: impl Into<String>, threads: u32, job: impl Into<Job>) -> Self {
        Self { threads: Some(threads), ..Self::alone(series, job) }
    }

    /// Lets the ceiling take part.
    pub fn with_ceiling(mut self) -> Self {
        self.ceiling = true;
        self
    }

    /// Ranks by CPU time, where it is known, instead of the figure by the wall clock, which comes
    /// first in every workload.
    pub fn by_cpu_time(mut self) -> Self {
        if let Some(cpu) = self.metrics.iter().position(|metric| metric.name == Metric::CPU_TIME.name) {
            self.metrics[cpu].ranked = true;
            self.metrics[0].ranked = false;
        }
        self
    }

    /// The name of the row.
    pub fn label(&self) -> String {
        let separator = if self.series.is_empty() { "" } else { ", " };
        match self.threads {
            Some(1) => format!("{}{separator}1 thread", self.series),
            Some(threads) => format!("{}{separator}{threads} threads", self.series),
            None => self.series.clone(),
        }
    }
}
