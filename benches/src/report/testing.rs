//! A small report for the tests of this folder.

use super::Report;
use crate::{
    allocator::Allocator,
    harness::rounds::{AllocatorResult, Row},
    machine::Machine,
    outcome::Metric,
    resources::Resources,
    stats::Summary,
};

/// Three allocators, three figures, the last one unranked.
pub(super) fn row() -> Row {
    let time = Metric::lower("ns", "ns");
    Row {
        label: "pair".to_owned(),
        series: "pair".to_owned(),
        threads: None,
        metrics: vec![Metric::THROUGHPUT, time, time.unranked()],
        results: vec![
            result(Allocator::Numaslab, &[300.0, 1.0, 0.0]),
            result(Allocator::Glibc, &[100.0, 8.0, 0.0]),
            result(Allocator::Mimalloc, &[200.0, 2.0, 0.0]),
        ],
    }
}

/// A report with that row.
pub(super) fn report() -> Report {
    let who = [Allocator::Numaslab, Allocator::Glibc, Allocator::Mimalloc];
    Report {
        experiment: "all".to_owned(),
        date: String::new(),
        program: String::new(),
        machine: Machine::here(),
        versions: who.map(|who| (who, String::new())).into(),
        baseline: Allocator::Mimalloc,
        rounds: 1,
        rows: vec![row()],
    }
}

fn result(allocator: Allocator, figures: &[f64]) -> AllocatorResult {
    AllocatorResult {
        allocator,
        figures: figures.iter().map(|&figure| Summary::of(vec![figure])).collect(),
        resources: Resources::default(),
        courses: Vec::new(),
        mode: None,
        failures: Vec::new(),
    }
}
