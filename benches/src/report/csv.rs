//! The courses of all runs as a table that other programs read: a line for each point in time.

use std::fmt::Write;

use super::Report;

/// Every course of a report; `None` if no workload looked.
///
/// Where the columns of a case differ from those before, a line with their names comes first.
pub(super) fn courses(report: &Report) -> Option<String> {
    let (mut text, mut columns) = (String::new(), None);
    for row in &report.rows {
        for result in &row.results {
            for (round, course) in result.courses.iter().enumerate() {
                if columns.replace(&course.columns) != Some(&course.columns) {
                    let names = course.columns.join(",");
                    writeln!(text, "case,allocator,round,{names}").expect("a string takes everything");
                }
                for numbers in &course.rows {
                    let numbers: Vec<String> = numbers.iter().map(|number| format!("{number:.4}")).collect();
                    let (label, numbers) = (row.label.replace('"', "\"\""), numbers.join(","));
                    writeln!(text, "\"{label}\",{},{},{numbers}", result.allocator, round + 1)
                        .expect("a string takes everything");
                }
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{outcome::Course, report::testing::report};

    #[test]
    fn every_point_of_every_run_has_a_line() {
        let mut report = report();
        assert_eq!(courses(&report), None);
        let mut course = Course::of(["RSS MiB"]);
        course.rows = vec![vec![0.0, 1.5], vec![0.05, 2.0]];
        report.rows[0].results[1].courses = vec![course.clone(), course];
        let text = courses(&report).expect("has some");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[0], "case,allocator,round,seconds,RSS MiB");
        assert_eq!(lines[4], "\"pair\",glibc,2,0.0500,2.0000");
    }
}
