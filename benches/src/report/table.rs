//! The table on the terminal: a line per case and allocator.

use comfy_table::{CellAlignment, Table, presets};

use super::Report;
use crate::{
    allocator::Allocator,
    harness::rounds::{AllocatorResult, Row},
    stats::Summary,
};

/// The table of a report, its columns made from the metrics of its first row.
pub(super) fn table(report: &Report) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let Some(first) = report.rows.first() else { return table };
    let mut header = vec!["case".to_owned(), "allocator".to_owned()];
    header.extend(first.metrics.iter().map(|metric| metric.title.to_owned()));
    header.push("min..max".to_owned());
    header.push(format!("x {}", report.baseline));
    if ceiling_takes_part(&report.rows) {
        header.push("x ceiling".to_owned());
    }
    let used = ["peak MiB", "end MiB", "faults", "major", "waits", "preempted"];
    header.extend(used.map(str::to_owned));
    let columns = header.len();
    table.set_header(header);
    for row in &report.rows {
        for (at, result) in row.results.iter().enumerate() {
            let label = if at == 0 { row.label.as_str() } else { "" };
            table.add_row(line(report, row, result, label));
        }
    }
    for column in table.column_iter_mut().skip(2).take(columns - 2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn ceiling_takes_part(rows: &[Row]) -> bool {
    rows.iter().any(|row| row.of(Allocator::Ceiling).is_some())
}

/// The cells of one allocator in one case.
fn line(report: &Report, row: &Row, result: &AllocatorResult, label: &str) -> Vec<String> {
    let mut cells = vec![label.to_owned(), result.allocator.to_string()];
    let median = |summary: &Option<Summary>| summary.as_ref().map(|summary| summary.median);
    cells.extend(result.figures.iter().map(|figure| show(median(figure))));
    cells.push(result.figures[row.compared()].as_ref().map_or("-".into(), spread));
    cells.push(ratio(row, result.allocator, report.baseline));
    if ceiling_takes_part(&report.rows) {
        cells.push(ratio(row, result.allocator, Allocator::Ceiling));
    }
    let used = &result.resources;
    cells.extend([mebibytes(used.rss_peak_kib), mebibytes(used.rss_end_kib)]);
    let counts = [used.minor_faults, used.major_faults, used.voluntary_switches, used.involuntary_switches];
    cells.extend(counts.map(|count| count.to_string()));
    cells
}

/// How many times better than another one, by the compared figure.
fn ratio(row: &Row, allocator: Allocator, other: Allocator) -> String {
    let at = row.compared();
    match (row.median(allocator, at), row.median(other, at)) {
        (Some(value), Some(other)) => match row.metrics[at].ratio(value, other) {
            ratio if ratio.is_finite() => format!("{ratio:.2}"),
            // Of two counts, one is 0.
            _ => "-".to_owned(),
        },
        _ => "-".to_owned(),
    }
}

fn spread(summary: &Summary) -> String {
    format!("{}..{}", show(Some(summary.min)), show(Some(summary.max)))
}

/// A figure with about four digits.
pub(super) fn show(value: Option<f64>) -> String {
    match value {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 1000.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 100.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.3}"),
    }
}

fn mebibytes(kib: u64) -> String {
    format!("{:.1}", kib as f64 / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_about_four_digits() {
        for (value, shown) in [(0.1234, "0.123"), (3.2468, "3.25"), (123.456, "123.5"), (12345.6, "12346")] {
            assert_eq!(show(Some(value)), shown);
        }
        assert_eq!(show(None), "-");
    }
}
