//! The table of `all`: a line per ranked figure, a column per allocator, and what it comes to.
//!
//! `x best` is numaslab's ratio to the best peer of the line, above 1 if numaslab is better; where
//! numaslab takes no part, the column is missing. The means below the table are geometric, over all
//! lines in which both have a figure.

use comfy_table::{CellAlignment, Table, presets};

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
        everyone.iter().copied().filter(|allocator| allocator.program() != Allocator::Numaslab).collect();
    let lines = lines(report);
    format!("{}\n\n{}\n", figures_table(&lines, &everyone, &peers), means_table(&lines, &everyone, &peers))
}

fn lines(report: &Report) -> Vec<Line<'_>> {
    let ranked = |row: &'_ Row| {
        let numbered = row.metrics.iter().enumerate().filter(|(_, metric)| metric.ranked);
        numbered.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let of_row = |row| ranked(row).into_iter().map(move |at| Line { row, at });
    report.rows.iter().flat_map(of_row).collect()
}

/// A line per ranked figure.
fn figures_table(lines: &[Line<'_>], everyone: &[Allocator], peers: &[Allocator]) -> Table {
    let with_subject = everyone.contains(&Allocator::Numaslab);
    let mut header = vec!["workload".to_owned()];
    header.extend(everyone.iter().map(Allocator::to_string));
    header.extend(["ceiling", "best peer"].map(str::to_owned));
    if with_subject {
        header.push("x best".to_owned());
    }
    let mut table = new_table(header);
    for line in lines {
        let mut cells = vec![line.label()];
        let figures = everyone.iter().chain([&Allocator::Ceiling]);
        cells.extend(figures.map(|&allocator| show(line.median(allocator))));
        let best = line.best(peers);
        cells.push(best.map_or("-", Allocator::name).to_owned());
        if with_subject {
            cells.push(show(best.and_then(|best| line.ratio(Allocator::Numaslab, best))));
        }
        table.add_row(cells);
    }
    table
}

/// Each allocator's mean against the best peer of each line, and against some allocators.
fn means_table(lines: &[Line<'_>], everyone: &[Allocator], peers: &[Allocator]) -> Table {
    let mut header = vec!["geometric mean over all lines".to_owned()];
    header.extend(everyone.iter().map(Allocator::to_string));
    let mut table = new_table(header);
    let mut add_mean = |name: String, other: &dyn Fn(&Line<'_>) -> Option<Allocator>| {
        let mean = |&allocator: &Allocator| {
            let ratios = lines.iter().filter_map(|line| line.ratio(allocator, other(line)?));
            show(geometric_mean(&ratios.collect::<Vec<_>>()))
        };
        table.add_row([name].into_iter().chain(everyone.iter().map(mean)));
    };
    add_mean("x best peer of the line".to_owned(), &|line| line.best(peers));
    for yardstick in [Allocator::Tcmalloc, Allocator::Mimalloc, Allocator::Glibc] {
        if everyone.contains(&yardstick) {
            add_mean(format!("x {yardstick}"), &|_| Some(yardstick));
        }
    }
    table
}

/// A table that is valid Markdown, numbers to the right.
fn new_table(header: Vec<String>) -> Table {
    let columns = header.len();
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1).take(columns - 1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::report;

    /// The cells of the line that begins with `label`.
    fn cells(text: &str, label: &str) -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(&format!("| {label}"))).expect(label);
        line.split('|').map(|cell| cell.trim().to_owned()).filter(|cell| !cell.is_empty()).collect()
    }

    #[test]
    fn each_ranked_figure_has_a_line_with_the_ratio_to_the_best_peer() {
        let text = markdown(&report());
        let line = cells(&text, "pair: Mops/s");
        assert_eq!(line[1..], ["300.0", "100.0", "200.0", "-", "mimalloc", "1.50"]);
        let line = cells(&text, "pair: ns");
        assert_eq!(line[1..], ["1.00", "8.00", "2.00", "-", "mimalloc", "2.00"]);
        assert_eq!(text.matches("| pair: ").count(), 2);
    }

    #[test]
    fn means_are_geometric_and_above_one_is_better() {
        let text = markdown(&report());
        // Against glibc: 3 and 8 for numaslab, 2 and 4 for mimalloc.
        assert_eq!(cells(&text, "x glibc")[1..], ["4.90", "1.00", "2.83"]);
        assert_eq!(cells(&text, "x best peer of the line")[1], "1.73");
    }
}
