//! The table of `all`: a line per ranked figure, a column per allocator, and what it comes to.
//!
//! `x best` is numaslab's ratio to the best peer of the line, above 1 if numaslab is better; where
//! numaslab takes no part, the column is missing. The means below the table are geometric, over all
//! lines in which both have a figure.

use std::fmt::Write;

use super::{Report, table::show};
use crate::{allocator::Allocator, harness::rounds::Row, outcome::Metric, stats::geometric_mean};

/// One ranked figure of one row.
struct Line<'report> {
    row: &'report Row,
    at: usize,
}

impl Line<'_> {
    fn metric(&self) -> Metric {
        self.row.metrics[self.at]
    }

    fn label(&self) -> String {
        format!("{}: {}", self.row.label, self.metric().title)
    }

    fn median(&self, allocator: Allocator) -> Option<f64> {
        self.row.median(allocator, self.at)
    }

    /// How many times better one allocator is than another one.
    fn ratio(&self, allocator: Allocator, other: Allocator) -> Option<f64> {
        let ratio = self.metric().ratio(self.median(allocator)?, self.median(other)?);
        ratio.is_finite().then_some(ratio)
    }

    /// The best of some allocators.
    fn best(&self, among: &[Allocator]) -> Option<Allocator> {
        let mut best = None;
        for &candidate in among.iter().filter(|&&candidate| self.median(candidate).is_some()) {
            let better = |best| self.ratio(candidate, best).is_some_and(|ratio| ratio > 1.0);
            if best.is_none_or(better) {
                best = Some(candidate);
            }
        }
        best
    }
}

/// The comparison as a Markdown table with its means.
pub(super) fn markdown(report: &Report) -> String {
    let everyone: Vec<Allocator> = report.versions.keys().copied().collect();
    let peers: Vec<Allocator> =
        everyone.iter().copied().filter(|&allocator| allocator != Allocator::Numaslab).collect();
    let lines = lines(report);
    let mut text = String::new();
    write_head(&mut text, &everyone);
    for line in &lines {
        write_line(&mut text, line, &everyone, &peers);
    }
    text.push('\n');
    write_means(&mut text, &lines, &everyone, &peers);
    text
}

fn lines(report: &Report) -> Vec<Line<'_>> {
    let of_row = |row: &'_ Row| row.metrics.iter().map(|metric| metric.ranked).collect::<Vec<_>>();
    let numbered = report.rows.iter().flat_map(|row| {
        of_row(row).into_iter().enumerate().filter(|&(_, ranked)| ranked).map(move |(at, _)| Line { row, at })
    });
    numbered.collect()
}

fn write_head(text: &mut String, everyone: &[Allocator]) {
    text.push_str("| workload |");
    for allocator in everyone {
        // Writing to a string can't fail.
        let _ = write!(text, " {allocator} |");
    }
    text.push_str(" ceiling | best peer |");
    let with_subject = everyone.contains(&Allocator::Numaslab);
    text.push_str(if with_subject { " x best |\n" } else { "\n" });
    let numbers = everyone.len() + 1;
    let _ = writeln!(
        text,
        "| --- |{} --- |{}",
        " ---: |".repeat(numbers),
        if with_subject { " ---: |" } else { "" }
    );
}

fn write_line(text: &mut String, line: &Line<'_>, everyone: &[Allocator], peers: &[Allocator]) {
    let _ = write!(text, "| {} |", line.label());
    for &allocator in everyone.iter().chain([&Allocator::Ceiling]) {
        let _ = write!(text, " {} |", show(line.median(allocator)));
    }
    let best = line.best(peers);
    let _ = write!(text, " {} |", best.map_or("-", Allocator::name));
    if everyone.contains(&Allocator::Numaslab) {
        let ratio = best.and_then(|best| line.ratio(Allocator::Numaslab, best));
        let _ = write!(text, " {} |", show(ratio));
    }
    text.push('\n');
}

/// Each allocator's mean against the best peer and against TCMalloc, or whoever takes part.
fn write_means(text: &mut String, lines: &[Line<'_>], everyone: &[Allocator], peers: &[Allocator]) {
    let yardsticks = [Allocator::Tcmalloc, Allocator::Mimalloc, Allocator::Glibc];
    text.push_str("| geometric mean over all lines |");
    everyone.iter().for_each(|allocator| {
        let _ = write!(text, " {allocator} |");
    });
    let _ = writeln!(text, "\n| --- |{}", " ---: |".repeat(everyone.len()));
    let mut write_mean = |name: String, other: &dyn Fn(&Line<'_>) -> Option<Allocator>| {
        let _ = write!(text, "| {name} |");
        for &allocator in everyone {
            let ratios: Vec<f64> =
                lines.iter().filter_map(|line| line.ratio(allocator, other(line)?)).collect();
            let _ = write!(text, " {} |", show(geometric_mean(&ratios)));
        }
        text.push('\n');
    };
    write_mean("x best peer of the line".to_owned(), &|line| line.best(peers));
    for yardstick in yardsticks.into_iter().filter(|yardstick| everyone.contains(yardstick)) {
        write_mean(format!("x {yardstick}"), &|_| Some(yardstick));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{harness::rounds::AllocatorResult, machine::Machine, resources::Resources, stats::Summary};

    fn result(allocator: Allocator, figures: &[f64]) -> AllocatorResult {
        AllocatorResult {
            allocator,
            figures: figures.iter().map(|&figure| Summary::of(vec![figure])).collect(),
            resources: Resources::default(),
            mode: None,
            failures: Vec::new(),
        }
    }

    fn report() -> Report {
        let time = Metric::lower("ns", "ns");
        let row = Row {
            label: "pair".to_owned(),
            series: "pair".to_owned(),
            threads: None,
            metrics: vec![Metric::THROUGHPUT, time, time.unranked()],
            results: vec![
                result(Allocator::Numaslab, &[300.0, 1.0, 0.0]),
                result(Allocator::Glibc, &[100.0, 8.0, 0.0]),
                result(Allocator::Mimalloc, &[200.0, 2.0, 0.0]),
            ],
        };
        let who = [Allocator::Numaslab, Allocator::Glibc, Allocator::Mimalloc];
        Report {
            experiment: "all".to_owned(),
            date: String::new(),
            program: String::new(),
            machine: Machine::here(),
            versions: who.map(|who| (who, String::new())).into_iter().collect::<BTreeMap<_, _>>(),
            baseline: Allocator::Mimalloc,
            rounds: 1,
            rows: vec![row],
        }
    }

    #[test]
    fn each_ranked_figure_has_a_line_with_the_ratio_to_the_best_peer() {
        let text = markdown(&report());
        assert!(text.contains("| pair: Mops/s | 300.0 | 100.0 | 200.0 | - | mimalloc | 1.50 |"), "{text}");
        assert!(text.contains("| pair: ns | 1.00 | 8.00 | 2.00 | - | mimalloc | 2.00 |"), "{text}");
        assert_eq!(text.matches("| pair: ").count(), 2);
    }

    #[test]
    fn means_are_geometric_and_above_one_is_better() {
        let text = markdown(&report());
        // Against glibc: 3 and 8 for numaslab, 2 and 4 for mimalloc.
        assert!(text.contains("| x glibc | 4.90 | 1.00 | 2.83 |"), "{text}");
        assert!(text.contains("| x best peer of the line | 1.73 |"), "{text}");
    }
}
