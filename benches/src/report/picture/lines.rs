//! A panel with the number of threads on the x axis, a line per allocator, and a legend beside it.

use plotters::prelude::*;

use super::{Area, Painted, axis_label, colour, everyone, legend};
use crate::{allocator::Allocator, harness::rounds::Row};

pub(super) fn paint(rows: &[&Row], area: &Area<'_>) -> Painted {
    let lines = lines(rows);
    let top = lines.iter().flat_map(|(_, points)| points).map(|&(_, y)| y).fold(f64::MIN_POSITIVE, f64::max);
    // Columns at equal distances, as the numbers of threads double.
    let last = rows.len() as f64 - 1.0;
    let mut chart = ChartBuilder::on(area)
        .caption(&rows[0].series, ("sans-serif", 15))
        .margin(10)
        .margin_right(legend::WIDTH)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(-0.2..last + 0.2, 0.0..top * 1.25)?;
    let column = |x: &f64| column_name(rows, *x);
    chart
        .configure_mesh()
        .x_desc("threads")
        .y_desc(rows[0].metrics[rows[0].compared()].title)
        .x_labels(4 * rows.len())
        .x_label_formatter(&column)
        .disable_x_mesh()
        .light_line_style(WHITE)
        .y_label_formatter(&axis_label)
        .draw()?;
    for (at, (allocator, points)) in lines.into_iter().enumerate() {
        let colour = colour(allocator);
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 3, colour.filled())))?;
        chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        legend::entry(area, at, allocator)?;
    }
    Ok(())
}

/// The number of threads of the column at `x`; nothing between columns.
fn column_name(rows: &[&Row], x: f64) -> String {
    let nearest = x.round();
    if (x - nearest).abs() > 1e-6 || nearest < 0.0 {
        return String::new();
    }
    let threads = rows.get(nearest as usize).and_then(|row| row.threads);
    threads.map_or_else(String::new, |threads| threads.to_string())
}

/// The medians of every allocator that has some, by column.
fn lines(rows: &[&Row]) -> Vec<(Allocator, Vec<(f64, f64)>)> {
    let line = |allocator| {
        let median = |(column, row): (usize, &&Row)| {
            row.median(allocator, row.compared()).map(|median| (column as f64, median))
        };
        (allocator, rows.iter().enumerate().filter_map(median).collect::<Vec<_>>())
    };
    everyone().map(line).filter(|(_, points)| !points.is_empty()).collect()
}
