//! Rounds: every case for every allocator, again and again, close together in time.
//!
//! Machines drift: neighbours, temperature, frequency. So the allocators take turns within each
//! case and the whole set is repeated, rather than one allocator measured to the end before the
//! next. Whoever goes first changes from case to case and round to round.

use std::time::Duration;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::options::Options;
use crate::{
    allocator::Allocator,
    outcome::{Course, Metric, Outcome},
    resources::Resources,
    stats::{Summary, median},
    workload::Case,
};

/// What an experiment gave: a row per case.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The case's name.
    pub label: String,
    /// The line of the picture to which it belongs.
    pub series: String,
    /// Its place on the x axis.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u32>,
    /// The figures, the compared one first.
    pub metrics: Vec<Metric>,
    /// A result per allocator.
    pub results: Vec<AllocatorResult>,
}

/// What one allocator did in a case.
#[derive(Clone, Debug, Serialize)]
pub struct AllocatorResult {
    /// Who.
    pub allocator: Allocator,
    /// The figures, in the order of [`Row::metrics`]; `None` if no run succeeded.
    pub figures: Vec<Option<Summary>>,
    /// Medians of what the processes used.
    pub resources: Resources,
    /// What changed in the course of each run, for workloads that look.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub courses: Vec<Course>,
    /// What the allocator said of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Why runs failed, one text each.
    pub failures: Vec<String>,
}

impl Row {
    /// The result of one allocator.
    pub fn of(&self, allocator: Allocator) -> Option<&AllocatorResult> {
        self.results.iter().find(|result| result.allocator == allocator)
    }

    /// The number of the figure that ratios in a table are about: the first ranked one.
    pub fn compared(&self) -> usize {
        self.metrics.iter().position(|metric| metric.ranked).unwrap_or(0)
    }

    /// The median of figure number `metric` of one allocator.
    pub fn median(&self, allocator: Allocator, metric: usize) -> Option<f64> {
        self.of(allocator)?.figures[metric].as_ref().map(|summary| summary.median)
    }
}

impl AllocatorResult {
    /// The course of the run whose figure number `metric` is nearest to the median.
    pub fn typical_course(&self, metric: usize) -> Option<&Course> {
        let typical = self.figures[metric].as_ref().map_or(0, Summary::nearest_to_median);
        self.courses.get(typical).or(self.courses.first())
    }
}

/// Does an experiment. `run` does one run, usually in a child.
pub fn run_all(
    cases: &[Case],
    options: &Options,
    mut run: impl FnMut(Allocator, &Case) -> Result<Outcome>,
) -> Result<Vec<Row>> {
    let fields: Vec<Vec<Allocator>> = cases.iter().map(|case| field(case, options)).collect();
    let per_round: usize = fields.iter().map(Vec::len).sum();
    let progress = progress_bar(per_round as u64 * u64::from(options.rounds));
    let mut runs: Vec<Vec<Vec<Result<Outcome>>>> =
        fields.iter().map(|field| field.iter().map(|_| Vec::new()).collect()).collect();
    for round in 0..options.rounds as usize {
        for (at, case) in cases.iter().enumerate() {
            let field = &fields[at];
            for turn in 0..field.len() {
                let who = (turn + at + round) % field.len();
                progress.set_message(format!("{}: {}", case.label(), field[who]));
                runs[at][who].push(run(field[who], case));
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    let rows: Vec<Row> =
        cases.iter().zip(fields).zip(runs).map(|((case, field), runs)| row(case, field, runs)).collect();
    refuse_nothing(&rows)?;
    Ok(rows)
}

/// Who takes part in a case.
fn field(case: &Case, options: &Options) -> Vec<Allocator> {
    let ceiling = case.ceiling.then_some(Allocator::Ceiling);
    options.allocators.iter().copied().chain(ceiling).collect()
}

/// A bar on stderr; nothing if that is no terminal.
fn progress_bar(runs: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left  {msg}")
        .expect("a constant template");
    let bar = ProgressBar::new(runs).with_style(style);
    bar.enable_steady_tick(Duration::from_secs(1));
    bar
}

fn row(case: &Case, field: Vec<Allocator>, runs: Vec<Vec<Result<Outcome>>>) -> Row {
    let metrics = &case.metrics;
    Row {
        label: case.label(),
        series: case.series.clone(),
        threads: case.threads,
        metrics: metrics.clone(),
        results: field
            .into_iter()
            .zip(runs)
            .map(|(allocator, runs)| sum_up(allocator, metrics, runs))
            .collect(),
    }
}

fn sum_up(allocator: Allocator, metrics: &[Metric], runs: Vec<Result<Outcome>>) -> AllocatorResult {
    let (mut outcomes, mut failures) = (Vec::new(), Vec::new());
    for run in runs {
        match run {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let figures = metrics
        .iter()
        .map(|metric| Summary::of(outcomes.iter().filter_map(|outcome| outcome.figure(metric)).collect()));
    AllocatorResult {
        allocator,
        figures: figures.collect(),
        resources: median_resources(&outcomes),
        mode: outcomes.iter().find_map(|outcome| outcome.mode.clone()),
        courses: outcomes.into_iter().filter_map(|outcome| outcome.course).collect(),
        failures,
    }
}

/// Each field's median by itself.
fn median_resources(outcomes: &[Outcome]) -> Resources {
    let of = |field: fn(&Resources) -> u64| {
        let values = outcomes.iter().map(|outcome| field(&outcome.resources) as f64).collect();
        median(values).unwrap_or(0.0).round() as u64
    };
    Resources {
        rss_start_kib: of(|used| used.rss_start_kib),
        rss_peak_kib: of(|used| used.rss_peak_kib),
        rss_end_kib: of(|used| used.rss_end_kib),
        minor_faults: of(|used| used.minor_faults),
        major_faults: of(|used| used.major_faults),
        voluntary_switches: of(|used| used.voluntary_switches),
        involuntary_switches: of(|used| used.involuntary_switches),
    }
}

/// An experiment in which no run succeeded is an error, not a table of holes.
fn refuse_nothing(rows: &[Row]) -> Result<()> {
    let mut results = rows.iter().flat_map(|row| &row.results);
    if results.any(|result| result.figures.iter().any(Option::is_some)) {
        return Ok(());
    }
    let first = rows.iter().flat_map(|row| &row.results).find_map(|result| result.failures.first());
    match first {
        Some(failure) => bail!("every run failed; the first one: {failure}"),
        None => bail!("there was nothing to run"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;
    use clap::Parser;

    use super::*;
    use crate::workload::MixedArgs;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        mixed: MixedArgs,
    }

    fn cases() -> Vec<Case> {
        Line::parse_from(["", "--sizes=8-64,16-128", "--threads=1"]).mixed.cases()
    }

    fn options(rounds: u32) -> Options {
        let allocators = vec![Allocator::Glibc, Allocator::Mimalloc];
        Options { allocators, baseline: Allocator::Glibc, rounds, timeout_s: 1 }
    }

    fn outcome(mops: f64) -> Outcome {
        Outcome {
            figures: [("mops".to_owned(), mops)].into(),
            resources: Resources { rss_peak_kib: mops as u64, ..Resources::default() },
            course: Some(Course { columns: Vec::new(), rows: vec![vec![mops]] }),
            mode: None,
        }
    }

    #[test]
    fn allocators_take_turns_and_all_runs_count() {
        let mut order = Vec::new();
        let rows = run_all(&cases(), &options(3), |allocator, _| {
            order.push(allocator);
            Ok(outcome(order.len() as f64))
        })
        .expect("runs");
        // Two allocators and the ceiling, two cases, three rounds.
        assert_eq!(order.len(), 18);
        assert_eq!(order[..3], [Allocator::Glibc, Allocator::Mimalloc, Allocator::Ceiling]);
        assert_eq!(order[3], Allocator::Mimalloc, "another one begins");
        assert_eq!(rows.len(), 2);
        let result = rows[0].of(Allocator::Ceiling).expect("takes part");
        assert_eq!(result.figures[0].as_ref().expect("ran").samples, [3.0, 8.0, 13.0]);
        assert_eq!(result.resources.rss_peak_kib, 8);
        assert_eq!(result.typical_course(0).expect("looked").rows, [[8.0]]);
    }

    #[test]
    fn a_failed_run_is_kept_as_text_and_the_others_count() {
        let mut runs = 0;
        let rows = run_all(&cases(), &options(2), |_, _| {
            runs += 1;
            if runs == 1 { Err(anyhow!("crashed")) } else { Ok(outcome(1.0)) }
        })
        .expect("the others ran");
        let first = rows[0].of(Allocator::Glibc).expect("takes part");
        assert_eq!(first.failures, ["crashed"]);
        assert_eq!(first.figures[0].as_ref().expect("ran once").samples.len(), 1);
    }

    #[test]
    fn only_failures_are_an_error() {
        let error = run_all(&cases(), &options(1), |_, _| Err(anyhow!("no memory")));
        assert!(error.expect_err("all failed").to_string().contains("no memory"));
    }
}
