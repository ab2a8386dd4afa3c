//! The picture: a panel with a line per allocator for each series over numbers of threads, a panel of bars
//! for each row that stands alone, and a panel over time for each column of a row's courses.

use std::{error::Error, path::Path};

use anyhow::{Result, anyhow};
use plotters::{coord::Shift, prelude::*};

use super::Report;
use crate::{allocator::Allocator, harness::rounds::Row};

mod bars;
mod courses;
mod legend;
mod lines;

/// The size of one panel in pixels.
const PANEL: (u32, u32) = (460, 320);
/// Panels side by side.
const ACROSS: usize = 3;
/// Pixels above the panels.
const HEAD: u32 = 60;

/// A part of the picture.
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// What plotters answers.
type Painted = std::result::Result<(), Box<dyn Error>>;

/// Draws a report.
pub(super) fn draw(report: &Report, file: &Path) -> Result<()> {
    let panels = panels(&report.rows);
    let across = panels.len().clamp(2, ACROSS);
    let down = panels.len().div_ceil(across).max(1);
    let size = (PANEL.0 * across as u32, PANEL.1 * down as u32 + HEAD);
    let root = SVGBackend::new(file, size).into_drawing_area();
    paint(report, &root, &panels, (down, across)).map_err(|error| anyhow!("{error}"))
}

fn paint(report: &Report, root: &Area<'_>, panels: &[Panel<'_>], grid: (usize, usize)) -> Painted {
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(HEAD);
    let title = format!("{}, medians of {} rounds", report.experiment, report.rounds);
    head.draw(&Text::new(title, (12, 8), ("sans-serif", 20)))?;
    head.draw(&Text::new(report.machine.summary(), (12, 36), ("sans-serif", 12)))?;
    for (panel, area) in panels.iter().zip(body.split_evenly(grid)) {
        match panel {
            Panel::Bars(row) => bars::paint(row, &area)?,
            Panel::Lines(rows) => lines::paint(rows, &area)?,
            Panel::Course(row, column) => courses::paint(row, *column, &area)?,
        }
    }
    root.present()?;
    Ok(())
}

/// What a panel shows.
#[derive(Debug)]
enum Panel<'report> {
    /// One row, whoever took part side by side.
    Bars(&'report Row),
    /// The rows of a series over numbers of threads.
    Lines(Vec<&'report Row>),
    /// A column of a row's courses.
    Course(&'report Row, usize),
}

/// All panels: rows over threads by series, the others one by one, each row with its courses after it.
fn panels(rows: &[Row]) -> Vec<Panel<'_>> {
    let mut panels = Vec::new();
    for group in groups(rows) {
        let courses: Vec<_> = group
            .iter()
            .flat_map(|&row| (1..=courses::columns(row)).map(move |column| Panel::Course(row, column)))
            .collect();
        panels.push(match group[..] {
            [row] => Panel::Bars(row),
            _ => Panel::Lines(group),
        });
        panels.extend(courses);
    }
    panels
}

/// The rows that share a panel.
fn groups(rows: &[Row]) -> Vec<Vec<&Row>> {
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let together = |group: &&mut Vec<&Row>| {
            row.threads.and(group[0].threads).is_some() && group[0].series == row.series
        };
        match groups.iter_mut().find(together) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

/// A number beside the y axis, short enough for its place.
fn axis_label(value: &f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        10_000.0.. => format!("{}k", value / 1000.0),
        _ => format!("{}", (value * 1000.0).round() / 1000.0),
    }
}

/// Everyone who may be in a picture, in the order of the legend.
fn everyone() -> impl Iterator<Item = Allocator> {
    Allocator::ALL.into_iter().chain(Allocator::VARIANTS).chain([Allocator::Ceiling])
}

fn colour(allocator: Allocator) -> RGBColor {
    let (red, green, blue) = allocator.colour();
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        outcome::{Course, Metric},
        report::testing,
    };

    #[test]
    fn series_share_a_panel_and_others_have_their_own() {
        let mut rows = vec![testing::row(); 5];
        for (row, (series, threads)) in
            rows.iter_mut().zip([("a", Some(1)), ("b", Some(1)), ("a", Some(2)), ("c", None), ("c", None)])
        {
            row.series = series.to_owned();
            row.threads = threads;
        }
        let sizes: Vec<usize> = groups(&rows).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 1]);
    }

    #[test]
    fn axis_labels_are_short() {
        for (value, label) in
            [(0.0, "0"), (0.30000000000000004, "0.3"), (2500.0, "2500"), (140_000.0, "140k")]
        {
            assert_eq!(axis_label(&value), label);
        }
    }

    #[test]
    fn pictures_name_everyone_who_took_part() {
        let mut report = testing::report();
        for threads in [1, 2] {
            let scaling = Row { threads: Some(threads), ..report.rows[0].clone() };
            report.rows.push(scaling);
        }
        let mut course = Course::of(["RSS MiB"]);
        course.rows = vec![vec![0.0, 3.0], vec![0.5, 4.0]];
        report.rows[0].results[0].courses.push(course);
        let file = std::env::temp_dir().join(format!("numaslab-bench-{}.svg", std::process::id()));
        draw(&report, &file).expect("draws");
        let svg = std::fs::read_to_string(&file).expect("written");
        std::fs::remove_file(&file).expect("was there");
        for part in ["numaslab", "glibc", "mimalloc", Metric::THROUGHPUT.title, "threads", "RSS MiB"] {
            assert!(svg.contains(part), "{part}");
        }
    }
}
