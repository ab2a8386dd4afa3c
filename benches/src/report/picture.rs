//! The picture: throughput over threads, one panel per series, one line per allocator.
//!
//! Cases without a place on the x axis are drawn as points, one column per case.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::{coord::Shift, prelude::*};

use super::Report;
use crate::{allocator::Allocator, harness::rounds::Row};

/// The size of one panel in pixels.
const PANEL: (u32, u32) = (460, 320);
/// Panels side by side.
const ACROSS: usize = 3;
/// Pixels above the panels.
const TITLE: u32 = 60;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws a report.
pub(super) fn draw(report: &Report, file: &Path) -> Result<()> {
    let panels = panels(&report.rows);
    let across = panels.len().clamp(1, ACROSS);
    let down = panels.len().div_ceil(across);
    let size = (PANEL.0 * across as u32, PANEL.1 * down as u32 + TITLE);
    let root = SVGBackend::new(file, size).into_drawing_area();
    paint(report, &root, &panels, (down, across)).map_err(|error| anyhow!("{error}"))
}

fn paint(
    report: &Report,
    root: &Area<'_>,
    panels: &[Panel<'_>],
    (down, across): (usize, usize),
) -> Result<(), Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(TITLE);
    let title = format!("{}, medians of {} rounds", report.experiment, report.rounds);
    head.draw(&Text::new(title, (12, 8), ("sans-serif", 20)))?;
    head.draw(&Text::new(report.machine.summary(), (12, 36), ("sans-serif", 13)))?;
    for (panel, area) in panels.iter().zip(body.split_evenly((down, across))) {
        paint_panel(panel, &area)?;
    }
    root.present()?;
    Ok(())
}

/// The rows that share a coordinate system.
struct Panel<'rows> {
    title: String,
    y_title: &'static str,
    x_title: &'static str,
    /// What stands below each column, in order.
    columns: Vec<String>,
    rows: Vec<&'rows Row>,
}

/// A panel per series; rows that stand alone share one.
fn panels(rows: &[Row]) -> Vec<Panel<'_>> {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for row in rows {
        let (title, x_title, column) = match row.threads {
            Some(threads) => (row.series.clone(), "threads", threads.to_string()),
            None => (String::new(), "", row.label.clone()),
        };
        let y_title = row.metrics[0].title;
        match panels.iter_mut().find(|panel| panel.title == title && panel.y_title == y_title) {
            Some(panel) => {
                panel.columns.push(column);
                panel.rows.push(row);
            }
            None => panels.push(Panel { title, y_title, x_title, columns: vec![column], rows: vec![row] }),
        }
    }
    panels
}

fn paint_panel(panel: &Panel<'_>, area: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let lines = lines(panel);
    let top = lines.iter().flat_map(|(_, points)| points).map(|&(_, y)| y).fold(0.0, f64::max);
    let last = panel.columns.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(36)
        .y_label_area_size(52)
        .build_cartesian_2d(-0.2..last + 0.2, 0.0..top.max(f64::MIN_POSITIVE) * 1.15)?;
    let name = |x: &f64| column_name(panel, *x);
    chart
        .configure_mesh()
        .x_desc(panel.x_title)
        .y_desc(panel.y_title)
        .x_labels(4 * panel.columns.len())
        .x_label_formatter(&name)
        .disable_x_mesh()
        .light_line_style(WHITE)
        .draw()?;
    for (allocator, points) in lines {
        let (red, green, blue) = allocator.colour();
        let colour = RGBColor(red, green, blue);
        let points_of_line = points.iter().map(|&point| Circle::new(point, 3, colour.filled()));
        chart.draw_series(points_of_line)?;
        let joined = if panel.x_title.is_empty() { Vec::new() } else { points };
        chart
            .draw_series(LineSeries::new(joined, colour.stroke_width(2)))?
            .label(allocator.name())
            .legend(move |(x, y)| Rectangle::new([(x, y - 4), (x + 12, y + 4)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.7))
        .label_font(("sans-serif", 11))
        .draw()?;
    Ok(())
}

/// The text below the column at `x`; nothing between columns.
fn column_name(panel: &Panel<'_>, x: f64) -> String {
    let nearest = x.round();
    if (x - nearest).abs() > 1e-6 || nearest < 0.0 {
        return String::new();
    }
    panel.columns.get(nearest as usize).cloned().unwrap_or_default()
}

/// The medians of every allocator that has some, by column.
fn lines(panel: &Panel<'_>) -> Vec<(Allocator, Vec<(f64, f64)>)> {
    let everyone = Allocator::ALL.into_iter().chain([Allocator::Ceiling]);
    everyone
        .map(|allocator| {
            let medians =
                panel.rows.iter().enumerate().filter_map(|(column, row)| {
                    row.median(allocator, 0).map(|median| (column as f64, median))
                });
            (allocator, medians.collect::<Vec<_>>())
        })
        .filter(|(_, points)| !points.is_empty())
        .collect()
}
