//! A panel for one column of a row's courses: time on the x axis, a line per allocator, and a legend beside it.
//!
//! Drawn is the run whose compared figure is nearest to the median. Where there are more points than
//! pixels, each point drawn is the mean of some.

use plotters::prelude::*;

use super::{Area, Painted, axis_label, colour, everyone, legend};
use crate::{allocator::Allocator, harness::rounds::Row};

/// Points of a line at most.
const POINTS: usize = 400;

/// How many columns the courses of a row have, without the seconds; 0 if there are no courses.
pub(super) fn columns(row: &Row) -> usize {
    let mut courses = row.results.iter().filter_map(|result| result.typical_course(row.compared()));
    courses.next().map_or(0, |course| course.columns.len().saturating_sub(1))
}

/// Column number `column`, counted from 1.
pub(super) fn paint(row: &Row, column: usize, area: &Area<'_>) -> Painted {
    let lines = lines(row, column);
    let points = || lines.iter().flat_map(|(_, points)| points);
    let last = points().map(|&(x, _)| x).fold(f64::MIN_POSITIVE, f64::max);
    let top = points().map(|&(_, y)| y).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(&row.label, ("sans-serif", 15))
        .margin(10)
        .margin_right(legend::WIDTH)
        .x_label_area_size(36)
        .y_label_area_size(56)
        .build_cartesian_2d(0.0..last, 0.0..top * 1.1)?;
    chart
        .configure_mesh()
        .x_desc("seconds")
        .y_desc(title(row, column))
        .light_line_style(WHITE)
        .x_label_formatter(&axis_label)
        .y_label_formatter(&axis_label)
        .draw()?;
    for (at, (allocator, points)) in lines.into_iter().enumerate() {
        chart.draw_series(LineSeries::new(points, colour(allocator).stroke_width(2)))?;
        legend::entry(area, at, allocator)?;
    }
    Ok(())
}

/// The column's name.
fn title(row: &Row, column: usize) -> String {
    let mut courses = row.results.iter().filter_map(|result| result.typical_course(row.compared()));
    courses.next().and_then(|course| course.columns.get(column).cloned()).unwrap_or_default()
}

/// The line of everyone who has a course.
fn lines(row: &Row, column: usize) -> Vec<(Allocator, Vec<(f64, f64)>)> {
    let line = |allocator| {
        let course = row.of(allocator)?.typical_course(row.compared())?;
        Some((allocator, thinned(&course.points(column))))
    };
    everyone().filter_map(line).collect()
}

/// At most [`POINTS`] points.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    let mean = |some: &[(f64, f64)]| {
        let count = some.len() as f64;
        let (x, y) = some.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (x / count, y / count)
    };
    points.chunks(together).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Course, report::testing};

    #[test]
    fn long_courses_are_drawn_as_means() {
        let points: Vec<(f64, f64)> = (0..4000).map(|at| (f64::from(at), f64::from(at % 2))).collect();
        let drawn = thinned(&points);
        assert_eq!(drawn.len(), POINTS);
        assert!(drawn.iter().all(|&(_, y)| y == 0.5));
        assert_eq!(thinned(&points[..3]), points[..3]);
    }

    #[test]
    fn rows_without_courses_have_no_columns() {
        let mut row = testing::row();
        assert_eq!(columns(&row), 0);
        row.results[1].courses.push(Course::of(["one", "two"]));
        assert_eq!(columns(&row), 2);
        assert_eq!(title(&row, 2), "two");
    }
}
