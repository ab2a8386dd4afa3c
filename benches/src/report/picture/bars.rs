//! A panel for one row: a bar per allocator, with whiskers from the smallest to the largest sample.

use plotters::prelude::*;

use super::{Area, Painted, axis_label, colour, everyone};
use crate::{allocator::Allocator, harness::rounds::Row, report::table::show, stats::Summary};

/// Half the width of a bar, the distance between bars being 1.
const HALF: f64 = 0.35;

pub(super) fn paint(row: &Row, area: &Area<'_>) -> Painted {
    let bars = bars(row);
    let top = bars.iter().map(|(_, summary)| summary.max).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(&row.label, ("sans-serif", 15))
        .margin(10)
        .x_label_area_size(24)
        .y_label_area_size(56)
        .build_cartesian_2d(-0.6..bars.len() as f64 - 0.4, -0.1 * top..top * 1.15)?;
    let metric = row.metrics[row.compared()];
    chart
        .configure_mesh()
        .y_desc(metric.title)
        .x_labels(0)
        .disable_x_mesh()
        .light_line_style(WHITE)
        .y_label_formatter(&axis_label)
        .draw()?;
    for (column, (allocator, summary)) in bars.iter().enumerate() {
        let x = column as f64;
        let bar = [(x - HALF, 0.0), (x + HALF, summary.median)];
        chart.draw_series([Rectangle::new(bar, colour(*allocator).filled())])?;
        let whisker = [(x, summary.min), (x, summary.max)];
        chart.draw_series(LineSeries::new(whisker, BLACK.stroke_width(1)))?;
        let value = (show(Some(summary.median)), summary.max + 0.06 * top);
        let name = (allocator.name().to_owned(), -0.03 * top);
        chart
            .draw_series([value, name].map(|(text, y)| Text::new(text, (x - HALF, y), ("sans-serif", 11))))?;
    }
    Ok(())
}

/// The summaries of everyone who has one.
fn bars(row: &Row) -> Vec<(Allocator, Summary)> {
    let bar = |allocator| Some((allocator, row.of(allocator)?.figures[row.compared()].clone()?));
    everyone().filter_map(bar).collect()
}
